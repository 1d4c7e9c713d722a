//! Settings of the kernel that the daemon changes for a while. What they were lies in files, so that whoever detaches restores
//! them, whether or not this daemon still lives.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tracing::{info, warn};

use super::{EventKind, Journal, RUNTIME_DIRECTORY};
use crate::{bpf::InstanceName, host};

pub(super) const SYNCOOKIES: &str = "net.ipv4.tcp_syncookies";
pub(super) const TIMESTAMPS: &str = "net.ipv4.tcp_timestamps";

/// A setting that is ours to change.
pub(super) struct Borrowed {
    name: &'static str,
    /// What it was.
    pub(super) original: String,
}

impl Borrowed {
    /// Keeps what `name` is, or was before an earlier daemon changed it; `None`, and a warning, where that cannot be.
    pub(super) fn new(instance: &InstanceName, name: &'static str) -> Option<Self> {
        let found = host::sysctl(name)
            .inspect_err(|error| warn!("{name} cannot be read, SYN cookies may not work: {error}"))
            .ok()?;
        if let Some(original) = original(instance, name) {
            return Some(Self { name, original });
        }
        let original = found;
        fs::write(file(instance, name), format!("{original} {}\n", namespace()))
            .inspect_err(|error| warn!("{name} stays as it is, what it was cannot be kept: {error}"))
            .ok()?;
        Some(Self { name, original })
    }

    /// Sets it, unless it is `value` already.
    pub(super) fn set(&self, value: &str, journal: &Journal) {
        let name = self.name;
        if host::sysctl(name).is_ok_and(|found| found == value) {
            return;
        }
        match host::set_sysctl(name, value) {
            Ok(()) => {
                info!("{name} = {value}");
                journal.record(EventKind::Sysctl {
                    name: name.to_owned(),
                    value: value.to_owned(),
                });
            }
            Err(error) => warn!("{name} cannot be set to {value}, SYN cookies may not work: {error}"),
        }
    }
}

/// Makes all settings what they were before `instance` changed them.
///
/// # Errors
/// When one may not be set, or was changed in another network namespace; the others are restored all the same.
pub fn restore_sysctls(instance: &InstanceName) -> io::Result<()> {
    let restored = [SYNCOOKIES, TIMESTAMPS].map(|name| restore(instance, name));
    restored.into_iter().collect()
}

/// [`restore_sysctls`], of one setting.
pub(super) fn restore(instance: &InstanceName, name: &str) -> io::Result<()> {
    let path = file(instance, name);
    let Ok(text) = fs::read_to_string(&path) else {
        return Ok(());
    };
    let failed = |error| io::Error::other(format!("{name} is not what it was: {error}"));
    if !text.ends_with(&format!(" {}\n", namespace())) {
        return Err(failed(io::Error::other(format!(
            "it was changed in another network namespace: run the command there, or remove {}",
            path.display()
        ))));
    }
    if let Some(original) = original(instance, name) {
        host::set_sysctl(name, &original).map_err(failed)?;
    }
    fs::remove_file(path).map_err(failed)
}

fn original(instance: &InstanceName, name: &str) -> Option<String> {
    let text = fs::read_to_string(file(instance, name)).ok()?;
    let (value, namespace_then) = text.trim().split_once(' ')?;
    (namespace_then == namespace() && value.parse::<u8>().is_ok()).then(|| value.to_owned())
}

/// The network namespace of this process, as a word.
fn namespace() -> String {
    let link = fs::read_link("/proc/thread-self/ns/net").unwrap_or_default();
    link.display().to_string()
}

fn file(instance: &InstanceName, name: &str) -> PathBuf {
    let last = name.rsplit('.').next().unwrap_or(name);
    Path::new(RUNTIME_DIRECTORY).join(format!("{instance}.{last}"))
}
