//! What all sources of a service may send together: of a UDP port, or of ICMP, which is a service as a whole. What each may send, and each prefix,
//! stands elsewhere.

use core::ops::ControlFlow;

use super::{Places, has_prefix, is_proven};
use crate::{
    Packet, Verdict, known,
    layout::{Rate, Settings},
    limit::{Class, admit_below},
    pace, service,
    tables::{LimitCell, Tables},
    view::View,
};

/// What a source may fill a bucket to, in quarters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Standing {
    Stranger = 1,
    Known = 3,
    Proven = 4,
}

/// How long after a refusal a service learns no source: a flood must not make itself known.
const UNREST_NS: u64 = 10_000_000_000;
/// How late the end of the unrest may be moved on: not for every packet of a flood, all CPUs write that word.
const UNREST_STEP_NS: u64 = 1_000_000_000;

/// Breaks when the service that `packet` asks, which is of `class`, has too much.
#[inline(always)]
pub(super) fn check<V: View, T: Tables>(
    view: &V,
    class: Class,
    packet: &Packet,
    places: Places,
    settings: &Settings,
    now_ns: u64,
    tables: &T,
) -> ControlFlow<Verdict> {
    let port = packet.destination_port;
    let (rate, [bucket, unrest], verdict) = match class {
        Class::Udp => (
            service::udp_rate(port, settings, tables),
            service::udp_cells(port),
            Verdict::LimitService,
        ),
        // What neighbours say to each other keeps the link going (RFC 2710), and comes from no farther.
        Class::Icmp if has_prefix(packet.family(), packet.source) => (
            settings.levels.service_icmp,
            service::ICMP_CELLS,
            Verdict::LimitIcmpAll,
        ),
        _ => return ControlFlow::Continue(()),
    };
    if rate.interval_ns == 0 {
        return ControlFlow::Continue(());
    }
    let (Some(bucket), Some(unrest)) = (tables.cell(bucket), tables.cell(unrest)) else {
        return ControlFlow::Continue(());
    };
    let packets = pace::packets(packet.chance, &rate, rate.tolerance_ns / 4);
    let admitted = fill(&rate, &bucket, Standing::Stranger, packets, now_ns);
    if admitted && !(pace::is_learnt(packet.chance) && unrest.load() <= now_ns) {
        return ControlFlow::Continue(());
    }
    let Some(seen) = known::look(view, places.known, now_ns, tables) else {
        return ControlFlow::Continue(());
    };
    if admitted {
        seen.learn(view, now_ns, tables);
        return ControlFlow::Continue(());
    }
    if unrest.load() < now_ns.wrapping_add(UNREST_NS - UNREST_STEP_NS) {
        unrest.store(now_ns.wrapping_add(UNREST_NS));
    }
    if seen.is_known() && fill(&rate, &bucket, Standing::Known, packets, now_ns)
        || is_proven(packet, now_ns, tables) && fill(&rate, &bucket, Standing::Proven, packets, now_ns)
    {
        return ControlFlow::Continue(());
    }
    ControlFlow::Break(verdict)
}

/// GCRA with lines in the bucket: whether `standing` may put one packet in, which then counts as so many `packets`,
/// see [`pace::packets`]. The cell holds the theoretical arrival time of the next packet, in ns.
#[inline(always)]
pub fn fill<C: LimitCell>(rate: &Rate, bucket: &C, standing: Standing, packets: u64, now_ns: u64) -> bool {
    // One packet always has room in an empty bucket.
    let line_ns = (rate.tolerance_ns / 4 * standing as u64).max(rate.interval_ns);
    admit_below(rate, bucket, line_ns, packets, now_ns)
}

#[cfg(test)]
pub(super) mod tests {
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::{
        layout::Service,
        limit::source_key,
        memory::Memory,
        packet::{Address, Family, Transport, protocol, tests::packet},
        service::slot,
        view::SliceView,
    };

    const SECOND: u64 = 1_000_000_000;

