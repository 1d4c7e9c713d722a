//! Detector: connections are asked for that nobody goes on with. Where the kernel counts those that come about, the others are a flood. Elsewhere
//! segments tell: a client that means it sends two or more for each SYN, however many clients there are; a flood sends none.

use netguard_common::telemetry::Kind;

use super::{
    Class, Evidence, LEAST_STRENGTH, Suspicion,
    opened::{self, Recent},
};
use crate::engine::{Baselines, Features, baseline::COMES_ABOUT, feature::Metric};

/// SYNs a second below which it is none.
pub(super) const FLOOR: f64 = 500.0;
/// So many times the rate that is seldom exceeded is suspicious.
const FACTOR: f64 = 2.0;
/// Segments for each SYN below which most do not go on; and where many are over limits or answered with a cookie, which a crowd
/// of clients can be, too.
const GOES_ON: f64 = 1.0;
const GOES_ON_REFUSED: f64 = 2.0;
/// Requests over limits for each connection that comes about, which people send again.
const AGAIN: f64 = 10.0;
/// The part of the SYNs over limits or answered with a cookie that is many.
const REFUSED: f64 = 0.3;

/// What is suspicious of `features`, the newest of `recent`.
pub(super) fn syn_flood(features: &Features, recent: &Recent, baselines: &Baselines) -> Option<Suspicion> {
    // Behind a scan there may be one at a service: what is asked for in vain is the scan's. And what cannot be real is told by itself.
    // They may be the same, since those count as asked for in vain, too.
    let of_others = super::scan::scattered(features).max(features.syn_among(Class::Malformed.verdicts()));
    let syn = features.of_kinds(&[Kind::Syn]) - of_others;
    if syn <= 0.0 {
        return None;
    }
    let by_segments =
        hardly_followed(features, baselines, syn).filter(|suspicion| suspicion.strength >= LEAST_STRENGTH);
    let Some(share) = baselines.come_about() else {
        return by_segments;
    };
    // Whoever is many asks again for what a limit drops, a few times each; a flood does so without end.
    let come_about = recent.newest().is_some_and(|newest| {
        !newest.is_below(COMES_ABOUT * share) && newest.dropped <= AGAIN * newest.opened
    });
    let by_opened = opened::hardly_opened(features, recent, baselines, share);
    let both = by_segments.filter(|_| !come_about).into_iter().chain(by_opened);
    both.max_by(|one, other| one.strength.total_cmp(&other.strength))
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

fn usual_per_syn(baselines: &Baselines) -> Option<f64> {
    let median = |metric| baselines.total(metric)?.quantile(0.5);
    let (syn, segments) = (median(Metric::Syn)?, median(Metric::Segments)?);
    (syn > 0.0).then_some(segments / syn)
}

#[cfg(test)]
mod tests {
    use netguard_common::Verdict;

    use super::*;
    use crate::engine::{
        baseline::tests::learnt,
        detect::detect_alone,
        feature::{ServiceFeatures, tests::second},
    };

    fn strength(kinds: &[(Kind, u64)], verdicts: &[(Verdict, u64)], baselines: &Baselines) -> f64 {
        let second = second(kinds, verdicts);
        syn_flood(&second, &Recent::of(&second), baselines).map_or(0.0, |suspicion| suspicion.strength)
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
    fn what_cannot_be_real_is_told_by_itself() {
        let of = |verdicts: &[(Verdict, u64)], refused: f64| {
            let mut features = second(&[(Kind::Syn, 50_000)], verdicts);
            features.refused[Kind::Syn as usize] = refused;
            let found = detect_alone(&features, &Baselines::default());
            found.iter().map(|suspicion| suspicion.class).collect::<Vec<_>>()
        };
        assert_eq!(of(&[(Verdict::TcpSynFin, 50_000)], 50_000.0), [Class::Malformed]);
        // Beside it, and where it is of another protocol, there is a flood.
        let both = [Class::SynFlood, Class::Malformed];
        assert_eq!(of(&[(Verdict::TcpSynFin, 10_000)], 10_000.0), both);
        let limited = [(Verdict::UdpLength, 50_000), (Verdict::LimitSyn, 40_000)];
        assert_eq!(of(&limited, 40_000.0), both);
        // Found in review: those that are asked for in vain were taken off twice.
        let mut features = second(&[(Kind::Syn, 10_000)], &[(Verdict::TcpSynFin, 6_000)]);
        features.refused[Kind::Syn as usize] = 6_000.0;
        let service = |service: &str, opening| ServiceFeatures {
            service: service.to_owned(),
            opening,
            ..ServiceFeatures::default()
        };
        features.services = vec![service("tcp/80", 4_000.0), service("other", 6_000.0)];
        let suspicion = syn_flood(&features, &Recent::of(&features), &Baselines::default());
        assert_eq!(suspicion.map(|suspicion| suspicion.packets), Some(4_000.0));
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
