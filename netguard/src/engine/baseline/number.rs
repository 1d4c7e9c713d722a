//! What is normal of one number: its quantiles, mean and deviation, its hours of the week; and how fast that may rise. It judges nothing.
//!
//! Quantiles are of the last day that was learnt and of the one before; mean and deviation forget with a time constant of an hour.

mod above;

use serde::{Deserialize, Serialize};

use super::{
    hours::{Expected, Forecast, Hours},
    room::Room,
    shift::{Level, Shift},
    sketches::{Generations, LARGEST},
    told::Normal,
};

/// Seconds that must have been learnt before a baseline is believed.
pub(super) const READY: u64 = 300;
/// Seconds in a generation of sketches.
const GENERATION: u64 = 86_400;
/// The time constant of mean and deviation, in seconds.
const MEMORY: f64 = 3_600.0;
/// Seconds for which quantiles are remembered: to find them costs more than to learn a value.
const REFRESH: u64 = 60;

/// Up to here all is learnt as it is: no attack is that small.
const FREE: f64 = 100.0;
/// How far above its level a number that has shifted is seldom, at least and at most.
const SPREAD: (f64, f64) = (1.2, 3.0);

/// What is normal of one number.
#[derive(Clone, Serialize, Deserialize)]
pub struct Baseline {
    learnt: u64,
    mean: f64,
    variance: f64,
    /// Values, and how far each was from the median of its time.
    values: Generations,
    deviations: Generations,
    known: Known,
    room: Room,
    shift: Shift,
    raised: Option<Raised>,
    hours: Hours,
    #[serde(skip)]
    forecast: Option<Forecast>,
}

/// Quantiles as of the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) p01: f64,
    pub(super) median: f64,
    pub(super) p99: f64,
}

/// What is seldom exceeded since a shift, until quantiles say so themselves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Raised {
    usual: f64,
    until: u64,
}

/// A number has another level than it used to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Changed {
    /// What it seldom exceeded, or, if it fell, seldom fell below.
    pub before: f64,
    /// Its level now.
    pub level: f64,
    /// What it is taken to exceed seldom from now on.
    pub usual: f64,
}

impl Default for Baseline {
    fn default() -> Self {
        Self {
            learnt: 0,
            mean: 0.0,
            variance: 0.0,
            values: Generations::default(),
            deviations: Generations::default(),
            known: Known::default(),
            room: Room::default(),
            shift: Shift::default(),
            raised: None,
            hours: Hours::default(),
            forecast: None,
        }
    }
}

impl Baseline {
    /// Learns the value of one calm second, at `wall_s` of the wall clock, if that is known; what is no number is not learnt. Tells
    /// when the number has had another level for long.
    pub fn learn(&mut self, value: f64, wall_s: Option<u64>) -> Option<Changed> {
        if !value.is_finite() || value < 0.0 {
            return None;
        }
        let value = value.min(LARGEST);
        if self.learnt > 0 && self.learnt.is_multiple_of(GENERATION) {
            self.values.turn();
            self.deviations.turn();
        }
        self.room.refill(self.learnt < GENERATION);
        let changed = self.follow(value);
        let value = self.bounded(value);
        // Every value counts alike until there are as many as the time constant.
        let part = 1.0 / (self.learnt as f64 + 1.0).min(MEMORY);
        let off = value - self.mean;
        self.mean += part * off;
        self.variance += part * (off * off * (1.0 - part) - self.variance);
        if self.learnt > 0 {
            self.deviations.add((value - self.known.median).abs());
        }
        self.values.add(value);
        if let Some(wall_s) = wall_s {
            self.hours.learn(value, wall_s);
        }
        self.learnt += 1;
        if self.learnt < READY || self.learnt.is_multiple_of(REFRESH) {
            self.look();
        }
        changed
    }

    /// A second came that is not learnt.
    pub(super) fn interrupt(&mut self) {
        self.shift.interrupt();
    }

    fn look(&mut self) {
        let found = self.values.quantiles([0.01, 0.5, 0.99]);
        let [p01, median, p99] = found.map(Option::unwrap_or_default);
        self.known = Known { p01, median, p99 };
        self.raised = self.raised.filter(|raised| raised.until > self.learnt);
    }

