//! Whose server a capture shows: only what arrives there is judged. Where nobody says, it is the address that most frames go to, with the
//! one of the other family if hardly fewer go there; where none goes to a host, all that goes to groups arrives.

use std::{
    cmp::Reverse,
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
    let addresses = most(counts);
    Ok(Directions {
        // What goes to everybody on a link arrives at every server there.
        all: addresses.is_empty(),
        addresses,
        guessed: true,
    })
}

/// The host that most frames go to, and that of the other family if at least half as many go there.
fn most(counts: HashMap<[u8; 16], u64>) -> HashSet<[u8; 16]> {
    let mut of_families: [Option<(u64, [u8; 16])>; 2] = [None; 2];
    for (to, count) in counts.into_iter().filter(|(to, _)| !is_group(address(*to))) {
        let of_family = &mut of_families[usize::from(address(to).is_ipv6())];
        if of_family.is_none_or(|(most, host)| (count, Reverse(to)) > (most, Reverse(host))) {
            *of_family = Some((count, to));
        }
    }
    let highest = of_families.iter().flatten().map(|(count, _)| *count).max();
    let found = of_families.into_iter().flatten();
    found
        .filter(|(count, _)| 2 * count >= highest.unwrap_or(0))
        .map(|(_, to)| to)
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(counts: &[(&str, u64)]) -> Vec<String> {
        let counts = counts
            .iter()
            .map(|(to, count)| (octets(&to.parse().unwrap()), *count))
            .collect();
        let mut told: Vec<String> = most(counts)
            .into_iter()
            .map(|to| address(to).to_string())
            .collect();
        told.sort();
        told
    }

    #[test]
    fn a_server_has_an_address_of_each_family_if_both_are_asked() {
        assert_eq!(
            guessed(&[("192.0.2.1", 100), ("192.0.2.2", 90), ("2001:db8::1", 50)]),
            ["192.0.2.1", "2001:db8::1"]
        );
        assert_eq!(guessed(&[("192.0.2.1", 100), ("2001:db8::1", 49)]), ["192.0.2.1"]);
        assert_eq!(guessed(&[("192.0.2.1", 7), ("192.0.2.2", 7)]), ["192.0.2.1"]);
        assert!(guessed(&[("255.255.255.255", 9), ("ff02::1", 9)]).is_empty());
    }
}
