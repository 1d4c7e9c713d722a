//! What is normal, as it is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::number::READY;
use crate::engine::feature::ServiceMetric;

/// From the median absolute deviation to the standard deviation of a normal distribution.
const MAD_TO_DEVIATION: f64 = 1.4826;

/// The numbers of a baseline.
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
    /// What detectors take it to exceed seldom now; `None` until enough was learnt.
    #[serde(default)]
    pub usual: Option<f64>,
    /// What this hour of the week has us expect, and seldom exceeds; `None` until two days are known.
    #[serde(default)]
    pub expected: Option<f64>,
    #[serde(default)]
    pub expected_high: Option<f64>,
    /// By what part it grew within a week, beside what days and weeks are like.
    #[serde(default)]
    pub trend_per_week: Option<f64>,
    /// Hours of the last five weeks that are known.
    #[serde(default)]
    pub hours: usize,
    /// How many deviations the last second was above normal, by median and median absolute deviation, which a few attacks that were
    /// learnt do not move; below, if negative. `None` until enough was learnt, and where that never changed from nought.
    #[serde(default)]
    pub z_score: Option<f64>,
}

impl Normal {
    /// Beside the value that there is now, if there is one.
    pub(in crate::engine) fn compare(&mut self, now: Option<f64>) {
        // What never changed may change by a hundredth.
        let deviation = (self.mad * MAD_TO_DEVIATION).max(self.median / 100.0);
        let is_known = self.learnt_s >= READY && deviation > 0.0;
        self.z_score = now
            .filter(|_| is_known)
            .map(|now| (now - self.median) / deviation)
            .filter(|score| score.is_finite());
    }
}

/// What is normal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NormalTraffic {
    /// By the name of the metric: rates per second, and evennesses from 0 to 1.
    pub totals: BTreeMap<String, Normal>,
    pub services: BTreeMap<String, NormalService>,
    /// The last second, by the name of the metric.
    #[serde(default)]
    pub now: BTreeMap<String, f64>,
    #[serde(default)]
    pub come_about: ComeAbout,
    /// How unusual the traffic is as a whole.
    #[serde(default)]
    pub unusual: NormalWhole,
}

/// The part of the connections that others ask for which comes about, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ComeAbout {
    /// In calm seconds; `None` where that says nothing.
    pub usual: Option<f64>,
    /// In the last second; `None` where none was asked for, or nobody counts.
    pub now: Option<f64>,
}

/// What is normal of a service, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NormalService {
    pub packets: Normal,
    pub bytes: Normal,
    /// Connections asked for.
    pub opening: Normal,
    /// Bytes of a packet in the mean of a second; `None` before there was any.
    #[serde(default)]
    pub payload: Option<Normal>,
    /// Seconds that the connections stood which ended in a second, in the mean; `None` before any did, and where nobody counts.
    #[serde(default)]
    pub duration_s: Option<Normal>,
    /// What follows is known where HTTP is read (`http.mode`): requests,
    #[serde(default)]
    pub requests: Option<Normal>,
    /// of a hundred answers those that are 5xx,
    #[serde(default)]
    pub errors_percent: Option<Normal>,
    /// and how long it took in the mean of a second until they began.
    #[serde(default)]
    pub response_ms: Option<Normal>,
    /// The last second.
    #[serde(default)]
    pub now: Option<NowService>,
}

impl NormalService {
    /// The number of `metric`, if it was learnt.
    pub(in crate::engine) fn number_mut(&mut self, metric: ServiceMetric) -> Option<&mut Normal> {
        match metric {
            ServiceMetric::Packets => Some(&mut self.packets),
            ServiceMetric::Bytes => Some(&mut self.bytes),
            ServiceMetric::Connections => Some(&mut self.opening),
            ServiceMetric::Payload => self.payload.as_mut(),
            ServiceMetric::DurationS => self.duration_s.as_mut(),
            ServiceMetric::Requests => self.requests.as_mut(),
            ServiceMetric::ErrorsPercent => self.errors_percent.as_mut(),
            ServiceMetric::ResponseMs => self.response_ms.as_mut(),
        }
    }
}

/// The last second of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NowService {
    pub packets: f64,
    pub bytes: f64,
    pub opening: f64,
    /// `None`: not known of this second.
    #[serde(default)]
    pub payload: Option<f64>,
    #[serde(default)]
    pub duration_s: Option<f64>,
    #[serde(default)]
    pub requests: Option<f64>,
    #[serde(default)]
    pub errors_percent: Option<f64>,
    #[serde(default)]
    pub response_ms: Option<f64>,
}

/// How unusual the numbers of a moment are together, as the outlier score says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NormalWhole {
    /// Of the last moment, and from where on it is unusual; `None` until enough was learnt.
    pub score: Option<f64>,
    pub threshold: Option<f64>,
    /// Which numbers made it so, those that did most first, with their part of the score.
    pub because: Vec<(String, f64)>,
    /// Calm moments that were learnt.
    pub learnt: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_those_of_what_was_learnt() {
        let normal = |learnt_s, median, mad| Normal {
            learnt_s,
            median,
            mad,
            ..Normal::default()
        };
        for (mut normal, now, wanted) in [
            (normal(READY, 100.0, 10.0), Some(129.652), Some(2.0)),
            (normal(READY, 100.0, 10.0), Some(85.174), Some(-1.0)),
            (normal(READY, 100.0, 0.0), Some(103.0), Some(3.0)),
            (normal(READY - 1, 100.0, 10.0), Some(1e6), None),
            (normal(READY, 0.0, 0.0), Some(7.0), None),
            (normal(READY, 100.0, 10.0), None, None),
        ] {
            normal.compare(now);
            let told = normal.z_score.map(|score| (score * 1e6).round() / 1e6);
            assert_eq!(told, wanted, "{now:?} {normal:?}");
        }
    }
}
