//! Baselines: what is normal, learnt second by second while nothing is attacked. They judge nothing.
//!
//! Quantiles come from sketches of the last day and the one before (DDSketch, Masson and others 2019: within 1 % of the value); mean and
//! deviation forget with a time constant of an hour.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};

use super::feature::{Features, Metric, ServiceFeatures};

/// Seconds that must have been learnt before a baseline is believed.
const READY: u64 = 300;
/// Seconds in a generation of sketches.
const GENERATION: u64 = 86_400;
/// The time constant of mean and deviation, in seconds.
const MEMORY: f64 = 3_600.0;
/// From the median absolute deviation to the standard deviation of a normal distribution.
const MAD_TO_DEVIATION: f64 = 1.4826;

/// What is normal of one number.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Baseline {
    learnt: u64,
    mean: f64,
    variance: f64,
    /// Values, and how far each was from the median of its time.
    values: Generations,
    deviations: Generations,
}

/// The sketch of this generation and of the one before, as far as there are any: an empty sketch has no form in JSON.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Generations(Vec<DDSketch>);

/// The numbers of a baseline, to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Normal {
    pub mean: f64,
    pub deviation: f64,
    pub median: f64,
    /// Median absolute deviation.
    pub mad: f64,
    pub p95: f64,
    pub p99: f64,
    /// Seconds that were learnt.
    pub learnt_s: u64,
}

impl Baseline {
    /// Learns the value of one second; what is no number is not learnt.
    pub fn learn(&mut self, value: f64) {
        if !value.is_finite() || value < 0.0 {
            return;
        }
        if self.learnt > 0 && self.learnt.is_multiple_of(GENERATION) {
            self.values.turn();
            self.deviations.turn();
        }
        // Every value counts alike until there are as many as the time constant.
        let part = 1.0 / (self.learnt as f64 + 1.0).min(MEMORY);
        let off = value - self.mean;
        self.mean += part * off;
        self.variance += part * (off * off * (1.0 - part) - self.variance);
        if let Some(median) = self.quantile(0.5) {
            self.deviations.add((value - median).abs());
        }
        self.values.add(value);
        self.learnt += 1;
    }

    /// Whether enough was learnt to be believed.
    pub fn is_ready(&self) -> bool {
        self.learnt >= READY
    }

    /// The value that so much of the time was not exceeded; `None` before anything was learnt.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        self.values.quantile(part)
    }

    /// How many deviations `value` is above normal, by median and median absolute deviation, which a few attacks that
    /// were learnt do not move; `None` until the baseline is ready.
    pub fn deviations_above(&self, value: f64) -> Option<f64> {
        let median = self.quantile(0.5).filter(|_| self.is_ready())?;
        let mad = self.deviations.quantile(0.5).unwrap_or(0.0);
        // What never changed may change by a hundredth.
        let deviation = (mad * MAD_TO_DEVIATION).max(median / 100.0).max(f64::EPSILON);
        Some((value - median) / deviation)
    }

    pub fn normal(&self) -> Normal {
        let quantile = |part| self.quantile(part).unwrap_or(0.0);
        Normal {
            mean: self.mean,
            deviation: self.variance.max(0.0).sqrt(),
            median: quantile(0.5),
            mad: self.deviations.quantile(0.5).unwrap_or(0.0),
            p95: quantile(0.95),
            p99: quantile(0.99),
            learnt_s: self.learnt,
        }
    }
}

impl Generations {
    fn add(&mut self, value: f64) {
        if self.0.is_empty() {
            self.0.push(DDSketch::new(Config::defaults()));
        }
        if let Some(newest) = self.0.last_mut() {
            newest.add(value);
        }
    }

    /// Begins a generation, and forgets the one before the last.
    fn turn(&mut self) {
        if self.0.len() > 1 {
            self.0.remove(0);
        }
        self.0.push(DDSketch::new(Config::defaults()));
    }

    /// Of both together.
    fn quantile(&self, part: f64) -> Option<f64> {
        let (first, rest) = self.0.split_first()?;
        if rest.is_empty() {
            return first.quantile(part).ok().flatten();
        }
        let mut both = first.clone();
        for sketch in rest {
            both.merge(sketch).ok()?;
        }
        both.quantile(part).ok().flatten()
    }
}

/// What is normal of all traffic together, and of each service.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Baselines {
    /// By [`Metric::name`].
    totals: BTreeMap<String, Baseline>,
    services: BTreeMap<String, ServiceBaseline>,
}

/// What is normal of a service.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct ServiceBaseline {
    pub packets: Baseline,
    pub bytes: Baseline,
    pub opening: Baseline,
}

