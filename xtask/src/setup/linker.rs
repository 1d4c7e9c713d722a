//! bpf-linker: whether an installed one reads the bitcode of a given rustc, and building one that does.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection};

use crate::{process, workspace};

use super::{apt::Apt, report::Report, rustc::Rustc};

/// The release that gets built; any other patch release of the same minor version is accepted.
const VERSION: &str = "0.13.0";
/// The LLVM major versions that this release has a cargo feature for.
const LLVM_FEATURES: [u32; 3] = [21, 22, 23];

/// A bpf-linker that runs, and the LLVM it is linked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linker {
    pub(crate) path: PathBuf,
    pub(crate) llvm: u32,
}

/// How a rustc gets its linker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Use(Linker),
    Build { llvm: u32 },
}

/// The linker for a rustc whose LLVM has the major version `rustc_llvm`: LLVM reads the bitcode of its own
/// and of earlier versions. `None` if there is none, and none can be built.
pub(crate) fn plan(rustc_llvm: u32, apt: Option<&Apt>) -> Option<Plan> {
    if let Some(linker) = installed().into_iter().find(|linker| linker.llvm >= rustc_llvm) {
        return Some(Plan::Use(linker));
    }
    let fitting = || LLVM_FEATURES.into_iter().filter(|llvm| *llvm >= rustc_llvm);
    fitting()
        .find(|llvm| llvm_prefix(*llvm).is_some())
        .or_else(|| fitting().find(|llvm| apt.is_some_and(|apt| apt.offers(&package(*llvm)))))
        .map(|llvm| Plan::Build { llvm })
}

/// Builds and installs bpf-linker with the cargo of `toolchain`, and LLVM's headers first if they are missing.
pub(crate) fn build(llvm: u32, toolchain: &Rustc, report: &Report, apt: Option<&Apt>) -> Result<Linker> {
    if llvm_prefix(llvm).is_none() {
        let Some(apt) = apt else {
            bail!("LLVM {llvm} with llvm-config is not installed")
        };
        report.doing(format_args!("apt-get install {}", package(llvm)));
        apt.install(&[&package(llvm)])?;
    }
    let prefix =
        llvm_prefix(llvm).with_context(|| format!("no llvm-config of LLVM {llvm} after installing it"))?;
    report.doing(format_args!(
        "cargo install bpf-linker {VERSION} against LLVM {llvm} (some minutes)"
    ));
    let target_dir = workspace::root().join("target/bpf-linker-build");
    let mut path = vec![prefix.join("bin")];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    process::output(
        process::foreign(&toolchain.cargo)
            .args([
                "install",
                "bpf-linker",
                "--locked",
                "--force",
                "--version",
                &format!("={VERSION}"),
            ])
            .args(["--no-default-features", "--features", &format!("llvm-{llvm}")])
            .arg("--root")
            .arg(cargo_home())
            .arg("--target-dir")
            .arg(&target_dir)
            .env("RUSTC", &toolchain.rustc)
            .env("LLVM_PREFIX", &prefix)
            .env("PATH", env::join_paths(path)?),
    )?;
    fs::remove_dir_all(&target_dir).with_context(|| format!("cannot remove {}", target_dir.display()))?;
    let built = inspect(&cargo_home().join("bin/bpf-linker"))?;
    if built.llvm != llvm {
        bail!(
            "{} was built against LLVM {llvm} and is linked to LLVM {}",
            built.path.display(),
            built.llvm
        );
    }
    Ok(built)
}

/// What a person without a known package installer needs for `build`.
pub(crate) fn remedy(rustc_llvm: u32) -> String {
    format!(
        "it needs LLVM {rustc_llvm}'s development files (llvm-config and headers; Debian: {}); with them there, \
         `cargo xtask setup` builds it, as does cargo install bpf-linker --version ={VERSION} \
         --no-default-features --features llvm-{rustc_llvm}",
        package(rustc_llvm)
    )
}

/// Reads the version from the program and the LLVM from the libraries it is linked to. One with LLVM linked
/// in statically gives no such evidence and is not accepted.
pub(crate) fn inspect(path: &Path) -> Result<Linker> {
    let said = process::output(process::foreign(path).arg("--version"))?;
    if !is_accepted(&said) {
        bail!("{} is {}, not {VERSION}", path.display(), said.trim());
    }
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file =
        object::File::parse(&*bytes).with_context(|| format!("{} is not an ELF file", path.display()))?;
    let names = match file.section_by_name(".dynstr") {
        Some(section) => section.data()?,
        None => &[],
    };
    match linked_llvm(names) {
        Some(llvm) => Ok(Linker {
            path: path.to_owned(),
            llvm,
        }),
        None => bail!("{} does not say which LLVM it is linked to", path.display()),
    }
}

fn installed() -> Vec<Linker> {
    let own = cargo_home().join("bin/bpf-linker");
    let on_path = process::find_program("bpf-linker");
    let mut paths: Vec<PathBuf> = [Some(own), on_path]
        .into_iter()
        .flatten()
        .filter(|path| path.exists())
        .collect();
    paths.dedup();
    paths.iter().filter_map(|path| inspect(path).ok()).collect()
}

fn cargo_home() -> PathBuf {
    match env::var_os("CARGO_HOME") {
        Some(home) => home.into(),
        None => PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cargo"),
    }
}

fn package(llvm: u32) -> String {
    format!("llvm-{llvm}-dev")
}

/// Where LLVM's `bin/llvm-config` is: Debian's place first, then whatever `PATH` offers in that version.
fn llvm_prefix(llvm: u32) -> Option<PathBuf> {
    let debian = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    if debian.join("bin/llvm-config").exists() && debian.join("include/llvm-c").exists() {
        return Some(debian);
    }
    [format!("llvm-config-{llvm}"), "llvm-config".to_owned()]
        .iter()
        .find_map(|name| {
            let config = process::find_program(name)?;
            let ask = |what| process::output(Command::new(&config).arg(what)).ok();
            let fits = ask("--version")?.split('.').next()?.parse() == Ok(llvm);
            fits.then(|| ask("--prefix"))
                .flatten()
                .map(|prefix| PathBuf::from(prefix.trim()))
        })
}

fn is_accepted(said: &str) -> bool {
    let minor = |version: &str| version.rsplit_once('.').map(|(minor, _)| minor.to_owned());
    said.split_whitespace().nth(1).and_then(minor) == minor(VERSION)
}

/// The major version in a needed library's name: `libLLVM.so.22.1` or `libLLVM-22.so`.
fn linked_llvm(dynstr: &[u8]) -> Option<u32> {
    dynstr.split(|byte| *byte == 0).find_map(|name| {
        let name = std::str::from_utf8(name).ok()?;
        let rest = name
            .strip_prefix("libLLVM.so.")
            .or_else(|| name.strip_prefix("libLLVM-"))?;
        rest.split(['.', '-']).next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_is_read_from_the_library_name() {
        assert_eq!(linked_llvm(b"\0libc.so.6\0libLLVM.so.22.1\0"), Some(22));
        assert_eq!(linked_llvm(b"\0libLLVM-21.so\0"), Some(21));
        assert_eq!(linked_llvm(b"\0libLLVMish.so.9\0libc.so.6\0"), None);
    }

    #[test]
    fn patch_releases_of_the_same_minor_version_are_accepted() {
        assert!(is_accepted("bpf-linker 0.13.0\n"));
        assert!(is_accepted("bpf-linker 0.13.7\n"));
        assert!(!is_accepted("bpf-linker 0.9.15\n"));
        assert!(!is_accepted("bpf-linker\n"));
    }
}
