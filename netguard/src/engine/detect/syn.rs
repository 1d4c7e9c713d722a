//! Detector: connections are asked for that nobody goes on with. Where the kernel counts those that come about, the others are a flood. Elsewhere
//! segments tell: a client that means it sends two or more for each SYN, however many clients there are; a flood sends none.

use netguard_common::telemetry::Kind;

use super::{Class, Evidence, Suspicion};
use crate::engine::{Baselines, Features, baseline::COMES_ABOUT, feature::Metric};

/// SYNs a second below which it is none.
const FLOOR: f64 = 500.0;
/// So many times the rate that is seldom exceeded is suspicious.
const FACTOR: f64 = 2.0;
/// Segments for each SYN below which most do not go on; and where many are over limits or answered with a cookie, which a crowd
/// of clients can be, too.
const GOES_ON: f64 = 1.0;
const GOES_ON_REFUSED: f64 = 2.0;
/// Requests over limits for each connection that comes about, which people send again.
const AGAIN: f64 = 10.0;
/// Deviations that are chance, half of them since requests come several at once.
const CHANCE: f64 = 6.0;
/// A strength that is believed after some ticks, not at once; in so many seconds most of what is under way comes about.
const PATIENT: f64 = 1.9;
const LONG_S: f64 = 0.5;
/// The part of the SYNs over limits or answered with a cookie that is many.
const REFUSED: f64 = 0.3;

pub(super) fn syn_flood(features: &Features, baselines: &Baselines) -> Option<Suspicion> {
    // Behind a scan there may be one at a service: what is asked for in vain is the scan's.
    let in_vain = super::scan::scattered(features);
    let syn = features.of_kinds(&[Kind::Syn]) - in_vain;
    if syn <= 0.0 {
        return None;
    }
    let by_segments = hardly_followed(features, baselines, syn);
    let (Some(opened), Some(share)) = (features.opened, baselines.come_about()) else {
        return by_segments;
    };
    let [asked, dropped] = features.asked_and_dropped();
    let asked = (asked - in_vain).max(0.0);
    let come_about = opened >= COMES_ABOUT * share * asked;
    // Whoever is many asks again for what a limit drops, a few times each; a flood does so without end.
    if come_about && dropped <= AGAIN * opened {
        return None;
    }
    by_segments.or_else(|| hardly_opened(features, baselines, [asked, opened], share))
}

/// Far fewer segments come than follow requests.
fn hardly_followed(features: &Features, baselines: &Baselines, syn: f64) -> Option<Suspicion> {
    let segments = features.metric(Metric::Segments)? - features.with(Class::SegmentFlood.verdicts());
    let usual = baselines.usual(Metric::Syn, features.wall_s);
    let threshold = FLOOR.max(FACTOR * usual.unwrap_or(0.0));
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

/// Where connections come about as a rule, those that do not are a flood, whatever else goes on: neither a crowd nor what those send who are
/// connected hides them. Requests of one moment are acknowledged in another, and programs open several connections at once: what is chance is
/// taken off, and a tick is never believed at once.
fn hardly_opened(
    features: &Features,
    baselines: &Baselines,
    [asked, opened]: [f64; 2],
    usual_share: f64,
) -> Option<Suspicion> {
    let length_s = features.length_ns as f64 / 1e9;
    let chance = CHANCE * ((asked + opened) / length_s.max(f64::MIN_POSITIVE)).sqrt();
    let unanswered = asked - opened - chance;
    let (share, least) = (opened / asked.max(1.0), COMES_ABOUT * usual_share);
    if share >= least || unanswered <= 0.0 {
        return None;
    }
    let usual = baselines.usual(Metric::Syn, features.wall_s);
    let threshold = FLOOR.max(usual.unwrap_or(0.0) / FACTOR);
    Some(Suspicion {
        class: Class::SynFlood,
        strength: (unanswered / threshold).min(if length_s < LONG_S { PATIENT } else { f64::INFINITY }),
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
        const TICK: f64 = 0.05;
        let mut baselines = Baselines::default();
        let asked = |syn: u64, opened: f64, limited: u64| {
            let kinds = [(Kind::Syn, syn), (Kind::Ack, 20_000)];
            let mut features = Features {
                opened: Some(opened),
                length_ns: (TICK * 1e9) as u64,
                ..second(&kinds, &[(Verdict::LimitSyn, limited)])
            };
            features.refused[Kind::Syn as usize] = limited as f64;
            features
        };
        for _ in 0..30 {
            baselines.learn(&asked(150, 149.0, 0));
        }
        let told =
            |features: &Features| syn_flood(features, &baselines).map_or(0.0, |suspicion| suspicion.strength);
        assert!(told(&asked(2_150, 150.0, 0)) >= 1.0);
        assert_eq!(told(&asked(8_000, 3_000.0, 0)), PATIENT, "during a crowd");
        assert_eq!(told(&asked(3_000, 2_900.0, 0)), 0.0, "a crowd");
        assert_eq!(
            told(&asked(600, 150.0, 0)),
            0.0,
            "little, which can be chance in a tick"
        );
        // Found in review: in a tick of a busy server as many requests as acknowledgements come only on the average.
        assert_eq!(told(&asked(1_000 + 400, 1_000.0 - 400.0, 0)), 0.0, "chance");
        // Found in review: people who were limited were a flood by what their limit dropped.
        assert_eq!(told(&asked(950, 150.0, 800)), 0.0, "an office over its limit");
        assert!(
            told(&asked(50_000, 150.0, 49_000)) >= 1.0,
            "few sources, far over it"
        );
        let whole = Features {
            length_ns: 1_000_000_000,
            ..asked(5_000, 3_000.0, 0)
        };
        assert!(told(&whole) > 2.0, "little of a crowd, but for a second");
        let unknown = Features {
            opened: None,
            ..asked(2_150, 0.0, 0)
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
