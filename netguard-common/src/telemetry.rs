//! Telemetry: what the traffic is like, counted per CPU for the controller: by kind, by service, how much sources, ports, sizes
//! and TTLs vary, how many sources there are and which send most. It decides nothing.
//!
//! Counters of kinds and services and the registers of distinct sources see every packet. What needs more memory, the
//! histograms and the table of heavy sources, sees the first [`EXACT`] packets that a CPU judges in a generation, and then one
//! in [`EIGHTH`] by chance, which counts as so many: counts stay unbiased, and the busier a CPU the less a packet costs.
//!
//! A blocked source is counted by its verdict only: who it is is known, and dropping it must stay cheap.

mod kind;

use crate::{
    Judgement, Packet, Verdict, head,
    hint::mix,
    layout::Settings,
    limit::source_key,
    pace::roll,
    packet::{Family, Fragment, protocol},
    service,
    tables::Tables,
    verdict::Action,
    view::View,
};

pub use crate::limit::source_hash;
pub use kind::Kind;

/// Services that have counters of their own; number 0 is all others together.
pub const SERVICES: usize = 256;
/// Buckets of source networks. Networks that share one cost entropy: about a bit for each 1024 of them, as long as there are
/// fewer.
pub const SOURCE_BUCKETS: usize = 1024;
/// Buckets of ports.
pub const PORT_BUCKETS: usize = 256;
/// Buckets of frame lengths, of [`SIZE_STEP`] bytes each; the last one has no end.
pub const SIZE_BUCKETS: usize = 64;
pub const SIZE_STEP: u32 = 32;
/// Registers of distinct sources: a standard error of 2.3 %.
pub const REGISTERS: usize = 2048;
/// Bits of a register, so that some hundred million sources can be told.
pub const REGISTER_BITS: u32 = 16;
/// Buckets in each row of the table of heavy sources.
pub const HEAVY_BUCKETS: usize = 512;
/// Generations of sketches: one is written while the other one is read and emptied.
pub const GENERATIONS: usize = 2;

/// Packets of a generation and CPU that the histograms see one and all.
pub const EXACT: u64 = 4096;
/// Then they see one in so many.
pub const EIGHTH: u32 = 8;

crate::shared! {
    /// Entry of the map `TELEMETRY`: what a CPU counted since the map was made. 32-bit counters wrap. What follows packets is added to by
    /// [`count`], what follows sockets where the kernel closes them.
    pub struct Telemetry {
        /// State of the generator that chooses what the histograms see.
        pub dice: u64,
        /// Packets that the histograms saw.
        pub taken: u64,
        /// By [`Family`], then by [`Kind`].
        pub traffic: [[Traffic; 16]; 2],
        /// By the number that the map `WATCHED` has for the service.
        pub services: [ServiceTraffic; 256],
        /// Sources by hashed network, an IPv4 /24 or an IPv6 /48.
        pub source: [u32; 1024],
        /// By hashed port; packets without ports are in neither.
        pub source_port: [u32; 256],
        pub destination_port: [u32; 256],
        pub size: [u32; 64],
        /// TTLs and hop limits.
        pub ttl: [u32; 256],
        /// Connections that ended, by the number of their service.
        pub ended: [Ended; 256],
    }

    /// Packets of one kind.
    pub struct Traffic {
        pub packets: u64,
        pub bytes: u64,
        pub dropped: u64,
        /// Those that are the first of several pieces.
        pub cut: u64,
    }

    /// Packets to one service.
    pub struct ServiceTraffic {
        pub packets: u64,
        pub bytes: u64,
        /// Those that open a TCP connection.
        pub opening: u64,
        pub dropped: u64,
    }

    /// Connections of others with one service that ended, as far as it is known since when they stood.
    pub struct Ended {
        pub connections: u64,
        /// For how long they stood, added up.
        pub milliseconds: u64,
    }

    /// Entry of the map `SKETCHES`: the sources of one generation, as one CPU saw them.
    pub struct Sketch {
        /// Packets of the generation.
        pub seen: u64,
        /// HyperLogLog with a bit for each rank that was met: user space merges CPUs by "or".
        pub registers: [u16; 2048],
        /// Two rows of buckets: a count-min sketch that remembers who leads each bucket.
        pub heavy: [[Heavy; 512]; 2],
    }

    /// A bucket of sources. Its leader, by majority vote, had at least `lead` packets of `total`, and at most half of both.
    pub struct Heavy {
        /// A source, see [`source_key`].
        pub leader: u64,
        pub total: u32,
        pub lead: u32,
    }
}

