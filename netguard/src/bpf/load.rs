//! Loads the kernel object: maps are taken from the instance's pins where they exist, programs are new.

use std::{fs, io, path::Path};

use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{Array, Map},
    programs::{ProgramError, SchedClassifier, SockOps, SocketFilter, Xdp},
};
use netguard_common::{
    layout::FINGERPRINT,
    maps::{MAPS, Table},
};

use super::{BpfError, Pins, embedded_object, verify_object};

/// Name of the program that is attached.
pub(super) const XDP_PROGRAM: &str = "netguard_xdp";
/// Name of the program that looks at what leaves.
pub(super) const EGRESS_PROGRAM: &str = "netguard_egress";
/// Name of the program that counts connections.
pub(super) const SOCK_PROGRAM: &str = "netguard_sock";
/// Name of the program that listens to conversations.
pub(super) const L7_PROGRAM: &str = "netguard_l7";

/// Capacities of the tables that can be resized, in entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSizes {
    pub block_addresses: u32,
    pub block_prefixes: u32,
    pub allow_prefixes: u32,
    pub own_addresses: u32,
    pub connection_holders: u32,
}

impl TableSizes {
    /// The capacity of each table, by the name of its map.
    pub fn by_map(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let rules = Table::ALL.map(|table| {
            let entries = match table {
                Table::AllowV4 | Table::AllowV6 => self.allow_prefixes,
                Table::BlockV4 | Table::BlockV6 | Table::BlockV6Net64 => self.block_addresses,
                Table::BlockNetV4 | Table::BlockWideV4 | Table::BlockNetV6 => self.block_prefixes,
            };
            (table.map(), entries)
        });
        rules.into_iter().chain([
            ("OWN", self.own_addresses),
            ("CONNECTIONS", self.connection_holders),
        ])
    }
}

/// A loaded object. Dropping it does not detach what was attached and pinned.
pub struct Loaded {
    pub(super) ebpf: Ebpf,
    /// Whether the maps of an earlier daemon were taken over.
    pub adopted: bool,
}

/// Loads the embedded object for the instance of `pins`, adopting its pinned maps. Sizes hold for maps made now.
///
/// # Errors
/// When rights or bpffs are missing, pins have another layout, or the kernel refuses.
pub fn load(pins: &Pins, sizes: TableSizes) -> Result<Loaded, BpfError> {
    verify_object(embedded_object())?;
    if pins.exist() {
        discard_unfinished(pins)?;
    }
    let adopted = pins.exist();
    match load_pinned(pins, sizes, adopted) {
        // The maps of an earlier daemon stay, others would be taken for some.
        Err(error) if !adopted => Err(match pins.remove() {
            Ok(_) => error,
            Err(left) => BpfError::Left {
                cause: Box::new(error),
                left: Box::new(left),
            },
        }),
        loaded => loaded,
    }
}

fn load_pinned(pins: &Pins, sizes: TableSizes, adopted: bool) -> Result<Loaded, BpfError> {
    pins.create()?;
    if adopted {
        require_layout(pins)?;
    }
    let mut ebpf = loader(sizes, Some(pins))
        .load(embedded_object())
        .map_err(refused_load)?;
    if !adopted {
        write_layout(&mut ebpf)?;
    }
    xdp(&mut ebpf, XDP_PROGRAM)?
        .load()
        .map_err(|error| refused_program(XDP_PROGRAM, &error))?;
    pin_program(&mut ebpf, pins)?;
    Ok(Loaded { ebpf, adopted })
}

/// A loader with the configured sizes; with `pins`, its maps are opened from there or pinned there.
pub(super) fn loader(sizes: TableSizes, pins: Option<&Pins>) -> EbpfLoader<'static> {
    let mut loader = EbpfLoader::new();
    for (map, entries) in sizes.by_map() {
        loader.map_max_entries(map, entries);
    }
    if let Some(pins) = pins {
        for spec in MAPS {
            loader.map_pin_path(spec.name, pins.map(spec.name));
        }
    }
    loader
}

