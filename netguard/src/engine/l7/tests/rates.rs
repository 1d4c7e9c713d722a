//! How fast it goes that was found, and how many observations are behind it.

use super::*;

/// How often a second `offence` was told to happen, each time that it was told.
fn rates(scene: &Scene, offence: Offence) -> Vec<f64> {
    let found = scene.found.iter().filter(|found| found.offence == offence);
    found.map(|found| found.per_s).collect()
}

#[test]
fn a_rate_is_no_more_than_it_is_and_soon_no_less() {
    let mut scene = Scene::new();
    for _ in 0..25_000 {
        scene.asks(7, "GET", "/", 0, 200, 1);
        scene.wait(MS);
    }
    for offence in [Offence::HttpFlood, Offence::EndpointFlood] {
        let rates = rates(&scene, offence);
        assert_eq!(rates.len(), 25, "{offence:?}");
        // So many in ten seconds, whether these are over or not; a second later, so many in that.
        assert!(rates[0] > 20.0 && rates[0] < 80.0, "{offence:?} {rates:?}");
        assert!(
            rates[1..].iter().all(|rate| (800.0..1_100.0).contains(rate)),
            "{offence:?} {rates:?}"
        );
    }

    let mut scene = Scene::new();
    for _ in 0..60 {
        scene.asks(7, "POST", "/login", 0, 401, 50);
        scene.wait(500 * MS);
    }
    let rates = rates(&scene, Offence::CredentialStuffing);
    assert!(rates.len() >= 2, "{rates:?}");
    // Thirty in a minute, and then as many as there are.
    assert!(rates.iter().all(|rate| (0.5..=2.1).contains(rate)), "{rates:?}");
}

/// What is said by `times` observations, each of which stands for `weight`.
fn found_of(weight: u32, times: u64, every_ns: u64, says: impl Fn(u64) -> Said) -> Vec<Offence> {
    let mut scene = Scene::new();
    // Somebody else is there, so that it is known what is usual.
    for _ in 0..20 {
        scene.asks(100, "GET", "/", 0, 200, 400);
        scene.asks(100, "POST", "/login", 0, 200, 20);
        scene.wait(SECOND_NS);
    }
    scene.weight = weight;
    for number in 0..times {
        scene.said(7, says(number));
        scene.wait(every_ns);
    }
    let found = scene.offences().into_iter();
    found.map(|(_, offence)| offence).collect()
}

#[test]
fn one_observation_that_stands_for_many_finds_nothing() {
    let get = |_| request("GET", "/", 0);
    let query = |number| request("GET", "/", mix(number));
    let frames = |_| {
        Said::H2(H2Frames {
            headers: 60,
            resets: 60,
            ..H2Frames::default()
        })
    };
    let hello = |_| Said::Hello(Hello::default());
    let slow = |_| response("GET", "/", 1, 200, 30_000);
    for weight in [1, 30, 1_000, u32::MAX] {
        assert_eq!(found_of(weight, 4, MS, get), [], "{weight}");
        assert_eq!(found_of(weight, 4, MS, query), [], "{weight}");
        assert_eq!(found_of(weight, 4, MS, frames), [], "{weight}");
        assert_eq!(found_of(weight, 4, MS, hello), [], "{weight}");
        assert_eq!(found_of(weight, 4, MS, slow), [], "{weight}");
    }
    // Five may be enough.
    assert_eq!(
        found_of(1_000, 8, MS, get),
        [Offence::HttpFlood, Offence::EndpointFlood]
    );
    assert_eq!(found_of(1_000, 8, MS, hello), [Offence::HandshakeFlood]);
}

#[test]
fn what_is_rare_counts_as_often_as_it_was_seen() {
    // At once, so that they cost nothing.
    let refused = |_| response("POST", "/login", 1, 401, 0);
    let left = |_| Said::HandshakeLeft;
    let foreign = |_| Said::Foreign("binary");
    let head = |_| Said::HeadUnfinished {
        since_ns: 20 * SECOND_NS,
    };
    let broken = |_| flawed(Flaw::Smuggling);
    for weight in [1, 30, 1_000, u32::MAX] {
        for (times, is_found) in [(29, false), (30, true)] {
            // Those that each stand for many may be much work besides.
            let found = found_of(weight, times, MS, refused);
            let is_stuffing = found.contains(&Offence::CredentialStuffing);
            assert_eq!(is_stuffing, is_found, "{weight} {times}: {found:?}");
        }
        for (times, is_found) in [(19, false), (20, true)] {
            let [left, foreign] = [
                found_of(weight, times, MS, left),
                found_of(weight, times, MS, foreign),
            ];
            assert_eq!(!left.is_empty(), is_found, "{weight} {times}: {left:?}");
            assert_eq!(!foreign.is_empty(), is_found, "{weight} {times}: {foreign:?}");
        }
        for (times, is_found) in [(15, false), (16, true)] {
            let found = found_of(weight, times, MS, head);
            assert_eq!(!found.is_empty(), is_found, "{weight} {times}: {found:?}");
        }
        assert!(
            !found_of(weight, 4, MS, broken).contains(&Offence::HttpViolation),
            "{weight}"
        );
    }
}

#[test]
fn two_readings_say_what_came_between() {
    let mut scene = Scene::new();
    scene.asks(7, "GET", "/", 0, 200, 10);
    let before = scene.offences.totals();
    scene.weight = 4;
    for (status, ms) in [(200, 10), (404, 20), (503, 90), (100, 5_000)] {
        scene.asks(8, "GET", "/", 0, status, ms);
    }
    let now = scene.offences.totals();
    let grown = now[&80].since(before[&80]);
    assert_eq!((grown.requests, grown.answers, grown.errors), (16, 12, 4));
    assert_eq!(
        grown.response_ms(),
        Some(40.0),
        "what comes before an answer is none"
    );
    assert!(
        grown
            .errors_percent()
            .is_some_and(|percent| (percent - 100.0 / 3.0).abs() < 1e-9)
    );
    let nothing = now[&80].since(now[&80]);
    assert_eq!((nothing.errors_percent(), nothing.response_ms()), (None, None));
    assert!(now[&80].is_http() && !nothing.is_http());
}
