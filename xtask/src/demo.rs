//! `demo` and `bench`: set up, build for release, and hand over to the program of that name in netguard-tests.

use std::{ffi::OsString, process::Command};

use anyhow::Result;

use crate::{
    build_ebpf, process,
    setup::{self, Purpose},
    workspace,
};

/// Runs `demo` or `bench` with the arguments of the user, in the user's directory.
pub(crate) fn run(program: &str, args: &[OsString]) -> Result<()> {
    setup::require_root(program)?;
    setup::install(&[Purpose::Build, Purpose::Run])?;
    build_ebpf::run(false)?;
    let target = workspace::host_target();
    process::run(
        process::host_cargo()
            .args([
                "build",
                "--locked",
                "--release",
                "--package",
                "netguard",
                "--package",
                "netguard-tests",
                "--bins",
            ])
            .arg("--target-dir")
            .arg(&target),
    )?;
    let release = target.join("release");
    process::run(
        Command::new(release.join(program))
            .arg("--netguard")
            .arg(release.join("netguard"))
            .args(args),
    )
}
