//! Detector: connections that are taken and kept. Far more stand than usual, and next to nothing is sent over them; a crowd that comes to be served
//! sends. By few sources it is exhaustion, by far more than usual it is low and slow: each of them does nothing that a limit would
//! notice.

use super::{Class, Evidence, Suspicion, usually};
use crate::engine::{Baselines, Features, feature::Metric};

/// Connections below which it is none.
const FLOOR: f64 = 200.0;
/// So many times the number that is seldom exceeded is suspicious.
const FACTOR: f64 = 2.0;
/// Segments a second and connection below which nothing is done with them, where less is usual anyway; else this part of what is usual.
const IDLE: f64 = 0.2;
const IDLE_PART: f64 = 0.25;
/// Sources a second that are many, and so many times what is seldom exceeded.
const SOURCES: f64 = 50.0;
const SOURCES_FACTOR: f64 = 2.0;
/// The part of all connections that one source has where few attack.
const OF_ONE: f64 = 0.2;
/// Connections a second that find the queue of their service full, from which on that is worth a word.
const OVERFLOWED: f64 = 10.0;

pub(super) fn held_connections(second: &Features, baselines: &Baselines) -> Option<Suspicion> {
    let connections = second.connections?;
    let established = connections.established;
    // Nobody can know how many are too many before it is known how many are usual: some services keep thousands for hours.
    let usual = usually(baselines, Metric::Established, 0.99)?;
    let threshold = FLOOR.max(FACTOR * usual);
    let segments = second.metric(Metric::Segments)? - second.with(Class::SegmentFlood.verdicts());
    let busy = segments.max(0.0) / established.max(1.0);
    let busy_usually = usual_segments(baselines);
    let idle = IDLE.max(IDLE_PART * busy_usually.unwrap_or(0.0));
    if busy >= idle {
        return None;
    }
    let mut evidence = vec![
        Evidence {
            what: "connections that stand".to_owned(),
            value: established,
            threshold,
            usual: Some(usual),
        },
        Evidence {
            what: "segments/s for each connection".to_owned(),
            value: busy,
            threshold: idle,
            usual: busy_usually,
        },
    ];
    if connections.overflowed > 0.0 {
        evidence.push(Evidence {
            what: "connections/s that found their service's queue full".to_owned(),
            value: connections.overflowed,
            threshold: OVERFLOWED,
            usual: None,
        });
    }
    let of_one = connections
        .of_one
        .filter(|of_one| *of_one >= OF_ONE * established);
    evidence.extend(of_one.map(|of_one| Evidence {
        what: "connections of a single source".to_owned(),
        value: of_one,
        threshold: OF_ONE * established,
        usual: None,
    }));
    let many = SOURCES.max(SOURCES_FACTOR * usually(baselines, Metric::Sources, 0.99).unwrap_or(0.0));
    let by_many = second
        .sources
        .filter(|sources| of_one.is_none() && *sources >= many);
    evidence.extend(by_many.map(|sources| Evidence {
        what: "sources/s".to_owned(),
        value: sources,
        threshold: many,
        usual: usually(baselines, Metric::Sources, 0.99),
    }));
    Some(Suspicion {
        class: match by_many {
            Some(_) => Class::LowAndSlow,
            None => Class::ConnectionExhaustion,
        },
        strength: established / threshold,
        packets: segments.max(0.0),
        evidence,
    })
}

/// Segments a second and connection.
fn usual_segments(baselines: &Baselines) -> Option<f64> {
    let connections = usually(baselines, Metric::Established, 0.5)?;
    let segments = usually(baselines, Metric::Segments, 0.5)?;
    (connections > 0.0).then_some(segments / connections)
}

#[cfg(test)]
mod tests {
    use netguard_common::telemetry::Kind;

    use super::*;
    use crate::engine::feature::{Connections, tests::second};

    /// A second with so many connections, segments over all of them, and sources.
    fn kept(established: u64, segments: u64, sources: u64) -> Features {
        Features {
            sources: Some(sources as f64),
            connections: Some(Connections {
                established: established as f64,
                ..Connections::default()
            }),
            ..second(&[(Kind::Ack, segments)], &[])
        }
    }

    fn learnt(established: u64, segments: u64, sources: u64) -> Baselines {
        let mut baselines = Baselines::default();
        for index in 0..400 {
            let some = |count: u64| count * (90 + index % 21) / 100;
            baselines.learn(&kept(some(established), some(segments), some(sources)));
        }
        baselines
    }

    fn found(features: &Features, baselines: &Baselines) -> Option<Class> {
        let suspicion = held_connections(features, baselines)?;
        (suspicion.strength >= 1.0).then_some(suspicion.class)
    }

    #[test]
    fn many_that_do_nothing_are_suspicious() {
        let usual = learnt(100, 600, 80);
        // A few sources that keep thousands, beside the clients of every day.
        assert_eq!(
            found(&kept(3_000, 900, 85), &usual),
            Some(Class::ConnectionExhaustion)
        );
        // Thousands that keep one each, and send a byte now and then.
        assert_eq!(found(&kept(3_000, 900, 400), &usual), Some(Class::LowAndSlow));
        let mut of_one = kept(3_000, 900, 400);
        of_one.connections = of_one.connections.map(|connections| Connections {
            of_one: Some(2_500.0),
            overflowed: 40.0,
            ..connections
        });
        assert_eq!(found(&of_one, &usual), Some(Class::ConnectionExhaustion));
        let told = held_connections(&of_one, &usual).expect("it is suspicious");
        assert_eq!(told.evidence.len(), 4, "{told:?}");
    }

    #[test]
    fn a_crowd_is_served_and_not_suspicious() {
        let usual = learnt(100, 600, 80);
        assert_eq!(found(&kept(5_000, 20_000, 4_000), &usual), None);
        assert_eq!(found(&kept(120, 20, 80), &usual), None, "a quiet moment");
    }

    #[test]
    fn who_always_keeps_thousands_may() {
        let usual = learnt(50_000, 2_000, 1_500);
        assert_eq!(found(&kept(60_000, 2_000, 1_600), &usual), None);
        assert_eq!(found(&kept(60_000, 2_000, 1_600), &Baselines::default()), None);
        assert_eq!(
            found(&kept(150_000, 2_500, 1_600), &usual),
            Some(Class::ConnectionExhaustion)
        );
    }
}
