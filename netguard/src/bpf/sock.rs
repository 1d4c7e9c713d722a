//! Counts connections where the kernel opens and closes them: a program for the sockets of all processes, at the root of the cgroups.
//!
//! Only the second hierarchy has such programs; it may be mounted anywhere. In a container it is what the container may see of it.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use aya::programs::{
    CgroupAttachMode,
    links::{FdLink, PinnedLink},
};
use procfs::process::Process;

use super::{
    BpfError, Loaded, Pins,
    attach::root_cause,
    load::{SOCK_PROGRAM, refused_program, sock_ops},
};

/// Why connections are not counted.
#[derive(Debug, thiserror::Error)]
pub enum NotCounted {
    #[error(
        "no cgroup2 filesystem is mounted, by which sockets are found: `mount -t cgroup2 none /sys/fs/cgroup/unified`"
    )]
    NoCgroups,
    #[error("{}: {reason}", path.display())]
    Refused { path: PathBuf, reason: String },
    #[error(transparent)]
    Bpf(#[from] BpfError),
}

/// Counts connections from now on; false when an earlier daemon did already, whose program is replaced: both are attached for a moment, and the
/// marks at sockets keep them from counting anything twice.
///
/// # Errors
/// When the kernel refuses, or there are no cgroups.
pub fn count_connections(loaded: &mut Loaded, pins: &Pins) -> Result<bool, NotCounted> {
    let path = root_of_cgroups().ok_or(NotCounted::NoCgroups)?;
    let refused = |error: &dyn std::error::Error| NotCounted::Refused {
        path: path.clone(),
        reason: root_cause(error),
    };
    let cgroup = File::open(&path).map_err(|error| refused(&error))?;
    let program = sock_ops(&mut loaded.ebpf)?;
    if program.fd().is_err() {
        program
            .load()
            .map_err(|error| refused_program(SOCK_PROGRAM, &error))?;
    }
    // The programs of others stay: a link is one of many in any mode, and the kernel refuses links that ask for it.
    let id = program
        .attach(cgroup, CgroupAttachMode::Single)
        .map_err(|error| refused(&error))?;
    let link = program.take_link(id).map_err(|error| refused(&error))?;
    let link = FdLink::try_from(link).map_err(|error| refused(&error))?;
    let pin = pins.sock();
    let fresh = !pin.exists();
    let aside = pin.with_file_name("unfinished");
    let failed = |source| BpfError::Pin {
        path: pin.clone(),
        source,
    };
    if aside.exists() {
        fs::remove_file(&aside).map_err(failed)?;
    }
    link.pin(&aside).map_err(|error| refused(&error))?;
    fs::rename(&aside, &pin).map_err(failed)?;
    Ok(fresh)
}

/// Whether connections are counted: the link stands. What cannot be read is not gone.
pub fn counts_connections(pins: &Pins) -> bool {
    let pin = pins.sock();
    pin.exists()
        && PinnedLink::from_pin(&pin)
            .map(FdLink::from)
            .is_ok_and(|link| link.info().is_ok())
}

/// Where the second hierarchy of cgroups is mounted.
fn root_of_cgroups() -> Option<PathBuf> {
    let mounts = Process::myself().ok()?.mountinfo().ok()?;
    let mount = mounts.into_iter().find(|mount| mount.fs_type == "cgroup2")?;
    Some(mount.mount_point)
}
