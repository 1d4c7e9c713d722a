//! Honest clients that look a little like attacks: none of them is found.

use super::*;

#[test]
fn many_clients_at_once() {
    let mut scene = Scene::new();
    // ab: 150 addresses, six requests each, at once.
    for client in 1..=150 {
        for _ in 0..6 {
            scene.asks(client, "GET", "/", 0, 200, 30);
        }
    }
    scene.wait(SECOND_NS);
    assert_eq!(scene.offences(), []);
}

#[test]
fn a_page_with_all_that_belongs_to_it() {
    let mut scene = Scene::new();
    for page in 0..30 {
        scene.asks(7, "GET", "/shop/{id}", page, 200, 40);
        for part in 0..120 {
            scene.asks(
                7,
                "GET",
                &format!("/static/{part}.js"),
                3,
                if page == 0 { 200 } else { 304 },
                2,
            );
        }
        scene.wait(2 * SECOND_NS);
    }
    assert_eq!(scene.offences(), []);
}

#[test]
fn a_search_box_that_many_use() {
    let mut scene = Scene::new();
    // A proxy asks for many more than others do, and all of them ask for something new.
    for number in 0..2_000_u64 {
        scene.asks((number % 40) as u8 + 100, "GET", "/search", mix(number), 200, 10);
        scene.wait(10 * MS);
    }
    for number in 0..600_u64 {
        scene.asks(7, "GET", "/search", mix(1_000_000 + number), 200, 10);
        scene.wait(30 * MS);
    }
    assert_eq!(scene.offences(), []);
}

#[test]
fn a_crawler_with_broken_links_and_a_monitor() {
    let mut scene = Scene::new();
    for number in 0..600_u64 {
        let status = if number % 4 == 0 { 404 } else { 200 };
        scene.asks(7, "GET", &format!("/page-{number}"), 0, status, 20);
        scene.said(8, flawed(Flaw::Host));
        scene.asks(9, "GET", "/health", 0, 200, 1);
        // The same that is missing again and again: an icon.
        scene.asks(10, "GET", "/favicon.ico", 0, 404, 1);
        scene.wait(SECOND_NS);
    }
    assert_eq!(scene.offences(), []);
}

#[test]
fn long_polling_costs_nothing() {
    let mut scene = Scene::new();
    for second in 0..300 {
        // Twenty clients behind one address; each waits half a minute.
        if second % 30 == 0 {
            for _ in 0..20 {
                scene.asks(7, "GET", "/events", 0, 200, 30_000);
            }
        }
        scene.asks(8, "GET", "/", 0, 200, 20);
        scene.wait(SECOND_NS);
    }
    assert_eq!(scene.offences(), []);
}

#[test]
fn a_few_who_mistype_their_passwords() {
    let mut scene = Scene::new();
    for number in 0..100 {
        let status = if number % 4 == 0 { 401 } else { 302 };
        scene.asks(7, "POST", "/login", 0, status, 80);
        scene.wait(3 * SECOND_NS);
    }
    assert_eq!(scene.offences(), []);
}

#[test]
fn bad_lines() {
    let mut scene = Scene::new();
    // Six heads of a browser, two seconds for each of a dozen lines, one after another.
    for look in 0..96_u64 {
        let since_ns = (look % 24) * SECOND_NS;
        for _ in 0..6 {
            scene.said(7, Said::HeadUnfinished { since_ns });
        }
        scene.wait(SECOND_NS);
    }
    assert_eq!(scene.offences(), []);
}

#[test]
fn calls_that_are_cancelled_and_those_that_are_too_late() {
    let mut scene = Scene::new();
    // Twenty calls, and a hundred milliseconds later each of them is given up, while the next ones begin; three are so at once.
    for turn in 0..100 {
        scene.said(
            7,
            Said::H2(H2Frames {
                headers: if turn % 2 == 0 { 17 } else { 3 },
                resets: if turn % 2 == 0 { 0 } else { 20 },
                ..H2Frames::default()
            }),
        );
        scene.wait(100 * MS);
    }
    assert_eq!(scene.offences(), []);
}

#[test]
fn somebody_who_writes_about_sql() {
    let mut scene = Scene::new();
    let searches = |route: &str, flaws: &[Flaw]| {
        Said::Request(Request {
            method: "GET".to_owned(),
            route: route.to_owned(),
            query: 1,
            flaws: flaws.to_vec(),
            ..Request::default()
        })
    };
    // The box asks at each key, on many pages, for a minute: what it is asked for looks bad, but is nothing by itself.
    for key in 0..300 {
        let route = format!("/wiki/{}", ["a", "b", "c", "d"][key % 4]);
        scene.said(7, searches(&route, &[Flaw::SqlInjection, Flaw::Script]));
        scene.wait(200 * MS);
    }
    assert_eq!(scene.offences(), []);
    // Two of them on one page, and requests without a host in a small program: nothing either.
    let mut scene = Scene::new();
    for _ in 0..50 {
        scene.said(7, searches("/search", &[Flaw::SqlInjection]));
        scene.said(7, flawed(Flaw::Host));
        scene.wait(100 * MS);
    }
    assert_eq!(scene.offences(), []);
    // Who looks for holes in one page after another, and breaks the protocol as well, is found.
    for number in 0..15 {
        scene.said(8, searches(&format!("/page-{number}"), &[Flaw::SqlInjection]));
        scene.said(8, flawed(Flaw::Characters));
        scene.wait(100 * MS);
    }
    assert_eq!(scene.offences(), [(8, Offence::HttpViolation)]);
}
