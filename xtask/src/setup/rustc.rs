//! Finding a rustc that can build `core` for the BPF target: one with the `rust-src` component. Never downloads one.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::process;

/// A compiler, the cargo beside it, and what they say about themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rustc {
    /// Where it comes from, for a person.
    pub(crate) origin: String,
    pub(crate) rustc: PathBuf,
    pub(crate) cargo: PathBuf,
    /// `release` line of `rustc -vV`, such as `1.97.0-nightly`.
    pub(crate) release: String,
    /// Major version of the LLVM inside.
    pub(crate) llvm: u32,
}

/// Installed toolchains in order of preference, each usable or with the reason why it is not:
/// rustup's nightlies, rustup's others, the distribution's.
pub(crate) fn installed() -> Vec<Result<Rustc, String>> {
    let toolchains = rustup_home().join("toolchains");
    let mut names: Vec<String> = fs::read_dir(&toolchains)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort_by_key(|name| preference(name));
    let mut all: Vec<_> = names
        .iter()
        .map(|name| inspect(format!("rustup toolchain {name}"), &toolchains.join(name)))
        .collect();
    all.push(distribution());
    all
}

/// The distribution's compiler in `/usr/bin`.
pub(crate) fn distribution() -> Result<Rustc, String> {
    inspect("the distribution's".to_owned(), Path::new("/usr"))
}

/// Whether `core` can be built from source by the compiler at `rustc`, which lies in its sysroot's `bin`.
pub(crate) fn has_source(rustc: &Path) -> bool {
    // build-std reads the lock file of the standard library's own workspace too.
    let library = rustc
        .ancestors()
        .nth(2)
        .map(|sysroot| sysroot.join("lib/rustlib/src/rust/library"));
    library.is_some_and(|library| {
        library.join("core/Cargo.toml").is_file() && library.join("Cargo.lock").is_file()
    })
}

/// Release and LLVM major version of a compiler.
pub(crate) fn ask(rustc: &Path) -> Result<(String, u32), String> {
    let text = process::output(process::foreign(rustc).arg("-vV")).map_err(|error| format!("{error:#}"))?;
    versions(&text).ok_or_else(|| format!("{} -vV names no release and LLVM version", rustc.display()))
}

fn inspect(origin: String, sysroot: &Path) -> Result<Rustc, String> {
    let (rustc, cargo) = (sysroot.join("bin/rustc"), sysroot.join("bin/cargo"));
    if !process::is_executable(&rustc) || !process::is_executable(&cargo) {
        return Err(format!("{origin}: no rustc and cargo"));
    }
    if !has_source(&rustc) {
        return Err(format!("{origin}: no rust-src"));
    }
    let (release, llvm) = ask(&rustc).map_err(|error| format!("{origin}: {error}"))?;
    if minor(&release) < minor(env!("CARGO_PKG_RUST_VERSION")) {
        return Err(format!(
            "{origin}: rustc {release} is older than {}",
            env!("CARGO_PKG_RUST_VERSION")
        ));
    }
    Ok(Rustc {
        origin,
        rustc,
        cargo,
        release,
        llvm,
    })
}

fn rustup_home() -> PathBuf {
    match env::var_os("RUSTUP_HOME") {
        Some(home) => home.into(),
        None => PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".rustup"),
    }
}

/// Sort key: nightlies first, among them the undated one (its name is shorter).
fn preference(name: &str) -> (bool, usize, String) {
    (!name.starts_with("nightly"), name.len(), name.to_owned())
}

fn versions(verbose: &str) -> Option<(String, u32)> {
    let field = |name: &str| verbose.lines().find_map(|line| line.strip_prefix(name));
    let llvm = field("LLVM version: ")?.split('.').next()?.parse().ok()?;
    Some((field("release: ")?.to_owned(), llvm))
}

/// `(major, minor)` of a version such as `1.97.0-nightly`; `None` sorts below everything.
fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERBOSE: &str = "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)\nbinary: rustc\n\
        host: x86_64-unknown-linux-gnu\nrelease: 1.97.0-nightly\nLLVM version: 22.1.4\n";

    #[test]
    fn versions_are_read_from_the_verbose_text() {
        assert_eq!(versions(VERBOSE), Some(("1.97.0-nightly".to_owned(), 22)));
        assert_eq!(versions("release: 1.0.0\n"), None);
    }

    #[test]
    fn nightlies_come_first_and_the_undated_one_before_dated_ones() {
        let mut names = [
            "stable-x86_64",
            "nightly-2026-05-19-x86_64",
            "1.95.0-x86_64",
            "nightly-x86_64",
        ];
        names.sort_by_key(|name| preference(name));
        assert_eq!(
            names,
            [
                "nightly-x86_64",
                "nightly-2026-05-19-x86_64",
                "1.95.0-x86_64",
                "stable-x86_64"
            ]
        );
    }

    #[test]
    fn releases_compare_by_number() {
        assert!(minor("1.100.0") > minor("1.95"));
        assert!(minor("1.94.1") < minor("1.95"));
        assert!(minor("nonsense") < minor("1.95"));
    }
}
