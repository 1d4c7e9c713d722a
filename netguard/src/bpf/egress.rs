//! Watches what an interface sends, for questions that are remembered and for the floor of TLS: a classifier on its way out (TCX, Linux 6.6), attached
//! before those of others and passing everything on to them.
//!
//! The pin of the link is called by the number of the interface, which no renaming changes. When the interface is gone, its
//! link stays and watches nothing.

use std::{fs, path::PathBuf};

use aya::programs::{
    TcAttachType,
    links::{FdLink, LinkOrder, PinnedLink},
    tc::{SchedClassifierLink, SchedClassifierLinkId, TcAttachOptions},
};

use super::{
    BpfError, Loaded, Pins,
    attach::root_cause,
    links::interface_index,
    load::{EGRESS_PROGRAM, classifier, refused_program},
};
use crate::host::Interface;

/// Why what an interface sends is not watched.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    #[error("what {interface} sends cannot be watched, for which Linux 6.6 is needed: {reason}")]
    Refused { interface: String, reason: String },
    #[error(transparent)]
    Bpf(#[from] BpfError),
}

/// Watches what `interface` sends; false when an earlier daemon did already, whose program is exchanged then.
///
/// # Errors
/// When the kernel refuses.
pub fn watch(loaded: &mut Loaded, pins: &Pins, interface: &Interface) -> Result<bool, EgressError> {
    let refused = |error: &dyn std::error::Error| EgressError::Refused {
        interface: interface.name.clone(),
        reason: root_cause(error),
    };
    let program = classifier(&mut loaded.ebpf)?;
    if program.fd().is_err() {
        program
            .load()
            .map_err(|error| refused_program(EGRESS_PROGRAM, &error))?;
    }
    if let Some(link) = standing(pins, interface).map_err(|error| refused(&*error))? {
        let link = SchedClassifierLink::try_from(link).map_err(|error| refused(&error))?;
        let id = program.attach_to_link(link).map_err(|error| refused(&error))?;
        // It is pinned: dropping it detaches nothing.
        fd_link(loaded, id).map_err(|error| refused(&*error))?;
        return Ok(false);
    }
    forget_pin(pin(pins, interface))?;
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program
        .attach_with_options(&interface.name, TcAttachType::Egress, order)
        .map_err(|error| refused(&error))?;
    fd_link(loaded, id)
        .map_err(|error| refused(&*error))?
        .pin(pin(pins, interface))
        .map_err(|error| refused(&error))?;
    Ok(true)
}

/// Whether what `interface` sends is watched, as far as that can be read: a watch that cannot be is not gone.
pub fn is_watched(pins: &Pins, interface: &Interface) -> bool {
    !matches!(standing(pins, interface), Ok(None))
}

/// Watches nothing any more but what `kept` send.
///
/// # Errors
/// When a pin cannot be removed.
pub fn forget(pins: &Pins, kept: &[Interface]) -> Result<(), BpfError> {
    let kept: Vec<PathBuf> = kept.iter().map(|interface| pin(pins, interface)).collect();
    let standing = fs::read_dir(pins.egress()).into_iter().flatten();
    standing
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| !kept.contains(path))
        .try_for_each(forget_pin)
}

/// The link that watches `interface`; an error when there is a pin that cannot be read.
fn standing(pins: &Pins, interface: &Interface) -> Result<Option<FdLink>, Box<dyn std::error::Error>> {
    let path = pin(pins, interface);
    if !path.exists() {
        return Ok(None);
    }
    let link = FdLink::from(PinnedLink::from_pin(path)?);
    // The pin is called by the number; a link whose interface is gone says 0.
    let gone = interface_index(link.info()?.id()).is_some_and(|index| index != interface.index);
    Ok((!gone).then_some(link))
}

fn pin(pins: &Pins, interface: &Interface) -> PathBuf {
    pins.egress().join(interface.index.to_string())
}

fn forget_pin(path: PathBuf) -> Result<(), BpfError> {
    match fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(BpfError::Pin { path, source }),
        _ => Ok(()),
    }
}

fn fd_link(loaded: &mut Loaded, id: SchedClassifierLinkId) -> Result<FdLink, Box<dyn std::error::Error>> {
    let link = classifier(&mut loaded.ebpf)?.take_link(id)?;
    Ok(FdLink::try_from(link)?)
}
