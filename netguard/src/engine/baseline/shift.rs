//! Shifts: when a number lies outside of what it used to be, for long and without a break (CUSUM, Page 1954, over logarithms). What
//! becomes of it, its baseline says.

use serde::{Deserialize, Serialize};

use super::number::Known;

/// How much beyond its usual bounds a value must be to speak for a shift: the logarithm of 1.25.
const SLACK: f64 = 0.223;
/// A single second speaks no louder than this.
const LOUDEST: f64 = 1.0;
/// The sum that is a shift, and the seconds that it must take at least.
const ENOUGH: f64 = 60.0;
const LASTS: u32 = 600;
/// Seconds after one in which no other is told.
const RESTS: u32 = 3_600;

/// What speaks for a shift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Shift {
    up: Run,
    down: Run,
    rests: u32,
}

/// Seconds on one side of the usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Run {
    sum: f64,
    seconds: u32,
    /// Of logarithms of one more than the values.
    logs: f64,
}

/// The level that a number has now, the geometric mean over the shift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Level {
    Up(f64),
    Down(f64),
}

impl Shift {
    /// Takes in the value of a second.
    pub(super) fn look(&mut self, value: f64, known: &Known) -> Option<Level> {
        // Of numbers below one nobody minds the difference.
        let log = value.ln_1p();
        let up = self.up.add(log - known.p99.ln_1p(), log);
        let down = self.down.add(known.p01.ln_1p() - log, log);
        self.rests = self.rests.saturating_sub(1);
        let level = match (up, down) {
            (Some(level), _) => Level::Up(level),
            (_, Some(level)) => Level::Down(level),
            _ => return None,
        };
        let rests = self.rests > 0;
        *self = Self {
            rests: if rests { self.rests } else { RESTS },
            ..Self::default()
        };
        (!rests).then_some(level)
    }

    /// What was seen so far does not last without a break.
    pub(super) fn interrupt(&mut self) {
        (self.up, self.down) = Default::default();
    }
}

impl Run {
    fn add(&mut self, beyond: f64, log: f64) -> Option<f64> {
        self.sum += (beyond - SLACK).clamp(-LOUDEST, LOUDEST);
        if self.sum <= 0.0 {
            *self = Self::default();
            return None;
        }
        self.seconds += 1;
        self.logs += log;
        (self.seconds >= LASTS && self.sum >= ENOUGH)
            .then(|| (self.logs / f64::from(self.seconds)).exp_m1().max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Known = Known {
        p01: 50.0,
        median: 100.0,
        p99: 200.0,
    };

    /// The second in which a shift was found, and its level.
    fn found(values: impl IntoIterator<Item = f64>) -> Option<(usize, Level)> {
        let mut shift = Shift::default();
        let mut values = values.into_iter().enumerate();
        values.find_map(|(second, value)| Some((second + 1, shift.look(value, &KNOWN)?)))
    }

    #[test]
    fn what_lasts_is_a_shift_and_a_burst_is_none() {
        let Some((600, Level::Up(level))) = found((0..2_000).map(|_| 800.0)) else {
            panic!("it is found after ten minutes")
        };
        assert!((level - 800.0).abs() < 1.0, "{level}");
        assert!(matches!(
            found((0..2_000).map(|_| 10.0)),
            Some((600, Level::Down(_)))
        ));
        let bursts = (0..20_000).map(|second| if second % 600 < 200 { 1e9 } else { 100.0 });
        assert_eq!(found(bursts), None);
        assert_eq!(found((0..20_000).map(|_| 240.0)), None, "nearly as ever");
        assert_eq!(found((0..20_000).map(|_| 60.0)), None);
    }

    #[test]
    fn a_break_begins_it_anew_and_it_is_told_once_an_hour() {
        let mut shift = Shift::default();
        for second in 0..1_100 {
            if second == 550 {
                shift.interrupt();
            }
            assert_eq!(shift.look(800.0, &KNOWN), None, "{second}");
        }
        let told = (0..7_200).filter(|_| shift.look(800.0, &KNOWN).is_some()).count();
        assert_eq!(told, 2);
    }
}
