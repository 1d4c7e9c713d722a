//! The hours of the week: one mean for each hour of the last five weeks, and what they have us expect, by decomposition into trend, day
//! and week (MSTL, Bandara and others 2021, over logarithms). Hours are those of UTC. It judges nothing.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use stlrs::MstlParams;

/// Seconds in an hour, and hours in a day, in a week, and that are kept.
const HOUR: u64 = 3_600;
const DAY: usize = 24;
const WEEK: usize = 168;
const KEPT: usize = 5 * WEEK;
/// Seconds of an hour that must have been learnt for it to count.
const LEARNT: u32 = 600;
/// The part of the hours that may be unknown: what was not learnt is taken from the day before.
const UNKNOWN: f64 = 0.25;
/// Hours that are foreseen.
const FORESEEN: usize = 26;
/// Of a normal distribution, how many deviations one in a hundred is above the mean.
const ONE_IN_HUNDRED: f64 = 2.33;
/// Hours over which the spread within an hour is averaged.
const SPREAD_OVER: f64 = 24.0;

/// Means of hours, as logarithms of one more than the number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Hours {
    /// The hour under way, counted since 1970.
    current: u64,
    seconds: u32,
    sum: f64,
    squares: f64,
    /// Those before it, the newest last; `None`: too little of it was learnt.
    means: VecDeque<Option<f32>>,
    /// The variance of seconds within an hour.
    within: f64,
}

/// What is expected of an hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    pub value: f64,
    /// What is seldom exceeded then.
    pub high: f64,
}

/// What is foreseen.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    first: u64,
    /// Logarithms.
    expected: Vec<f64>,
    deviation: f64,
    trend: Option<f64>,
}

impl Hours {
    /// Learns the value of a second.
    pub(super) fn learn(&mut self, value: f64, wall_s: u64) {
        let hour = wall_s / HOUR;
        if hour != self.current {
            self.turn(hour);
        }
        let log = value.ln_1p();
        self.seconds = self.seconds.saturating_add(1);
        self.sum += log;
        self.squares += log * log;
    }

    /// Ends the hour under way. A clock that was put back takes with it what was learnt after the time that it tells now: that
    /// was learnt at other hours than it seemed.
    fn turn(&mut self, hour: u64) {
        if hour < self.current {
            let after = usize::try_from(self.current - hour).unwrap_or(usize::MAX);
            self.means.truncate(self.means.len().saturating_sub(after));
        } else {
            self.close();
            let skipped = usize::try_from(hour - self.current - 1).unwrap_or(usize::MAX);
            if skipped >= KEPT {
                self.means.clear();
            } else if !self.means.is_empty() {
                self.means.extend(std::iter::repeat_n(None, skipped));
            }
            let beyond = self.means.len().saturating_sub(KEPT);
            self.means.drain(..beyond);
        }
        self.current = hour;
        (self.seconds, self.sum, self.squares) = (0, 0.0, 0.0);
    }

    fn close(&mut self) {
        if self.seconds < LEARNT {
            // What begins with nothing begins later.
            if !self.means.is_empty() {
                self.means.push_back(None);
            }
            return;
        }
        let seconds = f64::from(self.seconds);
        let mean = self.sum / seconds;
        let variance = (self.squares / seconds - mean * mean).max(0.0);
        let part = 1.0 / (self.known() as f64 + 1.0).min(SPREAD_OVER);
        self.within += part * (variance - self.within);
        // A thousandth is all that is sure.
        self.means
            .push_back(Some(((mean * 1_000.0).round() / 1_000.0) as f32));
    }

    /// Hours that are known.
    pub(super) fn known(&self) -> usize {
        self.means.iter().flatten().count()
    }

