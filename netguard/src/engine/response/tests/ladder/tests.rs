//! The upper rungs in scenes: when each is climbed, what ends it, and whom it leaves alone.

use std::net::IpAddr;

use netguard_common::signature::Signature;

use super::*;
use crate::engine::places::{Place, Unknown, tests::country};

/// What is told of measures that hurt newcomers.
fn of(scene: &Scene, measure: &str) -> Vec<String> {
    let told = scene.turns.iter().filter(|turn| turn.ends_with(measure));
    told.cloned().collect()
}

fn whole() -> Scene {
    Scene::new(ResponseSettings::all(Mode::Enforce))
}

#[test]
fn the_last_rung_is_climbed_when_nothing_else_helps() {
    let mut scene = whole();
    scene.ticks(100_000, 103_300, 10_000);
    assert_eq!(scene.turns, ["100000 + limit", "100300 + challenge"]);
    let course = scene.responder.course(1).expect("it goes on");
    assert!(course.lacks_places(), "{:?}", course.withheld);
    scene.ticks(103_300, 103_400, 10_000);
    assert_eq!(scene.turns[2..], ["103300 + circuit-break"]);
    let course = scene.responder.course(1).expect("it goes on");
    assert_eq!(course.rung(), Rung::CircuitBreak);
}

/// Found in review: a flood that paused for more than half of the time never met the last rungs.
#[test]
fn a_flood_that_pauses_most_of_the_time_climbs_too() {
    for (on_ms, broken) in [(400, 1), (200, 1), (50, 0)] {
        let mut scene = whole();
        for from_ms in (100_000..150_000).step_by(1_000) {
            scene.ticks(from_ms, from_ms + on_ms, 10_000);
            scene.ticks(from_ms + on_ms, from_ms + 1_000, 100);
        }
        let begun = of(&scene, "+ circuit-break").len();
        assert_eq!(begun.min(1), broken, "{:?}", scene.turns);
    }
}

#[test]
fn a_broken_circuit_opens_half_and_closes_while_the_flood_is_there() {
    let mut scene = whole();
    scene.ticks(100_000, 200_000, 10_000);
    assert_eq!(
        of(&scene, "circuit-break"),
        [
            "103300 + circuit-break",
            "133300 ~ circuit-break",
            "133350 ! circuit-break",
            "193350 ~ circuit-break",
            "193400 ! circuit-break",
        ]
    );
    // It is over soon after the flood, and not only with the cooldown of the attack.
    scene.ticks(200_000, 206_000, 100);
    assert_eq!(of(&scene, "- circuit-break").len(), 1, "{:?}", scene.turns);
    assert_eq!(scene.responder.wanted().count(), 2);
}

#[test]
fn a_flood_that_comes_back_within_the_attack_breaks_the_circuit_for_longer() {
    let mut scene = whole();
    scene.ticks(100_000, 134_000, 10_000);
    scene.ticks(134_000, 140_000, 600);
    scene.tick(140_000, 100, &[]);
    scene.ticks(140_050, 146_000, 100);
    scene.ticks(146_000, 215_000, 10_000);
    let told = of(&scene, "circuit-break");
    let begun = told.iter().filter(|turn| turn.contains(" + ")).count();
    assert_eq!(begun, 2, "{told:?}");
    let [.., begun, opens, _] = &told[..] else {
        panic!("{told:?}")
    };
    let ms = |turn: &String| turn.split(' ').next().and_then(|ms| ms.parse::<u64>().ok());
    assert_eq!(ms(opens), ms(begun).map(|ms| ms + 60_000), "{told:?}");
}

#[test]
fn the_port_by_which_somebody_is_logged_in_stays_open() {
    let mut scene = whole();
    scene.sessions.insert(80);
    scene.ticks(100_000, 110_000, 10_000);
    assert_eq!(of(&scene, "circuit-break"), [""; 0]);
    let course = scene.responder.course(1).expect("it goes on");
    let why = course.withheld.get("circuit-break").map(Withheld::to_string);
    assert!(why.is_some_and(|why| why.contains("logged in by tcp/80")));
    let mut forced = Scene::new(ResponseSettings {
        break_sessions: true,
        ..ResponseSettings::all(Mode::Enforce)
    });
    forced.sessions.insert(80);
    forced.ticks(100_000, 110_000, 10_000);
    assert_eq!(of(&forced, "circuit-break").len(), 1);
}

#[test]
fn in_shadow_the_circuit_is_told_and_nothing_is_dropped() {
    let mut scene = Scene::new(ResponseSettings {
        circuit_break: Mode::Shadow,
        ..ResponseSettings::all(Mode::Enforce)
    });
    scene.ticks(100_000, 170_000, 10_000);
    assert_eq!(of(&scene, "circuit-break"), ["103300 + circuit-break"]);
    assert!(
        scene
            .responder
            .wanted()
            .all(|(_, taken)| taken.measure.name() != "circuit-break" || taken.mode_now() == Mode::Shadow)
    );
}

