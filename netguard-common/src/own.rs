//! Own-source stage: a packet in the name of an address of this machine. What it sends to itself goes over the loopback
//! interface, so that on a network such a source is forged, or the echo of an own packet.
//!
//! It stands behind the allowlist, as a way out, and behind the control messages: another host that claims our address tells
//! so by neighbour discovery. Link-local addresses are spared: every link has its own, and a router beyond another interface
//! may well be called fe80::1, too.

use core::ops::ControlFlow;

use crate::{Packet, Verdict, hint, limit, packet::Family, tables::Tables};

/// Breaks when the source of `packet` is this machine. `hints` are those of the source.
#[inline(always)]
pub fn check<T: Tables>(packet: &Packet, hints: u8, tables: &T) -> ControlFlow<Verdict> {
    if hints & hint::OWN == 0 || is_link_local(packet) || !tables.is_own(packet.source) {
        return ControlFlow::Continue(());
    }
    ControlFlow::Break(Verdict::OwnSource)
}

/// fe80::/10, 169.254/16 (RFC 3927).
#[inline(always)]
const fn is_link_local(packet: &Packet) -> bool {
    match packet.family() {
        Family::V4 => matches!(packet.source.octets_v4(), [169, 254, ..]),
        Family::V6 => limit::is_link_local(packet.source),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::{
        layout::{Mode, Settings},
        memory::Memory,
        packet::{Address, Transport, tests::packet},
    };

    fn is_refused(own: &str, source: &str, hints: u8) -> bool {
        let address = |text: &str| Address::of(text.parse::<IpAddr>().unwrap());
        let mut memory = Memory::new(Settings {
            sanity: Mode::Enforce as u32,
            ..Memory::enforcing()
        });
        memory.own.insert(address(own).1.octets());
        let (family, source) = address(source);
        let packet = packet(family, source, 17, Transport::Other);
        check(&packet, hints, &memory) == ControlFlow::Break(Verdict::OwnSource)
    }

    #[test]
    fn own_addresses_are_refused_where_a_hint_says_so() {
        for own in ["192.0.2.1", "2001:db8::1"] {
            assert!(is_refused(own, own, hint::OWN));
            assert!(!is_refused(own, own, !hint::OWN));
        }
        assert!(!is_refused("192.0.2.1", "192.0.2.2", hint::OWN), "a neighbour");
    }

    #[test]
    fn other_links_have_the_same_addresses() {
        for own in ["169.254.3.4", "fe80::1"] {
            assert!(!is_refused(own, own, hint::OWN));
        }
    }
}
