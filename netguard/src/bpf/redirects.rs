//! The map `REDIRECTS`: interfaces whose answers must be redirected, for their driver would not wake who is to take them.

use aya::maps::xdp::{DevMapHash, XdpMapError};
use netguard_common::maps::REDIRECTS;

use super::{BpfError, Pins};
use crate::host::Interface;

/// Their driver is the one that does not: `veth_xdp_flush` of drivers/net/veth.c looks for an XDP program at the other end, where aggregation (GRO)
/// suffices to take frames.
const DRIVER: &str = "veth";

/// Has answers to what comes through `interface` leave as they must there. The kernel forgets the entry with the interface, and when it moves to
/// another network namespace.
///
/// # Errors
/// When nothing is pinned, or there is no room: answers leave by `XDP_TX` then.
pub fn redirect_answers(pins: &Pins, interface: &Interface) -> Result<(), BpfError> {
    if interface.driver.as_deref() != Some(DRIVER) {
        return Ok(());
    }
    let failed = BpfError::map("REDIRECTS", REDIRECTS as u32);
    let mut map: DevMapHash<_> = pins.open("REDIRECTS")?.try_into().map_err(&failed)?;
    let index = interface.index;
    if map.get(index, 0).is_ok() {
        return Ok(());
    }
    match map.insert(index, index, None, 0) {
        Err(XdpMapError::MapError(error)) => Err(failed(error)),
        // No program is chained.
        Ok(()) | Err(XdpMapError::ChainedProgramNotSupported) => Ok(()),
    }
}
