//! What one service was sent in a stretch of time, and, where somebody reads that, how it answered. It says nothing of what is normal.

use netguard_common::telemetry::{Ended, ServiceTraffic};

use super::per_second;

/// What one service was sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceFeatures {
    /// Such as `tcp/80`.
    pub service: String,
    pub packets: f64,
    pub bytes: f64,
    /// Connections asked for.
    pub opening: f64,
    pub dropped: f64,
    /// How long the connections stood that ended, in the mean; `None` where none did, or nobody counts.
    pub duration_s: Option<f64>,
    /// What it was asked for over HTTP in the last whole second; `None` where that is not read.
    pub http: Option<HttpFeatures>,
}

/// What one service was asked for over HTTP, and how it answered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HttpFeatures {
    /// A second.
    pub requests: f64,
    /// Of a hundred answers, those by which the server says that it failed (5xx); `None` without answers.
    pub errors_percent: Option<f64>,
    /// The mean time until an answer began.
    pub response_ms: Option<f64>,
}

/// What is learnt of each service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceMetric {
    Packets,
    Bytes,
    Connections,
    /// Bytes of a packet, in the mean.
    Payload,
    /// Seconds that the connections stood which ended, in the mean.
    DurationS,
    Requests,
    ErrorsPercent,
    ResponseMs,
}

impl ServiceMetric {
    pub const ALL: [Self; 8] = [
        Self::Packets,
        Self::Bytes,
        Self::Connections,
        Self::Payload,
        Self::DurationS,
        Self::Requests,
        Self::ErrorsPercent,
        Self::ResponseMs,
    ];

    /// The word that people read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Bytes => "bytes",
            Self::Connections => "connections",
            Self::Payload => "payload",
            Self::DurationS => "duration-s",
            Self::Requests => "requests",
            Self::ErrorsPercent => "errors-percent",
            Self::ResponseMs => "response-ms",
        }
    }
}

impl ServiceFeatures {
    pub(super) fn of(name: &str, traffic: &ServiceTraffic, ended: Option<&Ended>, length_ns: u64) -> Self {
        Self {
            service: name.to_owned(),
            packets: per_second(traffic.packets, length_ns),
            bytes: per_second(traffic.bytes, length_ns),
            opening: per_second(traffic.opening, length_ns),
            dropped: per_second(traffic.dropped, length_ns),
            duration_s: ended.and_then(mean_s),
            http: None,
        }
    }

    /// The number of `metric`; `None` where it cannot be told.
    pub fn metric(&self, metric: ServiceMetric) -> Option<f64> {
        match metric {
            ServiceMetric::Packets => Some(self.packets),
            ServiceMetric::Bytes => Some(self.bytes),
            ServiceMetric::Connections => Some(self.opening),
            // Of no packets there is no size.
            ServiceMetric::Payload => (self.packets > 0.0).then(|| self.bytes / self.packets),
            ServiceMetric::DurationS => self.duration_s,
            ServiceMetric::Requests => self.http.map(|http| http.requests),
            ServiceMetric::ErrorsPercent => self.http?.errors_percent,
            ServiceMetric::ResponseMs => self.http?.response_ms,
        }
    }
}

/// Of no connections there is no duration.
fn mean_s(ended: &Ended) -> Option<f64> {
    (ended.connections > 0).then(|| ended.milliseconds as f64 / 1e3 / ended.connections as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_no_number() {
        let quiet = ServiceFeatures::default();
        let known = |service: &ServiceFeatures| ServiceMetric::ALL.map(|metric| service.metric(metric));
        let nought = Some(0.0);
        let of_packets = [nought; 3].into_iter().chain([None; 5]);
        assert!(known(&quiet).into_iter().eq(of_packets), "{:?}", known(&quiet));
        let asked = ServiceFeatures {
            packets: 10.0,
            bytes: 900.0,
            opening: 2.0,
            duration_s: Some(0.5),
            http: Some(HttpFeatures {
                requests: 4.0,
                errors_percent: Some(25.0),
                response_ms: Some(1.5),
            }),
            ..quiet
        };
        assert_eq!(
            known(&asked),
            [10.0, 900.0, 2.0, 90.0, 0.5, 4.0, 25.0, 1.5].map(Some)
        );
    }

    #[test]
    fn what_ended_tells_how_long_it_stood() {
        let traffic = ServiceTraffic {
            packets: 10,
            bytes: 900,
            opening: 2,
            dropped: 0,
        };
        for (ended, wanted) in [
            (Some((4, 6_000)), Some(1.5)),
            (Some((2, 0)), Some(0.0)),
            (Some((0, 0)), None),
            (None, None),
        ] {
            let ended = ended.map(|(connections, milliseconds)| Ended {
                connections,
                milliseconds,
            });
            // A mean has no length: half a second tells the same.
            for length_ns in [1_000_000_000, 500_000_000] {
                let service = ServiceFeatures::of("tcp/80", &traffic, ended.as_ref(), length_ns);
                assert_eq!(service.metric(ServiceMetric::DurationS), wanted, "{ended:?}");
            }
        }
    }
}
