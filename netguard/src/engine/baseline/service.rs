//! What is normal of one service: of what it is sent, of how long its connections last, and, where somebody reads that, of how it answers. It
//! judges nothing.

use serde::{Deserialize, Serialize};

use super::{
    number::{Baseline, Changed},
    told::NormalService,
};
use crate::engine::feature::{ServiceFeatures, ServiceMetric};

/// What is normal of a service.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct ServiceBaseline {
    pub packets: Baseline,
    pub bytes: Baseline,
    pub opening: Baseline,
    /// What is not known of every service takes no room at the others, nor is it in files of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Baseline>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<Baseline>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Baseline>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors_percent: Option<Baseline>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_ms: Option<Baseline>,
    /// Seconds since it was last served.
    #[serde(default)]
    pub(super) idle_s: u64,
}

impl ServiceBaseline {
    /// Learns a calm second, as far as its numbers are known. Tells what has had another level for long.
    pub(super) fn learn(
        &mut self,
        second: &ServiceFeatures,
        wall_s: Option<u64>,
    ) -> Vec<(ServiceMetric, Changed)> {
        self.idle_s = 0;
        let known = ServiceMetric::ALL.map(|metric| (metric, second.metric(metric)));
        let known = known
            .into_iter()
            .filter_map(|(metric, value)| Some((metric, value?)));
        known
            .filter_map(|(metric, value)| Some((metric, self.number(metric).learn(value, wall_s)?)))
            .collect()
    }

    /// Those of its numbers that were learnt, always in the same order.
    pub(super) fn numbers(&self) -> impl Iterator<Item = (ServiceMetric, &Baseline)> {
        let numbers = [
            Some(&self.packets),
            Some(&self.bytes),
            Some(&self.opening),
            self.payload.as_ref(),
            self.duration_s.as_ref(),
            self.requests.as_ref(),
            self.errors_percent.as_ref(),
            self.response_ms.as_ref(),
        ];
        let numbers = ServiceMetric::ALL.into_iter().zip(numbers);
        numbers.filter_map(|(metric, number)| Some((metric, number?)))
    }

    /// As [`Self::numbers`].
    pub(super) fn numbers_mut(&mut self) -> impl Iterator<Item = &mut Baseline> {
        let numbers = [
            Some(&mut self.packets),
            Some(&mut self.bytes),
            Some(&mut self.opening),
            self.payload.as_mut(),
            self.duration_s.as_mut(),
            self.requests.as_mut(),
            self.errors_percent.as_mut(),
            self.response_ms.as_mut(),
        ];
        numbers.into_iter().flatten()
    }

    /// All of it, believed or not, at `wall_s` of the wall clock; without what is now.
    pub(super) fn normal(&self, wall_s: Option<u64>) -> NormalService {
        let told = |number: &Option<Baseline>| number.as_ref().map(|number| number.normal(wall_s));
        NormalService {
            packets: self.packets.normal(wall_s),
            bytes: self.bytes.normal(wall_s),
            opening: self.opening.normal(wall_s),
            payload: told(&self.payload),
            duration_s: told(&self.duration_s),
            requests: told(&self.requests),
            errors_percent: told(&self.errors_percent),
            response_ms: told(&self.response_ms),
            now: None,
        }
    }

