//! How busy a CPU is. What all CPUs share, a busy one writes and asks for few packets only, each of which stands for many: the
//! line of the cache would go from one CPU to the other with each packet, and for a flood a look at many lines of memory costs
//! more than what they tell is worth.

use crate::{layout::Settings, tables::Tables};

/// Packets in a period beyond which a CPU is busy.
pub const BUSY: u64 = 4_096;
const PERIOD_NS: u64 = 1_000_000_000;

/// Bits of a chance: upper ones of the generator's state.
const CHANCE_BITS: u32 = 16;
const CHANCE_SHIFT: u32 = u64::BITS - CHANCE_BITS;

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
    /// Counts a packet: a number by chance, never 0, by which to choose those that stand for others; 0 on a CPU that is not busy,
    /// where every packet stands for itself.
    #[inline(always)]
    fn count(&mut self, seed: u64, now_ns: u64) -> u64 {
        let age_ns = now_ns.wrapping_sub(self.begun_ns);
        if age_ns >= PERIOD_NS {
            self.before = if age_ns < 2 * PERIOD_NS { self.packets } else { 0 };
            (self.begun_ns, self.packets) = (now_ns, 0);
        }
        self.packets += 1;
        if self.packets <= BUSY && self.before <= BUSY {
            return 0;
        }
        self.dice = roll(self.dice, seed);
        self.dice >> CHANCE_SHIFT | 1 << CHANCE_BITS
    }
}

/// Counts a packet on this CPU; what it answers is the chance of the packet.
#[inline(always)]
pub(crate) fn chance<T: Tables>(settings: &Settings, tables: &T) -> u64 {
    let now_ns = tables.now_ns();
    tables
        .pace()
        .map_or(0, |mut pace| pace.count(settings.seed, now_ns))
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
        (0..packets).filter(|_| pace.count(7, now_ns) != 0).count()
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
            .filter(|chance| *chance != 0)
            .collect();
        let eighth = chances.iter().filter(|chance| chance.is_multiple_of(8)).count();
        assert!((11_500..12_500).contains(&eighth), "{eighth}");
    }
}
