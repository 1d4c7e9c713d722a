//! Levels above the source: limits of many sources together, by their prefix and by the service that they ask. What they
//! are for is a flood of many sources, each within its own limit.
//!
//! A service serves in the order of what is known about its clients, by one bucket with two lines in it. Strangers fill it
//! up to a quarter, who is known ([`crate::known`]) up to three quarters, and who has proven its address
//! ([`Tables::proven`]) to the brim. So strangers get what the others leave, and no number of them takes a packet
//! from a known source while the known ones together stay within the rate of the service.

mod icmp;
mod places;

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict, heavy, known,
    layout::{Rate, Settings},
    limit::{Class, admit_below, is_link_local, source_key},
    pace,
    packet::{Address, Family, Transport},
    reflection, service, state,
    tables::{LimitCell, Tables},
    view::View,
};

pub use places::Places;
pub(crate) use places::{PREFIX, SOURCE};

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
    match class {
        Class::Udp => udp_service(view, packet, places, settings, now_ns, tables),
        Class::Icmp => icmp::check(packet, settings, now_ns, tables),
        _ => ControlFlow::Continue(()),
    }
}

#[inline(always)]
fn udp_service<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    places: Places,
    settings: &Settings,
    now_ns: u64,
    tables: &T,
) -> ControlFlow<Verdict> {
    let port = packet.destination_port;
    let rate = service::udp_rate(port, settings, tables);
    if rate.interval_ns == 0 {
        return ControlFlow::Continue(());
    }
    let [bucket, unrest] = service::udp_cells(port);
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
    ControlFlow::Break(Verdict::LimitService)
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

/// GCRA with lines in the bucket: whether `standing` may put one packet in, which then counts as so many `packets`,
/// see [`pace::packets`]. The cell holds the theoretical arrival time of the next packet, in ns.
#[inline(always)]
pub fn fill<C: LimitCell>(rate: &Rate, bucket: &C, standing: Standing, packets: u64, now_ns: u64) -> bool {
    // One packet always has room in an empty bucket.
    let line_ns = (rate.tolerance_ns / 4 * standing as u64).max(rate.interval_ns);
    admit_below(rate, bucket, line_ns, packets, now_ns)
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
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::{
        layout::Service,
        limit::Class,
        memory::Memory,
        packet::{TcpFlags, Transport, protocol, tests::packet},
        service::slot,
        view::SliceView,
    };

    const SECOND: u64 = 1_000_000_000;

    /// A datagram to port 53 from the IPv4 address with this number.
    fn datagram(source: u32) -> Packet {
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
