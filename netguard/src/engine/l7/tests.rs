//! Who is found to offend, and who is not: attacks as their tools make them, and honest clients that look similar.

mod honest;
mod others;
mod queries;
mod rates;

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::{
    engine::Account,
    l7::{Ends, Flaw, H2Frames, Hello, Observation, Request, Response, Said},
};

const MS: u64 = 1_000_000;

/// Offences, and the time.
struct Scene {
    offences: Offences,
    now_ns: u64,
    /// What each observation stands for.
    weight: u32,
    found: Vec<Finding>,
}

impl Scene {
    fn new() -> Self {
        Self {
            offences: Offences::new(Settings::default()),
            now_ns: 100 * SECOND_NS,
            weight: 1,
            found: Vec::new(),
        }
    }

    fn said(&mut self, client: u8, said: Said) {
        self.said_by(Ipv4Addr::new(192, 0, 2, client).into(), said);
    }

    fn said_by(&mut self, client: IpAddr, said: Said) {
        self.offences.take(&Observation {
            at_ns: self.now_ns,
            ends: Ends {
                client: (client, 40_000).into(),
                server: ([198, 51, 100, 1], 80).into(),
            },
            weight: self.weight,
            said,
        });
    }

    /// A request and its answer after `ms`.
    fn asks(&mut self, client: u8, method: &str, route: &str, query: u64, status: u16, ms: u64) {
        self.said(client, request(method, route, query));
        self.said(
            client,
            response(method, route, route_target(route, query), status, ms),
        );
    }

    fn wait(&mut self, ns: u64) {
        self.now_ns += ns;
        self.found.extend(self.offences.tick(self.now_ns));
    }

    /// Offences that were found, each once, with who did them.
    fn offences(&mut self) -> Vec<(u8, Offence)> {
        self.wait(0);
        let last = |source: IpAddr| match source {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(_) => 0,
        };
        let mut told: Vec<_> = self
            .found
            .iter()
            .map(|found| (last(found.source), found.offence))
            .collect();
        told.sort_unstable();
        told.dedup();
        told
    }
}

fn request(method: &str, route: &str, query: u64) -> Said {
    Said::Request(Request {
        method: method.to_owned(),
        route: route.to_owned(),
        query,
        ..Request::default()
    })
}

fn flawed(flaw: Flaw) -> Said {
    Said::Request(Request {
        method: "GET".to_owned(),
        route: "/".to_owned(),
        flaws: vec![flaw],
        ..Request::default()
    })
}

fn response(method: &str, route: &str, target: u64, status: u16, ms: u64) -> Said {
    Said::Response(Response {
        status,
        latency_ns: ms * MS,
        method: method.to_owned(),
        route: route.to_owned(),
        target,
    })
}

fn route_target(route: &str, query: u64) -> u64 {
    mix(route
        .bytes()
        .fold(query, |hash, byte| mix(hash ^ u64::from(byte))))
}

/// Spreads a number, as hashes are.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) | 1
}

#[test]
fn a_flood_of_one_path() {
    let mut scene = Scene::new();
    for _ in 0..3_000 {
        scene.asks(7, "GET", "/", 0, 200, 1);
        scene.wait(MS);
    }
    assert_eq!(
        scene.offences(),
        [(7, Offence::HttpFlood), (7, Offence::EndpointFlood)]
    );
    // It goes on: it is found again each second, and is news again after ten.
    let news = |scene: &Scene| scene.found.iter().filter(|found| found.is_news).count();
    assert_eq!((news(&scene), scene.found.len()), (2, 6));
    for _ in 0..12_000 {
        scene.asks(7, "GET", "/", 0, 200, 1);
        scene.wait(MS);
    }
    assert_eq!(news(&scene), 4);
    let flood = scene.found.last().expect("a finding");
    assert!(
        flood.count > 8_000 && flood.over_for_ns >= 10 * SECOND_NS && (900.0..1_100.0).contains(&flood.per_s),
        "{flood:?}"
    );
    assert!(
        flood.evidence.ends_with("GET /") && flood.evidence.len() <= 96,
        "{flood:?}"
    );
    let report = scene
        .offences
        .of(Account::of([192, 0, 2, 7].into()))
        .expect("a source");
    assert_eq!(report.offences.len(), 2);
    assert!((900.0..1_100.0).contains(&report.requests_per_s), "{report:?}");
}

