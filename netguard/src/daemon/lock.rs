//! One daemon per instance: an advisory lock that the kernel releases when the daemon dies. The file says who holds it.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::{DaemonError, RUNTIME_DIRECTORY};
use crate::bpf::InstanceName;

/// The lock of an instance; held until it is dropped.
#[must_use]
pub struct Lock(#[expect(dead_code, reason = "held, not read")] Flock<File>);

/// Takes the lock of `instance`.
///
/// # Errors
/// [`DaemonError::AlreadyRunning`] when another process holds it, or the runtime directory cannot be written.
pub fn acquire(instance: &InstanceName) -> Result<Lock, DaemonError> {
    let directory = Path::new(RUNTIME_DIRECTORY);
    let path = directory.join(format!("{instance}.lock"));
    let failed = |source| DaemonError::Runtime {
        path: path.clone(),
        source,
    };
    fs::create_dir_all(directory).map_err(failed)?;
    let file = OpenOptions::new()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            sign(&mut lock).map_err(failed)?;
            Ok(Lock(lock))
        }
        Err((file, Errno::EWOULDBLOCK)) => Err(DaemonError::AlreadyRunning {
            instance: instance.clone(),
            pid: signature(file),
        }),
        Err((_, errno)) => Err(failed(errno.into())),
    }
}

/// The process that holds the lock of `instance`, if any does; nothing is made or changed.
pub fn holder(instance: &InstanceName) -> Option<u32> {
    let path = Path::new(RUNTIME_DIRECTORY).join(format!("{instance}.lock"));
    let file = File::open(path).ok()?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Err((file, Errno::EWOULDBLOCK)) => signature(file),
        _ => None,
    }
}

fn sign(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn signature(mut file: File) -> Option<u32> {
    let mut pid = String::new();
    file.read_to_string(&mut pid).ok()?;
    pid.trim().parse().ok()
}
