//! What is done about attacks: whatever is seen, a signature fits at most one in a thousand of the ordinary packets to the port that it is
//! for, the same is done about the same, and nothing is wanted of what is no attack.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use netguard::engine::{
    Account, Controller, Features, Learnt,
    draft::{COLLATERAL, drafts},
    feature::ServiceFeatures,
    observe,
    peace::{Peace, share},
    places::Nowhere,
    response::{Beside, Measure, Mode, Moment, Responder, ResponseSettings, Standing, Turn},
    seen::Seen,
};
use netguard_common::{
    Verdict,
    head::{HEAD_LEN, Head},
    shared::Field as _,
    telemetry::Kind,
};
use netguard_tests::frames::frame;
use proptest::{collection::vec, prelude::*};

/// What a packet is like; few values each, so that ordinary packets and those of an attack have some in common.
#[derive(Clone, Copy, Debug)]
struct Shape {
    protocol: u8,
    port: u8,
    ttl: u8,
    sequence: u8,
    payload: u8,
    flags: u8,
}

fn shape() -> impl Strategy<Value = Shape> {
    (0_u8..3, 0_u8..3, 0_u8..4, 0_u8..4, 0_u8..4, 0_u8..3).prop_map(
        |(protocol, port, ttl, sequence, payload, flags)| Shape {
            protocol,
            port,
            ttl,
            sequence,
            payload,
            flags,
        },
    )
}

/// One that asks for a connection, with one of these numbers.
fn request(sequences: std::ops::Range<u8>) -> impl Strategy<Value = Shape> {
    (0_u8..2, 0_u8..3, sequences, 0_u8..2).prop_map(|(port, ttl, sequence, payload)| Shape {
        protocol: 0,
        port,
        ttl,
        sequence,
        payload,
        flags: 0,
    })
}

/// The packet of `shape` that came as number `index`.
fn seen(shape: Shape, index: u64, verdict: Verdict) -> Option<Seen> {
    let source = format!("192.0.{}.{}", index / 256 % 256, index % 256);
    let port = 80 + u16::from(shape.port);
    let start = frame().ipv4(&source, "198.51.100.1").ttl(32 << (shape.ttl % 3));
    let data = vec![shape.payload; usize::from(shape.payload) * 20];
    let packet = match shape.protocol {
        0 => start
            .tcp(1_000 + index as u16 % 500, port)
            .flags(["S", "A", "PA"][usize::from(shape.flags)])
            .seq(shape.sequence.into()),
        1 => start.udp(1_000 + index as u16 % 500, port),
        _ => start.icmp(8, 0),
    };
    let bytes = packet.data(&data).build();
    let captured = bytes.len().min(HEAD_LEN);
    let mut head = Head {
        at_ns: index * 50_000_000,
        frame_len: bytes.len() as u32,
        verdict: verdict.number() as u16,
        captured: captured as u8,
        ..Head::ZERO
    };
    head.bytes[..captured].copy_from_slice(&bytes[..captured]);
    Seen::of(&head)
}

fn all(shapes: &[Shape]) -> Vec<Seen> {
    let packets = (0..).zip(shapes);
    packets
        .filter_map(|(index, shape)| seen(*shape, index, Verdict::Pass))
        .collect()
}

proptest! {
    /// What nobody ordinary has in common with an attack is found, amid whatever both have.
    #[test]
    fn a_flood_that_differs_in_one_number_has_a_signature(
        ordinary in vec(request(0..4), 400..600),
        kinds in vec(request(5..7), 1..3),
        mixed in vec(request(0..4), 0..20),
        seed: u64,
    ) {
        let mut peace = Peace::new(seed);
        all(&ordinary).iter().for_each(|seen| peace.learn(seen));
        peace.settle(u64::MAX);
        let flood = kinds.iter().cycle().take(250).chain(&mixed).copied().collect::<Vec<_>>();
        let attack = all(&flood);
        let found = drafts(&attack, &peace).expect("all of it is known");
        prop_assert!(!found.is_empty());
        for draft in &found {
            let hit = all(&ordinary).iter().filter(|seen| draft.signature.fits(&seen.vector)).count();
            prop_assert_eq!(hit, 0, "{:?}", draft);
        }
    }

    #[test]
    fn a_signature_spares_ordinary_packets(
        ordinary in vec(shape(), 0..600),
        kinds in vec(shape(), 1..4),
        mixed in vec(shape(), 0..60),
        count in 0_usize..300,
        seed: u64,
    ) {
        let mut peace = Peace::new(seed);
        let ordinary = all(&ordinary);
        ordinary.iter().for_each(|seen| peace.learn(seen));
        peace.settle(u64::MAX);
        let flood = kinds.iter().cycle().take(count).chain(&mixed).copied().collect::<Vec<_>>();
        let attack = all(&flood);
        let Ok(found) = drafts(&attack, &peace) else {
            return Ok(());
        };
        for draft in &found {
            let stratum = attack.iter().find(|seen| draft.signature.fits(&seen.vector)).map(|seen| seen.stratum);
            let stratum = stratum.expect("it fits what it was made of");
            let (own, others) = peace.like(stratum);
            let ordinary = match draft.signature.port() {
                Some(_) => own,
                None => [own, others].concat(),
            };
            let hit = share(&draft.signature, &ordinary).part();
            prop_assert!(hit <= COLLATERAL, "{hit} {draft:?}");
            let fitted = attack.iter().filter(|seen| draft.signature.fits(&seen.vector)).count();
            prop_assert!(fitted >= draft.covers.hits && draft.covers.hits > 0);
        }
        prop_assert_eq!(drafts(&attack, &peace), Ok(found));
    }

    #[test]
    fn no_clock_and_no_number_is_too_absurd(
        ticks in vec((any::<f64>(), any::<f64>(), any::<u64>(), vec(shape(), 0..8)), 1..30),
        seed: u64,
    ) {
        follow(&ticks, seed);
    }
}

