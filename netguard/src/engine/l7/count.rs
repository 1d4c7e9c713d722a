//! Counts that forget: within a time, at a pace, and of distinct things.

use super::SECOND_NS;

/// A count over the last so many seconds: of the period that runs, and the share of the one before that is not over yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Recent {
    period: u32,
    now: u32,
    before: u32,
}

impl Recent {
    pub(super) fn add(&mut self, count: u32, within_s: u32, now_ns: u64) {
        self.turn(within_s, now_ns);
        self.now = self.now.saturating_add(count);
    }

    pub(super) fn count(mut self, within_s: u32, now_ns: u64) -> f64 {
        let left = self.turn(within_s, now_ns);
        f64::from(self.now) + f64::from(self.before) * left
    }

    /// Begins the period of `now_ns`; the share of it that is left.
    fn turn(&mut self, within_s: u32, now_ns: u64) -> f64 {
        let (period, left) = period(within_s, now_ns);
        if period > self.period {
            self.before = if period - self.period == 1 { self.now } else { 0 };
            self.now = 0;
            self.period = period;
        }
        left
    }
}

/// The number of the period at `now_ns`, and the share of it that is left.
pub(super) fn period(within_s: u32, now_ns: u64) -> (u32, f64) {
    let length = u64::from(within_s.max(1)) * SECOND_NS;
    let over = (now_ns % length) as f64 / length as f64;
    (u32::try_from(now_ns / length).unwrap_or(u32::MAX), 1.0 - over)
}

/// Answers of the last so many seconds, and those that failed among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcomes {
    all: Recent,
    bad: Recent,
}

/// How many there were, and how many failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) all: f64,
    pub(super) bad: f64,
}

impl Outcomes {
    /// Takes in an answer; how many there are then. What it stands for says nothing about how it failed: it counts once.
    pub(super) fn add(&mut self, is_bad: bool, within_s: u32, now_ns: u64) -> Outcome {
        self.all.add(1, within_s, now_ns);
        self.bad.add(is_bad.into(), within_s, now_ns);
        self.count(within_s, now_ns)
    }

    pub(super) fn count(self, within_s: u32, now_ns: u64) -> Outcome {
        Outcome {
            all: self.all.count(within_s, now_ns),
            bad: self.bad.count(within_s, now_ns),
        }
    }
}

impl Outcome {
    /// The share of those that failed; 0 of none.
    pub(super) fn share(self) -> f64 {
        if self.all > 0.0 { self.bad / self.all } else { 0.0 }
    }

    /// Those that are not of `own`, which are among them as long as both are remembered.
    pub(super) fn without(self, own: Self) -> Self {
        Self {
            all: (self.all - own.all).max(0.0),
            bad: (self.bad - own.bad).max(0.0),
        }
    }
}

/// A bucket that leaks at a pace.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bucket {
    level: f64,
    at_ns: u64,
}

impl Bucket {
    /// Adds `count`; how much there is then.
    pub(super) fn add(&mut self, count: u32, per_s: u32, now_ns: u64) -> f64 {
        let passed_s = now_ns.saturating_sub(self.at_ns) as f64 / SECOND_NS as f64;
        self.level = (self.level - passed_s * f64::from(per_s)).max(0.0) + f64::from(count);
        self.at_ns = self.at_ns.max(now_ns);
        self.level
    }
}

/// Distinct things, by linear counting (Whang and others, 1990) over `64 * WORDS` bits: good for about twice as many.
#[derive(Clone, Debug)]
pub(super) struct Distinct<const WORDS: usize> {
    bits: [u64; WORDS],
    ones: u32,
}

impl<const WORDS: usize> Distinct<WORDS> {
    const BITS: u32 = 64 * WORDS as u32;

    pub(super) const fn new() -> Self {
        Self {
            bits: [0; WORDS],
            ones: 0,
        }
    }

    /// Takes in a hash; whether it is new here.
    pub(super) fn insert(&mut self, hash: u64) -> bool {
        // Hashes are never even: the lowest bit says nothing.
        let bit = (hash >> 1) % u64::from(Self::BITS);
        let Ok(word) = usize::try_from(bit / 64) else {
            return false;
        };
        let mask = 1 << (bit % 64);
        let is_new = self.bits[word] & mask == 0;
        self.bits[word] |= mask;
        self.ones += u32::from(is_new);
        is_new
    }

    /// Whether a hash was taken in, or seems to have been.
    pub(super) fn has(&self, hash: u64) -> bool {
        let bit = (hash >> 1) % u64::from(Self::BITS);
        let word = usize::try_from(bit / 64).ok();
        word.is_some_and(|word| self.bits[word] & (1 << (bit % 64)) != 0)
    }

    /// The share of hashes that seem to have been taken in by chance.
    pub(super) fn filled(&self) -> f64 {
        f64::from(self.ones) / f64::from(Self::BITS)
    }

    /// How many there were.
    pub(super) fn estimate(&self) -> f64 {
        let bits = f64::from(Self::BITS);
        let zeros = f64::from((Self::BITS - self.ones).max(1));
        bits * (bits / zeros).ln()
    }

    /// Whether more would hardly be told apart.
    pub(super) const fn is_full(&self) -> bool {
        2 * self.ones > Self::BITS
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, RandomState};

    use super::*;

    #[test]
    fn what_is_long_ago_does_not_count() {
        let mut recent = Recent::default();
        recent.add(10, 10, 5 * SECOND_NS);
        recent.add(6, 10, 9 * SECOND_NS);
        for (at_s, count) in [(9, 16.0), (10, 16.0), (15, 8.0), (19, 1.6), (20, 0.0), (500, 0.0)] {
            assert!(
                (recent.count(10, at_s * SECOND_NS) - count).abs() < 1e-9,
                "{at_s}"
            );
        }
        // Time that goes back changes nothing.
        recent.add(1, 10, 100 * SECOND_NS);
        recent.add(1, 10, 90 * SECOND_NS);
        assert!((recent.count(10, 100 * SECOND_NS) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_bucket_leaks() {
        let mut bucket = Bucket::default();
        for at in 0..1_000_u64 {
            let level = bucket.add(1, 100, SECOND_NS + at * SECOND_NS / 100);
            assert!(level < 2.5, "{level}");
        }
        assert!(bucket.add(500, 100, 11 * SECOND_NS) >= 500.0);
        assert!(bucket.add(0, 100, 14 * SECOND_NS) < 205.0);
        assert!(bucket.add(0, 100, 60 * SECOND_NS) < 1e-9);
    }

    #[test]
    fn distinct_things_are_counted_once() {
        let keys = RandomState::new();
        let mut distinct = Distinct::<64>::new();
        for count in [10_u32, 100, 1_000, 4_000] {
            for thing in 0..count {
                distinct.insert(keys.hash_one(thing) | 1);
            }
            let error = (distinct.estimate() - f64::from(count)).abs() / f64::from(count);
            assert!(error < 0.2, "{count}: {error}");
        }
        assert!(distinct.is_full() && !Distinct::<64>::new().is_full());
        assert!(!distinct.insert(keys.hash_one(1_u32) | 1));
    }
}
