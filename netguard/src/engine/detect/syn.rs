//! Detector: connections are asked for that nobody goes on with. Where the kernel counts those that come about, the others are a flood. Elsewhere
//! segments tell: a client that means it sends two or more for each SYN, however many clients there are; a flood sends none.

use netguard_common::telemetry::Kind;

use super::{Class, Evidence, Suspicion};
use crate::engine::{Baselines, Features, feature::Metric};

/// SYNs a second below which it is none.
const FLOOR: f64 = 500.0;
/// So many times the rate that is seldom exceeded is suspicious.
const FACTOR: f64 = 2.0;
/// Segments for each SYN below which most do not go on; and where many are over limits or answered with a cookie, which a crowd
/// of clients can be, too.
const GOES_ON: f64 = 1.0;
const GOES_ON_REFUSED: f64 = 2.0;
/// So much of the usual part of the attempts must become connections.
const COMES_ABOUT: f64 = 0.7;
/// A strength that is believed after some ticks, not at once.
const PATIENT: f64 = 1.9;
/// The part of the SYNs over limits or answered with a cookie that is many.
const REFUSED: f64 = 0.3;

pub(super) fn syn_flood(features: &Features, baselines: &Baselines) -> Option<Suspicion> {
    // Behind a scan there may be one at a service: what is asked for in vain is the scan's.
    let in_vain = super::scan::scattered(features);
    let syn = features.of_kinds(&[Kind::Syn]) - in_vain;
    let segments = features.metric(Metric::Segments)? - features.with(Class::SegmentFlood.verdicts());
    let usual = baselines.usual(Metric::Syn, features.wall_s);
    let threshold = FLOOR.max(FACTOR * usual.unwrap_or(0.0));
    if syn <= 0.0 {
        return None;
    }
    if let (Some(opened), Some(usual_share)) = (features.opened, baselines.come_about()) {
        let lately = baselines.lately();
        let more = (segments - lately.segments) / (syn - lately.asked).max(1.0);
        return unanswered(syn, opened, usual, usual_share, more >= GOES_ON);
    }
    let per_syn = segments.max(0.0) / syn;
    let refused = features.with(Class::SynFlood.verdicts()).min(syn) / syn;
    let goes_on = if refused < REFUSED {
        GOES_ON
    } else {
        GOES_ON_REFUSED
    };
    if per_syn >= goes_on {
        return None;
    }
    Some(Suspicion {
        class: Class::SynFlood,
        strength: syn / threshold,
        packets: syn,
        evidence: vec![
            Evidence {
                what: "connection attempts/s".to_owned(),
                value: syn,
                threshold,
                usual,
            },
            Evidence {
                what: "segments for each attempt".to_owned(),
                value: per_syn,
                threshold: goes_on,
                usual: usual_per_syn(baselines),
            },
            Evidence {
                what: "part of the attempts that is over limits or must prove itself".to_owned(),
                value: refused,
                threshold: REFUSED,
                usual: None,
            },
        ],
    })
}

/// Where connections come about as a rule, those that do not are what counts, whatever else goes on: neither a crowd nor what those send who are
/// connected hides them. A crowd that comes all at once from far away looks the same in a tick, but that segments come with it (`goes_on`): then it
/// takes some ticks.
fn unanswered(
    syn: f64,
    opened: f64,
    usual: Option<f64>,
    usual_share: f64,
    goes_on: bool,
) -> Option<Suspicion> {
    let share = (opened / syn).min(1.0);
    let least = COMES_ABOUT * usual_share;
    if share >= least {
        return None;
    }
    let unanswered = syn - opened;
    let threshold = FLOOR.max(usual.unwrap_or(0.0) / FACTOR);
    Some(Suspicion {
        class: Class::SynFlood,
        strength: (unanswered / threshold).min(if goes_on { PATIENT } else { f64::INFINITY }),
        packets: unanswered,
        evidence: vec![
            Evidence {
                what: "connection attempts/s that nobody goes on with".to_owned(),
                value: unanswered,
                threshold,
                usual: usual.map(|usual| usual * (1.0 - usual_share)),
            },
            Evidence {
                what: "part of the attempts that becomes a connection".to_owned(),
                value: share,
                threshold: least,
                usual: Some(usual_share),
            },
        ],
    })
}

