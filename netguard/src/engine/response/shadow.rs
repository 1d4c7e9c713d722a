//! What limits and challenges in shadow would have done: nothing in the datapath counts for them, since nothing of them stands there.

use super::{
    measure::{Measure, Mode, Taken},
    volume::asked,
};
use crate::engine::Features;

/// Counts for `taken`, if it is only told, what it would have refused or challenged in the moment of `features`.
pub(super) fn count(taken: &mut Taken, features: &Features) {
    if taken.mode != Mode::Shadow {
        return;
    }
    let Some(per_s) = would_touch(&taken.measure, features) else {
        return;
    };
    // Ticks are short: what is less than a packet is for the next.
    let packets = per_s * features.length_ns as f64 / 1e9 + taken.remainder;
    taken.remainder = packets.fract();
    taken.count(packets as u64, features.length_ns);
}

/// Packets a second: those beyond the limit, or those that ask for a connection. `None` for measures that the datapath counts for.
fn would_touch(measure: &Measure, features: &Features) -> Option<f64> {
    let (service, most) = match measure {
        Measure::Limit { service, rate_per_s } => (service, *rate_per_s as f64),
        Measure::Challenge { service } => (service, 0.0),
        Measure::Signature(_) | Measure::Geo { .. } | Measure::CircuitBreak { .. } => return None,
    };
    let mut services = features.services.iter();
    let service = services.find(|known| known.service == *service);
    // One that nobody asks has no features.
    Some(service.map_or(0.0, |service| {
        // Of what is dropped anyway nobody knows which asked: as much as of all its packets.
        let asked = asked(service);
        let dropped = service.dropped * (asked / service.packets.max(1.0)).min(1.0);
        (asked - dropped - most).max(0.0)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{
        feature::{ServiceFeatures, tests::second},
        response::Why,
    };

    fn features(service: &str, asked: f64, dropped: f64) -> Features {
        let mut features = second(&[], &[]);
        features.length_ns = 50_000_000;
        features.services = vec![ServiceFeatures {
            service: service.to_owned(),
            packets: 2.0 * asked,
            opening: asked,
            dropped,
            ..ServiceFeatures::default()
        }];
        features
    }

    fn limit(service: &str, rate_per_s: u64) -> Measure {
        Measure::Limit {
            service: service.to_owned(),
            rate_per_s,
        }
    }

    /// Packets after a second of ticks like `features`.
    fn counted(measure: Measure, mode: Mode, features: &Features) -> u64 {
        let mut taken = Taken::wanted(1, measure, mode);
        for _ in 0..20 {
            count(&mut taken, features);
        }
        taken.packets
    }

    #[test]
    fn what_a_limit_in_shadow_would_refuse_is_counted() {
        let web = features("tcp/80", 1_000.0, 300.0);
        assert_eq!(counted(limit("tcp/80", 100), Mode::Shadow, &web), 750);
        assert_eq!(counted(limit("tcp/80", 900), Mode::Shadow, &web), 0);
        assert_eq!(counted(limit("tcp/443", 100), Mode::Shadow, &web), 0, "another");
        assert_eq!(counted(limit("tcp/80", 100), Mode::Enforce, &web), 0, "it stands");
        // Datagrams, and a packet and a half in a tick.
        let names = features("udp/53", 65.0, 0.0);
        assert_eq!(counted(limit("udp/53", 100), Mode::Shadow, &names), 30);
    }

    #[test]
    fn what_a_challenge_in_shadow_would_answer_is_counted() {
        let web = features("tcp/80", 1_000.0, 300.0);
        let service = "tcp/80".to_owned();
        let challenge = Measure::Challenge { service };
        assert_eq!(counted(challenge.clone(), Mode::Shadow, &web), 850);
        let mut taken = Taken::wanted(1, challenge, Mode::Shadow);
        count(&mut taken, &web);
        assert_eq!((taken.packets, taken.packets_per_s), (42, 840.0));
        count(&mut taken, &features("tcp/80", 0.0, 0.0));
        assert_eq!((taken.packets, taken.packets_per_s), (42, 0.0));
        taken.end(1, Why::Over);
        assert_eq!(taken.packets, 42, "it stays to be read");
    }
}
