//! The controller as a whole, second by second; that detectors are right they prove themselves.

use netguard_common::{Verdict, telemetry::Kind};

use super::*;
use crate::engine::{
    feature::{Metric, tests::second},
    window::observe,
};

const SECOND: u64 = 1_000_000_000;

/// What `controller` makes of a second that ends at `at_s`.
fn live(
    controller: &mut Controller,
    at_s: u64,
    kinds: &[(Kind, u64)],
    verdicts: &[(Verdict, u64)],
) -> Vec<Change> {
    let features = Features {
        at_ns: at_s * SECOND,
        ..second(kinds, verdicts)
    };
    let window = observe(&[], &[], &[], 0, features.at_ns, SECOND);
    let changes = controller.tick(&features, &window, &BTreeMap::new());
    controller.second(&features);
    changes
}

#[test]
fn an_attack_teaches_nothing() {
    let mut controller = Controller::default();
    let usual = [(Kind::Syn, 100), (Kind::Ack, 500)];
    for at_s in 1..=400 {
        assert_eq!(live(&mut controller, at_s, &usual, &[]), []);
    }
    let p99 = |controller: &Controller| controller.baselines().total(Metric::Syn)?.quantile(0.99);
    let before = p99(&controller).expect("it is learnt");
    let flood = [(Kind::Syn, 50_000), (Kind::Ack, 500)];
    assert_eq!(live(&mut controller, 401, &flood, &[]), [Change::Begun(1)]);
    for at_s in 402..=1_000 {
        assert_eq!(live(&mut controller, at_s, &flood, &[]), []);
    }
    assert_eq!(p99(&controller), Some(before));
    for at_s in 1_001..=1_050 {
        live(&mut controller, at_s, &usual, &[]);
    }
    let learnt = |controller: &Controller| {
        controller
            .baselines()
            .total(Metric::Syn)
            .map(|usual| usual.normal(None).learnt_s)
    };
    assert_eq!(learnt(&controller), Some(400), "it is not over for long");
    for at_s in 1_051..=1_200 {
        live(&mut controller, at_s, &usual, &[]);
    }
    assert!(learnt(&controller) > Some(450));
}

/// What a tick cannot tell, the second before it does, and no longer than it lasts.
#[test]
fn a_scan_is_told_by_the_second() {
    use crate::engine::feature::ServiceFeatures;
    let mut controller = Controller::default();
    let service = |name: &str, opening: f64| ServiceFeatures {
        service: name.to_owned(),
        opening,
        ..ServiceFeatures::default()
    };
    let scan = |at_s: u64| Features {
        at_ns: at_s * SECOND,
        services: vec![service("tcp/80", 0.0), service("other", 300.0)],
        destination_port: Some(0.9),
        ..second(&[(Kind::Syn, 300)], &[])
    };
    let tick = |controller: &mut Controller, at_ms: u64| {
        let features = Features {
            at_ns: at_ms * 1_000_000,
            length_ns: 50_000_000,
            ..second(&[(Kind::Syn, 20)], &[])
        };
        let window = observe(&[], &[], &[], 0, features.at_ns, 50_000_000);
        controller.tick(&features, &window, &BTreeMap::new())
    };
    // Each of them counts once, however many ticks look at it.
    let mut told: Vec<Change> = Vec::new();
    for at_s in 10..=12 {
        assert_eq!(told, []);
        controller.second(&scan(at_s));
        told.extend((1..=19).flat_map(|index| tick(&mut controller, at_s * 1_000 + index * 50)));
    }
    assert_eq!(told, [Change::Begun(1)]);
    assert_eq!(tick(&mut controller, 24_000), [Change::Ended(1)]);
    let attack = controller.tracker().attack(1).expect("it is remembered");
    assert_eq!(attack.class, Class::Scan);
}

/// A crowd is what will be usual if it stays.
#[test]
fn a_crowd_that_stays_is_learnt_and_told() {
    let mut controller = Controller::default();
    let mut shifted = Vec::new();
    for at_s in 1..=2_000 {
        let kinds = match at_s {
            ..=400 => [(Kind::Syn, 100), (Kind::Ack, 500)],
            _ => [(Kind::Syn, 700), (Kind::Ack, 3_500)],
        };
        let features = Features {
            at_ns: at_s * SECOND,
            ..second(&kinds, &[])
        };
        shifted.extend(controller.second(&features));
    }
    assert!(!controller.tracker().is_attacked());
    let usual = controller.baselines().usual(Metric::Syn, None);
    assert!(usual > Some(650.0), "{usual:?}");
    assert!(
        shifted.iter().any(|shifted| shifted.metric == "syn"),
        "{shifted:?}"
    );
}

/// However fast, and with pauses or without: what is attacked teaches nothing, and no shift is made of it.
#[test]
fn an_attack_is_no_shift() {
    let mut controller = Controller::default();
    let usual = [(Kind::Udp, 2_000)];
    for at_s in 1..=400 {
        live(&mut controller, at_s, &usual, &[]);
    }
    let seldom = |controller: &Controller| controller.baselines().usual(Metric::Udp, None);
    let before = seldom(&controller);
    for at_s in 401..=4_000 {
        // Below any volume that is suspicious, but over limits; it pauses for half a minute now and then.
        let refused = if at_s % 120 < 90 { 5_000 } else { 0 };
        live(
            &mut controller,
            at_s,
            &[(Kind::Udp, 8_000)],
            &[(Verdict::LimitUdp, refused)],
        );
    }
    assert_eq!(seldom(&controller), before);
}