/// Twenty seconds of peace from everywhere but AQ, then a flood from there.
fn from_one_country() -> Scene {
    let mut scene = whole();
    scene.places = Box::new(LastByte);
    for tick in 0..400_u64 {
        let at_ms = 1_000 + tick * 50;
        let clients: Vec<Seen> = (0..3)
            .map(|index| {
                let source = ((tick * 3 + index) % 150) as u8;
                seen_at(at_ms / 1_000, &syn(source, 64, 512, 0))
            })
            .collect();
        scene.tick(at_ms, 100, &clients);
    }
    scene
}

#[test]
fn the_country_that_sends_the_flood_is_held_and_the_service_is_not_closed() {
    let mut scene = from_one_country();
    let packets: Vec<Seen> = (0..200)
        .map(|index| seen_at(100, &syn(200 + index % 50, 64, 512, 0)))
        .collect();
    scene.tick(100_000, 10_000, &packets);
    scene.ticks(100_050, 130_000, 10_000);
    assert_eq!(of(&scene, "geo"), ["101300 + geo"], "{:?}", scene.turns);
    assert_eq!(of(&scene, "circuit-break"), [""; 0]);
    let (_, taken) = scene
        .responder
        .wanted()
        .find(|(_, taken)| taken.measure.name() == "geo")
        .expect("it is held");
    assert_eq!(
        taken.measure.to_string(),
        "AQ is held at 50 packets/s, but for sources that are connected or known"
    );
    // It goes with the attack.
    scene.ticks(130_000, 160_000, 0);
    assert_eq!(of(&scene, "- geo"), ["149950 - geo"]);
}

#[test]
fn a_country_where_clients_are_is_not_held() {
    let mut scene = from_one_country();
    scene.good = [210, 211]
        .map(|last| Account::of([192, 0, 2, last].into()))
        .into();
    let packets: Vec<Seen> = (0..200)
        .map(|index| seen_at(100, &syn(200 + index % 50, 64, 512, 0)))
        .collect();
    scene.tick(100_000, 10_000, &packets);
    scene.ticks(100_050, 104_000, 10_000);
    assert_eq!(of(&scene, "geo"), [""; 0]);
    let course = scene.responder.course(1).expect("it goes on");
    assert_eq!(course.withheld.get("geo"), Some(&Withheld::Good));
}

/// Found in review: a place that could not be held for a moment was never held again in that attack.
#[test]
fn what_could_not_be_done_is_tried_again_and_what_somebody_took_back_is_not() {
    let why = || "the lists of the configuration are not in force yet".to_owned();
    for (standing, begun) in [(Standing::Failed(why()), 2), (Standing::Given(why()), 1)] {
        let mut scene = from_one_country();
        scene.refuses = false;
        for at_ms in (100_000..112_000).step_by(50) {
            let sources = (0..20).map(|index| syn(200 + index, 64, 512, 0));
            let packets: Vec<Seen> = sources.map(|packet| seen_at(at_ms / 1_000, &packet)).collect();
            scene.tick(at_ms, 10_000, &packets);
            if at_ms == 101_350 {
                assert_eq!(of(&scene, "geo"), ["101300 + geo"]);
                scene.report(&standing);
            }
        }
        let told = of(&scene, "geo");
        assert_eq!(told[1], "101400 - geo");
        let taken: Vec<&String> = told.iter().filter(|turn| turn.contains(" + ")).collect();
        assert_eq!(taken.len(), begun, "{told:?}");
        assert!(
            taken.iter().skip(1).all(|turn| turn.as_str() >= "106400"),
            "{told:?}"
        );
    }
}

/// Found in review: a limit that could not be kept for a moment was never tried again in that attack.
#[test]
fn a_limit_that_failed_for_a_moment_is_tried_again() {
    let only = ResponseSettings {
        limits: Mode::Enforce,
        ..ResponseSettings::all(Mode::Off)
    };
    for (standing, begun) in [
        (Standing::Failed("the table cannot be read".to_owned()), 2),
        (Standing::Given("somebody changed it".to_owned()), 1),
    ] {
        let mut scene = Scene::new(only);
        scene.ticks(100_000, 101_000, 10_000);
        scene.report(&standing);
        scene.ticks(101_000, 112_000, 10_000);
        assert_eq!(of(&scene, "+ limit").len(), begun, "{:?}", scene.turns);
    }
}

/// Half of AQ is in CL.
struct Halved;

