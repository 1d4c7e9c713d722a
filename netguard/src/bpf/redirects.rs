//! The map `REDIRECTS`: interfaces whose answers must be redirected, for their driver would not wake who is to take them.

use aya::maps::xdp::{DevMapHash, XdpMapError};

use super::{BpfError, Pins};
use crate::host::Interface;

/// Their driver is the one that does not: `veth_xdp_flush` of drivers/net/veth.c looks for an XDP program at the other end, where aggregation (GRO)
/// suffices to take frames.
const DRIVER: &str = "veth";

/// Has answers to what comes through `interface` leave as they must there. The kernel forgets the entry with the interface.
pub(super) fn redirect_answers(pins: &Pins, interface: &Interface) -> Result<(), BpfError> {
    if interface.driver.as_deref() != Some(DRIVER) {
        return Ok(());
    }
    let failed = BpfError::map("REDIRECTS", 0);
    let mut map: DevMapHash<_> = pins.open("REDIRECTS")?.try_into().map_err(&failed)?;
    let index = interface.index;
    match map.insert(index, index, None, 0) {
        Err(XdpMapError::MapError(error)) => Err(failed(error)),
        // No program is chained.
        Ok(()) | Err(XdpMapError::ChainedProgramNotSupported) => Ok(()),
    }
}
