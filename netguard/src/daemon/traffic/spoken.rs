//! What services were asked for over HTTP in the last second, and how they answered, from what is heard of them. It listens to nothing.

use std::collections::BTreeMap;

use crate::engine::{
    feature::{HttpFeatures, ServiceFeatures},
    l7::Totals,
};

/// Two readings, a second apart.
#[derive(Default)]
pub(super) struct Spoken {
    /// By TCP port; `None` while it is not heard, or not all of it.
    before: Option<BTreeMap<u16, Totals>>,
    /// By name of the service, of the second before the last reading.
    now: BTreeMap<String, HttpFeatures>,
}

impl Spoken {
    /// Takes in what was said in all, `length_ns` after the last time.
    pub(super) fn take(&mut self, totals: Option<BTreeMap<u16, Totals>>, length_ns: u64) {
        self.now.clear();
        if let (Some(now), Some(before), true) = (&totals, &self.before, length_ns > 0) {
            let said = now.iter().filter(|(_, totals)| totals.is_http());
            let features = said.map(|(port, totals)| {
                let grown = totals.since(before.get(port).copied().unwrap_or_default());
                (format!("tcp/{port}"), features(grown, length_ns))
            });
            self.now = features.collect();
        }
        self.before = totals;
    }

    /// Completes what is known of `services`.
    pub(super) fn complete(&self, services: &mut [ServiceFeatures]) {
        for service in services {
            service.http = self.now.get(&service.service).copied();
        }
    }
}

fn features(grown: Totals, length_ns: u64) -> HttpFeatures {
    HttpFeatures {
        requests: grown.requests as f64 * 1e9 / length_ns as f64,
        errors_percent: grown.errors_percent(),
        response_ms: grown.response_ms(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn totals(requests: u64, answers: u64, errors: u64, waited_us: u64) -> Totals {
        Totals {
            requests,
            answers,
            errors,
            waited_us,
        }
    }

    fn told(spoken: &Spoken, name: &str) -> Option<HttpFeatures> {
        let mut services = [ServiceFeatures {
            service: name.to_owned(),
            ..ServiceFeatures::default()
        }];
        spoken.complete(&mut services);
        services[0].http
    }

    #[test]
    fn only_what_came_since_counts() {
        let mut spoken = Spoken::default();
        spoken.take(Some([(80, totals(500, 500, 90, 1_000_000))].into()), SECOND_NS);
        assert_eq!(told(&spoken, "tcp/80"), None, "since when is not known");
        let now = [
            (80, totals(520, 510, 91, 1_025_000)),
            // It began since.
            (8_080, totals(3, 0, 0, 0)),
            // Nothing but hellos of TLS.
            (443, totals(0, 0, 0, 0)),
        ];
        spoken.take(Some(now.into()), SECOND_NS / 2);
        assert_eq!(
            told(&spoken, "tcp/80"),
            Some(HttpFeatures {
                requests: 40.0,
                errors_percent: Some(10.0),
                response_ms: Some(2.5),
            })
        );
        assert_eq!(
            told(&spoken, "tcp/8080"),
            Some(HttpFeatures {
                requests: 6.0,
                ..HttpFeatures::default()
            })
        );
        assert_eq!((told(&spoken, "tcp/443"), told(&spoken, "udp/80")), (None, None));
        spoken.take(Some(now.into()), SECOND_NS);
        assert_eq!(
            told(&spoken, "tcp/80"),
            Some(HttpFeatures::default()),
            "a quiet second"
        );
    }

    /// A second of which half was not heard would be learnt as a quiet one, and the next as twice as busy.
    #[test]
    fn what_was_not_heard_is_not_told() {
        let mut spoken = Spoken::default();
        let reading = |requests| Some(BTreeMap::from([(80, totals(requests, 0, 0, 0))]));
        for (heard, is_told) in [
            (reading(10), false),
            (reading(20), true),
            (None, false),
            (reading(900), false),
            (reading(910), true),
        ] {
            spoken.take(heard, SECOND_NS);
            let told = told(&spoken, "tcp/80");
            assert_eq!(told.map(|told| told.requests), is_told.then_some(10.0));
        }
        spoken.take(reading(920), 0);
        assert_eq!(told(&spoken, "tcp/80"), None, "in no time");
    }
}
