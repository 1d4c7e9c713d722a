//! What sketches of sources say: how many sources there were, and which of them sent most. The kernel keeps the registers, so
//! no library that owns its sketches can read them.

use std::collections::BTreeSet;

use netguard_common::telemetry::{
    EXACT, Heavy, REGISTER_BITS, REGISTERS, Sketch, heavy_buckets, source_hash,
};

/// Standard error of [`distinct`], as a part of the number: 1.04 / sqrt(2048).
pub const DISTINCT_ERROR: f64 = 0.023;

/// A leader with less than this part of its CPU's packets is none.
const NOTABLE: u64 = 1000;

/// A source that sent a notable part of all packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeavySource {
    /// See [`netguard_common::limit::source_key`].
    pub key: u64,
    /// Packets that it certainly sent, and that it sent at most. Beyond [`EXACT`] packets on a CPU both are estimates with a
    /// standard deviation of the square root of seven times the number.
    pub at_least: u64,
    pub at_most: u64,
}

/// Packets that all CPUs saw.
pub fn seen(sketches: &[Sketch]) -> u64 {
    sketches.iter().map(|sketch| sketch.seen).sum()
}

/// Whether a CPU saw so many packets that heavy sources are estimates.
pub fn is_sampled(sketches: &[Sketch]) -> bool {
    sketches.iter().any(|sketch| sketch.seen > EXACT)
}

/// Distinct sources over all CPUs, by Ertl's estimator for HyperLogLog ("New cardinality estimation algorithms for HyperLogLog
/// sketches", 2017), which needs no tables of bias.
pub fn distinct(sketches: &[Sketch]) -> f64 {
    // How many registers have each value: 0 where nothing was met, else one more than the highest rank.
    let mut counts = [0_u32; REGISTER_BITS as usize + 1];
    for index in 0..REGISTERS {
        let met = sketches
            .iter()
            .fold(0, |met, sketch| met | sketch.registers[index]);
        counts[(REGISTER_BITS - met.leading_zeros()) as usize] += 1;
    }
    let registers = REGISTERS as f64;
    let part = |count: u32| f64::from(count) / registers;
    let [none, middle @ .., full] = &counts[..] else {
        return 0.0;
    };
    let mut sum = registers * tau(1.0 - part(*full));
    for count in middle.iter().rev() {
        sum = 0.5 * (sum + f64::from(*count));
    }
    sum += registers * sigma(part(*none));
    registers * registers / (2.0 * std::f64::consts::LN_2 * sum)
}

/// The sources that sent most, those that certainly sent most first. Who sent more than the others in its bucket of either
/// row, about a 512th of all packets, is among them.
pub fn heavy(sketches: &[Sketch], seed: u64) -> Vec<HeavySource> {
    let mut leaders = BTreeSet::new();
    for sketch in sketches {
        let notable = |bucket: &&Heavy| bucket.lead > 0 && u64::from(bucket.lead) * NOTABLE >= sketch.seen;
        leaders.extend(
            sketch
                .heavy
                .iter()
                .flatten()
                .filter(notable)
                .map(|bucket| bucket.leader),
        );
    }
    let mut heavy: Vec<HeavySource> = leaders
        .into_iter()
        .map(|key| estimate(sketches, key, seed))
        .collect();
    heavy.sort_by_key(|source| std::cmp::Reverse((source.at_least, source.at_most)));
    heavy
}

/// What the source with `key` sent.
pub fn estimate(sketches: &[Sketch], key: u64, seed: u64) -> HeavySource {
    let buckets = heavy_buckets(source_hash(key, seed));
    let mut source = HeavySource {
        key,
        at_least: 0,
        at_most: 0,
    };
    for sketch in sketches {
        let bounds = |(row, index): (&[Heavy; 512], usize)| {
            let Heavy { leader, total, lead } = row[index];
            // Each packet that did not add to the lead of another stood against one of them.
            match leader == key {
                true => (u64::from(lead), u64::midpoint(total.into(), lead.into())),
                false => (0, u64::from(total.saturating_sub(lead) / 2)),
            }
        };
        let [first, second] = [0, 1].map(|row| bounds((&sketch.heavy[row], buckets[row])));
        source.at_least += first.0.max(second.0);
        source.at_most += first.1.min(second.1);
    }
    source
}

/// Ertl's correction for registers that met nothing.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * y;
        y += y;
        if sum <= before {
            return sum;
        }
    }
}

/// Ertl's correction for registers that are full.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        y *= 0.5;
        sum -= (1.0 - x).powi(2) * y;
        if sum >= before {
            return sum / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::shared::Field as _;

    use super::*;

    #[test]
    fn nothing_is_no_source_and_no_end_is_no_panic() {
        assert_eq!(distinct(&[]), 0.0);
        assert_eq!(distinct(&[Sketch::ZERO]), 0.0);
        let full = Sketch {
            registers: [u16::MAX; REGISTERS],
            ..Sketch::ZERO
        };
        assert!(distinct(&[full]) > 50e6, "{}", distinct(&[full]));
    }

    #[test]
    fn cpus_that_saw_the_same_sources_do_not_add_up() {
        let mut sketch = Sketch::ZERO;
        for (index, register) in (0_u32..).zip(&mut sketch.registers) {
            *register = 1 << (index.trailing_ones().min(15));
        }
        let one = distinct(&[sketch]);
        assert!(one > 1000.0);
        assert_eq!(distinct(&[sketch, sketch, Sketch::ZERO]), one);
    }

    #[test]
    fn bounds_of_cpus_add_up() {
        let key = 42;
        let [first, second] = heavy_buckets(source_hash(key, 7));
        let mut sketch = Sketch::ZERO;
        sketch.seen = 30;
        sketch.heavy[0][first] = Heavy {
            leader: key,
            total: 30,
            lead: 10,
        };
        sketch.heavy[1][second] = Heavy {
            leader: 43,
            total: 100,
            lead: 20,
        };
        let found = HeavySource {
            key,
            at_least: 20,
            at_most: 40,
        };
        assert_eq!(estimate(&[sketch, sketch], key, 7), found);
        assert!(heavy(&[sketch, sketch], 7).contains(&found));
    }
}