    /// A datagram to port 53 from the IPv4 address with this number.
    pub(in crate::level) fn datagram(source: u32) -> Packet {
        let transport = Transport::Udp {
            source_port: 1,
            destination_port: 53,
        };
        packet(
            Family::V4,
            Address::v4(source.to_be_bytes()),
            protocol::UDP,
            transport,
        )
    }

    fn passes(memory: &Memory, packet: &Packet) -> bool {
        of_class(memory, Class::Udp, packet)
    }

    fn of_class(memory: &Memory, class: Class, packet: &Packet) -> bool {
        let (settings, now_ns) = (&memory.settings, memory.now_ns.get());
        let places = Places::of(class, packet, settings);
        check(&SliceView(&[]), class, packet, places, settings, now_ns, memory).is_continue()
    }

    /// A service that gets 100 packets a second, and 100 at once.
    fn service() -> Memory {
        let mut memory = Memory::new(Memory::enforcing());
        memory.settings.levels.service_udp = Rate::new(100, 100);
        memory.now_ns.set(1_000 * SECOND);
        memory
    }

    #[test]
    fn each_standing_has_its_line_in_the_bucket() {
        let rate = Rate::new(100, 100);
        let bucket = AtomicU64::new(0);
        let filled = |standing| {
            (0..1_000)
                .filter(|_| fill(&rate, &&bucket, standing, 1, SECOND))
                .count()
        };
        assert_eq!(filled(Standing::Stranger), 25);
        assert_eq!(filled(Standing::Known), 50);
        assert_eq!(filled(Standing::Proven), 25);
        assert_eq!(filled(Standing::Stranger), 0);
        // Filled under a far larger limit, it comes back.
        bucket.store(u64::MAX, Ordering::Relaxed);
        assert!(!fill(&rate, &&bucket, Standing::Proven, 1, SECOND));
        assert!(fill(&rate, &&bucket, Standing::Proven, 1, SECOND + SECOND / 20));
    }

    #[test]
    fn an_empty_bucket_has_room_for_one() {
        let rate = Rate::new(1, 1);
        assert!(fill(&rate, &&AtomicU64::new(0), Standing::Stranger, 1, SECOND));
    }

    #[test]
    fn a_client_of_before_the_flood_is_served_in_it() {
        let memory = service();
        let (regular, newcomer) = (datagram(0xc000_0201), datagram(0xc000_0202));
        assert!(passes(&memory, &regular));
        memory.now_ns.set(memory.now_ns.get() + 20 * SECOND);
        assert!(passes(&memory, &regular));
        let mut served = 0;
        let mut let_in = 0;
        for forged in 0..100_000_u32 {
            // A millisecond between them, and every tenth second a question of the regular client.
            memory.now_ns.set(memory.now_ns.get() + SECOND / 1_000);
            let_in += u32::from(passes(&memory, &datagram(0x0a00_0000 + forged)));
            if forged % 100 == 0 {
                served += u32::from(passes(&memory, &regular));
            }
        }
        assert_eq!(served, 1_000);
        assert!(
            (8_900..9_200).contains(&let_in),
            "{let_in} strangers got the rest"
        );
        assert!(!passes(&memory, &newcomer));
    }

    #[test]
    fn a_flood_does_not_make_itself_known() {
        let memory = service();
        let bot = datagram(0xc000_0203);
        // The flood has begun, then the bot comes again and again.
        for forged in 0..1_000 {
            passes(&memory, &datagram(forged));
        }
        for _ in 0..100 {
            memory.now_ns.set(memory.now_ns.get() + SECOND);
            for forged in 0..1_000 {
                passes(&memory, &datagram(forged));
            }
            assert!(!passes(&memory, &bot));
        }
    }