#[test]
fn queries_that_no_cache_knows() {
    let mut scene = Scene::new();
    // Others read what is there.
    for number in 0..200 {
        scene.asks(
            100 + number % 50,
            "GET",
            "/shop",
            u64::from(number % 5) + 1,
            200,
            5,
        );
        scene.wait(20 * MS);
    }
    for number in 0..400 {
        scene.asks(7, "GET", "/shop", mix(number), 200, 5);
        scene.wait(25 * MS);
    }
    assert_eq!(scene.offences(), [(7, Offence::CacheBusting)]);
    assert!(
        scene.found[0].evidence.contains(" % of 2"),
        "{:?}",
        scene.found[0]
    );
}

#[test]
fn queries_that_no_cache_knows_by_many_at_once() {
    let mut scene = Scene::new();
    // Nobody else asks for it: what attackers do all together is not usual for that, but it takes more of it.
    for number in 0..24_000_u64 {
        let client = 1 + (number % 20) as u8;
        scene.asks(client, "GET", "/", mix(number), 200, 5);
        scene.wait(MS / 5 * 2);
    }
    let found = scene.offences().into_iter();
    let found = found.filter(|(_, offence)| *offence == Offence::CacheBusting);
    assert_eq!(found.count(), 20);
}

#[test]
fn passwords_and_paths_that_are_guessed() {
    let mut scene = Scene::new();
    for _ in 0..40 {
        scene.asks(7, "POST", "/login", 0, 401, 50);
        scene.wait(500 * MS);
    }
    assert_eq!(scene.offences(), [(7, Offence::CredentialStuffing)]);
    let mut scene = Scene::new();
    for number in 0..100 {
        scene.said(8, request("GET", "/user/{id}", 0));
        scene.said(8, response("GET", "/user/{id}", mix(number), 404, 2));
        scene.asks(9, "GET", "/", 0, 200, 2);
        scene.wait(200 * MS);
    }
    assert_eq!(scene.offences(), [(8, Offence::Enumeration)]);
}

#[test]
fn what_costs_more_than_it_may() {
    let mut scene = Scene::new();
    for _ in 0..60 {
        for client in 100..103 {
            scene.asks(client, "GET", "/report", 0, 200, 80);
        }
        scene.wait(SECOND_NS);
    }
    assert_eq!(scene.offences(), []);
    for _ in 0..200 {
        scene.asks(7, "GET", "/report", 0, 200, 300);
        scene.wait(50 * MS);
    }
    assert_eq!(scene.offences(), [(7, Offence::CostlyRequests)]);
}

#[test]
fn what_breaks_the_protocol() {
    for (flaw, times, is_found) in [
        (Flaw::Smuggling, 5, true),
        (Flaw::Ranges, 5, true),
        (Flaw::Ranges, 4, false),
        (Flaw::RequestLine, 5, true),
        (Flaw::RequestLine, 4, false),
        (Flaw::SqlInjection, 500, false),
        (Flaw::Host, 60, false),
    ] {
        let mut scene = Scene::new();
        for _ in 0..times {
            scene.said(7, flawed(flaw));
            scene.wait(500 * MS);
        }
        let found = scene.offences().contains(&(7, Offence::HttpViolation));
        assert_eq!(found, is_found, "{flaw:?} {times}");
    }
}