    /// Whether `value` completes a shift. One upwards is believed as far as there is room; one downwards is only told: the same
    /// would be seen if a line were cut, and what was usual comes back with it.
    fn follow(&mut self, value: f64) -> Option<Changed> {
        if !self.is_ready() {
            return None;
        }
        let seldom = self.seldom();
        let known = Known {
            p99: seldom,
            ..self.known
        };
        match self.shift.look(value, &known)? {
            Level::Down(level) => Some(Changed {
                before: self.known.p01,
                level,
                usual: seldom,
            }),
            Level::Up(level) => {
                let spread = seldom / self.known.median.max(f64::MIN_POSITIVE);
                let wanted = level * spread.clamp(SPREAD.0, SPREAD.1);
                let usual = self.room.jump(wanted, self.highest());
                self.raised = Some(Raised {
                    usual,
                    until: self.learnt + 2 * GENERATION,
                });
                Some(Changed {
                    before: seldom,
                    level,
                    usual,
                })
            }
        }
    }

    /// `value`, or what of it may be learnt: who raises a number slowly to have it taken for normal needs days.
    fn bounded(&mut self, value: f64) -> f64 {
        let highest = self.highest();
        if !self.is_ready() || value <= highest {
            return value;
        }
        self.room.creep(value, highest)
    }

    /// The highest that was ever learnt.
    fn highest(&self) -> f64 {
        let raised = self.raised.map_or(0.0, |raised| raised.usual);
        self.values.highest().max(raised).max(FREE)
    }

    /// What is seldom exceeded at whatever time.
    fn seldom(&self) -> f64 {
        self.known.p99.max(self.raised.map_or(0.0, |raised| raised.usual))
    }

    /// Whether enough was learnt to be believed.
    pub fn is_ready(&self) -> bool {
        self.learnt >= READY
    }

    /// Seconds that were learnt.
    pub fn learnt_s(&self) -> u64 {
        self.learnt
    }

