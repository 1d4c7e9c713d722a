//! Detector: carpet bombing. Many services get far more than usual at the same time, each of them less than its limits, so that none looks like the
//! target. A crowd comes to one service, or to two.

use super::{Class, Evidence, Suspicion, usually};
use crate::engine::{Baselines, Features, feature::Metric};

/// Services that must get more than usual.
const SERVICES: f64 = 8.0;
/// Packets a second to a service that are too few to speak for anything, and so many times its rate that is seldom exceeded.
const FLOOR: f64 = 20.0;
const FACTOR: f64 = 5.0;
/// The same for all traffic.
const TOTAL: f64 = 1_000.0;
const TOTAL_FACTOR: f64 = 3.0;
/// Part of the packets that may be refused but for what is done about it: what is refused is told as what it is.
const REFUSED: f64 = 0.3;

pub(super) fn carpet_bombing(second: &Features, baselines: &Baselines) -> Option<Suspicion> {
    let packets = second.packets();
    let usual = usually(baselines, Metric::Packets, 0.99)?;
    let threshold = TOTAL.max(TOTAL_FACTOR * usual);
    // In shadow what is done about it refuses nothing.
    let refused_otherwise = (second.refused.iter().sum::<f64>() - second.refused_of_carpet).max(0.0);
    if refused_otherwise > REFUSED * packets {
        return None;
    }
    let above = second.services.iter().filter(|service| {
        let Some(usual) = baselines.service(&service.service).map(|usual| &usual.packets) else {
            return false;
        };
        let seldom = usual.quantile(0.99).filter(|_| usual.is_ready());
        seldom.is_some_and(|seldom| service.packets >= FLOOR.max(FACTOR * seldom))
    });
    let above = above.count() as f64;
    Some(Suspicion {
        class: Class::CarpetBombing,
        // Both must be so: the weaker counts.
        strength: (above / SERVICES).min(packets / threshold),
        packets,
        evidence: vec![
            Evidence {
                what: "services that get more than five times what is usual".to_owned(),
                value: above,
                threshold: SERVICES,
                usual: None,
            },
            Evidence {
                what: "packets/s".to_owned(),
                value: packets,
                threshold,
                usual: Some(usual),
            },
        ],
    })
}

#[cfg(test)]
mod tests {
    use netguard_common::telemetry::Kind;

    use super::*;
    use crate::engine::feature::{ServiceFeatures, tests::second};

    /// A second in which twenty services get so many packets each.
    fn sent(each: impl Fn(u64) -> u64) -> Features {
        let services: Vec<ServiceFeatures> = (0..20)
            .map(|port| ServiceFeatures {
                service: format!("udp/{}", 1_000 + port),
                packets: each(port) as f64,
                ..ServiceFeatures::default()
            })
            .collect();
        let packets: f64 = services.iter().map(|service| service.packets).sum();
        Features {
            services,
            ..second(&[(Kind::Udp, packets as u64)], &[])
        }
    }

    fn strength(features: &Features, baselines: &Baselines) -> f64 {
        carpet_bombing(features, baselines).map_or(0.0, |suspicion| suspicion.strength)
    }

    #[test]
    fn a_little_for_everybody_is_suspicious_and_much_for_one_is_not() {
        let mut baselines = Baselines::default();
        assert_eq!(strength(&sent(|_| 500), &baselines), 0.0, "nothing is usual yet");
        for index in 0..400 {
            baselines.learn(&sent(|port| (port + index) % 12));
        }
        assert!(strength(&sent(|_| 500), &baselines) > 2.0);
        assert_eq!(strength(&sent(|port| port % 12), &baselines), 0.0);
        // A crowd at one service, and one at two.
        assert!(strength(&sent(|port| if port == 3 { 50_000 } else { 9 }), &baselines) < 0.5);
        assert!(strength(&sent(|port| if port < 2 { 50_000 } else { 9 }), &baselines) < 0.5);
        // A little more of everything, as each evening.
        assert!(strength(&sent(|port| 2 * (port % 12)), &baselines) < 0.5);
    }

    #[test]
    fn what_is_refused_is_told_otherwise() {
        let mut baselines = Baselines::default();
        for _ in 0..400 {
            baselines.learn(&sent(|_| 5));
        }
        let mut features = sent(|_| 5_000);
        features.refused[Kind::Udp as usize] = 90_000.0;
        assert_eq!(strength(&features, &baselines), 0.0);
        features.refused_of_carpet = 85_000.0;
        assert!(
            strength(&features, &baselines) > 2.0,
            "it is what is done about it"
        );
    }
}
