//! One daemon per instance: a record lock, which the kernel releases when the daemon dies, and whose holder it names.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};

use super::{DaemonError, RUNTIME_DIRECTORY};
use crate::bpf::InstanceName;

const PRIVATE: u32 = 0o600;
/// How often it is looked whether the lock is free, and how long after each other.
const TURNS: u32 = 40;
const TURN: Duration = Duration::from_millis(50);

/// The lock of an instance; held until it is dropped. A process must not open the file a second time: closing that would
/// release it.
#[must_use]
pub struct Lock(#[expect(dead_code, reason = "held, not read")] File);

/// Takes the lock of `instance`; waits two seconds for whoever holds it: a command that writes while no daemon runs is soon done.
///
/// # Errors
/// [`DaemonError::AlreadyRunning`] when another process still holds it, or the runtime directory cannot be written.
pub async fn acquire(instance: &InstanceName) -> Result<Lock, DaemonError> {
    let mut turns = 1..TURNS;
    loop {
        match take(instance) {
            Err(DaemonError::AlreadyRunning { .. }) if turns.next().is_some() => {
                tokio::time::sleep(TURN).await;
            }
            taken => return taken,
        }
    }
}

fn take(instance: &InstanceName) -> Result<Lock, DaemonError> {
    let directory = Path::new(RUNTIME_DIRECTORY);
    let path = directory.join(format!("{instance}.lock"));
    let failed = |source| DaemonError::Runtime {
        path: path.clone(),
        source,
    };
    fs::create_dir_all(directory).map_err(failed)?;
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(PRIVATE)
        .open(&path)
        .map_err(failed)?;
    // Whoever may open it may lock it: also one that an older version made.
    file.set_permissions(Permissions::from_mode(PRIVATE))
        .map_err(failed)?;
    match fcntl(&file, FcntlArg::F_SETLK(&whole_file())) {
        Ok(_) => Ok(Lock(file)),
        Err(Errno::EACCES | Errno::EAGAIN) => Err(DaemonError::AlreadyRunning {
            instance: instance.clone(),
            pid: holder_of(&file).ok().flatten(),
        }),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Whether another process holds the lock of `instance`, also one that has no number here.
pub(super) fn is_held(instance: &InstanceName) -> bool {
    let path = Path::new(RUNTIME_DIRECTORY).join(format!("{instance}.lock"));
    let mut lock = whole_file();
    File::open(path).is_ok_and(|file| {
        fcntl(&file, FcntlArg::F_GETLK(&mut lock)).is_ok() && i32::from(lock.l_type) != libc::F_UNLCK
    })
}

/// The process that holds the lock of `instance`, if another one does; nothing is made or changed.
pub fn holder(instance: &InstanceName) -> Option<u32> {
    let path = Path::new(RUNTIME_DIRECTORY).join(format!("{instance}.lock"));
    holder_of(&File::open(path).ok()?).ok().flatten()
}

fn holder_of(file: &File) -> io::Result<Option<u32>> {
    let mut lock = whole_file();
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    // Released meanwhile, or held in a process namespace that is not ours.
    Ok(u32::try_from(lock.l_pid)
        .ok()
        .filter(|_| i32::from(lock.l_type) != libc::F_UNLCK)
        .filter(|pid| *pid != 0))
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
