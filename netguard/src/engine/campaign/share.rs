//! Share: how many of the packets that passed were looked at. One in eight is, and fewer where many pass: whoever reads what was seen of a probe must
//! know of how much.

use std::{
    collections::VecDeque,
    ops::{Add, Sub},
};

use netguard_common::{Action, Verdict};

/// How far back it is known: as far as probes are looked for.
const BACK_NS: u64 = super::probing::BACK_NS;
/// Moments that are kept, one a second.
const KEPT: usize = 302;

/// Packets that passed, and those of them that were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub looked_at: u64,
    pub passed: u64,
}

impl Share {
    /// Takes in the verdict of a packet that was looked at.
    pub(super) fn look_at(&mut self, verdict: Verdict) {
        self.looked_at += u64::from(verdict.action() == Action::Pass);
    }
}

impl Sub for Share {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            looked_at: self.looked_at.saturating_sub(before.looked_at),
            passed: self.passed.saturating_sub(before.passed),
        }
    }
}

impl Add for Share {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            looked_at: self.looked_at.saturating_add(more.looked_at),
            passed: self.passed.saturating_add(more.passed),
        }
    }
}

/// The sums of the last minutes.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares {
    /// All of it.
    pub(super) sum: Share,
    /// What the sum was, and when; the newest last.
    moments: VecDeque<(u64, Share)>,
}

impl Shares {
    /// Remembers what it comes to at `now_ns`, once a second.
    pub(super) fn mark(&mut self, now_ns: u64) {
        self.moments.push_back((now_ns, self.sum));
        // A clock that jumped back leaves nothing behind that never goes.
        self.moments
            .retain(|(at_ns, _)| *at_ns <= now_ns && now_ns - at_ns <= BACK_NS);
        while self.moments.len() > KEPT {
            self.moments.pop_front();
        }
    }

    /// What it came to at `at_ns`, or at the first moment after it that is known.
    pub(super) fn at(&self, at_ns: u64) -> Share {
        let before = self.moments.iter().rev().find(|(then_ns, _)| *then_ns <= at_ns);
        let known = before.or(self.moments.front());
        known.map_or(self.sum, |(_, sum)| *sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_passed_since_a_moment_is_told_and_what_was_dropped_is_none_of_it() {
        let mut shares = Shares::default();
        for at_s in 1_000..1_500 {
            for verdict in [Verdict::Pass, Verdict::PassAllow, Verdict::LimitSyn] {
                shares.sum.look_at(verdict);
            }
            shares.sum.passed += 16;
            shares.mark(at_s * SECOND);
        }
        let since = |at_s: u64| {
            let share = shares.sum - shares.at(at_s * SECOND);
            (share.looked_at, share.passed)
        };
        assert_eq!(since(1_489), (20, 160));
        assert_eq!(since(1_499), (0, 0));
        assert_eq!(since(7), (600, 4_800), "as far back as is known");
        assert!(shares.moments.len() <= KEPT);
        shares.mark(7);
        assert_eq!(shares.moments.len(), 1);
        assert_eq!(Shares::default().at(7), Share::default());
    }
}
