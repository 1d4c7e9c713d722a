//! Penalties: how long a source is blocked, which doubles each time that it does the same again. They know no rule and no kernel.

use serde::{Deserialize, Serialize};

/// What the configuration says about the length of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The first block.
    pub block_for_ns: u64,
    /// The longest one; a first block that is longer stays what it is.
    pub at_most_ns: u64,
    /// How long after the end of a block the next one is a repetition.
    pub remember_ns: u64,
}

/// How far the length of a repeated block is drawn around what it is to be, in thousandths either way: who is blocked cannot tell to the second
/// when that ends.
pub(super) const JITTER_PERMILLE: u32 = 100;

/// The blocks of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Penalty {
    /// Blocks one after another, each within what is remembered of the one before.
    in_row: u32,
    /// All blocks that are known.
    pub total: u64,
    /// When the newest began.
    pub begun_ns: u64,
    /// When it ends, or ended.
    pub until_ns: u64,
}

impl Penalty {
    /// Whether a block stands.
    pub fn stands(&self, at_ns: u64) -> bool {
        self.until_ns > at_ns
    }

    /// Blocks that make the next one longer.
    pub fn repeats(&self, at_ns: u64, terms: &Terms) -> u32 {
        let since_ns = at_ns.saturating_sub(self.until_ns);
        if since_ns < terms.remember_ns {
            self.in_row
        } else {
            0
        }
    }

    /// How long the next block would be, before it is drawn around that.
    pub fn next_ns(&self, at_ns: u64, terms: &Terms) -> u64 {
        let doubled = 1_u64
            .checked_shl(self.repeats(at_ns, terms))
            .map_or(u64::MAX, |times| terms.block_for_ns.saturating_mul(times));
        doubled.min(terms.at_most_ns.max(terms.block_for_ns))
    }

    /// Begins a block and says how long it is; `draw` is from 0 to twice `JITTER_PERMILLE`.
    pub fn begin(&mut self, at_ns: u64, terms: &Terms, draw: u32) -> u64 {
        let repeats = self.repeats(at_ns, terms);
        let mut ttl_ns = self.next_ns(at_ns, terms);
        if repeats > 0 {
            let permille = u128::from(1_000 - JITTER_PERMILLE + draw.min(2 * JITTER_PERMILLE));
            let drawn = u128::from(ttl_ns) * permille / 1_000;
            ttl_ns = u64::try_from(drawn)
                .unwrap_or(u64::MAX)
                .min(terms.at_most_ns.max(terms.block_for_ns));
        }
        *self = Self {
            in_row: repeats.saturating_add(1),
            total: self.total.saturating_add(1),
            begun_ns: at_ns,
            until_ns: at_ns.saturating_add(ttl_ns),
        };
        ttl_ns
    }

    /// Lets the block that stands begin anew, with the length that it had, as far as blocks may still be so long.
    pub fn extend(&mut self, at_ns: u64, terms: &Terms) -> u64 {
        let ttl_ns = self.until_ns.saturating_sub(self.begun_ns);
        let ttl_ns = ttl_ns.min(terms.at_most_ns.max(terms.block_for_ns));
        self.begun_ns = at_ns;
        self.until_ns = at_ns.saturating_add(ttl_ns);
        ttl_ns
    }

    /// The block is over, if it is not yet.
    pub fn end(&mut self, at_ns: u64) {
        self.until_ns = self.until_ns.min(at_ns);
    }

    /// What was read from a file at `at_ns`: nothing in it is later than that can be.
    #[must_use]
    pub fn bounded(self, at_ns: u64, terms: &Terms) -> Self {
        let longest_ns = terms.at_most_ns.max(terms.block_for_ns);
        Self {
            begun_ns: self.begun_ns.min(at_ns),
            until_ns: self.until_ns.min(at_ns.saturating_add(longest_ns)),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const TERMS: Terms = Terms {
        block_for_ns: 60 * SECOND,
        at_most_ns: 3_600 * SECOND,
        remember_ns: 86_400 * SECOND,
    };

    #[test]
    fn each_repetition_doubles_up_to_the_cap() {
        let (mut penalty, mut at_ns) = (Penalty::default(), 5 * SECOND);
        let lengths: Vec<u64> = (0..9)
            .map(|_| {
                let ttl_ns = penalty.begin(at_ns, &TERMS, JITTER_PERMILLE);
                assert!(penalty.stands(at_ns) && !penalty.stands(at_ns + ttl_ns));
                at_ns += ttl_ns + SECOND;
                ttl_ns / SECOND
            })
            .collect();
        assert_eq!(lengths, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]);
        assert_eq!(penalty.total, 9);
        at_ns += TERMS.remember_ns;
        assert_eq!(
            (penalty.repeats(at_ns, &TERMS), penalty.next_ns(at_ns, &TERMS)),
            (0, 60 * SECOND)
        );
    }

    #[test]
    fn the_first_is_exact_and_the_others_are_drawn_around() {
        let second = |draw| {
            let mut penalty = Penalty::default();
            assert_eq!(penalty.begin(0, &TERMS, draw), 60 * SECOND);
            penalty.begin(61 * SECOND, &TERMS, draw) / SECOND
        };
        assert_eq!([0, 100, 200, u32::MAX].map(second), [108, 120, 132, 132]);
    }

    #[test]
    fn an_extension_is_no_repetition() {
        let mut penalty = Penalty::default();
        penalty.begin(0, &TERMS, 0);
        assert_eq!(penalty.extend(10 * SECOND, &TERMS), 60 * SECOND);
        assert_eq!((penalty.until_ns, penalty.total), (70 * SECOND, 1));
        assert_eq!(penalty.repeats(71 * SECOND, &TERMS), 1);
        let shorter = Terms {
            block_for_ns: SECOND,
            at_most_ns: 5 * SECOND,
            ..TERMS
        };
        assert_eq!(
            penalty.extend(20 * SECOND, &shorter),
            5 * SECOND,
            "the most was lowered meanwhile"
        );
        penalty.end(21 * SECOND);
        assert!(!penalty.stands(21 * SECOND));
    }

    #[test]
    fn absurd_numbers_end() {
        let absurd = Penalty {
            in_row: u32::MAX,
            total: u64::MAX,
            begun_ns: u64::MAX,
            until_ns: u64::MAX,
        };
        let mut penalty = absurd.bounded(5, &TERMS);
        assert_eq!((penalty.begun_ns, penalty.until_ns), (5, 5 + TERMS.at_most_ns));
        assert_eq!(penalty.begin(u64::MAX - 1, &TERMS, 0), TERMS.block_for_ns);
        let mut always = Penalty {
            until_ns: 0,
            ..absurd
        };
        assert!(always.begin(1, &TERMS, 200) <= TERMS.at_most_ns);
    }
}
