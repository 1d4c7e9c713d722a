//! `demo` and `bench`: set up, build for release, and hand over to the program of that name in netguard-tests, in the
//! user's directory and with the user's arguments.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    build_ebpf, process, release,
    setup::{self, Purpose},
    workspace,
};

/// Netguard in front of a virtual network card under real floods.
pub(crate) fn demo(args: &[OsString]) -> Result<()> {
    let release = set_up("demo", &["netguard", "netguard-tests"])?;
    hand_over(
        &release.join("demo"),
        "--netguard",
        &release.join("netguard"),
        args,
    )
}

/// The datapath beside the reference programs.
pub(crate) fn bench(args: &[OsString]) -> Result<()> {
    let release = set_up("bench", &["netguard", "netguard-tests"])?;
    hand_over(&release.join("bench"), "--objects", &workspace::bpf_dir(), args)
}

fn set_up(task: &str, packages: &[&str]) -> Result<PathBuf> {
    setup::require_root(task)?;
    setup::install(&[Purpose::Build, Purpose::Run])?;
    build_ebpf::run(false)?;
    release::build(packages)
}

fn hand_over(program: &Path, option: &str, value: &Path, args: &[OsString]) -> Result<()> {
    process::run(Command::new(program).arg(option).arg(value).args(args))
}
