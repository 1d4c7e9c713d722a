//! What is normal: whatever is measured and whatever the clocks say, only numbers are learnt, the same from the same, and what was written
//! is read again to the last bit or not at all; and nobody raises it faster than it may rise.

use std::{collections::BTreeMap, fs, path::PathBuf};

use netguard::{
    daemon::{read_normal, write_normal},
    engine::{
        Controller, Features, Learnt,
        baseline::Baseline,
        feature::{HttpFeatures, ServiceFeatures},
        observe,
    },
};
use netguard_common::{Verdict, telemetry::Kind};
use proptest::{collection::vec, prelude::*, sample::Index};
use tempfile::TempDir;

/// What may be measured, and what never should.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 0.0..2_000.0_f64,
        1 => prop_oneof![
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            Just(f64::MAX),
            Just(f64::MIN_POSITIVE),
            Just(-1.0),
            Just(u64::MAX as f64),
        ],
    ]
}

/// A second: numbers of everything, and both clocks, which may say anything.
#[derive(Clone, Debug)]
struct Second {
    numbers: [f64; 9],
    evenness: Option<f64>,
    at_ns: Option<u64>,
    wall_s: Option<u64>,
    service: u8,
    duration: Option<f64>,
    http: Option<[f64; 3]>,
}

fn second() -> impl Strategy<Value = Second> {
    let clock = || prop_oneof![8 => Just(None), 1 => any::<u64>().prop_map(Some)];
    (
        proptest::array::uniform9(number()),
        proptest::option::of(number()),
        clock(),
        clock(),
        any::<u8>(),
        proptest::option::of(number()),
        proptest::option::of(proptest::array::uniform3(number())),
    )
        .prop_map(
            |(numbers, evenness, at_ns, wall_s, service, duration, http)| Second {
                numbers,
                evenness,
                at_ns,
                wall_s,
                service,
                duration,
                http,
            },
        )
}

/// Has a controller live through `seconds`, each so many times; it begins after 400 ordinary ones if it is `experienced`.
fn live(controller: &mut Controller, seconds: &[Second], times: u64, begin_s: u64) {
    for (index, second) in seconds.iter().enumerate() {
        for time in 0..times {
            let now_s = begin_s + index as u64 * times + time;
            let [syn, ack, udp, icmp, other, refused, packets, bytes, opening] = second.numbers;
            let mut features = Features {
                at_ns: second.at_ns.unwrap_or(now_s * 1_000_000_000),
                wall_s: Some(second.wall_s.unwrap_or(1_800_000_000 + now_s)),
                length_ns: 1_000_000_000,
                bytes,
                verdicts: vec![0.0; Verdict::COUNT as usize],
                source: second.evenness,
                ttl: second.evenness,
                services: vec![ServiceFeatures {
                    service: format!("tcp/{}", second.service),
                    packets,
                    bytes,
                    opening,
                    dropped: 0.0,
                    duration_s: second.duration,
                    http: second.http.map(|[requests, errors, response]| HttpFeatures {
                        requests,
                        errors_percent: Some(errors),
                        response_ms: Some(response),
                    }),
                }],
                ..Features::default()
            };
            let kinds = [Kind::Syn, Kind::Ack, Kind::Udp, Kind::Icmp, Kind::Other];
            for (kind, rate) in kinds.into_iter().zip([syn, ack, udp, icmp, other]) {
                features.kinds[kind as usize] = rate;
            }
            features.verdicts[Verdict::LimitUdp.number() as usize] = refused / 10.0;
            let window = observe(&[], &[], &[], 0, features.at_ns, features.length_ns);
            controller.tick(&features, &window, &BTreeMap::new());
            controller.second(&features);
        }
    }
}

fn ordinary() -> Vec<Second> {
    let second = |index: u64| Second {
        numbers: [
            100.0 + (index % 7) as f64,
            500.0,
            50.0,
            1.0,
            0.0,
            0.0,
            600.0,
            9_000.0,
            100.0,
        ],
        evenness: Some(0.7),
        at_ns: None,
        wall_s: None,
        service: (index % 3) as u8,
        duration: None,
        http: None,
    };
    (0..400).map(second).collect()
}

fn written(controller: &Controller) -> String {
    serde_json::to_string(controller.learnt()).expect("it is JSON")
}

