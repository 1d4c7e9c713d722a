//! What others do decides: who fails as all fail, or costs what all cost, is not found; who does it alone is.

use super::*;

#[test]
fn who_is_refused_as_all_are_guesses_nothing() {
    // Keys were exchanged: everybody is refused, dozens of times.
    let mut scene = Scene::new();
    for _ in 0..60 {
        for client in 1..=5 {
            scene.asks(client, "POST", "/api/report", 0, 401, 5);
        }
        scene.wait(SECOND_NS);
    }
    assert_eq!(scene.offences(), []);
    // One among others who log in: it is found, and nobody else.
    for number in 0..60 {
        scene.asks(7, "POST", "/login", 0, 401, 5);
        scene.asks(
            8 + number % 5,
            "POST",
            "/login",
            0,
            if number % 4 == 0 { 403 } else { 302 },
            5,
        );
        scene.wait(SECOND_NS);
    }
    assert_eq!(scene.offences(), [(7, Offence::CredentialStuffing)]);
}

#[test]
fn who_gets_in_now_and_then_or_is_too_fast_guesses_nothing() {
    let mut scene = Scene::new();
    for number in 0..200 {
        // An office behind one address; a program that is told to be slower.
        scene.asks(7, "POST", "/login", 0, if number % 3 == 0 { 302 } else { 401 }, 5);
        scene.asks(8, "POST", "/api/report", 0, 429, 5);
        scene.wait(500 * MS);
    }
    assert_eq!(scene.offences(), []);
}

#[test]
fn what_is_missing_for_all_is_not_guessed() {
    // Files were left out: whoever loads a page is told 404 for all that belongs to it.
    let mut scene = Scene::new();
    for part in 0..100_u64 {
        for client in 1..=20 {
            scene.asks(client, "GET", &format!("/static/{part}.js"), 0, 404, 2);
        }
        scene.wait(100 * MS);
    }
    assert_eq!(scene.offences(), []);
}

#[test]
fn who_asks_alone_for_what_is_missing_may_be_a_cache() {
    // Of what a build asks its cache for, nine of ten are not there yet.
    let mut scene = Scene::new();
    for number in 0..600_u64 {
        let status = if number % 10 == 0 { 200 } else { 404 };
        scene.said(7, request("GET", "/cas/{id}", 0));
        scene.said(7, response("GET", "/cas/{id}", mix(number), status, 2));
        scene.wait(100 * MS);
    }
    assert_eq!(scene.offences(), []);
    // Several of them, as fast as they can.
    let mut scene = Scene::new();
    for number in 0..3_000_u64 {
        let status = if number % 10 == 0 { 200 } else { 404 };
        let client = 1 + (number % 3) as u8;
        scene.said(client, response("GET", "/cas/{id}", mix(number), status, 2));
        scene.wait(2 * MS);
    }
    assert_eq!(scene.offences(), []);
}

#[test]
fn who_looks_for_names_among_honest_clients_is_found() {
    let mut scene = Scene::new();
    for number in 0..120_u64 {
        scene.asks(7, "GET", &format!("/backup-{number}.zip"), 0, 404, 2);
        let status = if number % 5 == 0 { 404 } else { 200 };
        scene.asks(8 + (number % 9) as u8, "GET", "/shop", 0, status, 20);
        scene.wait(200 * MS);
    }
    assert_eq!(scene.offences(), [(7, Offence::Enumeration)]);
    // Alone it is, too, by ten times as many.
    let mut scene = Scene::new();
    for number in 0..700_u64 {
        scene.asks(7, "GET", &format!("/backup-{number}.zip"), 0, 404, 2);
        scene.wait(20 * MS);
    }
    assert_eq!(scene.offences(), [(7, Offence::Enumeration)]);
}

#[test]
fn a_service_that_is_slow_for_all() {
    let mut scene = Scene::new();
    for ms in [80, 800] {
        for _ in 0..400 {
            for client in 1..=5 {
                scene.asks(client, "GET", "/report", 0, 200, ms);
            }
            scene.wait(33 * MS);
        }
    }
    assert_eq!(scene.offences(), []);
}

#[test]
fn who_is_served_alone_may_cost_more() {
    let mut scene = Scene::new();
    for _ in 0..500 {
        scene.asks(7, "GET", "/report", 0, 200, 100);
        scene.wait(30 * MS);
    }
    assert_eq!(scene.offences(), []);
    let mut scene = Scene::new();
    for _ in 0..500 {
        scene.asks(7, "GET", "/report", 0, 200, 200);
        scene.wait(25 * MS);
    }
    assert_eq!(scene.offences(), [(7, Offence::CostlyRequests)]);
}

#[test]
fn a_few_slow_answers_uploads_and_waiting_cost_little() {
    for (method, usual_ms, times, every_ns, ms) in [
        // Too few.
        ("GET", 900, 15, 300 * MS, 1_900),
        // Many, that take a hundred times as long as usual.
        ("GET", 20, 100, 100 * MS, 2_000),
        // Photos by a slow line.
        ("PUT", 300, 50, 200 * MS, 2_000),
        // What waits for news.
        ("GET", 1_500, 200, 50 * MS, 1_500),
    ] {
        let mut scene = Scene::new();
        for _ in 0..30 {
            scene.asks(8, method, "/photo", 0, 200, usual_ms);
            scene.wait(SECOND_NS);
        }
        for _ in 0..times {
            scene.asks(7, method, "/photo", 0, 200, ms);
            scene.wait(every_ns);
        }
        assert_eq!(scene.offences(), [], "{method} {usual_ms} {ms}");
    }
}