    #[test]
    fn a_proven_source_has_the_last_word() {
        let mut memory = service();
        memory.settings.levels.prefix[Class::Udp as usize] = Rate::new(1, 1);
        let proven = datagram(0xc000_0204);
        let key = source_key(Family::V4, proven.source);
        memory.proven.insert(key, 2_000 * SECOND);
        let passed = (0..200).filter(|_| passes(&memory, &proven)).count();
        assert_eq!(passed, 100);
        memory.proven.insert(key, memory.now_ns.get());
        memory.now_ns.set(memory.now_ns.get() + SECOND / 10);
        assert!(!passes(&memory, &proven), "its time is over");
    }

    #[test]
    fn a_service_with_an_entry_has_its_own_rate_and_no_other_cell() {
        let mut memory = service();
        let entry = Service {
            rate: Rate::new(8, 8),
            port: 53,
            protocol: protocol::UDP,
            cookies: 0,
            ..crate::service::FREE
        };
        memory
            .services
            .insert(slot(protocol::UDP, 53).expect("a port"), entry);
        let mut other = datagram(7);
        other.destination_port = 54;
        let passed = |packet: &Packet| (0..200).filter(|_| passes(&memory, packet)).count();
        assert_eq!([passed(&datagram(7)), passed(&other)], [2, 25]);
    }

    #[test]
    fn pings_of_many_are_limited_together_and_a_proven_source_has_the_last_word() {
        let mut memory = Memory::new(Memory::enforcing());
        memory.settings.levels.service_icmp = Rate::new(100, 100);
        memory.now_ns.set(1_000 * SECOND);
        let ping = |family, source: u32| match family {
            Family::V4 => packet(
                family,
                Address::v4(source.to_be_bytes()),
                protocol::ICMP,
                Transport::Icmp { kind: 8, code: 0 },
            ),
            Family::V6 => packet(
                family,
                Address {
                    high: u64::from(source),
                    low: 1,
                },
                protocol::ICMPV6,
                Transport::Icmp6 { kind: 128, code: 0 },
            ),
        };
        let passes = |memory: &Memory, packet: &Packet| of_class(memory, Class::Icmp, packet);
        let passed = (0..500).filter(|source| passes(&memory, &ping(Family::V4, *source)));
        assert_eq!(passed.count(), 25, "strangers get a quarter of the burst");
        assert!(
            !passes(&memory, &ping(Family::V6, 7)),
            "of both families together"
        );
        let proven = ping(Family::V6, 8);
        memory
            .proven
            .insert(source_key(Family::V6, proven.source), 2_000 * SECOND);
        assert_eq!((0..500).filter(|_| passes(&memory, &proven)).count(), 75);
        memory.settings.levels.service_icmp.interval_ns = 0;
        assert!(
            (0..500).all(|source| passes(&memory, &ping(Family::V4, source))),
            "unlimited"
        );
    }

    /// Found in review: a small flood kept monitors out, and a switch from hearing of which groups this machine is a member.
    #[test]
    fn who_pinged_before_a_flood_and_the_link_are_heard_in_it() {
        let mut memory = Memory::new(Memory::enforcing());
        memory.settings.levels.service_icmp = Rate::new(100, 100);
        memory.now_ns.set(1_000 * SECOND);
        let ping = |source: u32| {
            let source = Address::v4(source.to_be_bytes());
            packet(
                Family::V4,
                source,
                protocol::ICMP,
                Transport::Icmp { kind: 8, code: 0 },
            )
        };
        let passes = |packet: &Packet| of_class(&memory, Class::Icmp, packet);
        let monitor = ping(0xc000_0201);
        assert!(passes(&monitor));
        memory.now_ns.set(memory.now_ns.get() + 20 * SECOND);
        assert!(passes(&monitor));
        assert!((0..500).filter(|source| passes(&ping(*source))).count() < 30);
        assert!((0..10).all(|_| passes(&monitor)));
        let source = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        let query = packet(
            Family::V6,
            Address::v6(source.octets()),
            protocol::ICMPV6,
            Transport::Icmp6 { kind: 130, code: 0 },
        );
        assert!((0..500).all(|_| passes(&query)));
    }
}
