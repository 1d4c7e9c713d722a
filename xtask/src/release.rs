//! Release builds of the host programs: what the demo, the benchmark and the end-to-end tests run.

use std::path::PathBuf;

use anyhow::Result;

use crate::{process, workspace};

/// Builds the binaries of `packages`; answers the directory they are in.
pub(crate) fn build(packages: &[&str]) -> Result<PathBuf> {
    let target = workspace::host_target();
    let mut cargo = process::host_cargo();
    cargo.args(["build", "--locked", "--release", "--bins"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    process::run(cargo.arg("--target-dir").arg(&target))?;
    Ok(target.join("release"))
}