proptest! {
    // What is usual is learnt first, in each case.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_same_is_done_about_the_same(
        ticks in vec((0_f64..50_000.0, 0_f64..50_000.0, 0_u64..30_000, vec(shape(), 0..80)), 1..60),
        seed: u64,
    ) {
        let ticks = [calm(), flood(), ticks].concat();
        let (first, second) = (follow(&ticks, seed), follow(&ticks, seed));
        prop_assert_eq!(&first.0, &second.0);
        prop_assert!(first.1 <= 8, "{} signatures at once", first.1);
        let is_begun = |name: &str| {
            first.0.iter().any(|turn| matches!(turn, Turn::Begin { taken, .. } if taken.measure.name() == name))
        };
        prop_assert!(is_begun("limit") && is_begun("challenge"), "{:?}", first.0);
    }
}

/// Five minutes and more in which little comes.
fn calm() -> Vec<Tick> {
    let ordinary = |number: u8| Shape {
        protocol: 0,
        port: 0,
        ttl: number % 3,
        sequence: number % 3,
        payload: 0,
        flags: 0,
    };
    let second = |second: u32| {
        let first = second as u8 % 3;
        (100.0, 10.0, 1_000, vec![ordinary(first), ordinary(first + 1)])
    };
    (0..320).map(second).collect()
}

/// Two seconds in which much of one kind comes.
fn flood() -> Vec<Tick> {
    const SAME: Shape = Shape {
        protocol: 0,
        port: 0,
        ttl: 1,
        sequence: 3,
        payload: 3,
        flags: 0,
    };
    vec![(20_000.0, 0.0, 50, vec![SAME; 80]); 40]
}

/// SYNs and datagrams a second, ms since the tick before, and packets that were seen.
type Tick = (f64, f64, u64, Vec<Shape>);

/// What is done, and the most signatures that were wanted at once against one attack.
fn follow(ticks: &[Tick], seed: u64) -> (Vec<Turn>, usize) {
    const ON: ResponseSettings = ResponseSettings::all(Mode::Enforce);
    let mut controller = Controller::new(Learnt::new(seed));
    let mut responder = Responder::new(ON, seed);
    let (mut turns, mut most) = (Vec::new(), 0);
    let mut at_ns = 1_000_000_000_u64;
    for (syns, datagrams, ms, shapes) in ticks {
        at_ns = at_ns.wrapping_add(ms.wrapping_mul(1_000_000));
        let mut features = Features {
            at_ns,
            length_ns: 50_000_000,
            verdicts: vec![0.0; Verdict::COUNT as usize],
            services: vec![ServiceFeatures {
                service: "tcp/80".to_owned(),
                packets: *syns,
                opening: *syns,
                ..ServiceFeatures::default()
            }],
            ..Features::default()
        };
        features.kinds[Kind::Syn as usize] = *syns;
        features.kinds[Kind::Udp as usize] = *datagrams;
        features.verdicts[Verdict::LimitUdp.number() as usize] = *datagrams;
        let window = observe(&[], &[], &[], 0, at_ns, features.length_ns);
        let matched = responder.matched(controller.tracker().attacks());
        controller.tick(&features, &window, &matched);
        controller.second(&features);
        let seen = all(shapes);
        turns.extend(responder.step(&Moment {
            now_ns: at_ns,
            features: &features,
            baselines: controller.baselines(),
            attacks: controller.tracker().attacks(),
            seen: &seen,
            is_calm: controller.is_calm(at_ns),
            beside: Beside {
                good: &HashSet::<Account>::new(),
                sessions: &BTreeSet::new(),
                places: &Nowhere,
            },
        }));
        let mut signatures = BTreeMap::<u64, usize>::new();
        let mut numbers = Vec::new();
        for (attack, taken) in responder.wanted() {
            numbers.push(taken.number);
            *signatures.entry(attack).or_default() +=
                usize::from(matches!(taken.measure, Measure::Signature(_)));
        }
        most = most.max(signatures.values().copied().max().unwrap_or(0));
        for number in numbers {
            responder.report(number, Standing::InForce);
            responder.count(number, at_ns % 1_000, 50_000_000);
        }
    }
    (turns, most)
}
