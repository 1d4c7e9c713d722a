//! How busy a CPU is. What all CPUs share, a busy one writes and asks for few packets only, each of which stands for many: the
//! line of the cache would go from one CPU to the other with each packet, and for a flood a look at many lines of memory costs
//! more than what they tell is worth.

use crate::{
    Packet,
    hint::mix,
    layout::{Rate, Settings},
    tables::Tables,
};

/// Packets in a period beyond which a CPU is busy.
pub const BUSY: u64 = 4_096;
const PERIOD_NS: u64 = 1_000_000_000;

/// What a busy CPU puts at once into a bucket, for one packet in as many, by the least number of packets that must have room. The
/// packets are powers of two.
const AT_ONCE: [AtOnce; 3] = [
    AtOnce {
        packets: 64,
        room: 16_384,
    },
    AtOnce {
        packets: 16,
        room: 4_096,
    },
    // Less than the burst of a source's SYNs by default: or they would have room in one moment and not in the next.
    AtOnce {
        packets: 4,
        room: 768,
    },
];
/// Until more than this part of the room is used, [`FIRST`] times as many are put in: of a flood from many sources each uses
/// little, and their buckets are what the CPUs take from each other most. In all, chance makes no more of what a flood gets than a
/// standard deviation of a tenth of the room.
const FIRST_PART: u64 = 8;
const FIRST: u64 = 8;
/// A full bucket may be over by what is put in at once: so many packets, and no more than this part of the burst.
const OVER: u64 = 64;
const OVER_PART: u64 = 32;
/// A busy CPU remembers the source of one packet in so many. A power of two.
const LEARNT: u64 = 8;

/// Bits of a chance: upper ones of the generator's state.
const CHANCE_BITS: u32 = 16;
/// The chance of a packet on a CPU that is not busy: it divides as 0 does, which a packet has that was not counted.
const QUIET: u64 = 1 << (2 * CHANCE_BITS);
const CHANCE_SHIFT: u32 = u64::BITS - CHANCE_BITS;

struct AtOnce {
    packets: u64,
    room: u64,
}

crate::shared! {
    /// The entry of the map `PACE`: packets of this CPU that limits can be for.
    pub struct Pace {
        /// State of the generator.
        pub dice: u64,
        /// When the period began, in ns.
        pub begun_ns: u64,
        /// Packets of the period, and of the one before if it came right before.
        pub packets: u64,
        pub before: u64,
    }
}

impl Pace {
    /// Counts a packet: a number by chance by which to choose those that stand for others; [`QUIET`] on a CPU that is not busy,
    /// where every packet stands for itself.
    #[inline(always)]
    fn count(&mut self, seed: u64, now_ns: u64) -> u64 {
        let age_ns = now_ns.wrapping_sub(self.begun_ns);
        if age_ns >= PERIOD_NS {
            self.before = if age_ns < 2 * PERIOD_NS { self.packets } else { 0 };
            (self.begun_ns, self.packets) = (now_ns, 0);
            // No two CPUs, and no two seconds, go through the same numbers.
            self.dice ^= mix(now_ns, seed);
        }
        self.packets += 1;
        if self.packets <= BUSY && self.before <= BUSY {
            return QUIET;
        }
        self.dice = roll(self.dice, seed);
        // Whoever is answered sees which packets were charged: the numbers themselves would tell those to come, and the seed.
        mix(self.dice, seed) >> CHANCE_SHIFT | 1 << CHANCE_BITS
    }
}

/// Counts `packet` on this CPU, once.
#[inline(always)]
pub(crate) fn count<T: Tables>(packet: &mut Packet, settings: &Settings, tables: &T) {
    if packet.chance == 0 {
        let now_ns = tables.now_ns();
        packet.chance = tables
            .pace()
            .map_or(QUIET, |mut pace| pace.count(settings.seed, now_ns));
    }
}

/// Whether a packet with this `chance` was counted, on a CPU that is busy.
#[inline(always)]
pub(crate) const fn is_busy(chance: u64) -> bool {
    chance != 0 && chance != QUIET
}

/// Whether the source of a packet with this `chance` is remembered, should the service have time for it.
#[inline(always)]
pub(crate) const fn is_learnt(chance: u64) -> bool {
    chance.is_multiple_of(LEARNT)
}

/// For how many packets one with this `chance` stands in a bucket of `rate`, of which `room_ns` are for its like: on a busy CPU for
/// many or none, by chance.
#[inline(always)]
pub const fn packets(chance: u64, rate: &Rate, room_ns: u64) -> u64 {
    match at_once(chance, rate, room_ns) {
        1 => 1,
        many => chosen(chance, many),
    }
}

/// As [`packets`], where much of the room may be unused: if it is not `heavy`, see [`is_much`].
#[inline(always)]
pub const fn packets_beside(chance: u64, rate: &Rate, room_ns: u64, heavy: bool) -> u64 {
    match at_once(chance, rate, room_ns) {
        1 => 1,
        many if heavy => chosen(chance, many),
        many => chosen(chance, many * FIRST),
    }
}

/// Whether more than the first part of the room is used.
#[inline(always)]
pub const fn is_much(used_ns: u64, room_ns: u64) -> bool {
    used_ns >= room_ns / FIRST_PART
}

