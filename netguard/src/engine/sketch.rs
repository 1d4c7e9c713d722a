//! What sketches of sources say: how many sources there were, and which of them sent most. The kernel keeps the registers, so
//! no library that owns its sketches can read them.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use netguard_common::telemetry::{
    EIGHTH, EXACT, Heavy, REGISTER_BITS, REGISTERS, Sketch, heavy_buckets, source_hash,
};

/// Standard error of [`distinct`], as a part of the number: 1.04 / sqrt(2048).
pub const DISTINCT_ERROR: f64 = 0.023;

/// A source with less than this part of all packets is none that sent much.
const NOTABLE: u64 = 1000;

/// The standard deviation of a number of packets that was estimated, see [`is_sampled`].
pub fn deviation(packets: u64) -> u64 {
    (f64::from(EIGHTH - 1) * packets as f64).sqrt().ceil() as u64
}

/// A source that sent a notable part of all packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeavySource {
    /// See [`netguard_common::limit::source_key`].
    pub key: u64,
    /// Packets that it certainly sent, and that it sent at most. Beyond [`EXACT`] packets on a CPU both are estimates, see
    /// [`deviation`].
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

/// The sources that certainly sent a thousandth of all packets, those that sent most first. In either row each shares a bucket
/// with a 512th of the others, so who sent a 256th is mostly among them.
///
/// Each CPU has leaders of its own, so a look at each of them on every CPU would take CPUs squared.
pub fn heavy(sketches: &[Sketch], seed: u64) -> Vec<HeavySource> {
    let mut led: HashMap<u64, u64> = HashMap::new();
    for sketch in sketches {
        let leading = sketch.heavy.iter().flatten().filter(|bucket| bucket.lead > 0);
        let leaders: HashSet<u64> = leading.map(|bucket| bucket.leader).collect();
        for key in leaders {
            *led.entry(key).or_default() += bounds(sketch, key, seed).0;
        }
    }
    // What all lead by is no more than twice what was seen, in two rows: few are left, however many CPUs there are.
    let least = seen(sketches).div_ceil(NOTABLE).max(1);
    let notable = led.into_iter().filter(|(_, packets)| *packets >= least);
    let mut heavy: Vec<HeavySource> = notable.map(|(key, _)| estimate(sketches, key, seed)).collect();
    heavy.sort_by_key(|source| Reverse((source.at_least, source.at_most, source.key)));
    heavy
}

/// What the source with `key` sent.
pub fn estimate(sketches: &[Sketch], key: u64, seed: u64) -> HeavySource {
    let nothing = HeavySource {
        key,
        at_least: 0,
        at_most: 0,
    };
    sketches.iter().fold(nothing, |source, sketch| {
        let (at_least, at_most) = bounds(sketch, key, seed);
        HeavySource {
            key,
            at_least: source.at_least + at_least,
            at_most: source.at_most + at_most,
        }
    })
}

/// What the source with `key` sent at least and at most, as one CPU saw it.
fn bounds(sketch: &Sketch, key: u64, seed: u64) -> (u64, u64) {
    let buckets = heavy_buckets(source_hash(key, seed));
    let [first, second] = [0, 1].map(|row| {
        let Heavy { leader, total, lead } = sketch.heavy[row][buckets[row]];
        // Each packet that did not add to the lead of another stood against one of them.
        match leader == key {
            true => (u64::from(lead), u64::midpoint(total.into(), lead.into())),
            false => (0, u64::from(total.saturating_sub(lead) / 2)),
        }
    });
    (first.0.max(second.0), first.1.min(second.1))
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
    use netguard_common::{shared::Field as _, telemetry::back};

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

    /// One source that all CPUs see, among hundreds that each CPU sees alone, as cards spread them.
    #[test]
    fn many_cpus_are_merged() {
        const CPUS: u64 = 128;
        const ALONE: u64 = 400;
        const SEED: u64 = 7;
        let send = |sketch: &mut Sketch, key: u64, packets: u32| {
            let hash = source_hash(key, SEED);
            let [first, second] = heavy_buckets(hash);
            back(&mut sketch.heavy[0][first], key, packets);
            back(&mut sketch.heavy[1][second], key, packets);
            sketch.registers[(hash >> 53) as usize % REGISTERS] |=
                1 << (hash as u16).trailing_zeros().min(15);
            sketch.seen += u64::from(packets);
        };
        let everywhere = u64::MAX;
        let sketches: Vec<Sketch> = (0..CPUS)
            .map(|cpu| {
                let mut sketch = Sketch::ZERO;
                for source in 0..ALONE {
                    send(&mut sketch, cpu * ALONE + source, 10);
                }
                send(&mut sketch, everywhere, 200);
                sketch
            })
            .collect();
        let found = heavy(&sketches, SEED);
        let HeavySource {
            key,
            at_least,
            at_most,
        } = found[0];
        assert_eq!(key, everywhere);
        assert!(at_least <= 200 * CPUS && 200 * CPUS <= at_most, "{:?}", found[0]);
        assert!(at_most - at_least < 20 * CPUS, "{:?}", found[0]);
        assert_eq!(found[0], estimate(&sketches, key, SEED));
        // Each of the others leads a bucket of its CPU, and sent next to nothing.
        assert_eq!(found.len(), 1);
        let sources = (CPUS * ALONE) as f64;
        assert!((distinct(&sketches) - sources).abs() < 4.0 * DISTINCT_ERROR * sources);
    }
}
