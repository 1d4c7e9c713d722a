//! How much speaks against a source, from nothing to all that there is, and how that fades. Whole numbers only, so that every
//! machine comes to the same. It knows no evidence.

use serde::{Deserialize, Serialize};

/// A share of full suspicion, in millionths: 0 is neutral.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Level(u32);

impl Level {
    pub const NEUTRAL: Self = Self(0);
    const FULL: u32 = 1_000_000;

    /// So many hundredths of full suspicion, 100 at the most.
    pub const fn percent(percent: u32) -> Self {
        if percent >= 100 {
            return Self(Self::FULL);
        }
        Self(percent * (Self::FULL / 100))
    }

    /// What is left of it after `age_ns`: half after each half-life, and between two of them along a straight line.
    #[must_use]
    pub fn after(self, age_ns: u64, half_life_ns: u64) -> Self {
        let half_life_ns = half_life_ns.max(1);
        let halvings = u32::try_from(age_ns / half_life_ns).unwrap_or(u32::MAX);
        let Some(begun) = self.0.checked_shr(halvings) else {
            return Self::NEUTRAL;
        };
        let part = u128::from(age_ns % half_life_ns);
        let lost = u128::from(begun) * part / u128::from(half_life_ns) / 2;
        Self(begun - u32::try_from(lost).unwrap_or(begun).min(begun))
    }

    /// Both together: what one leaves of innocence the other takes its share of, so that it is never more than full.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let innocence = |level: Self| u64::from(Self::FULL - level.bounded().0);
        let left = innocence(self) * innocence(other) / u64::from(Self::FULL);
        Self(Self::FULL - u32::try_from(left).unwrap_or(Self::FULL))
    }

    /// The level, whatever was read from a file.
    #[must_use]
    pub fn bounded(self) -> Self {
        Self(self.0.min(Self::FULL))
    }

    /// From 0, neutral, to 100.
    pub fn score(self) -> u8 {
        let per_point = Self::FULL / 100;
        u8::try_from((self.bounded().0 + per_point / 2) / per_point).unwrap_or(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    #[test]
    fn it_halves_and_comes_to_nothing() {
        let after = |minutes: u64| Level::percent(80).after(minutes * MINUTE, 10 * MINUTE).score();
        assert_eq!(
            [0, 5, 10, 20, 30, 60].map(after),
            [80, 60, 40, 20, 10, 1],
            "a straight line between halvings"
        );
        assert_eq!(after(200), 0);
        assert_eq!(Level::percent(100).after(u64::MAX, 1), Level::NEUTRAL);
        assert_eq!(Level::percent(100).after(5, 0), Level::percent(100).after(5, 1));
    }

    #[test]
    fn it_never_rises_by_itself() {
        let mut before = Level::percent(97);
        for age in 0..5_000 {
            let now = Level::percent(97).after(age, 333);
            assert!(now <= before, "{age}");
            before = now;
        }
    }

    #[test]
    fn together_is_more_than_one_and_never_more_than_full() {
        let half = Level::percent(50);
        assert_eq!(half.with(half).score(), 75);
        assert_eq!(half.with(Level::NEUTRAL), half);
        let mut sum = Level::NEUTRAL;
        for _ in 0..1_000 {
            sum = sum.with(half);
        }
        assert_eq!(sum.score(), 100);
        assert_eq!(Level(u32::MAX).with(half).score(), 100);
        assert_eq!(Level(u32::MAX).score(), 100);
    }
}