    /// The value that so much of the time was not exceeded; `None` before anything was learnt.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        self.values.quantile(part)
    }

    /// What is seldom exceeded at `wall_s` of the wall clock, if that is known: what the hour of the week has us expect, where that
    /// was learnt, but no less than half of what one second in a hundred exceeds; else that. `None` until the baseline is ready.
    pub fn usual(&self, wall_s: Option<u64>) -> Option<f64> {
        let seldom = self.is_ready().then(|| self.seldom())?;
        Some(match self.expected(wall_s) {
            Some(expected) => expected.high.max(seldom / 2.0),
            None => seldom,
        })
    }

    /// What the hour of the week has us expect at `wall_s`.
    pub fn expected(&self, wall_s: Option<u64>) -> Option<Expected> {
        self.forecast.as_ref()?.at(wall_s?)
    }

    pub(super) fn hours(&self) -> &Hours {
        &self.hours
    }

    pub(super) fn hours_mut(&mut self) -> &mut Hours {
        &mut self.hours
    }

    pub(super) fn foresee(&mut self, forecast: Option<Forecast>) {
        self.forecast = forecast;
    }

    /// Whether all of it can have been learnt.
    pub(super) fn is_sound(&self) -> bool {
        let Known { p01, median, p99 } = self.known;
        let raised = self.raised.map_or(0.0, |raised| raised.usual);
        let numbers = [self.mean, self.variance, p01, median, p99, raised];
        numbers.into_iter().all(f64::is_finite) && self.room.is_sound() && self.hours.is_sound()
    }

    /// Its numbers, at `wall_s` of the wall clock.
    pub fn normal(&self, wall_s: Option<u64>) -> Normal {
        let found = self.values.quantiles([0.5, 0.95, 0.99]);
        let [median, p95, p99] = found.map(Option::unwrap_or_default);
        let expected = self.expected(wall_s);
        Normal {
            mean: self.mean,
            deviation: self.variance.max(0.0).sqrt(),
            median,
            mad: self.deviations.quantile(0.5).unwrap_or(0.0),
            p95,
            p99,
            learnt_s: self.learnt,
            usual: self.usual(wall_s),
            expected: expected.map(|expected| expected.value),
            expected_high: expected.map(|expected| expected.high),
            trend_per_week: self.forecast.as_ref().and_then(Forecast::trend_per_week),
            hours: self.hours.known(),
            z_score: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(baseline: &mut Baseline, seconds: u64, value: f64) -> Vec<Changed> {
        (0..seconds).filter_map(|_| baseline.learn(value, None)).collect()
    }

    #[test]
    fn quantiles_mean_and_deviation_are_those_of_the_values() {
        let mut baseline = Baseline::default();
        // In an order in which none is much higher than what came before.
        for value in (0..1_000).rev() {
            baseline.learn(f64::from(value), None);
        }
        let normal = baseline.normal(None);
        let near = |found: f64, wanted: f64| (found - wanted).abs() < 0.02 * wanted;
        assert!(near(normal.p95, 950.0) && near(normal.p99, 990.0), "{normal:?}");
        assert!(
            near(normal.mean, 499.5) && near(normal.deviation, 288.7),
            "{normal:?}"
        );
        assert!(near(normal.median, 500.0), "{normal:?}");
    }

    #[test]
    fn nothing_is_believed_too_early() {
        let mut baseline = Baseline::default();
        learn(&mut baseline, READY - 1, 10.0);
        assert!(baseline.usual(None).is_none() && !baseline.is_ready());
        learn(&mut baseline, 1, 10.0);
        assert!(
            baseline
                .usual(None)
                .is_some_and(|usual| (usual - 10.0).abs() < 0.2)
        );
    }

    #[test]
    fn what_is_no_number_is_not_learnt_and_a_day_is_forgotten_after_two() {
        let mut baseline = Baseline::default();
        for value in [f64::NAN, f64::INFINITY, -1.0] {
            baseline.learn(value, Some(u64::MAX));
        }
        assert_eq!(baseline.normal(None), Normal::default());
        for day in [3.0, 2.0, 1.0] {
            learn(&mut baseline, GENERATION, day * 1_000.0);
        }
        assert!(baseline.quantile(1.0).is_some_and(|most| most < 2_100.0));
    }

    /// A customer moved in: ten minutes later that is normal, and told once.
    #[test]
    fn what_lasts_is_taken_for_normal_and_told() {
        let mut baseline = Baseline::default();
        learn(&mut baseline, 3 * GENERATION, 1_000.0);
        assert_eq!(learn(&mut baseline, 599, 5_000.0), []);
        assert!(baseline.usual(None) < Some(1_200.0));
        let told = learn(&mut baseline, 3_000, 5_000.0);
        let [changed] = told[..] else {
            panic!("it is told once: {told:?}")
        };
        assert!(
            (changed.level - 5_000.0).abs() < 50.0 && changed.before < 1_050.0,
            "{changed:?}"
        );
        assert!(
            baseline
                .usual(None)
                .is_some_and(|usual| (4_900.0..8_100.0).contains(&usual)),
            "{changed:?}"
        );
        learn(&mut baseline, 3 * GENERATION, 5_000.0);
        assert!(baseline.usual(None).is_some_and(|usual| usual < 5_200.0));
    }

    #[test]
    fn what_falls_is_told_and_nothing_forgotten() {
        let mut baseline = Baseline::default();
        learn(&mut baseline, 3 * GENERATION, 1_000.0);
        let told = learn(&mut baseline, 1_200, 0.0);
        assert!(matches!(told[..], [changed] if changed.level < 1.0), "{told:?}");
        assert!(baseline.usual(None) > Some(980.0));
        assert_eq!(
            learn(&mut baseline, 3_600, 1_000.0),
            [],
            "what comes back is no change"
        );
    }

    /// However an attacker raises its rate: eightfold at once, and then twice in eight hours.
    #[test]
    fn who_raises_a_rate_slowly_needs_days() {
        let bound = |hours: f64| 1_000.0 * (3.0 + hours / 8.0).exp2() * 1.03;
        for step in [1.000_05, 1.001, 1.1, 2.0, 100.0] {
            let mut baseline = Baseline::default();
            learn(&mut baseline, 3 * GENERATION, 1_000.0);
            let mut rate = 1_000.0;
            for minute in 1..=2_880_u32 {
                // As fast as it can without being seen: just below what is suspicious.
                let most = 4.9 * baseline.usual(None).expect("it is ready");
                for _ in 0..60 {
                    rate = f64::min(rate * step, most);
                    baseline.learn(rate, None);
                }
                let hours = f64::from(minute) / 60.0;
                let usual = baseline.usual(None).expect("it is ready");
                assert!(
                    usual <= bound(hours),
                    "{usual} after {hours} h in steps of {step}"
                );
            }
        }
    }
}