fn usual_per_syn(baselines: &Baselines) -> Option<f64> {
    let median = |metric| baselines.total(metric)?.quantile(0.5);
    let (syn, segments) = (median(Metric::Syn)?, median(Metric::Segments)?);
    (syn > 0.0).then_some(segments / syn)
}

#[cfg(test)]
mod tests {
    use netguard_common::Verdict;

    use super::*;
    use crate::engine::{baseline::tests::learnt, feature::tests::second};

    /// Found in review: whatever else went on hid a flood, since all segments of the machine were held against its requests.
    #[test]
    fn where_connections_come_about_those_that_do_not_are_a_flood() {
        let connected = (Kind::Ack, 20_000);
        let asked = |syn: u64, opened: f64| Features {
            opened: Some(opened),
            ..second(&[(Kind::Syn, syn), connected], &[])
        };
        let mut baselines = Baselines::default();
        for _ in 0..30 {
            baselines.learn(&asked(150, 149.0));
        }
        let told =
            |features: &Features| syn_flood(features, &baselines).map_or(0.0, |suspicion| suspicion.strength);
        let strength = |syn, opened| told(&asked(syn, opened));
        assert!(strength(2_150, 150.0) > 3.0);
        assert!(strength(8_000, 3_000.0) > 9.0, "during a crowd");
        assert_eq!(strength(3_000, 2_900.0), 0.0, "a crowd");
        let begins = Features {
            opened: Some(1_000.0),
            ..second(&[(Kind::Syn, 3_000), (Kind::Ack, 26_000)], &[])
        };
        assert_eq!(told(&begins), PATIENT, "a crowd whose connections are under way");
        assert!((0.5..1.0).contains(&strength(500, 150.0)), "little");
        let unknown = Features {
            opened: None,
            ..asked(2_150, 0.0)
        };
        assert_eq!(syn_flood(&unknown, &baselines), None, "segments go on");
    }

    fn strength(kinds: &[(Kind, u64)], verdicts: &[(Verdict, u64)], baselines: &Baselines) -> f64 {
        syn_flood(&second(kinds, verdicts), baselines).map_or(0.0, |suspicion| suspicion.strength)
    }

    #[test]
    fn who_asks_and_does_not_go_on_is_suspicious() {
        let cold = Baselines::default();
        assert_eq!(strength(&[(Kind::Syn, 1_000)], &[], &cold), 2.0);
        assert_eq!(strength(&[], &[], &cold), 0.0);
        // Beside it, clients that are served, and who are many.
        let beside = [(Kind::Syn, 5_000), (Kind::Ack, 4_000), (Kind::Fin, 500)];
        assert!(strength(&beside, &[], &cold) >= 2.0);
    }

    #[test]
    fn a_crowd_of_clients_is_not() {
        let cold = Baselines::default();
        let crowd = [(Kind::Syn, 20_000), (Kind::Ack, 60_000), (Kind::Fin, 20_000)];
        assert_eq!(strength(&crowd, &[], &cold), 0.0);
        assert_eq!(strength(&crowd, &[(Verdict::SynCookie, 15_000)], &cold), 0.0);
        // But for one in which most do not prove themselves.
        let half = [(Kind::Syn, 20_000), (Kind::Ack, 30_000)];
        assert!(strength(&half, &[(Verdict::SynCookie, 15_000)], &cold) >= 2.0);
        // Segments of no connection are no clients that go on.
        let mixed = [(Kind::Syn, 5_000), (Kind::Ack, 50_000)];
        assert!(strength(&mixed, &[(Verdict::OutOfState, 50_000)], &cold) >= 2.0);
    }

    #[test]
    fn what_is_usual_here_is_not() {
        // A service that answers with nothing but a reset, thousands of times a second.
        let usual = [(Kind::Syn, 3_000), (Kind::Ack, 1_000)];
        let baselines = learnt(&usual);
        assert!(strength(&usual, &[], &Baselines::default()) > 1.0);
        assert!(strength(&usual, &[], &baselines) < 0.6);
        assert!(strength(&[(Kind::Syn, 30_000), (Kind::Ack, 1_000)], &[], &baselines) > 2.0);
    }
}
