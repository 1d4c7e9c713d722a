//! What a measure costs those who mean no harm: how much of ordinary traffic it touches, by what calm times were like. An estimate, which is
//! told and decides nothing here.

use std::fmt;

use super::measure::Measure;
use crate::engine::{Baselines, peace::Share, places::PeacePlaces};

/// How much of ordinary traffic a measure touches. Who is connected or known may be spared of it, so it is that much at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Collateral {
    pub touches: Touches,
    /// 0 to 1.
    pub part: f64,
    /// Where packets were counted, how many.
    pub counted: Option<Share>,
}

/// What is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touches {
    /// Ordinary packets that a signature fits, of those to its port, or, where none are known, of others like them.
    Packets,
    /// Ordinary packets that come from a place.
    Place,
    /// Seconds of calm in which a service was asked for more.
    Seconds,
    /// Whoever opens a connection has to prove itself, and is let in then.
    Connections,
    /// Whoever is not connected to the service, or known to it, is not served.
    Newcomers,
}

impl Touches {
    /// The word that JSON uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Place => "place",
            Self::Seconds => "seconds",
            Self::Connections => "connections",
            Self::Newcomers => "newcomers",
        }
    }
}

impl Collateral {
    /// That of `measure`; `None` where calm times do not tell.
    pub(super) fn of(measure: &Measure, baselines: &Baselines, places: &PeacePlaces) -> Option<Self> {
        let (touches, part, counted) = match measure {
            Measure::Signature(draft) => {
                let to_its_port = Some(draft.collateral).filter(|share| share.of > 0);
                let counted = to_its_port.or(Some(draft.elsewhere).filter(|share| share.of > 0))?;
                (Touches::Packets, counted.part(), Some(counted))
            }
            Measure::Geo { place, .. } => (Touches::Place, places.share(*place).ok()?, None),
            Measure::Limit { service, rate_per_s } => {
                let usual = baselines.service(service)?;
                let asked = if service.starts_with("tcp/") {
                    &usual.opening
                } else {
                    &usual.packets
                };
                (Touches::Seconds, asked.part_above(*rate_per_s as f64)?, None)
            }
            Measure::Challenge { .. } => (Touches::Connections, 1.0, None),
            Measure::CircuitBreak { .. } => (Touches::Newcomers, 1.0, None),
        };
        Some(Self {
            touches,
            part,
            counted,
        })
    }
}

impl fmt::Display for Collateral {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * self.part;
        match (self.touches, self.counted) {
            (Touches::Packets, Some(Share { hits, of })) => {
                write!(out, "{hits} of {of} ordinary packets ({percent:.2} %)")
            }
            (Touches::Packets, None) => write!(out, "{percent:.2} % of ordinary packets"),
            (Touches::Place, _) => write!(out, "{percent:.2} % of ordinary packets come from there"),
            (Touches::Seconds, _) => {
                write!(
                    out,
                    "more was asked in at most {percent:.2} % of the calm seconds that are known"
                )
            }
            (Touches::Connections, _) => {
                out.write_str("none is refused that proves itself: every connection has to, honest ones, too")
            }
            (Touches::Newcomers, _) => {
                out.write_str("every newcomer; who is connected to the service, or known to it, is spared")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::{shared::Field as _, signature::Signature};

    use super::*;
    use crate::engine::{
        draft::Draft,
        feature::{ServiceFeatures, tests::second},
        places::tests::country,
    };

    fn of(measure: &Measure, baselines: &Baselines) -> Option<Collateral> {
        Collateral::of(measure, baselines, &PeacePlaces::default())
    }

    #[test]
    fn what_a_limit_touches_is_what_calm_times_say() {
        let mut baselines = Baselines::default();
        let limit = |service: &str, rate_per_s| Measure::Limit {
            service: service.to_owned(),
            rate_per_s,
        };
        for number in 0..1_000 {
            let mut features = second(&[], &[]);
            features.services = vec![ServiceFeatures {
                service: "udp/53".to_owned(),
                packets: f64::from(number % 100),
                ..ServiceFeatures::default()
            }];
            baselines.learn(&features);
        }
        let part = |rate| of(&limit("udp/53", rate), &baselines).expect("it is known").part;
        assert_eq!((part(99), part(1_000)), (0.0, 0.0));
        assert!((0.02..=0.10).contains(&part(94)), "{}", part(94));
        assert!((0.5..=0.6).contains(&part(51)), "{}", part(51));
        let told = of(&limit("udp/53", 94), &baselines).expect("it is known");
        assert!(
            told.to_string().starts_with("more was asked in at most"),
            "{told}"
        );
        assert_eq!(of(&limit("udp/54", 94), &baselines), None, "nobody knows");
    }

    #[test]
    fn a_signature_touches_what_was_held_against_it() {
        let draft = |hits, of, elsewhere| {
            Measure::Signature(Draft {
                signature: Signature::ZERO,
                covers: Share { hits: 80, of: 100 },
                collateral: Share { hits, of },
                elsewhere: Share {
                    hits: 0,
                    of: elsewhere,
                },
            })
        };
        let baselines = Baselines::default();
        let told = |measure| of(&measure, &baselines).map(|collateral| collateral.to_string());
        assert_eq!(
            told(draft(1, 400, 9)).as_deref(),
            Some("1 of 400 ordinary packets (0.25 %)")
        );
        assert_eq!(
            told(draft(0, 0, 9)).as_deref(),
            Some("0 of 9 ordinary packets (0.00 %)")
        );
        assert_eq!(told(draft(0, 0, 0)), None);
    }

    #[test]
    fn of_places_that_nobody_knows_nothing_is_said() {
        let geo = Measure::Geo {
            place: country("AQ"),
            rate_per_s: 50,
        };
        assert_eq!(of(&geo, &Baselines::default()), None);
        let service = "tcp/80".to_owned();
        let challenge = of(&Measure::Challenge { service }, &Baselines::default()).expect("everybody");
        assert_eq!((challenge.part, challenge.touches.name()), (1.0, "connections"));
    }
}
