//! Own-source stage: a packet in the name of an address of this machine. What it sends to itself goes over the loopback
//! interface, so that on a network such a source is forged, or the echo of an own packet.
//!
//! It stands behind the allowlist, as a way out, and behind the control messages: another host that claims our address tells
//! so by neighbour discovery. Link-local addresses are spared: every link has its own, and a router beyond another interface
//! may well be called fe80::1, too.

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict, hint, limit,
    packet::{Address, Family},
    tables::Tables,
};

/// Entries of the map `OWN_SEEN`; a power of two.
pub const SEEN: u32 = 4;
/// How long an address that goes may still count as own: for a moment packets for it come to this machine anyway.
const SEEN_NS: u64 = 1_000_000_000;

crate::shared! {
    /// An address that was found among the own ones. The few addresses that packets are for are found again without a look
    /// into a large table.
    pub struct OwnSeen {
        pub address: Address,
        /// Until when this counts.
        pub until_ns: u64,
    }
}

impl OwnSeen {
    /// Where `address` is remembered.
    #[inline(always)]
    pub const fn slot(address: Address) -> u32 {
        u64::from_be(address.low) as u32 % SEEN
    }

    /// Whether `address` is an own one; what is remembered of another one gives way to it. `look` looks into the table.
    #[inline(always)]
    pub fn is_own(&mut self, address: Address, now_ns: u64, look: impl FnOnce() -> bool) -> bool {
        if self.address == address && now_ns < self.until_ns {
            return true;
        }
        let is_own = look();
        if is_own {
            self.address = address;
            self.until_ns = now_ns.wrapping_add(SEEN_NS);
        }
        is_own
    }
}

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
        packet::{Transport, tests::packet},
        shared::Field as _,
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

    #[test]
    fn an_address_that_was_own_is_own_for_a_second_at_most() {
        let address = |last| Address::v4([192, 0, 2, last]);
        let mut seen = OwnSeen::ZERO;
        assert!(!seen.is_own(address(1), 5, || false), "nothing is remembered");
        assert!(seen.is_own(address(1), 5, || true));
        assert!(seen.is_own(address(1), 4 + SEEN_NS, || false));
        assert!(!seen.is_own(address(1), 5 + SEEN_NS, || false));
        assert!(seen.is_own(address(1), 10, || true));
        assert!(!seen.is_own(address(5), 10, || false), "another in its slot");
        assert!(seen.is_own(address(5), 10, || true));
        assert!(!seen.is_own(address(1), 10, || false));
    }
}
