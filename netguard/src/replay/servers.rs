//! Whose server a capture shows: only what arrives there is judged. Where nobody says, it is the address that most frames go to.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv6Addr},
};

use super::{Options, ReplayError, capture, frame::restore};
use netguard_common::{Packet, packet::Address};

/// Addresses that are counted; what goes to more of them goes to no server.
const COUNTED: usize = 1 << 20;

/// The servers of a replay.
pub(super) struct Directions {
    addresses: HashSet<[u8; 16]>,
    pub(super) guessed: bool,
    pub(super) all: bool,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
    Elsewhere,
}

/// Those that `options` name, or that the capture suggests.
pub(super) fn of(options: &Options) -> Result<Directions, ReplayError> {
    let named = options.servers.iter().map(octets).collect();
    if options.all || !options.servers.is_empty() {
        return Ok(Directions {
            addresses: named,
            guessed: false,
            all: options.all,
        });
    }
    let mut counts: HashMap<[u8; 16], u64> = HashMap::new();
    let mut buffer = Vec::new();
    capture::each_of(&options.file, |record| {
        if let Ok(frame) = restore(&record, &mut buffer)
            && let Some(packet) = frame.packet
        {
            let to = packet.destination.octets();
            if counts.len() < COUNTED || counts.contains_key(&to) {
                *counts.entry(to).or_default() += 1;
            }
        }
        Ok(())
    })?;
    let hosts = counts.into_iter().filter(|(to, _)| !is_group(address(*to)));
    let most = hosts.max_by_key(|(to, count)| (*count, std::cmp::Reverse(*to)));
    Ok(Directions {
        addresses: most.into_iter().map(|(to, _)| to).collect(),
        guessed: true,
        all: false,
    })
}

impl Directions {
    pub(super) fn way(&self, packet: &Packet) -> Way {
        if self.all || self.addresses.contains(&packet.destination.octets()) {
            Way::In
        } else if self.addresses.contains(&packet.source.octets()) {
            Way::Out
        } else {
            Way::Elsewhere
        }
    }

    /// The addresses of the server, sorted. With everything judged nobody knows which are its own.
    pub(super) fn own(&self) -> Vec<IpAddr> {
        if self.all {
            return Vec::new();
        }
        let mut own: Vec<IpAddr> = self.addresses.iter().map(|to| address(*to)).collect();
        own.sort();
        own
    }
}

fn octets(address: &IpAddr) -> [u8; 16] {
    Address::of(address.to_canonical()).1.octets()
}

/// An address of a packet, as people write it.
pub(super) fn address(octets: [u8; 16]) -> IpAddr {
    IpAddr::from(Ipv6Addr::from(octets)).to_canonical()
}

fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}
