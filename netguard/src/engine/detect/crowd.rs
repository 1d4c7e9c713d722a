//! Detector: a flash crowd. Many more clients than usual come to a service and behave as clients do: they go on after they asked,
//! and little of what they send is over limits. It is told, so that nobody takes it for an attack.

use netguard_common::telemetry::Kind;

use super::{Class, Evidence, Rush, Suspicion};
use crate::engine::{Baselines, Features, feature::Metric};

/// Connections a second to a service below which it is none.
const FLOOR: f64 = 100.0;
/// So many times the rate that is seldom exceeded is a crowd.
const FACTOR: f64 = 3.0;
/// Segments for each connection that clients send at least.
const GOES_ON: f64 = 2.0;
/// Part of the packets that may be refused.
const REFUSED: f64 = 0.05;

pub(super) fn flash_crowd(features: &Features, baselines: &Baselines) -> Option<Suspicion> {
    let syn = features.of_kinds(&[Kind::Syn]);
    let refused: f64 = features.with(Class::SynFlood.verdicts());
    use Kind::{Ack, Fin, Rst, SynAck, TcpOther};
    let segments =
        features.metric(Metric::Segments)? - features.refused_of(&[Ack, Fin, Rst, SynAck, TcpOther]);
    if segments < GOES_ON * syn || refused > REFUSED * syn {
        return None;
    }
    rush(features, baselines)
}

/// The service that is asked for connections by the most times as many as usual, whether they go on or not.
fn rush(features: &Features, baselines: &Baselines) -> Option<Suspicion> {
    let crowds = features.services.iter().filter_map(|service| {
        let usual = &baselines.service(&service.service)?.opening;
        let usual = usual.usual(features.wall_s)?;
        let threshold = FLOOR.max(FACTOR * usual);
        Some(Suspicion {
            class: Class::FlashCrowd,
            strength: service.opening / threshold,
            packets: service.packets,
            evidence: vec![Evidence {
                what: format!("connections/s to {}", service.service),
                value: service.opening,
                threshold,
                usual: Some(usual),
            }],
        })
    });
    crowds.max_by(|a, b| a.strength.total_cmp(&b.strength))
}

/// Whether a service is asked for many more connections than usual, whether they go on or not.
pub(super) fn is_rush(features: &Features, baselines: &Baselines) -> bool {
    rush(features, baselines).is_some_and(|rush| rush.strength >= 1.0)
}

/// How much more than usual clients may send because there are more of them: they also ping, and speak QUIC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Growth {
    /// How many times as many as usual connect, 1 where no crowd does.
    pub(super) times: f64,
    /// As many began to ask for connections just now, and whether they go on will be known soon.
    pub(super) is_unsure: bool,
}

impl Growth {
    pub(super) const NONE: Self = Self {
        times: 1.0,
        is_unsure: false,
    };

    /// Where that suspicion of a `crowd` is one.
    pub(super) fn of(
        crowd: Option<&Suspicion>,
        rush: &Rush,
        features: &Features,
        baselines: &Baselines,
    ) -> Self {
        if crowd.is_none_or(|crowd| crowd.strength < 1.0) {
            return Self {
                is_unsure: rush.is_new(),
                ..Self::NONE
            };
        }
        // By what is asked for, since what comes about does so a tick later.
        let usual = baselines.usual(Metric::Syn, features.wall_s);
        let times = usual.map_or(1.0, |usual| features.of_kinds(&[Kind::Syn]) / usual.max(1.0));
        Self {
            times: times.max(1.0),
            is_unsure: false,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::detect_alone, *};
    use crate::engine::attack::AT_ONCE;
    use crate::engine::feature::{ServiceFeatures, tests::second};

    /// A second with so many connections to the web server, each with so many segments.
    pub(in crate::engine::detect) fn clients(opening: u64, segments: u64) -> Features {
        let mut features = second(&[(Kind::Syn, opening), (Kind::Ack, opening * segments)], &[]);
        features.services = vec![ServiceFeatures {
            service: "tcp/80".to_owned(),
            opening: opening as f64,
            packets: (opening * segments) as f64,
            ..ServiceFeatures::default()
        }];
        features
    }

    #[test]
    fn more_clients_than_ever_are_a_crowd_and_a_flood_is_none() {
        let mut baselines = Baselines::default();
        let strength = |features: &Features, baselines: &Baselines| {
            flash_crowd(features, baselines).map_or(0.0, |suspicion| suspicion.strength)
        };
        assert_eq!(
            strength(&clients(5_000, 5), &baselines),
            0.0,
            "nothing is usual yet"
        );
        for _ in 0..400 {
            baselines.learn(&clients(100, 5));
        }
        assert!(strength(&clients(120, 5), &baselines) < 0.5);
        assert!(strength(&clients(1_000, 5), &baselines) > 3.0);
        assert_eq!(strength(&clients(1_000, 0), &baselines), 0.0);
        let crowd = clients(1_000, 5);
        let growth = |told: Option<&Suspicion>, features: &Features| {
            Growth::of(told, &Rush::of(features, &baselines), features, &baselines)
        };
        let of_crowd = growth(flash_crowd(&crowd, &baselines).as_ref(), &crowd);
        assert!(
            (9.0..11.0).contains(&of_crowd.times) && !of_crowd.is_unsure,
            "{of_crowd:?}"
        );
        assert!(growth(None, &crowd).is_unsure);
        assert_eq!(growth(None, &clients(120, 5)), Growth::NONE);
    }

    /// Found by made-up captures: the pings of a crowd were a flood.
    #[test]
    fn what_grows_with_a_crowd_is_no_flood_and_what_grows_more_is() {
        let with_pings = |opening, segments, pings: u64| {
            let mut features = clients(opening, segments);
            features.kinds[Kind::Icmp as usize] = pings as f64;
            features
        };
        let mut baselines = Baselines::default();
        for _ in 0..400 {
            baselines.learn(&with_pings(150, 5, 20));
        }
        let is_flood = |features: &Features| {
            let told = detect_alone(features, &baselines).into_iter();
            let mut strong = told.filter(|told| told.strength >= 1.0);
            strong.any(|told| told.class == Class::IcmpFlood)
        };
        assert!(!is_flood(&with_pings(3_000, 5, 400)));
        assert!(is_flood(&with_pings(3_000, 5, 1_000)), "more than the crowd");
        assert!(is_flood(&with_pings(150, 5, 400)), "without one");
        assert!(is_flood(&with_pings(3_000, 0, 400)), "beside a flood");
        // In the tick in which it comes a crowd may be a flood, and the next one tells: none of many pings begins at once.
        let coming = detect_alone(&with_pings(3_000, 0, 900), &baselines).into_iter();
        let pings = coming.filter(|told| told.class == Class::IcmpFlood);
        let strengths: Vec<f64> = pings.map(|told| told.strength).collect();
        assert!(
            matches!(strengths[..], [strength] if (1.0..AT_ONCE).contains(&strength)),
            "{strengths:?}"
        );
    }
}