pub(super) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, BpfError> {
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| BpfError::Load(format!("it has no XDP program {name}")))
}

pub(super) fn classifier(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier, BpfError> {
    ebpf.program_mut(EGRESS_PROGRAM)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| BpfError::Load(format!("it has no classifier {EGRESS_PROGRAM}")))
}

pub(super) fn sock_ops(ebpf: &mut Ebpf) -> Result<&mut SockOps, BpfError> {
    ebpf.program_mut(SOCK_PROGRAM)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| BpfError::Load(format!("it has no program {SOCK_PROGRAM} for sockets")))
}

pub(super) fn socket_filter(ebpf: &mut Ebpf) -> Result<&mut SocketFilter, BpfError> {
    ebpf.program_mut(L7_PROGRAM)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| BpfError::Load(format!("it has no socket filter {L7_PROGRAM}")))
}

pub(super) fn refused_program(name: &'static str, error: &ProgramError) -> BpfError {
    let reason = match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let log = verifier_log.to_string();
            let tail: Vec<&str> = log
                .lines()
                .rev()
                .filter(|line| !line.is_empty())
                .take(3)
                .collect();
            format!(
                "{io_error}; the verifier says: {}",
                tail.into_iter().rev().collect::<Vec<_>>().join(" / ")
            )
        }
        other => other.to_string(),
    };
    BpfError::Refused { name, reason }
}

pub(super) fn refused_load(error: EbpfError) -> BpfError {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(&error);
    let mut denied = false;
    while let Some(error) = source {
        denied |= error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        reason = format!("{reason}: {error}");
        source = error.source();
    }
    if denied {
        BpfError::NotRoot
    } else {
        BpfError::Load(reason)
    }
}

/// A daemon that died before it finished loading left maps without a layout and nothing attached: no state is
/// lost with them.
fn discard_unfinished(pins: &Pins) -> Result<(), BpfError> {
    let unfinished = !pins.map("LAYOUT").exists() || read_layout(pins)? == 0;
    if unfinished && pins.interfaces().is_empty() {
        pins.remove()?;
    }
    Ok(())
}

fn require_layout(pins: &Pins) -> Result<(), BpfError> {
    match read_layout(pins)? {
        FINGERPRINT => Ok(()),
        found => Err(BpfError::ForeignPins {
            path: pins.root().to_owned(),
            found,
            expected: FINGERPRINT,
        }),
    }
}

/// The layout fingerprint of the pinned maps.
pub(super) fn read_layout(pins: &Pins) -> Result<u64, BpfError> {
    let map = pins.open("LAYOUT")?;
    let layout: Array<_, u64> = Array::try_from(map).map_err(BpfError::map("LAYOUT", 1))?;
    layout.get(&0, 0).map_err(BpfError::map("LAYOUT", 1))
}

pub(super) fn write_layout(ebpf: &mut Ebpf) -> Result<(), BpfError> {
    let Some(map) = ebpf.map_mut("LAYOUT") else {
        return Err(BpfError::Load("it has no map LAYOUT".to_owned()));
    };
    let mut layout: Array<&mut _, u64> = <&mut Map>::try_into(map).map_err(BpfError::map("LAYOUT", 1))?;
    layout.set(0, FINGERPRINT, 0).map_err(BpfError::map("LAYOUT", 1))
}

fn pin_program(ebpf: &mut Ebpf, pins: &Pins) -> Result<(), BpfError> {
    let path = pins.program(XDP_PROGRAM);
    // The old one, which is only a name of the running filter, stays until there is another.
    let aside = pins.program("unfinished");
    remove_file(&aside)?;
    xdp(ebpf, XDP_PROGRAM)?
        .pin(&aside)
        .map_err(|error| BpfError::Load(format!("it cannot be pinned at {}: {error}", aside.display())))?;
    fs::rename(&aside, &path).map_err(|source| BpfError::Pin { path, source })
}

fn remove_file(path: &Path) -> Result<(), BpfError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(BpfError::Pin {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}