/// A file of what was learnt.
fn kept(learnt: &Learnt) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("normal.json");
    write_normal(&path, learnt, 1_800_000_000).expect("it is written");
    (directory, path)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn only_numbers_are_learnt_whatever_comes(seconds in vec(second(), 1..60), times in 1..40_u64, experienced: bool) {
        let mut controller = Controller::default();
        if experienced {
            live(&mut controller, &ordinary(), 1, 1);
        }
        live(&mut controller, &seconds, times, 401);
        prop_assert!(controller.learnt().is_sound());
        let normal = controller.normal(Some(1_800_000_000));
        for (name, number) in &normal.totals {
            let numbers = [number.mean, number.deviation, number.median, number.mad, number.p95, number.p99];
            prop_assert!(numbers.iter().all(|number| number.is_finite() && *number >= 0.0), "{}: {:?}", name, number);
            prop_assert!(number.usual.is_none_or(f64::is_finite));
        }
        for (name, service) in &normal.services {
            let of_answers = [service.requests, service.errors_percent, service.response_ms];
            let known = [service.payload, service.duration_s].into_iter().chain(of_answers);
            for number in known.flatten() {
                let numbers = [number.mean, number.deviation, number.median, number.mad, number.p95, number.p99];
                prop_assert!(numbers.iter().all(|number| number.is_finite() && *number >= 0.0), "{}: {:?}", name, number);
            }
        }
        prop_assert!(normal.come_about.now.is_none_or(f64::is_finite));
    }

    #[test]
    fn the_same_is_learnt_from_the_same(seconds in vec(second(), 1..40), times in 1..20_u64) {
        let [one, other] = [(); 2].map(|()| {
            let mut controller = Controller::default();
            live(&mut controller, &ordinary(), 1, 1);
            live(&mut controller, &seconds, times, 401);
            written(&controller)
        });
        prop_assert_eq!(one, other);
    }

    #[test]
    fn what_was_written_goes_on_as_if_nothing_had_been(
        seconds in vec(second(), 1..40),
        times in 1..20_u64,
        later in vec(second(), 1..20),
    ) {
        let mut controller = Controller::default();
        live(&mut controller, &ordinary(), 1, 1);
        live(&mut controller, &seconds, times, 401);
        let (_directory, path) = kept(controller.learnt());
        let back = read_normal(&path, 1_800_000_060).expect("it is taken").expect("it is there");
        let mut back = Controller::new(back.learnt);
        prop_assert_eq!(written(&controller), written(&back));
        // A daemon begins without attacks, and so does this one; forecasts are made anew.
        let mut controller = Controller::new(controller.learnt().clone());
        live(&mut controller, &later, 1, 100_000);
        live(&mut back, &later, 1, 100_000);
        prop_assert_eq!(written(&controller), written(&back));
        prop_assert_eq!(controller.normal(None), back.normal(None));
    }

    #[test]
    fn a_file_that_was_touched_is_refused(at in any::<Index>(), byte: u8, cut: bool) {
        let mut controller = Controller::default();
        live(&mut controller, &ordinary()[..20], 1, 1);
        let (_directory, path) = kept(controller.learnt());
        let mut bytes = fs::read(&path).expect("a file");
        let index = at.index(bytes.len());
        let before = bytes.clone();
        if cut {
            bytes.truncate(index);
        } else {
            bytes[index] = byte;
        }
        fs::write(&path, &bytes).expect("it is written");
        let header_ends = before.iter().position(|byte| *byte == b'\n').expect("a first line");
        match read_normal(&path, 1_800_000_060) {
            // Of the first line only the date can be another without being noticed.
            Ok(kept) => prop_assert!(bytes == before || index < header_ends, "{:?}", kept.is_some()),
            Err(why) => prop_assert!(why.to_string().contains("normal.json")),
        }
    }

    /// Eightfold at once, and twice in eight hours from then on; what a new level varies by comes on top.
    #[test]
    fn nobody_raises_it_fast(steps in vec((1.0..3.0_f64, 1..1_800_u32), 1..60), base in 100.0..10_000.0_f64) {
        let mut baseline = Baseline::default();
        for second in 0..90_000 {
            baseline.learn(base * (0.95 + f64::from(second % 11) / 100.0), None);
        }
        let highest = base * 1.05;
        let (mut rate, mut passed) = (base, 0_u32);
        for (times, seconds) in steps {
            rate *= times;
            for _ in 0..seconds {
                // What is five times the usual would be an attack, and not learnt.
                let most = 5.0 * baseline.usual(None).expect("it is ready");
                baseline.learn(rate.min(most), None);
            }
            passed += seconds;
            let doublings = 3.0 + f64::from(passed) / 28_800.0;
            let usual = baseline.usual(None).expect("it is ready");
            prop_assert!(usual <= highest * doublings.exp2() * 1.02, "{} after {} s from {}", usual, passed, base);
        }
    }
}
