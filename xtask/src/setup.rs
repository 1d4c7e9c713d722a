//! `setup`: finds or installs what building, running and fuzzing need; every step may be repeated.

mod apt;
mod bpf_toolchain;
mod linker;
mod machine;
mod record;
mod report;
mod rustc;
mod tools;

use anyhow::{Result, bail};

pub(crate) use self::bpf_toolchain::BpfToolchain;
use self::{apt::Apt, report::Report};

/// What a task is about to do, and therefore needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Compile the kernel objects and the host's packages. Root is needed only to install something.
    Build,
    /// Load programs into the kernel and send packets in namespaces.
    Run,
    /// Build and run the fuzz targets.
    Fuzz,
}

/// All purposes, for `cargo xtask setup` itself.
pub(crate) const EVERYTHING: &[Purpose] = &[Purpose::Build, Purpose::Run, Purpose::Fuzz];

/// Lists what is there and what is missing without changing anything; an error if anything is missing.
pub(crate) fn check() -> Result<()> {
    go_through(EVERYTHING, Report::looking_only())
}

/// Installs what `purposes` lack; an error if something stays missing.
pub(crate) fn install(purposes: &[Purpose]) -> Result<()> {
    go_through(purposes, Report::installing())
}

/// The toolchain for kernel objects: as recorded by an earlier run if it is still the same, else set up now.
pub(crate) fn bpf_toolchain() -> Result<BpfToolchain> {
    if let Some(recorded) = record::read() {
        return Ok(recorded);
    }
    install(&[Purpose::Build])?;
    match record::read() {
        Some(recorded) => Ok(recorded),
        None => bail!(
            "the toolchain just recorded in {} does not hold; run `cargo xtask setup`",
            record::file().display()
        ),
    }
}

/// An error unless this process is root; `what` names the task that needs it.
pub(crate) fn require_root(what: &str) -> Result<()> {
    if !machine::is_root() {
        bail!("{what} loads programs into the kernel and makes network namespaces: run it as root");
    }
    Ok(())
}

fn go_through(purposes: &[Purpose], mut report: Report) -> Result<()> {
    let apt = Apt::detect(report.may_change());
    if purposes.contains(&Purpose::Build)
        && let Some(found) = bpf_toolchain::ensure(&mut report, apt.as_ref())?
        && report.may_change()
    {
        record::write(&found)?;
    }
    tools::ensure(&mut report, apt.as_ref(), purposes)?;
    if purposes.contains(&Purpose::Run) {
        machine::ensure(&mut report)?;
    }
    report.close()
}
