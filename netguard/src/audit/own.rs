//! Opens the files of a trail for this process alone. It reads and writes none of them.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use super::AuditError;

/// Opens a file of ours, or makes one. A pipe in its place must not be waited for.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

/// `opened`, if it is a file that nobody else writes and that still stands at `path`.
pub(super) fn lock(path: &Path, opened: io::Result<File>) -> Result<File, AuditError> {
    let file = opened.map_err(AuditError::file(path))?;
    let metadata = file.metadata().map_err(AuditError::file(path))?;
    if !metadata.is_file() {
        return Err(AuditError::NotAFile(path.to_owned()));
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(AuditError::Shared(path.to_owned())),
        Err(TryLockError::Error(error)) => return Err(AuditError::file(path)(error)),
    }
    // Whoever held the lock may have put the file beside meanwhile.
    let standing = fs::metadata(path).map_err(AuditError::file(path))?;
    is_same(&metadata, &standing)
        .then_some(file)
        .ok_or_else(|| AuditError::Changed(path.to_owned()))
}

/// Whether both are the same file, under whatever name.
pub(super) fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}
