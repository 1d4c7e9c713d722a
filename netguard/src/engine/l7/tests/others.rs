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