/// Counts `packet`, which got `judgement`.
#[inline(always)]
pub fn count<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    frame_len: u32,
    judgement: Judgement,
    settings: &Settings,
    tables: &T,
) {
    if settings.telemetry.on == 0 || is_blocked(judgement) {
        return;
    }
    let Some(mut telemetry) = tables.telemetry() else {
        return;
    };
    let dropped = u64::from(matches!(judgement.action(), Action::Drop));
    let (kind, family) = (Kind::of(packet), packet.family() as u32);
    let (kind, family) = (view.opaque(kind as u32), view.opaque(family));
    let traffic = &mut telemetry.traffic[family as usize % 2][kind as usize % 16];
    traffic.packets += 1;
    traffic.bytes += u64::from(frame_len);
    traffic.dropped += dropped;
    traffic.cut += u64::from(matches!(packet.fragment(), Fragment::First));
    // No port 0 is watched, so what has no ports is counted with the others.
    let slot = service::slot(packet.header, packet.destination_port).unwrap_or(0);
    let watched = tables.watched(view.opaque(slot));
    let service = &mut telemetry.services[watched as usize];
    service.packets += 1;
    service.bytes += u64::from(frame_len);
    service.opening += u64::from(kind == Kind::Syn as u32);
    service.dropped += dropped;

    let Some(mut sketch) = tables.sketch(settings.telemetry.generation % GENERATIONS as u32) else {
        return;
    };
    let hash = packet.source_hash(settings.seed);
    // The lowest bit that is set stands for how many zeros are below it: there is no instruction that counts them.
    let rank = hash as u16 | 1 << (REGISTER_BITS - 1);
    sketch.registers[(hash >> 53) as usize % REGISTERS] |= rank & rank.wrapping_neg();
    sketch.seen += 1;
    let mut weight = 1;
    if sketch.seen > EXACT {
        telemetry.dice = roll(telemetry.dice, settings.seed);
        if telemetry.dice >> 61 != 0 {
            return;
        }
        weight = EIGHTH;
    }
    let weight = view.opaque(weight);
    let source = source_key(packet.family(), packet.source);
    let [first, second] = heavy_buckets(hash);
    back(&mut sketch.heavy[0][first], source, weight);
    back(&mut sketch.heavy[1][second], source, weight);
    histograms(&mut telemetry, packet, frame_len, settings.seed, weight);
    head::tell(view, packet, telemetry.taken, judgement, settings, tables);
}

/// Sees `packet` with `weight`.
#[inline(always)]
fn histograms(telemetry: &mut Telemetry, packet: &Packet, frame_len: u32, seed: u64, weight: u32) {
    telemetry.taken += 1;
    add(&mut telemetry.source[source_bucket(packet, seed)], weight);
    let size = (frame_len / SIZE_STEP).min(SIZE_BUCKETS as u32 - 1);
    add(&mut telemetry.size[size as usize % SIZE_BUCKETS], weight);
    add(&mut telemetry.ttl[packet.hop_limit as usize], weight);
    if matches!(packet.header, protocol::TCP | protocol::UDP) {
        let (from, to) = (packet.source_port, packet.destination_port);
        add(&mut telemetry.source_port[port_bucket(from, seed)], weight);
        add(&mut telemetry.destination_port[port_bucket(to, seed)], weight);
    }
}

#[inline(always)]
const fn add(counter: &mut u32, weight: u32) {
    *counter = counter.wrapping_add(weight);
}

/// Weighted majority vote (Boyer and Moore): who has more than half of a bucket leads it.
#[inline(always)]
pub const fn back(bucket: &mut Heavy, source: u64, weight: u32) {
    bucket.total = bucket.total.wrapping_add(weight);
    if bucket.leader == source {
        bucket.lead = bucket.lead.wrapping_add(weight);
    } else if bucket.lead >= weight {
        bucket.lead -= weight;
    } else {
        bucket.leader = source;
        bucket.lead = weight - bucket.lead;
    }
}

/// The buckets of a source in the two rows, given its hash.
#[inline(always)]
pub const fn heavy_buckets(hash: u64) -> [usize; 2] {
    [
        (hash >> 16) as usize % HEAVY_BUCKETS,
        (hash >> 32) as usize % HEAVY_BUCKETS,
    ]
}