impl Places for Halved {
    fn place(&self, source: IpAddr) -> Option<Place> {
        match source {
            IpAddr::V4(address) if address.octets()[3] >= 225 => Some(country("CL")),
            _ => LastByte.place(source),
        }
    }

    fn is_configured(&self, place: Place) -> bool {
        LastByte.is_configured(place)
    }

    fn unknown(&self) -> Option<Unknown> {
        None
    }
}

/// Found in review: each attack looked at its own places only, so several together could hold anybody.
#[test]
fn what_is_held_because_of_one_attack_counts_for_the_next() {
    let packets = |first: u8| -> Vec<Seen> {
        let sources = (0..200).map(|index| first + index % 25);
        sources
            .map(|source| seen_at(100, &syn(source, 64, 512, 0)))
            .collect()
    };
    for (good, expected) in [(210, Some(Withheld::Good)), (1, None)] {
        let mut scene = from_one_country();
        (scene.places, scene.refuses) = (Box::new(Halved), false);
        scene.tick(100_000, 10_000, &packets(200));
        scene.ticks(100_050, 101_400, 10_000);
        assert_eq!(of(&scene, "geo"), ["101300 + geo"], "{:?}", scene.turns);
        // All who are connected are there, which is held by now; or none is.
        scene.good = [Account::of([192, 0, 2, good].into())].into();
        scene.class = Class::CarpetBombing;
        scene.tick(101_400, 10_000, &packets(225));
        scene.ticks(101_450, 103_000, 10_000);
        let course = scene.responder.course(2).expect("it goes on");
        assert_eq!(course.withheld.get("geo"), expected.as_ref(), "{:?}", scene.turns);
        assert_eq!(of(&scene, "geo").len(), 2 - usize::from(expected.is_some()));
    }
}

#[test]
fn a_carpet_is_held_at_what_is_usual_for_each_of_its_services() {
    let mut scene = whole();
    scene.class = Class::CarpetBombing;
    scene.ticks(100_000, 100_200, 10_000);
    assert_eq!(scene.turns, ["100000 + limit"]);
}

/// Found end to end: what its limits refused began a second attack, a flood of datagrams, and the carpet seemed over.
#[test]
fn what_the_limits_against_a_carpet_refuse_is_the_carpet() {
    let of_carpet = |class| {
        let mut scene = whole();
        scene.class = class;
        scene.ticks(100_000, 100_200, 10_000);
        let mut features = asked(3_000);
        features.verdicts[Verdict::LimitService as usize] = 8_000.0;
        scene
            .responder
            .refused_of_carpet(scene.tracker.attacks(), &features)
    };
    assert_eq!(
        of_carpet(Class::CarpetBombing),
        3_000.0,
        "others have limits, too"
    );
    assert_eq!(of_carpet(Class::SynFlood), 0.0);
}

/// Found in review: who attacked one service more each 1.3 seconds kept all the others from the last rungs.
#[test]
fn a_service_that_is_new_in_a_carpet_holds_up_no_other() {
    let mut scene = whole();
    (scene.class, scene.refuses) = (Class::CarpetBombing, false);
    let others: Vec<String> = (8_001..8_008).map(|port| format!("tcp/{port}")).collect();
    scene.others.clone_from(&others);
    for _ in 0..400 {
        let mut usual = asked(5);
        for service in &others {
            let service = service.clone();
            usual.services.push(ServiceFeatures {
                service,
                ..usual.services[0].clone()
            });
        }
        scene.baselines.learn(&usual);
    }
    for count in 0..6 {
        scene.others = others[..count].to_vec();
        let from_ms = 100_000 + 1_300 * count as u64;
        scene.ticks(from_ms, from_ms + 1_300, 10_000);
    }
    let broken = of(&scene, "+ circuit-break");
    assert_eq!(
        broken[..2],
        // A tick later than alone: it was another's turn.
        ["103350 + circuit-break", "104650 + circuit-break"],
        "{:?}",
        scene.turns
    );
}

/// Nothing that is done is worse for who is connected: what goes into the datapath spares them, and nothing blocks.
#[test]
fn every_signature_spares_who_has_proven_itself() {
    let mut scene = whole();
    scene.peace();
    scene.tick(100_000, 10_000, &flood(200));
    scene.ticks(100_050, 110_000, 10_000);
    let wanted: Vec<&Taken> = scene.responder.wanted().map(|(_, taken)| taken).collect();
    let signatures: Vec<&Signature> = wanted
        .iter()
        .filter_map(|taken| taken.measure.signature())
        .collect();
    assert_eq!(signatures.len(), 2, "{:?}", scene.turns);
    assert!(signatures.iter().all(|signature| signature.spares == 1));
}
