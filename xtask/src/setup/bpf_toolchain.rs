//! The toolchain for kernel objects: a rustc with `rust-src` and a bpf-linker that reads its bitcode, chosen together.

use std::path::PathBuf;

use anyhow::{Result, anyhow};

use super::{
    apt::Apt,
    linker::{self, Linker, Plan},
    report::Report,
    rustc::{self, Rustc},
};

/// What `build-ebpf` calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BpfToolchain {
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
    pub(crate) linker: PathBuf,
    /// Release of the rustc.
    pub(crate) release: String,
}

/// Debian's compiler of the day for building browsers: newer than its `rustc`, and with its sources.
const DEBIAN_RUST: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Finds the pair, or installs it. `None` if it is missing, which the report then says.
pub(crate) fn ensure(report: &mut Report, apt: Option<&Apt>) -> Result<Option<BpfToolchain>> {
    let mut turned_down = Vec::new();
    let mut without_linker = None;
    for candidate in rustc::installed() {
        match candidate {
            Err(reason) => turned_down.push(reason),
            Ok(toolchain) => match linker::plan(toolchain.llvm, apt) {
                Some(plan) => return carry_out(plan, &toolchain, report, apt),
                None => {
                    turned_down.push(format!(
                        "{}: no bpf-linker for LLVM {}",
                        toolchain.origin, toolchain.llvm
                    ));
                    without_linker.get_or_insert(toolchain.llvm);
                }
            },
        }
    }
    for reason in &turned_down {
        report.note(format_args!("not usable for kernel objects: {reason}"));
    }
    let installer = apt.filter(|apt| apt.may_install());
    if let Some(apt) = installer.filter(|apt| DEBIAN_RUST.iter().all(|package| apt.offers(package))) {
        report.doing(format_args!("apt-get install {}", DEBIAN_RUST.join(" ")));
        apt.install(&DEBIAN_RUST)?;
        let toolchain =
            rustc::distribution().map_err(|reason| anyhow!("installed, yet not usable: {reason}"))?;
        if let Some(plan) = linker::plan(toolchain.llvm, Some(apt)) {
            return carry_out(plan, &toolchain, report, Some(apt));
        }
        without_linker = Some(toolchain.llvm);
    }
    match without_linker {
        Some(llvm) => report.missing("bpf-linker", linker::remedy(llvm)),
        None => report.missing(
            format_args!(
                "a rustc {} or newer with rust-src, to build core for BPF",
                env!("CARGO_PKG_RUST_VERSION")
            ),
            format_args!(
                "rustup toolchain install nightly --component rust-src, or on Debian install {}",
                DEBIAN_RUST.join(" ")
            ),
        ),
    }
    Ok(None)
}

fn carry_out(
    plan: Plan,
    rustc: &Rustc,
    report: &mut Report,
    apt: Option<&Apt>,
) -> Result<Option<BpfToolchain>> {
    report.found(format_args!(
        "rustc {} with rust-src, LLVM {}: {}",
        rustc.release, rustc.llvm, rustc.origin
    ));
    let linker = match plan {
        Plan::Use(linker) => {
            report.found(format_args!("bpf-linker linked to LLVM {}", linker.llvm));
            linker
        }
        Plan::Build { llvm } if report.may_change() => linker::build(llvm, rustc, report, apt)?,
        Plan::Build { llvm } => {
            report.missing("bpf-linker", linker::remedy(llvm));
            return Ok(None);
        }
    };
    Ok(Some(pair(rustc, &linker)))
}

fn pair(rustc: &Rustc, linker: &Linker) -> BpfToolchain {
    BpfToolchain {
        cargo: rustc.cargo.clone(),
        rustc: rustc.rustc.clone(),
        linker: linker.path.clone(),
        release: rustc.release.clone(),
    }
}
