//! The capture's clock: begins at the same moment in each replay, never goes backwards, and can be made faster or slower. It is exact,
//! where the kernel's stands still between ticks (4 ms on many machines): the same on every machine.

use std::str::FromStr;

/// When every replay begins, ns. Long after boot, as on a machine that runs: times of 0 are long ago then.
pub(super) const BEGIN_NS: u64 = 1_000_000 * 1_000_000_000;
/// Longer than anybody captures; rules that end can be told until then.
const LONGEST_NS: u64 = 50 * 365 * 86_400 * 1_000_000_000;
const UNIT: u64 = 1_000_000;

/// How many times as fast as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    millionths: u64,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no speed: write a number from 0.000001 to 1000000, such as 10 or 0.5")]
pub struct SpeedError(String);

impl Default for Speed {
    fn default() -> Self {
        Self { millionths: UNIT }
    }
}

impl FromStr for Speed {
    type Err = SpeedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text
            .parse::<f64>()
            .ok()
            .filter(|number| (1e-6..=1e6).contains(number));
        let number = number.ok_or_else(|| SpeedError(text.to_owned()))?;
        Ok(Self {
            millionths: (number * UNIT as f64).round() as u64,
        })
    }
}

/// The time of a replay.
pub(super) struct Clock {
    speed: Speed,
    first_ns: Option<u64>,
    now_ns: u64,
    /// Frames that were captured before the one before them, or said so.
    pub(super) backwards: u64,
    /// Frames without a time.
    pub(super) untimed: u64,
}

impl Clock {
    pub(super) const fn new(speed: Speed) -> Self {
        Self {
            speed,
            first_ns: None,
            now_ns: BEGIN_NS,
            backwards: 0,
            untimed: 0,
        }
    }

    /// The time of a frame that was captured at `at_ns`.
    pub(super) fn at(&mut self, at_ns: Option<u64>) -> u64 {
        let Some(at_ns) = at_ns else {
            self.untimed += 1;
            return self.now_ns;
        };
        let first_ns = *self.first_ns.get_or_insert(at_ns);
        let since = u128::from(at_ns.saturating_sub(first_ns)) * u128::from(UNIT);
        let since = since / u128::from(self.speed.millionths);
        let since = u64::try_from(since).map_or(LONGEST_NS, |since| since.min(LONGEST_NS));
        let at_ns_here = BEGIN_NS + since;
        if at_ns < first_ns || at_ns_here < self.now_ns {
            self.backwards += 1;
        }
        self.now_ns = self.now_ns.max(at_ns_here);
        self.now_ns
    }

    /// `now_ns` of the replay by the clock of the capture, seconds since 1970: it began then, and goes as fast as all else. `None` before
    /// a frame had a time.
    pub(super) fn wall_s(&self, now_ns: u64) -> Option<u64> {
        let since_ns = now_ns.saturating_sub(BEGIN_NS);
        Some(self.first_ns?.saturating_add(since_ns) / 1_000_000_000)
    }

    /// Since the first frame.
    pub(super) const fn elapsed_ns(&self) -> u64 {
        self.now_ns - BEGIN_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_scaled_and_never_goes_back() {
        let mut clock = Clock::new("10".parse().unwrap());
        let first = 1_700_000_000_000_000_000;
        assert_eq!((clock.at(None), clock.wall_s(BEGIN_NS)), (BEGIN_NS, None));
        assert_eq!(clock.at(Some(first)), BEGIN_NS);
        assert_eq!(clock.wall_s(BEGIN_NS + 7_000_000_000), Some(1_700_000_007));
        assert_eq!(clock.at(Some(first + 1_000)), BEGIN_NS + 100);
        assert_eq!(clock.at(Some(first + 500)), BEGIN_NS + 100);
        assert_eq!(clock.at(Some(first - 500)), BEGIN_NS + 100);
        assert_eq!(clock.at(Some(0)), BEGIN_NS + 100);
        assert_eq!(clock.at(None), BEGIN_NS + 100);
        assert_eq!((clock.backwards, clock.untimed, clock.elapsed_ns()), (3, 2, 100));
        assert_eq!(clock.at(Some(u64::MAX)), BEGIN_NS + LONGEST_NS);
        let mut slow = Clock::new("0.000001".parse().unwrap());
        slow.at(Some(0));
        assert_eq!(slow.at(Some(u64::MAX)), BEGIN_NS + LONGEST_NS);
    }

    #[test]
    fn speeds_are_numbers_within_reason() {
        assert_eq!("1".parse(), Ok(Speed::default()));
        for text in ["0", "-1", "nan", "inf", "fast", "", "1e9", "0.0000001"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }
}