    fn number(&mut self, metric: ServiceMetric) -> &mut Baseline {
        let number = match metric {
            ServiceMetric::Packets => return &mut self.packets,
            ServiceMetric::Bytes => return &mut self.bytes,
            ServiceMetric::Connections => return &mut self.opening,
            ServiceMetric::Payload => &mut self.payload,
            ServiceMetric::DurationS => &mut self.duration_s,
            ServiceMetric::Requests => &mut self.requests,
            ServiceMetric::ErrorsPercent => &mut self.errors_percent,
            ServiceMetric::ResponseMs => &mut self.response_ms,
        };
        number.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::feature::HttpFeatures;

    /// A second of a service that is asked for pages, or of one of which only packets are known.
    fn second(http: Option<HttpFeatures>) -> ServiceFeatures {
        ServiceFeatures {
            service: "tcp/80".to_owned(),
            packets: 60.0,
            bytes: 6_000.0,
            opening: 10.0,
            http,
            ..ServiceFeatures::default()
        }
    }

    fn pages(errors_percent: f64, response_ms: f64) -> ServiceFeatures {
        second(Some(HttpFeatures {
            requests: 20.0,
            errors_percent: Some(errors_percent),
            response_ms: Some(response_ms),
        }))
    }

    fn learn(baseline: &mut ServiceBaseline, second: &ServiceFeatures, seconds: usize) -> Vec<ServiceMetric> {
        let told = (0..seconds).flat_map(|_| baseline.learn(second, None));
        told.map(|(metric, _)| metric).collect()
    }

    #[test]
    fn what_is_known_is_learnt_and_nothing_else() {
        let mut baseline = ServiceBaseline::default();
        learn(&mut baseline, &second(None), 300);
        let normal = baseline.normal(None);
        assert!(
            normal
                .payload
                .is_some_and(|payload| (payload.median - 100.0).abs() < 2.0)
        );
        assert_eq!((normal.requests, normal.response_ms), (None, None));
        assert_eq!(baseline.numbers().count(), 4);
        learn(&mut baseline, &pages(0.5, 12.0), 300);
        let normal = baseline.normal(None);
        let median = [normal.requests, normal.errors_percent, normal.response_ms]
            .map(|told| told.map_or(0.0, |told| (told.median * 10.0).round() / 10.0));
        assert!((median[0] - 20.0).abs() < 0.5 && median[1] == 0.5, "{median:?}");
        assert!((median[2] - 12.0).abs() < 0.3, "{median:?}");
        // A second without answers is none in which they came at once.
        let silent = second(Some(HttpFeatures::default()));
        learn(&mut baseline, &silent, 10);
        let learnt = |number: Option<&Baseline>| number.map(Baseline::learnt_s);
        assert_eq!(learnt(baseline.requests.as_ref()), Some(310));
        assert_eq!(learnt(baseline.response_ms.as_ref()), Some(300));
        assert_eq!(
            (baseline.numbers().count(), baseline.numbers_mut().count()),
            (7, 7)
        );
    }

    #[test]
    fn how_long_connections_last_is_learnt_of_seconds_in_which_some_end() {
        let mut baseline = ServiceBaseline::default();
        let ends = |duration_s| ServiceFeatures {
            duration_s,
            ..pages(0.0, 5.0)
        };
        learn(&mut baseline, &ends(Some(2.5)), 300);
        learn(&mut baseline, &ends(None), 60);
        let normal = baseline.normal(None);
        let told = normal
            .duration_s
            .map(|told| (told.learnt_s, (told.median * 10.0).round()));
        assert_eq!(told, Some((300, 25.0)));
        assert_eq!(
            (baseline.numbers().count(), baseline.numbers_mut().count()),
            (8, 8)
        );
        let metrics: Vec<ServiceMetric> = baseline.numbers().map(|(metric, _)| metric).collect();
        assert_eq!(metrics, ServiceMetric::ALL);
        // Most of a day, then they are held: what is below a hundred is told only then.
        learn(&mut baseline, &ends(Some(2.5)), 70_000);
        let told = learn(&mut baseline, &ends(Some(60.0)), 700);
        assert_eq!(told, [ServiceMetric::DurationS]);
    }

    #[test]
    fn answers_that_fail_or_come_late_for_long_are_told() {
        let mut baseline = ServiceBaseline::default();
        // Most of a day: of what is below a hundred, ten minutes of less would be one second in a hundred before they are over.
        assert_eq!(learn(&mut baseline, &pages(0.1, 12.0), 70_000), []);
        assert_eq!(learn(&mut baseline, &pages(30.0, 12.0), 599), []);
        assert_eq!(
            learn(&mut baseline, &pages(30.0, 12.0), 1),
            [ServiceMetric::ErrorsPercent]
        );
        let late = learn(&mut baseline, &pages(30.0, 90.0), 700);
        assert_eq!(late, [ServiceMetric::ResponseMs]);
    }

    #[test]
    fn files_of_older_versions_are_read() {
        let mut baseline = ServiceBaseline::default();
        learn(&mut baseline, &second(None), 5);
        baseline.payload = None;
        let older = serde_json::to_string(&baseline).expect("it is JSON");
        assert!(
            ["payload", "duration_s", "requests"]
                .iter()
                .all(|number| !older.contains(number)),
            "{older}"
        );
        let mut back: ServiceBaseline = serde_json::from_str(&older).expect("it is read");
        learn(&mut back, &pages(1.0, 3.0), 1);
        let text = serde_json::to_string(&back).expect("it is JSON");
        let again: ServiceBaseline = serde_json::from_str(&text).expect("it is read");
        assert_eq!(again.normal(None), back.normal(None));
        assert!(again.response_ms.is_some_and(|ms| ms.learnt_s() == 1));
    }
}
