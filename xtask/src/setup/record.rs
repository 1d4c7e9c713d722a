//! The record of the toolchain that `setup` chose, so that a build need not search; believed only while it still holds.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{process, workspace};

use super::{BpfToolchain, linker, rustc};

/// Where the record lies.
pub(crate) fn file() -> PathBuf {
    workspace::bpf_dir().join("toolchain.env")
}

/// Writes the record.
pub(crate) fn write(toolchain: &BpfToolchain) -> Result<()> {
    let file = file();
    fs::create_dir_all(workspace::bpf_dir())
        .and_then(|()| fs::write(&file, to_text(toolchain)))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// The recorded toolchain, if its programs are still there and say the same about themselves.
pub(crate) fn read() -> Option<BpfToolchain> {
    let recorded = from_text(&fs::read_to_string(file()).ok()?)?;
    let (release, llvm) = rustc::ask(&recorded.rustc).ok()?;
    let linker = linker::inspect(&recorded.linker).ok()?;
    let holds = release == recorded.release
        && linker.llvm >= llvm
        && rustc::has_source(&recorded.rustc)
        && process::is_executable(&recorded.cargo);
    holds.then_some(recorded)
}

fn to_text(toolchain: &BpfToolchain) -> String {
    let path = |path: &Path| path.display().to_string();
    format!(
        "# written by `cargo xtask setup`\nCARGO={}\nRUSTC={}\nLINKER={}\nRELEASE={}\n",
        path(&toolchain.cargo),
        path(&toolchain.rustc),
        path(&toolchain.linker),
        toolchain.release
    )
}

fn from_text(text: &str) -> Option<BpfToolchain> {
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    };
    Some(BpfToolchain {
        cargo: value("CARGO")?.into(),
        rustc: value("RUSTC")?.into(),
        linker: value("LINKER")?.into(),
        release: value("RELEASE")?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_file_and_half_of_one_does_not() {
        let toolchain = BpfToolchain {
            cargo: "/opt/r/bin/cargo".into(),
            rustc: "/opt/r/bin/rustc".into(),
            linker: "/opt/l/bpf linker".into(),
            release: "1.97.0-nightly".to_owned(),
        };
        let text = to_text(&toolchain);
        assert_eq!(from_text(&text), Some(toolchain));
        assert_eq!(from_text(&text[..text.len() / 2]), None);
    }
}