    /// Forgets what was learnt later than `wall_s`: the clock was ahead.
    pub(super) fn forget_after(&mut self, wall_s: u64) {
        if wall_s / HOUR < self.current {
            self.turn(wall_s / HOUR);
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        let numbers = [self.sum, self.squares, self.within];
        self.means.len() <= KEPT
            && numbers.into_iter().all(f64::is_finite)
            && self.means.iter().flatten().all(|mean| mean.is_finite())
    }

    /// What the hours so far have us expect of the next ones; `None` where fewer than two days are known.
    pub(super) fn forecast(&self) -> Option<Forecast> {
        let length = self.means.len();
        if length < 2 * DAY || ((length - self.known()) as f64) > UNKNOWN * length as f64 {
            return None;
        }
        let series = filled(&self.means)?;
        let periods: &[usize] = if length >= 2 * WEEK { &[DAY, WEEK] } else { &[DAY] };
        let fit = MstlParams::new().fit(&series, periods).ok()?;
        let deviation = deviation(fit.remainder()).hypot(self.within.max(0.0).sqrt());
        let trend = *fit.trend().last()?;
        let seasons = fit.seasonal().iter().zip(periods);
        let ahead = |hours: usize| {
            let season = |(season, period): (&Vec<f64>, &usize)| season[length - period + hours % period];
            (trend + seasons.clone().map(season).sum::<f64>()).max(0.0)
        };
        let expected: Vec<f64> = (0..FORESEEN).map(ahead).collect();
        let is_sound = expected
            .iter()
            .chain([&deviation])
            .all(|number| number.is_finite());
        let week_ago = fit.trend().len().checked_sub(WEEK + 1);
        is_sound.then(|| Forecast {
            first: self.current,
            expected,
            deviation,
            trend: week_ago.map(|ago| (trend - fit.trend()[ago]).exp_m1()),
        })
    }
}

impl Forecast {
    /// Of the hour at `wall_s`.
    pub(super) fn at(&self, wall_s: u64) -> Option<Expected> {
        let ahead = (wall_s / HOUR).checked_sub(self.first)?;
        let log = *self.expected.get(usize::try_from(ahead).ok()?)?;
        Some(Expected {
            value: log.exp_m1(),
            high: (log + ONE_IN_HUNDRED * self.deviation).exp_m1(),
        })
    }

