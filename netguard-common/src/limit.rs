//! Limit stage: a token bucket per source and class, see [`crate::bucket`].

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict, bucket, heavy,
    hint::mix,
    layout::{CLASSES, Rate, Settings},
    pace,
    packet::{Address, Family, Transport, protocol},
    tables::{LimitCell, Tables},
    view::View,
};

/// What is limited. TCP segments that open nothing are not limited here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Class {
    /// TCP segments that open a connection.
    Syn = 0,
    /// UDP datagrams and their fragments.
    Udp = 1,
    /// ICMP and ICMPv6 other than control messages.
    Icmp = 2,
    /// Neighbour discovery and path-MTU messages: needed for the network to work, so capped far higher.
    Control = 3,
    /// Every other protocol (GRE, ESP, SCTP), and fragments of TCP segments, whose ports and flags nobody knows.
    Other = 4,
}

impl Class {
    pub const ALL: [Self; 5] = [Self::Syn, Self::Udp, Self::Icmp, Self::Control, Self::Other];

    /// No class has this number.
    pub const NONE: u32 = Self::ALL.len() as u32;

    /// The class with `number`; `None` when there is none.
    #[inline(always)]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Syn),
            1 => Some(Self::Udp),
            2 => Some(Self::Icmp),
            3 => Some(Self::Control),
            4 => Some(Self::Other),
            _ => None,
        }
    }

    /// The limit of this class; `None` for no limit.
    #[inline(always)]
    pub(crate) fn rate<V: View>(self, view: &V, rates: &[Rate; CLASSES]) -> Option<Rate> {
        let rate = rates[view.opaque(self as u32) as usize % CLASSES];
        (rate.interval_ns != 0).then_some(rate)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Control => "control",
            Self::Other => "other",
        }
    }

    /// The verdict on a packet over the limit.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Syn => Verdict::LimitSyn,
            Self::Udp => Verdict::LimitUdp,
            Self::Icmp => Verdict::LimitIcmp,
            Self::Control => Verdict::LimitControl,
            Self::Other => Verdict::LimitOther,
        }
    }

    /// The class of `packet`; `None` when it is not limited.
    #[inline(always)]
    pub fn of(packet: &Packet) -> Option<Self> {
        match packet.transport() {
            Transport::Tcp { flags, .. } => flags.opens().then_some(Self::Syn),
            Transport::Udp { .. } => Some(Self::Udp),
            Transport::Icmp { .. } | Transport::Icmp6 { .. }
                if is_path_mtu(packet) || is_neighbour_discovery(packet) =>
            {
                Some(Self::Control)
            }
            Transport::Icmp { .. } | Transport::Icmp6 { .. } => Some(Self::Icmp),
            Transport::Other => match packet.protocol {
                protocol::UDP => Some(Self::Udp),
                protocol::ICMP | protocol::ICMPV6 => Some(Self::Icmp),
                _ => Some(Self::Other),
            },
        }
    }
}

/// Breaks with the limit verdict of `class` when the source sends faster than its limit, which is divided by `divisor`.
#[inline(always)]
pub fn check<V: View, T: Tables>(
    view: &V,
    class: Class,
    divisor: u32,
    packet: &mut Packet,
    settings: &Settings,
    now_ns: u64,
    tables: &T,
) -> ControlFlow<Verdict> {
    let Some(rate) = class.rate(view, &settings.limits) else {
        return ControlFlow::Continue(());
    };
    let rate = rate.divided(divisor);
    let place = bucket::of_hash(class, packet.source_hash(settings.seed), is_path_mtu(packet));
    if heavy::admit(view, place, &rate, packet, settings, now_ns, tables) {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(class.verdict())
    }
}

/// GCRA over a cell that all CPUs share: whether `rate` admits one packet more, which then counts as so many `packets`, see
/// [`pace::packets`]. The cell holds the theoretical arrival time of the next, in ns.
#[inline(always)]
pub fn admit<C: LimitCell>(rate: &Rate, cell: &C, packets: u64, now_ns: u64) -> bool {
    admit_below(rate, cell, rate.tolerance_ns, packets, now_ns)
}