/// A full mix, although it costs more than a multiplication: networks in use lie side by side, and one factor in a thousand
/// would put many such into one bucket.
#[inline(always)]
fn source_bucket(packet: &Packet, seed: u64) -> usize {
    let network = match packet.family() {
        Family::V4 => u64::from(u32::from_be(packet.source.word_v4()) >> 8),
        Family::V6 => u64::from_be(packet.source.high) >> 16,
    };
    mix(network, seed) as usize % SOURCE_BUCKETS
}

#[inline(always)]
const fn port_bucket(port: u16, seed: u64) -> usize {
    mix(port as u64, seed) as usize % PORT_BUCKETS
}

/// Whether a rule or a list decided against the source.
#[inline(always)]
const fn is_blocked(judgement: Judgement) -> bool {
    !judgement.shadow
        && matches!(
            judgement.verdict,
            Verdict::BlockAddress
                | Verdict::BlockPrefix
                | Verdict::BlockFeed
                | Verdict::BlockCountry
                | Verdict::BlockAsn
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        memory::Memory,
        packet::{Address, TcpFlags, Transport, tests::packet},
        view::SliceView,
    };

    const PASSED: Judgement = judged(Verdict::Pass, false);

    const fn judged(verdict: Verdict, shadow: bool) -> Judgement {
        Judgement { verdict, shadow }
    }

    fn describing() -> Memory {
        let mut settings = Memory::enforcing();
        settings.telemetry.on = 1;
        Memory::new(settings)
    }

    fn tell(memory: &Memory, packet: &Packet, judgement: Judgement) {
        count(&SliceView(&[]), packet, 100, judgement, &memory.settings, memory);
    }

    pub(super) fn tcp(flags: u8) -> Packet {
        let transport = Transport::Tcp {
            source_port: 1,
            destination_port: 80,
            flags: TcpFlags(flags),
        };
        packet(Family::V4, Address::v4([192, 0, 2, 1]), protocol::TCP, transport)
    }

    #[test]
    fn services_and_drops_are_counted() {
        let mut memory = describing();
        memory.watched.insert(80, 7);
        tell(&memory, &tcp(TcpFlags::SYN), PASSED);
        tell(&memory, &tcp(TcpFlags::SYN), judged(Verdict::LimitSyn, false));
        tell(&memory, &tcp(TcpFlags::ACK), judged(Verdict::OutOfState, true));
        let counted = memory.telemetry.borrow();
        let service = ServiceTraffic {
            packets: 3,
            bytes: 300,
            opening: 2,
            dropped: 1,
        };
        assert_eq!(counted.services[7], service);
        assert_eq!(counted.traffic[0][Kind::Syn as usize].dropped, 1);
        assert_eq!(counted.traffic[0][Kind::Ack as usize].packets, 1);
        assert_eq!((counted.taken, counted.size[3], counted.ttl[64]), (3, 3, 3));
    }

    #[test]
    fn packets_that_come_in_pieces_are_counted_by_their_first() {
        let memory = describing();
        for fragment in [Fragment::Whole, Fragment::First, Fragment::Later] {
            let mut piece = packet(
                Family::V4,
                Address::v4([192, 0, 2, 1]),
                protocol::UDP,
                Transport::Other,
            );
            piece.set_fragment(fragment);
            tell(&memory, &piece, PASSED);
        }
        let counted = memory.telemetry.borrow();
        let cut: u64 = counted.traffic[0].iter().map(|kind| kind.cut).sum();
        assert_eq!(cut, 1);
    }

    #[test]
    fn a_blocked_source_is_not_described_unless_in_shadow() {
        let memory = describing();
        tell(&memory, &tcp(TcpFlags::SYN), judged(Verdict::BlockFeed, false));
        assert_eq!(memory.telemetry.borrow().taken, 0);
        tell(&memory, &tcp(TcpFlags::SYN), judged(Verdict::BlockFeed, true));
        assert_eq!(memory.telemetry.borrow().taken, 1);
    }

    #[test]
    fn who_has_more_than_half_leads() {
        let mut bucket = <Heavy as crate::shared::Field>::ZERO;
        for source in [1, 2, 1, 3, 1, 4, 1] {
            back(&mut bucket, source, 8);
        }
        assert_eq!((bucket.leader, bucket.total, bucket.lead), (1, 56, 8));
        back(&mut bucket, 2, 1);
        assert_eq!((bucket.leader, bucket.total, bucket.lead), (1, 57, 7));
    }
}
