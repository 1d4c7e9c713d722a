//! Where a replay runs: in a network namespace without interfaces and sockets and under a BPF filesystem of its own, on one CPU. Both are
//! seen by the calling thread only and go with it, whatever ends it.

use std::io;

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare},
    unistd::Pid,
};

use super::ReplayError;
use crate::bpf::{InstanceName, Pins};

const BPFFS: &str = "/sys/fs/bpf";

/// The pins of a replay, in a filesystem that nobody else sees.
pub(super) struct Sandbox {
    pub(super) pins: Pins,
    pub(super) instance: InstanceName,
}

/// Takes the calling thread away from the machine, for good.
///
/// # Errors
/// Without the rights to do so.
pub(super) fn enter() -> Result<Sandbox, ReplayError> {
    apart().map_err(|errno| ReplayError::Namespace(io::Error::from(errno)))?;
    let instance: InstanceName = "replay"
        .parse()
        .map_err(|error| ReplayError::Broken(format!("{error}")))?;
    Ok(Sandbox {
        pins: Pins::of(&instance),
        instance,
    })
}

fn apart() -> Result<(), Errno> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
    // What is mounted from here on must not be seen elsewhere.
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )?;
    mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), None::<&str>)?;
    // What the datapath keeps for each CPU is then in one place.
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let mut one = CpuSet::new();
    let first = (0..CpuSet::count()).find(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    one.set(first.unwrap_or(0))?;
    sched_setaffinity(Pid::from_raw(0), &one)
}