/// [`admit`] for whom a cell is full when it is `line_ns` ahead.
#[inline(always)]
pub(crate) fn admit_below<C: LimitCell>(
    rate: &Rate,
    cell: &C,
    line_ns: u64,
    packets: u64,
    now_ns: u64,
) -> bool {
    let found = cell.load();
    let most = now_ns.wrapping_add(pace::most_ahead_ns(rate));
    let start = found.max(now_ns).min(most);
    if start.wrapping_add(rate.interval_ns) > now_ns.wrapping_add(line_ns) {
        if found > most {
            cell.store(most);
        }
        return false;
    }
    if packets != 0 {
        cell.store(start.wrapping_add(packets * rate.interval_ns));
    }
    true
}

/// GCRA over the state of one CPU: whether `rate` grants one more at `now_ns`. `due_ns` is the theoretical arrival time of the
/// next.
#[inline(always)]
pub(crate) fn grant(rate: &Rate, due_ns: &mut u64, now_ns: u64) -> bool {
    let next = (*due_ns).max(now_ns).saturating_add(rate.interval_ns);
    let granted = next <= now_ns.saturating_add(rate.tolerance_ns);
    if granted {
        *due_ns = next;
    }
    granted
}

/// What a source is accounted by: its IPv4 address, or its IPv6 /64 (a host owns all of it). On the link itself
/// all neighbours share fe80::/64, so there a source is its interface identifier, but for 16 bits.
#[inline(always)]
pub const fn source_key(family: Family, source: Address) -> u64 {
    // Keys that begin with 0xff stand apart: as a /64 they would be multicast, which is nobody's source.
    const IPV4: u64 = u64::from_ne_bytes([0xff, 0xff, 0, 0, 0, 0, 0, 0]);
    const LINK_LOCAL: u64 = u64::from_ne_bytes([0xff, 0xfe, 0, 0, 0, 0, 0, 0]);
    const INTERFACE: u64 = u64::from_ne_bytes([0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    const ADDRESS: u64 = u64::from_ne_bytes([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    match family {
        Family::V4 => IPV4 | (source.low & ADDRESS),
        Family::V6 if is_link_local(source) => LINK_LOCAL | (source.low & INTERFACE),
        Family::V6 => source.high,
    }
}

/// By what tables are spread for the source with `key`; `seed` is the secret of the instance.
#[inline(always)]
pub const fn source_hash(key: u64, seed: u64) -> u64 {
    mix(key, seed)
}

/// fe80::/10 (RFC 4291 section 2.5.6).
#[inline(always)]
pub(crate) const fn is_link_local(source: Address) -> bool {
    const MASK: u64 = u64::from_ne_bytes([0xff, 0xc0, 0, 0, 0, 0, 0, 0]);
    const PREFIX: u64 = u64::from_ne_bytes([0xfe, 0x80, 0, 0, 0, 0, 0, 0]);
    source.high & MASK == PREFIX
}

/// "Fragmentation needed" (RFC 1191 section 4) and "packet too big" (RFC 8201), each in its own family: the other's
/// messages mean nothing to a host.
#[inline(always)]
const fn is_path_mtu(packet: &Packet) -> bool {
    match (packet.family(), packet.transport()) {
        (Family::V4, Transport::Icmp { kind, code }) => kind == 3 && code == 4,
        (Family::V6, Transport::Icmp6 { kind, .. }) => kind == 2,
        _ => false,
    }
}

/// Neighbour discovery from the link itself: a router would have lowered the hop limit (RFC 4861 section 6.1).
#[inline(always)]
const fn is_neighbour_discovery(packet: &Packet) -> bool {
    matches!(
        (packet.family(), packet.transport()),
        (Family::V6, Transport::Icmp6 { kind: 133..=137, .. })
    ) && packet.hop_limit == 255
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;
    use crate::{memory::Memory, packet::tests::packet, view::SliceView};

    const MS: u64 = 1_000_000;

    #[test]
    fn grants_the_burst_then_the_rate() {
        let (rate, cell) = (Rate::new(10, 5), AtomicU64::new(0));
        let now = 1_000 * MS;
        let granted = (0..100).filter(|_| admit(&rate, &&cell, 1, now)).count();
        assert_eq!(granted, 5);
        assert!(!admit(&rate, &&cell, 1, now + 99 * MS));
        assert!(admit(&rate, &&cell, 1, now + 100 * MS));
        assert!(!admit(&rate, &&cell, 1, now + 100 * MS));
    }

    #[test]
    fn a_cell_filled_under_a_larger_limit_comes_back() {
        let (rate, cell) = (Rate::new(10, 5), AtomicU64::new(u64::MAX));
        assert!(!admit(&rate, &&cell, 1, 0));
        assert!(admit(&rate, &&cell, 1, 520 * MS));
    }

    fn key_v6(source: &str) -> u64 {
        let source: std::net::Ipv6Addr = source.parse().unwrap();
        source_key(Family::V6, Address::v6(source.octets()))
    }

    /// Found by the kernel rung: on little-endian machines 2001:db8:0:ffff::/64 had the cells of 32.1.13.184.
    #[test]
    fn no_network_has_the_cells_of_an_ipv4_address() {
        let v4 = source_key(Family::V4, Address::v4([32, 1, 13, 184]));
        assert_ne!(v4, key_v6("2001:db8:0:ffff::1"));
        assert_eq!(
            v4,
            key_v6("ffff:0:2001:db8::1"),
            "a multicast source, which the sanity stage drops"
        );
    }

    /// Found by the kernel rung: a noisy neighbour used up the limit of the router beside it.
    #[test]
    fn neighbours_on_the_link_are_sources_of_their_own() {
        assert_ne!(key_v6("fe80::1"), key_v6("fe80::bad"));
        assert_eq!(key_v6("2001:db8::1"), key_v6("2001:db8::bad"));
    }

    /// Found by the kernel rung: a blocked source got through with the other family's control messages.
    #[test]
    fn control_messages_are_of_the_packets_own_family() {
        let class = |family, transport| {
            let mut packet = packet(family, Address::v6([0x20; 16]), 0, transport);
            packet.hop_limit = 255;
            Class::of(&packet)
        };
        let too_big = Transport::Icmp { kind: 3, code: 4 };
        let solicitation = Transport::Icmp6 { kind: 135, code: 0 };
        assert_eq!(class(Family::V4, too_big), Some(Class::Control));
        assert_eq!(class(Family::V6, solicitation), Some(Class::Control));
        assert_eq!(class(Family::V6, too_big), Some(Class::Icmp));
        assert_eq!(class(Family::V4, solicitation), Some(Class::Icmp));
    }

    /// Found in review: "packet too big" messages in the name of a router starved its neighbour discovery.
    #[test]
    fn path_mtu_messages_do_not_starve_neighbour_discovery() {
        let memory = Memory::new(Settings {
            limits: [Rate::new(1, 1); CLASSES],
            ..Memory::enforcing()
        });
        let message = |kind, first| {
            let mut source = [0x20; 16];
            source[0] = first;
            let mut packet = packet(
                Family::V6,
                Address::v6(source),
                protocol::ICMPV6,
                Transport::Icmp6 { kind, code: 0 },
            );
            packet.hop_limit = 255;
            check(
                &SliceView(&[]),
                Class::Control,
                1,
                &mut packet,
                &memory.settings,
                0,
                &memory,
            )
            .is_continue()
        };
        // Whichever source they are sent in the name of: 0x21 was the one that met the router's cells.
        let sent = [message(2, 0x20), message(2, 0x20), message(2, 0x21)];
        assert_eq!(sent, [true, false, true]);
        assert!(message(136, 0x20), "the router's own");
    }
}
