//! How fast it goes that was found, and how many observations are behind it.

use super::*;

/// How often a second `offence` was told to happen, each time that it was told.
fn rates(scene: &Scene, offence: Offence) -> Vec<f64> {
    let found = scene.found.iter().filter(|found| found.offence == offence);
    found.map(|found| found.per_s).collect()
}

#[test]
fn a_rate_is_over_the_time_that_was_counted() {
    let mut scene = Scene::new();
    // A moment after it began, and of long ago: neither makes it faster or slower than it is.
    for _ in 0..25_000 {
        scene.asks(7, "GET", "/", 0, 200, 1);
        scene.wait(MS);
    }
    for offence in [Offence::HttpFlood, Offence::EndpointFlood] {
        let rates = rates(&scene, offence);
        assert_eq!(rates.len(), 3, "{offence:?}");
        // So many in ten seconds, whether these are over or not.
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
    // Thirty in a minute, then more: never two a second, as the time since it was found says.
    assert!(rates.iter().all(|rate| (0.5..=1.1).contains(rate)), "{rates:?}");
}
