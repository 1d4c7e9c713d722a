//! Queries that are new, and those that only seem so: what others asked for is known, and what is usual may be unknown.

use super::*;

#[test]
fn thumbnails_that_others_have_loaded() {
    let mut scene = Scene::new();
    for client in 100..150_u64 {
        for part in 0..20 {
            let number = (client * 20 + part) % 200;
            scene.asks(client as u8, "GET", "/thumb", mix(number), 200, 3);
        }
        scene.wait(200 * MS);
    }
    scene.wait(3 * SECOND_NS);
    // One shows them all.
    for round in 0..2 {
        for number in 0..240 {
            scene.asks(7 + round, "GET", "/thumb", mix(number % 220), 200, 3);
            scene.wait(10 * MS);
        }
        scene.wait(10 * SECOND_NS);
    }
    assert_eq!(scene.offences(), []);
}

#[test]
fn a_map_that_somebody_moves() {
    let mut scene = Scene::new();
    // Most look at the city; one goes out into the land, where somebody was before him for half of it.
    for number in 0..3_000_u64 {
        let tile = if number % 6 == 0 {
            10_000 + number
        } else {
            number % 40
        };
        scene.asks(100 + (number % 60) as u8, "GET", "/tile", mix(tile), 200, 3);
        scene.wait(10 * MS);
    }
    for number in 0..400_u64 {
        let tile = if number % 2 == 0 {
            10_000 + 6 * (number + 50)
        } else {
            50_000 + number
        };
        scene.asks(7, "GET", "/tile", mix(tile), 200, 3);
        scene.wait(25 * MS);
    }
    assert_eq!(scene.offences(), []);
}

#[test]
fn a_job_that_asks_for_one_thing_after_another() {
    // Nobody else asks there, or somebody does so seldom that nothing is known of it.
    let mut scene = Scene::new();
    for number in 0..1_200_u64 {
        if number % 100 == 0 {
            scene.asks(9, "GET", "/api/item", 7, 200, 3);
        }
        scene.asks(7, "GET", "/api/item", mix(number), 200, 3);
        scene.wait(50 * MS);
    }
    assert_eq!(scene.offences(), []);
}

#[test]
fn wrk_with_random_queries() {
    for is_known in [false, true] {
        let mut scene = Scene::new();
        for number in 0..100 {
            if is_known {
                scene.asks(100 + number % 50, "GET", "/", u64::from(number % 7) + 1, 200, 3);
            }
            scene.wait(20 * MS);
        }
        for number in 0..6_000 {
            scene.asks(7, "GET", "/", mix(number), 200, 1);
            scene.wait(MS / 2);
        }
        assert!(
            scene.offences().contains(&(7, Offence::CacheBusting)),
            "{is_known}"
        );
    }
}
