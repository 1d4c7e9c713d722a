//! The last good copy of a feed that comes from a server: written whole or not at all, with what the server calls it.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use crate::{bpf::InstanceName, lists::Validators};

/// Where the copies of an instance are.
pub(super) fn directory(instance: &InstanceName) -> PathBuf {
    Path::new("/var/lib/netguard")
        .join(instance.to_string())
        .join("feeds")
}

/// What is known about a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Where it came from.
    pub(super) url: String,
    pub(super) validators: Validators,
    /// When it came: its durations begin then.
    pub(super) fetched: SystemTime,
    /// When the server last said that it is the newest.
    pub(super) confirmed: SystemTime,
}

/// What is known about the copy in `file`, if it is one of `url`.
pub(super) fn known(file: &Path, url: &str) -> Option<Known> {
    let text = fs::read(beside(file)).ok()?;
    let known: Known = serde_json::from_slice(&text).ok()?;
    (known.url == url && file.exists()).then_some(known)
}

/// Makes `bytes` the copy in `file`. What is known about it comes second: whoever dies in between has a copy that the server is
/// asked for again, never an old one that it would confirm.
pub(super) fn keep(file: &Path, bytes: &[u8], known: &Known) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    write(file, bytes)?;
    remember(file, known)
}

/// Writes down what is known about the copy in `file`.
pub(super) fn remember(file: &Path, known: &Known) -> io::Result<()> {
    write(&beside(file), &serde_json::to_vec(known)?)
}

fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = hidden(file, "new");
    let mut written = File::create(&new)?;
    written.write_all(bytes)?;
    written.sync_all()?;
    fs::rename(&new, file)?;
    file.parent()
        .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn beside(file: &Path) -> PathBuf {
    hidden(file, "about")
}

/// A name that no feed has: theirs begin with no dot.
fn hidden(file: &Path, end: &str) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!(".{}.{end}", name.trim_start_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_known_by_its_url() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("feeds").join("a.txt");
        let about = Known {
            url: "https://x.example/".to_owned(),
            validators: Validators {
                etag: Some("\"1\"".to_owned()),
                last_modified: None,
            },
            fetched: SystemTime::UNIX_EPOCH,
            confirmed: crate::clock::wall_clock(),
        };
        assert_eq!(known(&file, &about.url), None);
        keep(&file, b"192.0.2.1\n", &about).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"192.0.2.1\n");
        assert_eq!(known(&file, &about.url), Some(about.clone()));
        assert_eq!(known(&file, "https://y.example/"), None);
        fs::write(beside(&file), "{").unwrap();
        assert_eq!(known(&file, &about.url), None);
        remember(&file, &about).unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(known(&file, &about.url), None);
    }
}
