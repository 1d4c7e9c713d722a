//! One daemon per instance: an advisory lock that the kernel releases when the daemon dies.

use std::{
    fs::{self, File, OpenOptions},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::{DaemonError, RUNTIME_DIRECTORY};
use crate::bpf::InstanceName;

/// Takes the lock of `instance`; it is held until the answer is dropped.
///
/// # Errors
/// When another daemon holds it, or the runtime directory cannot be written.
pub(super) fn acquire(instance: &InstanceName) -> Result<Flock<File>, DaemonError> {
    let directory = Path::new(RUNTIME_DIRECTORY);
    fs::create_dir_all(directory).map_err(|source| DaemonError::Runtime {
        path: directory.to_owned(),
        source,
    })?;
    let path = directory.join(format!("{instance}.lock"));
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(|source| DaemonError::Runtime {
            path: path.clone(),
            source,
        })?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => DaemonError::AlreadyRunning(instance.clone()),
        errno => DaemonError::Runtime {
            path,
            source: errno.into(),
        },
    })
}
