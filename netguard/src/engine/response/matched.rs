//! What measures refuse is of the attack that they are against: otherwise it would seem over as soon as it is met, or to be another.

use std::collections::{BTreeMap, BTreeSet};

use netguard_common::Verdict;

use super::{Course, Measure, Responder, volume::asked};
use crate::engine::{
    Attack, Features,
    detect::{Class, Evidence, LEAST_STRENGTH, Suspicion},
};

/// Packets a second that signatures fit from which on an attack goes on.
const MATCHED: f64 = 100.0;
/// A flood goes on while signatures against it fit this part of its peak.
const STILL_PART: f64 = 0.1;

impl Responder {
    /// Packets a second that the signatures against attacks of each class fitted lately, where they are a good part of the attack:
    /// then they are of it, whatever their verdict says. Of less, anybody's may be a part.
    pub fn matched(&self, attacks: &[Attack]) -> BTreeMap<Class, f64> {
        let mut matched = BTreeMap::new();
        let going = self.courses_of(attacks).filter(|(attack, _)| attack.is_going());
        for (attack, course) in going {
            let rate = course.matched();
            if rate >= attack.peak * STILL_PART {
                *matched.entry(attack.class).or_default() += rate;
            }
        }
        matched
    }

    /// Packets a second of `features` that were over limits which services have because of a carpet, also for a while when it is over. The
    /// verdict is the one of a flood of datagrams.
    pub fn refused_of_carpet(&self, attacks: &[Attack], features: &Features) -> f64 {
        let carpets = self
            .courses_of(attacks)
            .filter(|(attack, _)| attack.class == Class::CarpetBombing);
        let held: BTreeSet<&str> = carpets
            .flat_map(|(_, course)| course.in_force())
            .filter(|taken| matches!(taken.measure, Measure::Limit { .. }))
            .filter_map(|taken| taken.measure.service())
            .collect();
        let services = features.services.iter();
        let held = services.filter(|service| held.contains(service.service.as_str()));
        // No more than those services were asked for: others may have limits of their own.
        let most: f64 = held.map(asked).sum();
        features.with(&[Verdict::LimitService]).min(most)
    }

    fn courses_of<'a>(&'a self, attacks: &'a [Attack]) -> impl Iterator<Item = (&'a Attack, &'a Course)> {
        let course = |attack: &'a Attack| Some((attack, self.courses.get(&attack.id)?));
        attacks.iter().filter_map(course)
    }
}

/// Adds the packets a second that signatures against attacks of each class fitted to what is suspicious.
pub fn suspect_matched(suspicions: &mut Vec<Suspicion>, matched: &BTreeMap<Class, f64>) {
    for (class, packets) in matched {
        suspect(suspicions, *class, *packets);
    }
}

fn suspect(suspicions: &mut Vec<Suspicion>, class: Class, packets: f64) {
    let strength = packets / MATCHED;
    let evidence = Evidence {
        what: "packets/s that the signatures against it fit".to_owned(),
        value: packets,
        threshold: MATCHED,
        usual: None,
    };
    if strength < LEAST_STRENGTH {
        return;
    }
    match suspicions.iter_mut().find(|suspicion| suspicion.class == class) {
        Some(suspicion) => {
            suspicion.strength = suspicion.strength.max(strength);
            suspicion.packets = suspicion.packets.max(packets);
            suspicion.evidence.push(evidence);
        }
        None => suspicions.push(Suspicion {
            class,
            strength,
            packets,
            evidence: vec![evidence],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_met_goes_on() {
        let mut suspicions = Vec::new();
        let fitted = |packets| BTreeMap::from([(Class::UdpFlood, packets)]);
        suspect_matched(&mut suspicions, &fitted(10.0));
        assert!(suspicions.is_empty());
        suspect_matched(&mut suspicions, &fitted(500.0));
        suspect_matched(&mut suspicions, &fitted(900.0));
        assert_eq!(suspicions.len(), 1);
        assert_eq!((suspicions[0].strength, suspicions[0].packets), (9.0, 900.0));
    }
}