#[test]
fn streams_handshakes_and_other_protocols() {
    let frames = |headers, resets| {
        Said::H2(H2Frames {
            headers,
            resets,
            ..H2Frames::default()
        })
    };
    let hello = Said::Hello(Hello {
        ja4: "t13d1516h2_8daaf6152771_e5627efa2ab1".to_owned(),
        ..Hello::default()
    });
    for (said, every, times, offences) in [
        (frames(64, 64), 100 * MS, 5, &[Offence::RapidReset][..]),
        (frames(64, 1), 10 * MS, 30, &[Offence::HttpFlood]),
        (frames(10, 1), SECOND_NS, 30, &[]),
        (frames(0, 20), 100 * MS, 100, &[]),
        (hello.clone(), 5 * MS, 400, &[Offence::HandshakeFlood]),
        (hello, 100 * MS, 400, &[]),
        (Said::HandshakeLeft, SECOND_NS, 25, &[Offence::HandshakeFlood]),
        (Said::HandshakeLeft, 5 * SECOND_NS, 25, &[]),
        (
            Said::Foreign("binary"),
            SECOND_NS,
            25,
            &[Offence::ForeignProtocol],
        ),
        (Said::Foreign("binary"), 10 * SECOND_NS, 25, &[]),
    ] {
        let mut scene = Scene::new();
        for _ in 0..times {
            scene.said(7, said.clone());
            scene.wait(every);
        }
        let found: Vec<Offence> = scene.offences().into_iter().map(|(_, offence)| offence).collect();
        assert_eq!(found, offences, "{said:?}");
    }
}

#[test]
fn heads_that_do_not_end() {
    // So many, each begun at once, looked at each second for so long.
    for (heads, seconds, is_found) in [
        (200, 6, true),
        (16, 6, true),
        (6, 25, false),
        (3, 300, false),
        (4, 300, false),
        (5, 41, true),
    ] {
        let mut scene = Scene::new();
        for second in 1..=seconds {
            scene.wait(SECOND_NS);
            for _ in 0..heads {
                let since_ns = second * SECOND_NS;
                scene.said(7, Said::HeadUnfinished { since_ns });
            }
        }
        assert_eq!(!scene.offences().is_empty(), is_found, "{heads} for {seconds} s");
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut scene = Scene::new();
    for _ in 0..2_000 {
        scene.asks(7, "GET", "/", 0, 200, 1);
    }
    for number in 0..80_000_u32 {
        let client = IpAddr::from(Ipv4Addr::from(0x0a00_0000 + number));
        scene.said_by(
            client,
            request("GET", &format!("/{}", number % 3_000), mix(number.into())),
        );
        scene.now_ns += 10_000;
    }
    assert_eq!(
        scene.offences(),
        [(7, Offence::HttpFlood), (7, Offence::EndpointFlood)]
    );
    let report = scene.offences.report(10);
    assert_eq!((report.sources, report.displaced), (65_536, 80_001 - 65_536));
    assert_eq!((report.services.len(), report.services[0].routes.len()), (1, 10));
    assert_eq!(report.services[0].requests, 82_000);
    assert!(scene.offences.of(Account::of([192, 0, 2, 7].into())).is_some());
}

#[test]
fn who_is_gone_is_forgotten() {
    let mut scene = Scene::new();
    for client in 0..200 {
        scene.asks(client, "GET", "/", 0, 200, 1);
    }
    scene.wait(599 * SECOND_NS);
    assert_eq!(scene.offences.report(1).sources, 200);
    scene.wait(2 * SECOND_NS);
    assert_eq!(scene.offences.report(1).sources, 0);
}

#[test]
fn a_report_goes_through_json_and_back() {
    let mut scene = Scene::new();
    for _ in 0..600 {
        scene.asks(7, "GET", "/a", 0, 200, 4);
        scene.asks(7, "GET", "/b", 0, 500, 8);
    }
    scene.said(7, Said::Hello(Hello::default()));
    scene.wait(MS);
    let report = scene.offences.report(1);
    let text = serde_json::to_string(&report).expect("JSON");
    assert_eq!(serde_json::from_str::<Report>(&text).expect("a report"), report);
    let service = &report.services[0];
    assert_eq!(
        (service.port, service.statuses, service.hellos),
        (80, [0, 600, 0, 0, 600], 1)
    );
    assert_eq!(service.routes[0].route, "GET /a");
    assert_eq!(
        (service.routes[0].mean_ms, service.routes[0].failed),
        (Some(4.0), Some(0.0))
    );
    let source = scene
        .offences
        .of(Account::of([192, 0, 2, 7].into()))
        .expect("a source");
    let text = serde_json::to_string(&source).expect("JSON");
    assert_eq!(
        serde_json::from_str::<SourceReport>(&text).expect("a source"),
        source
    );
}
