//! Levels above the source: limits of many sources together, by their prefix and by the service that they ask. What they
//! are for is a flood of many sources, each within its own limit.
//!
//! A service (a UDP port, or ICMP as a whole) serves in the order of what is known about its clients, by one bucket with two lines in it. Strangers fill it
//! up to a quarter, who is known ([`crate::known`]) up to three quarters, and who has proven its address
//! ([`Tables::proven`]) to the brim. So strangers get what the others leave, and no number of them takes a packet
//! from a known source while the known ones together stay within the rate of the service.

mod places;
mod service;

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict, heavy, known,
    layout::Settings,
    limit::{Class, is_link_local, source_key},
    packet::{Address, Family, Transport},
    reflection, state,
    tables::Tables,
    view::View,
};

pub use places::Places;
pub(crate) use places::{PREFIX, SOURCE};
pub use service::{Standing, fill};

/// Breaks when the prefix of `packet`, which is asked if it `looks`, or the service that it asks, has too much of `class`. `class`
/// is not control messages.
#[inline(always)]
pub fn check<V: View, T: Tables>(
    view: &V,
    class: Class,
    packet: &mut Packet,
    places: Places,
    looks: bool,
    settings: &Settings,
    tables: &T,
) -> ControlFlow<Verdict> {
    let now_ns = tables.now_ns();
    if looks
        && let Some(rate) = class.rate(view, &settings.levels.prefix)
        && has_prefix(packet.family(), packet.source)
        && !heavy::admit(view, places.prefix, &rate, packet, settings, now_ns, tables)
        && !is_proven(packet, now_ns, tables)
    {
        return ControlFlow::Break(Verdict::LimitPrefix);
    }
    service::check(view, class, packet, places, settings, now_ns, tables)
}

/// Whether the source of `packet` had an established TCP connection lately.
#[inline(always)]
fn is_proven<T: Tables>(packet: &Packet, now_ns: u64, tables: &T) -> bool {
    let key = source_key(packet.family(), packet.source);
    tables.proven(key).is_some_and(|until_ns| now_ns < until_ns)
}

/// Whether the source of `packet` has proven itself, or is known to the UDP service that it asks, or whether the packet belongs to
/// what this machine asked, or answered.
#[inline(always)]
pub(crate) fn is_trusted<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    settings: &Settings,
    tables: &T,
) -> bool {
    let now_ns = tables.now_ns();
    if is_proven(packet, now_ns, tables) {
        return true;
    }
    if packet.has_tcp() {
        // One that opens a connection has none.
        return !packet.tcp_flags().opens() && matches!(tables.standing(packet), state::Standing::Wanted);
    }
    let Transport::Udp { .. } = packet.transport() else {
        return false;
    };
    if reflection::is_asked_for(packet, settings, tables) {
        return true;
    }
    let key = source_key(packet.family(), packet.source);
    let place = known::place(key, packet.destination_port, settings.seed);
    known::look(view, place, now_ns, tables).is_some_and(|seen| seen.is_known())
}

/// Whether `source` has a limit together with others: neighbours on the link, who all have one prefix, have none.
#[inline(always)]
pub const fn has_prefix(family: Family, source: Address) -> bool {
    match family {
        Family::V4 => true,
        Family::V6 => !is_link_local(source),
    }
}

/// What a prefix is accounted by: the first 24 bits of an IPv4 address, the first 48 of an IPv6 one.
#[inline(always)]
pub const fn prefix_key(family: Family, source: Address) -> u64 {
    const V4: u64 = u64::from_ne_bytes([0xff; 8]) ^ u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, 0xff]);
    const V6: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    let key = source_key(family, source);
    match family {
        Family::V4 => key & V4,
        Family::V6 => key & V6,
    }
}

#[cfg(test)]
mod tests {
    use super::{service::tests::datagram, *};
    use crate::{
        layout::Rate,
        memory::Memory,
        packet::{TcpFlags, Transport, protocol, tests::packet},
        view::SliceView,
    };

    fn passes(memory: &Memory, packet: &Packet) -> bool {
        check(
            &SliceView(&[]),
            Class::Udp,
            &mut { *packet },
            Places::of(Class::Udp, packet, &memory.settings),
            true,
            &memory.settings,
            memory,
        )
        .is_continue()
    }

    #[test]
    fn a_prefix_is_limited_with_all_its_sources() {
        let mut memory = Memory::new(Memory::enforcing());
        memory.settings.levels.prefix[Class::Udp as usize] = Rate::new(1, 10);
        let passed = |first: u32| {
            (0..100)
                .filter(|host| passes(&memory, &datagram(first + host)))
                .count()
        };
        assert_eq!(passed(0xc000_0200), 10);
        assert_eq!(passed(0xc000_0280), 0);
        assert_eq!(passed(0xc000_0300), 10);
    }

    #[test]
    fn a_48_is_a_prefix_and_the_link_is_none() {
        let key = |text: &str| {
            let source: std::net::Ipv6Addr = text.parse().expect("an address");
            prefix_key(Family::V6, Address::v6(source.octets()))
        };
        assert_eq!(key("2001:db8:1:2::3"), key("2001:db8:1:ffff::"));
        assert_ne!(key("2001:db8:1::"), key("2001:db8:2::"));
        let mut memory = Memory::new(Memory::enforcing());
        memory.settings.levels.prefix[Class::Udp as usize] = Rate::new(1, 1);
        let neighbour = |host: u16| {
            let mut neighbour = datagram(0);
            let source = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host);
            neighbour.begin(
                &SliceView(&[]),
                Family::V6,
                Address::v6(source.octets()),
                neighbour.destination,
            );
            neighbour
        };
        assert!((0..10).all(|host| passes(&memory, &neighbour(host))));
    }

    /// Found in review: one forged SYN opened the way for any number of segments in the same name.
    #[test]
    fn a_connection_is_trusted_once_its_client_has_proven_itself() {
        let mut memory = Memory::new(Memory::enforcing());
        let transport = Transport::Tcp {
            source_port: 1,
            destination_port: 80,
            flags: TcpFlags(TcpFlags::ACK),
        };
        let segment = packet(Family::V4, Address::v4([192, 0, 2, 1]), protocol::TCP, transport);
        for (standing, expected) in [
            (state::Standing::Wanted, true),
            (state::Standing::HalfOpen, false),
            (state::Standing::Listening, false),
            (state::Standing::Unknown, false),
        ] {
            memory.standing = standing;
            let trusted = is_trusted(&SliceView(&[]), &segment, &memory.settings, &memory);
            assert_eq!(trusted, expected, "{standing:?}");
        }
    }
}