#[inline(always)]
const fn at_once(chance: u64, rate: &Rate, room_ns: u64) -> u64 {
    let [many, some, few] = AT_ONCE;
    if !is_busy(chance) {
        1
    } else if room_ns / many.room >= rate.interval_ns {
        many.packets
    } else if room_ns / some.room >= rate.interval_ns {
        some.packets
    } else if room_ns / few.room >= rate.interval_ns {
        few.packets
    } else {
        1
    }
}

/// `many` for one packet in as many, else none.
#[inline(always)]
const fn chosen(chance: u64, many: u64) -> u64 {
    if (chance / LEARNT).is_multiple_of(many) {
        many
    } else {
        0
    }
}

/// How far ahead a bucket of `rate` may be at most, in ns: full, and over by those that were put in at once. One that is further
/// was filled under a more generous rate.
#[inline(always)]
pub const fn most_ahead_ns(rate: &Rate) -> u64 {
    let (over, part) = (OVER * rate.interval_ns, rate.tolerance_ns / OVER_PART);
    rate.tolerance_ns + if over < part { over } else { part }
}

/// The next state of a linear congruential generator of full period (Knuth's factor); its upper bits are good.
#[inline(always)]
pub(crate) const fn roll(dice: u64, seed: u64) -> u64 {
    dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(seed | 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Field as _;

    fn busy(pace: &mut Pace, packets: u64, now_ns: u64) -> usize {
        (0..packets).filter(|_| is_busy(pace.count(7, now_ns))).count()
    }

    #[test]
    fn a_cpu_is_busy_from_some_thousand_packets_on_and_until_it_had_a_quiet_second() {
        let mut pace = Pace::ZERO;
        let second = |number: u64| number * PERIOD_NS;
        assert_eq!(busy(&mut pace, BUSY + 10, second(5)), 10);
        assert_eq!(busy(&mut pace, 10, second(6)), 10, "the second before was busy");
        assert_eq!(busy(&mut pace, 10, second(7)), 0);
        assert_eq!(busy(&mut pace, BUSY + 1, second(8)), 1);
        assert_eq!(busy(&mut pace, 10, second(10)), 0, "long ago");
    }

    #[test]
    fn chances_are_even() {
        let mut pace = Pace::ZERO;
        let chances: std::vec::Vec<u64> = (0..100_000)
            .map(|_| pace.count(7, 5))
            .filter(|chance| is_busy(*chance))
            .collect();
        let eighth = chances.iter().filter(|chance| chance.is_multiple_of(8)).count();
        assert!((11_500..12_500).contains(&eighth), "{eighth}");
    }

    #[test]
    fn a_packet_stands_for_itself_where_few_have_room_or_little_goes_on() {
        let narrow = Rate::new(1_000, 700);
        let wide = AT_ONCE.map(|at_once| Rate::new(1_000_000, at_once.room as u32));
        let busy = 1 << CHANCE_BITS;
        for rate in [&narrow, &wide[0], &wide[1], &wide[2]] {
            let quiet = [0, QUIET].map(|chance| packets(chance, rate, rate.tolerance_ns));
            assert_eq!(quiet, [1, 1]);
        }
        assert_eq!(packets(busy, &narrow, narrow.tolerance_ns), 1);
        assert_eq!(
            wide.map(|rate| packets(busy, &rate, rate.tolerance_ns)),
            [64, 16, 4]
        );
        // What counts is the room of those whom the packet belongs to.
        assert_eq!(packets(busy, &wide[0], wide[0].tolerance_ns / 4), 16);
        assert!(is_learnt(QUIET));
    }

    #[test]
    fn packets_of_a_busy_cpu_count_as_many_as_they_are() {
        let chances = 1 << CHANCE_BITS..2 << CHANCE_BITS;
        for at_once in AT_ONCE {
            let rate = Rate::new(1_000_000, at_once.room as u32);
            let counted: u64 = chances
                .clone()
                .map(|chance| packets(chance, &rate, rate.tolerance_ns))
                .sum();
            assert_eq!(counted, 1 << CHANCE_BITS);
            // And those that are put in at once have room.
            let over_ns = most_ahead_ns(&rate) - rate.tolerance_ns;
            assert!(over_ns >= (at_once.packets - 1) * rate.interval_ns);
            // Of one packet it is the root of one less than what is put in at once.
            let (first, rest) = (
                at_once.room / FIRST_PART,
                at_once.room - at_once.room / FIRST_PART,
            );
            let variance = first * (FIRST * at_once.packets - 1) + rest * (at_once.packets - 1);
            let deviation = (variance as f64).sqrt() / at_once.room as f64;
            assert!(deviation < 0.095, "{deviation}");
            for (heavy, most) in [(false, FIRST * at_once.packets), (true, at_once.packets)] {
                let beside = |chance| packets_beside(chance, &rate, rate.tolerance_ns, heavy);
                assert_eq!(chances.clone().map(beside).sum::<u64>(), 1 << CHANCE_BITS);
                assert_eq!(chances.clone().map(beside).max(), Some(most));
            }
        }
        let learnt = chances.filter(|chance| is_learnt(*chance)).count();
        assert_eq!(learnt, 1 << 13);
    }
}