/// A controller that has seen calm traffic for ten minutes, a little different each tick.
fn experienced() -> Controller {
    let mut controller = Controller::default();
    for at_s in 1..=600 {
        let more = at_s % 11;
        let kinds = [
            (Kind::Syn, 100 + more),
            (Kind::Ack, 900 - 10 * more),
            (Kind::Udp, 50 + more),
        ];
        assert_eq!(live(&mut controller, at_s, &kinds, &[]), []);
    }
    controller
}

#[test]
fn what_is_unusual_never_begins_an_attack_alone() {
    let mut controller = experienced();
    // Nothing like it was ever seen, and no detector minds it.
    for at_s in 601..=700 {
        let odd = [(Kind::Udp, 4_000), (Kind::Other, 3_000), (Kind::Fragment, 50)];
        assert_eq!(live(&mut controller, at_s, &odd, &[]), []);
        // After a while it was seen often.
        let unusual = controller.score.as_ref().is_some_and(Score::is_unusual);
        assert!(unusual || at_s > 615, "{at_s}");
    }
    assert!(!controller.tracker().is_attacked());
}

#[test]
fn what_is_unusual_needs_half_the_threshold() {
    // 0.6 of what is suspicious.
    let refused = [(Verdict::LimitUdp, 300)];
    let odd = [(Kind::Udp, 4_000), (Kind::Syn, 1), (Kind::Ack, 1)];
    let mut inexperienced = Controller::default();
    for at_s in 1..=20 {
        assert_eq!(live(&mut inexperienced, at_s, &odd, &refused), []);
    }
    let mut controller = experienced();
    assert_eq!(live(&mut controller, 601, &odd, &refused), []);
    live(&mut controller, 602, &odd, &refused);
    assert_eq!(live(&mut controller, 603, &odd, &refused), [Change::Begun(1)]);
    let attack = controller.tracker().attack(1).expect("it goes on");
    assert!(
        attack
            .evidence
            .iter()
            .any(|evidence| evidence.what.contains("how unusual") && evidence.what.contains("UDP packets/s")),
        "{:?}",
        attack.evidence
    );
    // As usual otherwise, the same is none.
    let mut controller = experienced();
    for at_s in 601..=620 {
        let usual = [(Kind::Syn, 105), (Kind::Ack, 850), (Kind::Udp, 55)];
        assert_eq!(live(&mut controller, at_s, &usual, &refused), [], "{at_s}");
    }
}

#[test]
fn what_was_learnt_comes_back_and_goes_on_alike() {
    let mut controller = experienced();
    let text = serde_json::to_string(controller.learnt()).expect("it is written");
    let learnt: Learnt = serde_json::from_str(&text).expect("it is read");
    assert!(learnt.is_sound());
    let mut back = Controller::new(learnt);
    for at_s in 601..=1_300 {
        let kinds = [(Kind::Syn, 100 + at_s % 7), (Kind::Udp, 60 + at_s % 5)];
        live(&mut controller, at_s, &kinds, &[]);
        live(&mut back, at_s, &kinds, &[]);
        assert_eq!(controller.score, back.score);
    }
    assert_eq!(controller.normal(None), back.normal(None));
    let written = |controller: &Controller| serde_json::to_string(controller.learnt()).expect("written");
    assert_eq!(written(&controller), written(&back));
}

#[test]
fn all_is_forgotten() {
    let mut controller = experienced();
    assert!(controller.forget(None, 7));
    assert_eq!(controller.learnt().seconds(), 0);
    assert_eq!(controller.normal(None).unusual.learnt, 0);
    assert!(!controller.forget(None, 7));
}

/// Found by made-up captures: the QUIC of a crowd was a flood, because all numbers of a crowd are unusual together.
#[test]
fn what_a_crowd_makes_unusual_raises_nothing() {
    use crate::engine::feature::ServiceFeatures;
    let web = |at_s: u64, opening: u64, datagrams: u64| {
        let kinds = [
            (Kind::Syn, opening),
            (Kind::Ack, 9 * opening + at_s % 11),
            (Kind::Udp, datagrams),
        ];
        Features {
            at_ns: at_s * SECOND,
            services: vec![ServiceFeatures {
                service: "tcp/80".to_owned(),
                opening: opening as f64,
                packets: 10.0 * opening as f64,
                ..ServiceFeatures::default()
            }],
            ..second(&kinds, &[])
        }
    };
    let live = |controller: &mut Controller, features: &Features| {
        let window = observe(&[], &[], &[], 0, features.at_ns, SECOND);
        let changes = controller.tick(features, &window, &BTreeMap::new());
        controller.second(features);
        changes
    };
    let experienced = || {
        let mut controller = Controller::default();
        for at_s in 1..=600 {
            let usual = web(at_s, 150 + at_s % 7, 800 + at_s % 13);
            assert_eq!(live(&mut controller, &usual), []);
        }
        controller
    };
    let classes = |opening: u64, datagrams: u64| {
        let mut controller = experienced();
        for at_s in 601..=605 {
            live(&mut controller, &web(at_s, opening, datagrams));
            assert!(controller.score.as_ref().is_some_and(Score::is_unusual));
        }
        let attacks = controller.tracker().attacks().iter();
        attacks.map(|attack| attack.class).collect::<Vec<_>>()
    };
    // 0.6 of what is suspicious of so many clients, and of as few as usual.
    assert_eq!(classes(3_000, 11_000), [Class::FlashCrowd]);
    assert_eq!(classes(150, 11_000), [Class::UdpFlood], "as before without one");
}