    /// By what part the number grew within the last week; `None` while a week is not known.
    pub(super) fn trend_per_week(&self) -> Option<f64> {
        self.trend
    }
}

/// Unknown hours as they were a day before, else a day after, else as the known one before; `None` where none is known.
fn filled(means: &VecDeque<Option<f32>>) -> Option<Vec<f64>> {
    let mut series: Vec<f64> = Vec::with_capacity(means.len());
    let mut before = f64::from((*means.iter().flatten().next()?).max(0.0));
    for (index, mean) in means.iter().enumerate() {
        let day_before = index.checked_sub(DAY).map(|index| series[index]);
        let day_after = means.get(index + DAY).copied().flatten().map(f64::from);
        before = mean.map(f64::from).or(day_before).or(day_after).unwrap_or(before);
        series.push(before);
    }
    Some(series)
}

/// From the median absolute remainder, which few odd hours do not move.
fn deviation(remainder: &[f64]) -> f64 {
    let mut sizes: Vec<f64> = remainder.iter().map(|part| part.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    1.4826 * sizes.get(sizes.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that is asked more by day and less on the last two days of the week; by hour since 1970.
    fn rate(hour: u64) -> f64 {
        let day = (hour % DAY as u64) as f64 / DAY as f64 * std::f64::consts::TAU;
        let weekend = hour % WEEK as u64 >= 120;
        let by_day = 1_000.0 * (1.0 - 0.9 * day.cos());
        if weekend { by_day / 5.0 } else { by_day }
    }

    /// What so many hours were like, of which only enough seconds to count are learnt.
    fn hours(begin: u64, count: u64) -> Hours {
        growing(begin, count, 1.0)
    }

    /// The same, of a server that is asked so many times as much each week.
    fn growing(begin: u64, count: u64, times: f64) -> Hours {
        let mut hours = Hours::default();
        for hour in begin..begin + count {
            let grown = times.powf((hour - begin) as f64 / WEEK as f64);
            for second in 0..u64::from(LEARNT) {
                let jitter = 0.9 + 0.2 * (second % 11) as f64 / 10.0;
                hours.learn(rate(hour) * grown * jitter, hour * HOUR + second);
            }
        }
        hours.learn(rate(begin + count), (begin + count) * HOUR);
        hours
    }

    #[test]
    fn day_and_week_are_foreseen() {
        // Until the end of a weekend, on Monday at midnight.
        let begin = 100 * WEEK as u64;
        let forecast = hours(begin, 4 * WEEK as u64).forecast().expect("it is known");
        for ahead in 0..FORESEEN as u64 {
            let hour = begin + 4 * WEEK as u64 + ahead;
            let expected = forecast.at(hour * HOUR + 1_800).expect("it is foreseen");
            let wanted = rate(hour);
            assert!(
                (expected.value - wanted).abs() < 0.15 * wanted,
                "{expected:?} for {wanted}, {ahead} h ahead"
            );
            assert!(expected.high > 1.05 * expected.value && expected.high < 1.5 * expected.value);
        }
        assert_eq!(forecast.at(begin * HOUR), None, "it is past");
        assert_eq!(forecast.at(u64::MAX), None);
        assert!(
            forecast.trend_per_week().is_some_and(|trend| trend.abs() < 0.05),
            "{forecast:?}"
        );
    }

    #[test]
    fn growth_is_told_beside_days_and_weeks() {
        let begin = 100 * WEEK as u64;
        for weeks in [3, 5] {
            for (times, told) in [(1.2, 0.15..0.25), (0.8, -0.25..-0.15), (1.0, -0.05..0.05)] {
                let forecast = growing(begin, weeks * WEEK as u64, times).forecast();
                let trend = forecast.and_then(|forecast| forecast.trend_per_week());
                assert!(
                    trend.is_some_and(|trend| told.contains(&trend)),
                    "{trend:?} of {times} over {weeks} weeks"
                );
            }
        }
    }

    #[test]
    fn a_day_is_foreseen_after_two_and_nothing_before() {
        assert_eq!(hours(1_000_000, 47).forecast(), None);
        let begin = 1_000 * WEEK as u64;
        let forecast = hours(begin, 72).forecast().expect("three days are known");
        let noon = forecast.at((begin + 84) * HOUR).expect("it is foreseen");
        let night = forecast.at((begin + 72) * HOUR).expect("it is foreseen");
        assert!(noon.value > 10.0 * night.value, "{noon:?} {night:?}");
    }

    #[test]
    fn gaps_are_bridged_and_too_many_are_not() {
        let mut hours = hours(1_000 * WEEK as u64, 96);
        for index in [3, 30, 31, 32, 33, 34, 95] {
            hours.means[index] = None;
        }
        assert!(hours.forecast().is_some());
        hours.means.iter_mut().take(40).for_each(|mean| *mean = None);
        assert_eq!(hours.forecast(), None);
    }

    #[test]
    fn the_clock_may_jump() {
        let begin = 1_000_000;
        let mut jumped = hours(begin, 50);
        jumped.learn(1.0, (begin + 45) * HOUR);
        assert_eq!((jumped.known(), jumped.current), (45, begin + 45));
        jumped.learn(1.0, 0);
        assert_eq!((jumped.known(), jumped.current), (0, 0));
        let mut jumped = hours(begin, 50);
        for wall_s in [u64::MAX, 0, (begin + 1) * HOUR, u64::MAX - 1] {
            jumped.learn(1.0, wall_s);
            assert!(jumped.means.len() <= KEPT && jumped.is_sound());
        }
        let mut paused = hours(begin, 50);
        paused.learn(1.0, (begin + 60) * HOUR);
        assert_eq!((paused.known(), paused.means.len()), (50, 60));
        let mut ahead = hours(begin, 50);
        ahead.forget_after((begin + 20) * HOUR);
        assert_eq!(ahead.known(), 20);
        assert_eq!(hours(begin, 900).means.len(), KEPT);
    }
}
