//! What is normal, as it is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// How unusual the traffic is as a whole.
    #[serde(default)]
    pub unusual: NormalWhole,
}

/// What is normal of a service, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NormalService {
    pub packets: Normal,
    pub bytes: Normal,
    /// Connections asked for.
    pub opening: Normal,
    /// The last second.
    #[serde(default)]
    pub now: Option<NowService>,
}

/// The last second of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NowService {
    pub packets: f64,
    pub bytes: f64,
    pub opening: f64,
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
