//! Where a replay is tried: captures and configurations of one test, and what `netguard replay` answers to them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Result, ensure};
use netguard_tests::{
    frames::Frame,
    lab::{Output, binary, output},
    pcap::{ETHERNET, Writer},
};
use serde_json::Value;
use tempfile::TempDir;

/// Captures and configurations of one test.
pub(super) struct Desk(TempDir);

impl Desk {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(TempDir::new()?))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn capture(
        &self,
        name: &str,
        frames: impl IntoIterator<Item = (u64, Frame)>,
    ) -> Result<PathBuf> {
        let path = self.path(name);
        let mut writer = Writer::create(&path, ETHERNET)?;
        for (at_ns, frame) in frames {
            writer.frame(at_ns, &frame.build())?;
        }
        writer.end()?;
        Ok(path)
    }

    pub(super) fn config(&self, name: &str, text: &str) -> Result<String> {
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    }
}

pub(super) fn netguard(file: &Path, args: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary()?);
    command.arg("replay").arg(file).args(args);
    output(&mut command, Duration::from_secs(120))
}

pub(super) fn json(file: &Path, args: &[&str]) -> Result<Value> {
    let answered = netguard(file, &[args, &["--json"]].concat())?;
    ensure!(answered.status == 0, "{args:?}: {answered:?}");
    Ok(serde_json::from_str(&answered.stdout)?)
}
