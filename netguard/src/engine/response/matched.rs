//! What signatures fit is of the attack that they are against: otherwise it would seem over as soon as it is met.

use std::collections::BTreeMap;

use crate::engine::detect::{Class, Evidence, LEAST_STRENGTH, Suspicion};

/// Packets a second that signatures fit from which on an attack goes on.
const MATCHED: f64 = 100.0;

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