/// What is normal, to be shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NormalTraffic {
    /// By the name of the metric: rates per second, and evennesses from 0 to 1.
    pub totals: BTreeMap<String, Normal>,
    pub services: BTreeMap<String, NormalService>,
}

/// What is normal of a service, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NormalService {
    pub packets: Normal,
    pub bytes: Normal,
    /// Connections asked for.
    pub opening: Normal,
}

/// Services that are remembered at the most.
const SERVICES: usize = 1_024;

impl Baselines {
    /// Learns one second, in which nothing was attacked.
    pub fn learn(&mut self, second: &Features) {
        for metric in Metric::ALL {
            if let Some(value) = second.metric(metric) {
                let baseline = self.totals.entry(metric.name().to_owned()).or_default();
                baseline.learn(value);
            }
        }
        for service in &second.services {
            if self.services.len() < SERVICES || self.services.contains_key(&service.service) {
                self.learn_service(service);
            }
        }
    }

    fn learn_service(&mut self, service: &ServiceFeatures) {
        let baseline = self.services.entry(service.service.clone()).or_default();
        baseline.packets.learn(service.packets);
        baseline.bytes.learn(service.bytes);
        baseline.opening.learn(service.opening);
    }

    /// Of all traffic; `None` while it is not to be believed.
    pub fn total(&self, metric: Metric) -> Option<&Baseline> {
        self.totals
            .get(metric.name())
            .filter(|baseline| baseline.is_ready())
    }

    /// All of it, believed or not.
    pub fn normal(&self) -> NormalTraffic {
        let service = |baseline: &ServiceBaseline| NormalService {
            packets: baseline.packets.normal(),
            bytes: baseline.bytes.normal(),
            opening: baseline.opening.normal(),
        };
        let totals = self.totals.iter();
        let services = self.services.iter();
        NormalTraffic {
            totals: totals
                .map(|(name, baseline)| (name.clone(), baseline.normal()))
                .collect(),
            services: services
                .map(|(name, baseline)| (name.clone(), service(baseline)))
                .collect(),
        }
    }

    pub fn service(&self, name: &str) -> Option<&ServiceBaseline> {
        self.services.get(name)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use netguard_common::telemetry::Kind;

    use super::*;
    use crate::engine::feature::tests::second;

    /// Learnt from ten minutes like `usual`.
    pub(in crate::engine) fn learnt(usual: &[(Kind, u64)]) -> Baselines {
        let mut baselines = Baselines::default();
        for index in 0..600_u64 {
            let kinds: Vec<_> = usual
                .iter()
                .map(|(kind, packets)| (*kind, packets * (90 + index % 21) / 100))
                .collect();
            baselines.learn(&second(&kinds, &[]));
        }
        baselines
    }

    #[test]
    fn quantiles_mean_and_deviation_are_those_of_the_values() {
        let mut baseline = Baseline::default();
        for value in 0..1_000 {
            baseline.learn(f64::from(value));
        }
        let normal = baseline.normal();
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
        for _ in 0..READY - 1 {
            baseline.learn(10.0);
        }
        assert_eq!(baseline.deviations_above(1e6), None);
        baseline.learn(10.0);
        assert!(
            baseline
                .deviations_above(1e6)
                .is_some_and(|above| above > 1_000.0)
        );
        assert!(
            baseline
                .deviations_above(10.0)
                .is_some_and(|above| above.abs() < 3.0)
        );
    }

    #[test]
    fn what_is_no_number_is_not_learnt_and_a_day_is_forgotten_after_two() {
        let mut baseline = Baseline::default();
        for value in [f64::NAN, f64::INFINITY, -1.0] {
            baseline.learn(value);
        }
        assert_eq!(baseline.normal(), Normal::default());
        for day in [1.0, 2.0, 3.0] {
            for _ in 0..GENERATION {
                baseline.learn(day * 1_000.0);
            }
        }
        assert!(baseline.quantile(0.0).is_some_and(|least| least > 1_900.0));
    }

    #[test]
    fn baselines_come_back_from_json() -> Result<(), serde_json::Error> {
        let baselines = learnt(&[(Kind::Udp, 1_000)]);
        let text = serde_json::to_string(&baselines)?;
        let back: Baselines = serde_json::from_str(&text)?;
        let normal = |baselines: &Baselines| baselines.total(Metric::Udp).map(Baseline::normal);
        assert!(normal(&back).is_some());
        assert_eq!(normal(&back), normal(&baselines));
        Ok(())
    }
}
