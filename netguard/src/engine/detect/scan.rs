//! Detector: a scan. Somebody tries ports at which nothing is served, one after the other: few packets, and of those that open connections hardly
//! two to the same port. Services have counters of their own, so what is asked of all others together is asked in vain.

use netguard_common::telemetry::Kind;

use super::{Class, Evidence, Suspicion};
use crate::engine::{Baselines, Features};

/// Connections a second that are asked for in vain, below which it is none: the noise of the Internet is a few.
const FLOOR: f64 = 50.0;
/// The same before anything is usual: nobody knows yet how much noise there is here.
const COLD_FLOOR: f64 = 200.0;
/// So many times the rate that is seldom exceeded is suspicious.
const FACTOR: f64 = 5.0;
/// How even ports are when they are tried one after the other.
const EVEN: f64 = 0.5;
/// The part of the packets of which the ports tell something.
const MOST: f64 = 0.5;
/// So many attempts a second in vain can be a flood at a closed port, unless the ports say otherwise;
const FLOOD: f64 = 500.0;
/// and so many are a flood, whatever ports it goes to: in a second, or in a tick, into which who is fast puts all that he has.
const TOO_MANY: f64 = 20_000.0;
const TOO_MANY_IN_A_TICK: f64 = 100_000.0;
const SHORT_NS: u64 = 500_000_000;

pub(super) fn scan(second: &Features, baselines: &Baselines) -> Option<Suspicion> {
    let in_vain = in_vain(second)?;
    let usual = baselines.service("other").map(|usual| &usual.opening);
    let usual = usual.filter(|usual| usual.is_ready());
    let usual = usual.and_then(|usual| usual.quantile(0.99));
    let threshold = usual.map_or(COLD_FLOOR, |usual| FLOOR.max(FACTOR * usual));
    if in_vain >= FLOOD && !is_scattered(second) {
        return None;
    }
    let mut evidence = vec![Evidence {
        what: "connections/s asked for where nothing is served".to_owned(),
        value: in_vain,
        threshold,
        usual,
    }];
    if is_scattered(second) {
        evidence.push(Evidence {
            what: "evenness of destination ports".to_owned(),
            value: second.destination_port.unwrap_or(0.0),
            threshold: EVEN,
            usual: None,
        });
    }
    Some(Suspicion {
        class: Class::Scan,
        strength: in_vain / threshold,
        packets: in_vain,
        evidence,
    })
}

/// Connections a second that are asked for in vain by whoever tries ports one after the other; 0 where nobody does.
pub(super) fn scattered(features: &Features) -> f64 {
    match is_scattered(features) {
        true => in_vain(features).unwrap_or(0.0),
        false => 0.0,
    }
}

/// Whether most of what comes tries ports one after the other, and in no number that would be a flood.
fn is_scattered(features: &Features) -> bool {
    let in_vain = in_vain(features).unwrap_or(0.0);
    let with_ports = features.packets() - features.of_kinds(&[Kind::Icmp, Kind::Control, Kind::Fragment]);
    let syn = features.of_kinds(&[Kind::Syn]);
    let too_many = match features.length_ns < SHORT_NS {
        true => TOO_MANY_IN_A_TICK,
        false => TOO_MANY,
    };
    in_vain < too_many
        && in_vain >= MOST * with_ports.max(1.0)
        && in_vain >= MOST * syn
        // Too few packets to tell: the whole second will.
        && features.destination_port.is_none_or(|even| even >= EVEN)
}

/// Connections asked for where nothing is served; `None` where no service is known, as in a replay.
fn in_vain(features: &Features) -> Option<f64> {
    let others = features
        .services
        .iter()
        .find(|service| service.service == "other");
    let is_known = features.services.len() > 1;
    others.filter(|_| is_known).map(|others| others.opening)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::engine::{
        detect::{detect_alone, detect_patiently},
        feature::{ServiceFeatures, tests::second},
    };

    /// A second with so many connections to the web server, and so many in vain.
    fn asked(served: u64, in_vain: u64, destination_port: Option<f64>) -> Features {
        let kinds = [(Kind::Syn, served + in_vain), (Kind::Ack, 5 * served)];
        let service = |name: &str, opening: u64, packets: u64| ServiceFeatures {
            service: name.to_owned(),
            opening: opening as f64,
            packets: packets as f64,
            ..ServiceFeatures::default()
        };
        Features {
            services: vec![
                service("tcp/80", served, 6 * served),
                service("other", in_vain, in_vain),
            ],
            destination_port,
            ..second(&kinds, &[])
        }
    }

    /// What is usual where a few connections a second are asked for in vain.
    fn learnt() -> Baselines {
        let mut baselines = Baselines::default();
        for index in 0..400 {
            baselines.learn(&asked(100, index % 5, Some(0.1)));
        }
        baselines
    }

    /// Each once: some detectors look at ticks and at seconds.
    fn classes(features: &Features, baselines: &Baselines) -> Vec<Class> {
        let suspicions = [
            detect_alone(features, baselines),
            detect_patiently(features, baselines),
        ];
        let strong = suspicions
            .into_iter()
            .flatten()
            .filter(|suspicion| suspicion.strength >= 1.0);
        let classes: BTreeSet<Class> = strong.map(|suspicion| suspicion.class).collect();
        classes.into_iter().collect()
    }

    #[test]
    fn ports_tried_one_after_the_other_are_a_scan_and_no_flood() {
        let usual = learnt();
        assert_eq!(classes(&asked(100, 80, Some(0.3)), &usual), [Class::Scan]);
        assert_eq!(classes(&asked(10, 5_000, Some(0.95)), &usual), [Class::Scan]);
    }

    #[test]
    fn one_closed_port_that_many_ask_is_a_flood() {
        assert_eq!(
            classes(&asked(10, 5_000, Some(0.05)), &learnt()),
            [Class::SynFlood]
        );
        assert_eq!(
            classes(&asked(10, 90_000, Some(0.95)), &learnt()),
            [Class::SynFlood]
        );
    }

    /// Found in review: as many SYNs to random ports as to the service, and only the scan was told.
    #[test]
    fn a_flood_behind_a_scan_is_told_beside_it() {
        let flooded = Features {
            kinds: second(&[(Kind::Syn, 1_900)], &[]).kinds,
            ..asked(900, 1_000, Some(0.6))
        };
        let both = [Class::SynFlood, Class::Scan];
        assert_eq!(classes(&flooded, &Baselines::default()), both);
        assert_eq!(classes(&flooded, &learnt()), both);
    }

    #[test]
    fn the_noise_of_every_day_and_crowds_are_not() {
        let usual = learnt();
        assert_eq!(classes(&asked(100, 5, Some(0.1)), &usual), []);
        assert_eq!(classes(&asked(100, 20, Some(0.1)), &usual), []);
        assert_eq!(
            classes(&asked(5_000, 20, Some(0.02)), &usual),
            [Class::FlashCrowd]
        );
        let cold = Baselines::default();
        assert_eq!(classes(&asked(100, 80, Some(0.3)), &cold), []);
        assert_eq!(classes(&asked(100, 300, Some(0.6)), &cold), [Class::Scan]);
    }
}
