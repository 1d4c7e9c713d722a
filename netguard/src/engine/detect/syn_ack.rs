//! Detector: servers answer to SYNs that somebody sent in this machine's name. Who asked himself goes on with the connection: two or more other
//! segments come for each SYN-ACK. For a reflection there is nothing to go on with, but the servers' resets.

use netguard_common::telemetry::Kind;

use super::{Class, Evidence, Suspicion, usually};
use crate::engine::{Baselines, Features, feature::Metric};

/// SYN-ACKs a second below which it is none.
const FLOOR: f64 = 500.0;
/// So many times the rate that is seldom exceeded is suspicious.
const FACTOR: f64 = 4.0;
/// Other segments for each SYN-ACK, beyond the usual ones, below which most are not gone on with.
const GOES_ON: f64 = 1.0;
/// The part of the SYN-ACKs that is of no connection, by what was dropped and what this machine reset, at which nobody needs to look at other segments;
/// and how many resets there may be for each, since those of other segments are none.
const IN_VAIN: f64 = 0.5;
const RESETS: f64 = 1.2;

pub(super) fn syn_ack_reflection(features: &Features, baselines: &Baselines) -> Option<Suspicion> {
    let answers = features.metric(Metric::SynAck)?;
    if answers <= 0.0 {
        return None;
    }
    let usual = usually(baselines, Metric::SynAck, 0.99);
    let threshold = FLOOR.max(FACTOR * usual.unwrap_or(0.0));
    // Resets are what the servers send when nobody answers, and segments of no connection belong to none.
    let others = features.of_kinds(&[Kind::Ack, Kind::Fin, Kind::TcpOther])
        - features.refused_of(&[Kind::Ack, Kind::Fin, Kind::TcpOther]);
    let of_every_day = usually(baselines, Metric::Segments, 0.5).unwrap_or(0.0);
    let per_answer = (others - of_every_day).max(0.0) / answers;
    let in_vain = in_vain(features, answers);
    if per_answer >= GOES_ON && in_vain < IN_VAIN * answers {
        return None;
    }
    Some(Suspicion {
        class: Class::SynAckReflection,
        strength: answers / threshold,
        packets: answers,
        evidence: vec![
            Evidence {
                what: "SYN-ACKs/s".to_owned(),
                value: answers,
                threshold,
                usual,
            },
            Evidence {
                what: "other segments for each SYN-ACK".to_owned(),
                value: per_answer,
                threshold: GOES_ON,
                usual: None,
            },
            Evidence {
                what: "SYN-ACKs/s that were dropped or reset".to_owned(),
                value: in_vain,
                threshold: IN_VAIN * answers,
                usual: None,
            },
        ],
    })
}

/// How many of the `answers` are known to be of no connection.
fn in_vain(features: &Features, answers: f64) -> f64 {
    let refused = features.refused_of(&[Kind::SynAck]);
    let others = (answers - refused).max(0.0);
    let are_theirs = features.reset <= RESETS * others;
    refused
        + if are_theirs {
            features.reset.min(others)
        } else {
            0.0
        }
}

#[cfg(test)]
mod tests {
    use netguard_common::Verdict;

    use super::*;
    use crate::engine::{baseline::tests::learnt, detect::detect_alone, feature::tests::second};

    fn strength(kinds: &[(Kind, u64)], baselines: &Baselines) -> f64 {
        syn_ack_reflection(&second(kinds, &[]), baselines).map_or(0.0, |suspicion| suspicion.strength)
    }

    /// As in a capture of one: some servers reset what is not answered.
    #[test]
    fn answers_that_nobody_goes_on_with_are_suspicious() {
        let cold = Baselines::default();
        let reflected = [(Kind::SynAck, 6_651), (Kind::Rst, 1_018), (Kind::Ack, 9)];
        assert!(strength(&reflected, &cold) > 10.0);
        let found = detect_alone(&second(&reflected, &[]), &cold);
        let classes: Vec<Class> = found.iter().map(|suspicion| suspicion.class).collect();
        assert_eq!(classes, [Class::SynAckReflection]);
    }

    #[test]
    fn segments_that_were_dropped_are_told_as_it_and_not_as_a_flood_of_segments() {
        let mut features = second(&[(Kind::SynAck, 9_000)], &[(Verdict::OutOfState, 8_500)]);
        features.refused[Kind::SynAck as usize] = 8_500.0;
        let found = detect_alone(&features, &Baselines::default());
        let classes: Vec<Class> = found.iter().map(|suspicion| suspicion.class).collect();
        assert_eq!(classes, [Class::SynAckReflection]);
    }

    /// Found by made-up captures: what those send who are connected hid it.
    #[test]
    fn what_is_reset_or_dropped_needs_no_other_sign() {
        let beside = |reset: f64, refused: f64| {
            let mut features = second(&[(Kind::SynAck, 4_000), (Kind::Ack, 50_000)], &[]);
            features.reset = reset;
            features.refused[Kind::SynAck as usize] = refused;
            syn_ack_reflection(&features, &Baselines::default()).map_or(0.0, |told| told.strength)
        };
        assert_eq!(beside(0.0, 0.0), 0.0, "a proxy's");
        assert!(beside(3_900.0, 0.0) > 2.0 && beside(0.0, 3_900.0) > 2.0);
        assert_eq!(beside(30_000.0, 0.0), 0.0, "a flood of segments beside a proxy's");
    }

    #[test]
    fn a_proxy_that_asks_much_is_not() {
        let cold = Baselines::default();
        let proxy = [(Kind::SynAck, 5_000), (Kind::Ack, 15_000), (Kind::Fin, 5_000)];
        assert_eq!(strength(&proxy, &cold), 0.0);
        // Beside the clients of a busy server.
        let usual = [(Kind::Syn, 1_000), (Kind::Ack, 50_000), (Kind::SynAck, 20)];
        let baselines = learnt(&usual);
        assert!(strength(&usual, &baselines) < 0.5);
        let attacked = [(Kind::Syn, 1_000), (Kind::Ack, 50_000), (Kind::SynAck, 6_000)];
        assert!(strength(&attacked, &baselines) > 2.0);
        // More clients than ever bring no SYN-ACKs.
        assert!(
            strength(
                &[(Kind::Syn, 20_000), (Kind::Ack, 90_000), (Kind::SynAck, 30)],
                &baselines
            ) < 0.5
        );
    }
}
