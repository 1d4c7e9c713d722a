//! What can go wrong between the daemon and the kernel's BPF subsystem, in words that name the next step.

use std::{io, path::PathBuf};

use aya::maps::MapError;

use super::object::ObjectError;

/// A failed BPF operation.
#[derive(Debug, thiserror::Error)]
pub enum BpfError {
    #[error(
        "no BPF filesystem at /sys/fs/bpf: mount it with `mount -t bpf bpffs /sys/fs/bpf`; where `ip netns exec` hides it, \
         use `nsenter --net=/run/netns/NAME` instead"
    )]
    NoBpffs,
    #[error(
        "loading BPF programs needs root (CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON): run the command with sudo"
    )]
    NotRoot,
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(
        "the maps pinned under {path} were made by another version of netguard (layout {found:#018x}, this is \
         {expected:#018x}): run `netguard detach` of that version, or remove the directory, and start again"
    )]
    ForeignPins {
        path: PathBuf,
        found: u64,
        expected: u64,
    },
    #[error("nothing is pinned under {0}: start `netguard run` first, or name the instance with --instance")]
    NothingPinned(PathBuf),
    #[error("the kernel refused the program {name}: {reason}")]
    Refused { name: &'static str, reason: String },
    #[error("the kernel object could not be loaded: {0}")]
    Load(String),
    #[error(
        "map {map} is full: it holds {capacity} entries; remove some, or raise its size under [tables] in the configuration, which \
         holds for maps made after `netguard detach`"
    )]
    Full { map: &'static str, capacity: u32 },
    #[error(
        "{capacity} services have limits of their own, and no more can: `netguard service reset` frees one"
    )]
    ServicesFull { capacity: u32 },
    #[error("the words about {capacity} rules are kept, and no more: add the rule without --reason")]
    NotesFull { capacity: u32 },
    #[error("there are {0} signatures, and there can be no more: `netguard signature del` one")]
    SignaturesFull(u32),
    #[error("map {map}: {source}")]
    Map { map: &'static str, source: MapError },
    #[error("map {map} cannot be mapped into memory: {source}")]
    Memory { map: &'static str, source: io::Error },
    #[error("map {map} cannot be read: {source}")]
    Read { map: &'static str, source: io::Error },
    #[error("map {map} cannot be written: {source}")]
    Write { map: &'static str, source: io::Error },
    #[error("no map is called {0}: `netguard map list` shows them all")]
    NoSuchMap(String),
    #[error("{key:?} is no key of map {map}: {expected}")]
    BadKey {
        map: &'static str,
        key: String,
        expected: &'static str,
    },
    #[error(
        "map {map} has no entry {key:?}: `netguard map dump {map}` shows those that it has, as they are written"
    )]
    NoEntry { map: &'static str, key: String },
    #[error(
        "map {map} is not pinned under {path} although others are: `netguard detach` and `netguard run` set all up anew"
    )]
    MapGone { map: &'static str, path: PathBuf },
    #[error("the kernel does not run or attach a program: {0}")]
    Run(String),
    #[error("{path}: {source}")]
    Pin { path: PathBuf, source: io::Error },
    #[error("{cause}; and what was made until then is left: {left}")]
    Left { cause: Box<Self>, left: Box<Self> },
}

impl BpfError {
    /// Turns aya's error on `map` into ours, telling "full" apart where the `capacity` is known (not 0).
    pub(super) fn map(map: &'static str, capacity: u32) -> impl Fn(MapError) -> Self {
        move |source| match full(&source) && capacity != 0 {
            true => Self::Full { map, capacity },
            false => Self::Map { map, source },
        }
    }
}

/// A hash answers E2BIG, a trie ENOSPC.
fn full(error: &MapError) -> bool {
    let MapError::SyscallError(error) = error else {
        return false;
    };
    matches!(error.io_error.raw_os_error(), Some(libc::E2BIG | libc::ENOSPC))
}
