//! What services are asked for, and what sources do, for people and programs.

use std::{cmp::Reverse, collections::HashMap};

use serde::{Deserialize, Serialize};

use super::{
    Offence, Settings,
    count::Recent,
    service::{Route, Service},
    source::{RATE_S, Source},
    sources::Sources,
};

/// What applications are asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Those that are asked for most first.
    pub services: Vec<ServiceReport>,
    /// How often each offence was found; those that were not are left out.
    pub found: Vec<OffenceCount>,
    /// Sources that are remembered, and those that came when there was no room.
    pub sources: usize,
    pub displaced: u64,
}

/// What a service is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceReport {
    /// TCP.
    pub port: u16,
    /// Requests, and those a second in the last ten.
    pub requests: u64,
    pub requests_per_s: f64,
    /// Answers 1xx, 2xx, 3xx, 4xx and 5xx.
    pub statuses: [u64; 5],
    /// Milliseconds a second that it took for answers, of the last ten.
    pub work_ms_per_s: f64,
    /// Those that are asked for most first.
    pub routes: Vec<RouteReport>,
    /// Hellos of TLS clients, and which they were.
    pub hellos: u64,
    pub clients: Vec<ClientReport>,
}

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteReport {
    /// Method and path with identifiers folded; `(other)` for those that there is no room for.
    pub route: String,
    pub requests: u64,
    pub requests_per_s: f64,
    /// Milliseconds until an answer begins, over the last ten seconds; none without answers.
    pub mean_ms: Option<f64>,
    /// The share of answers 4xx and 5xx.
    pub failed: Option<f64>,
}

/// A kind of TLS client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientReport {
    pub ja4: String,
    pub hellos: u64,
    /// The name that was asked for last.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffenceCount {
    pub offence: Offence,
    pub count: u64,
}

/// What a source does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceReport {
    /// Nanoseconds since it was seen last.
    pub idle_ns: u64,
    pub requests_per_s: f64,
    pub hellos_per_s: f64,
    /// Answers to it that were read, and those with 403 and 404 among them, of the last half minute (or what the settings say).
    pub answers: f64,
    pub failures: f64,
    pub work_ms_per_s: f64,
    /// Of what breaks the protocol.
    pub violations: f64,
    pub foreign: f64,
    pub handshakes_left: f64,
    pub resets: f64,
    /// What it was found to do, of late.
    pub offences: Vec<OffenceReport>,
}

/// What a source was found to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffenceReport {
    pub offence: Offence,
    /// TCP.
    pub port: u16,
    pub evidence: String,
    pub count: u64,
    /// Nanoseconds: how long it went on, and since when it has not.
    pub over_for_ns: u64,
    pub ended_ns: u64,
}

pub(super) fn report(
    services: &HashMap<u16, Service>,
    sources: &Sources,
    figures: &[u64; Offence::ALL.len()],
    top: usize,
    now_ns: u64,
) -> Report {
    let found = Offence::ALL
        .into_iter()
        .zip(*figures)
        .filter(|(_, count)| *count > 0);
    let services = services.iter().map(|(port, service)| {
        let other = (service.other.total > 0).then(|| RouteReport {
            route: "(other)".to_owned(),
            ..route(&service.other, now_ns)
        });
        let routes = service
            .routes
            .values()
            .map(|known| route(known, now_ns))
            .chain(other);
        let clients = service.clients.iter().map(|(ja4, client)| ClientReport {
            ja4: ja4.clone(),
            hellos: client.hellos,
            name: client.name.clone(),
        });
        ServiceReport {
            port: *port,
            requests: service.total,
            requests_per_s: per_s(service.requests, now_ns),
            statuses: service.statuses,
            work_ms_per_s: per_s(service.cost, now_ns),
            routes: first(routes, top, |route| {
                (Reverse(route.requests), route.route.clone())
            }),
            hellos: service.hellos,
            clients: first(clients, top, |client| {
                (Reverse(client.hellos), client.ja4.clone())
            }),
        }
    });
    Report {
        services: first(services, usize::MAX, |service| {
            (
                Reverse(service.requests.saturating_add(service.hellos)),
                service.port,
            )
        }),
        found: found
            .map(|(offence, count)| OffenceCount { offence, count })
            .collect(),
        sources: sources.len(),
        displaced: sources.displaced(),
    }
}

pub(super) fn source(source: &Source, settings: &Settings, now_ns: u64) -> SourceReport {
    let answers = source.answers.count(settings.enumeration.within_s, now_ns);
    let cost = settings.cost.within_s;
    let offences = source.streaks.iter().map(|streak| OffenceReport {
        offence: streak.offence,
        port: streak.port,
        evidence: streak.evidence.clone(),
        count: streak.count,
        over_for_ns: streak.last_ns.saturating_sub(streak.since_ns),
        ended_ns: now_ns.saturating_sub(streak.last_ns),
    });
    SourceReport {
        idle_ns: now_ns.saturating_sub(source.last_ns),
        requests_per_s: per_s(source.requests, now_ns),
        hellos_per_s: per_s(source.hellos_seen, now_ns),
        answers: answers.all,
        failures: answers.bad,
        work_ms_per_s: source.cost.count(cost, now_ns) / f64::from(cost.max(1)),
        violations: source.score(&settings.violations, now_ns),
        foreign: source.foreign.count(settings.foreign.within_s, now_ns),
        handshakes_left: source.left.count(settings.hellos.within_s, now_ns),
        resets: source.resets.count(settings.resets.within_s, now_ns),
        offences: offences.collect(),
    }
}

fn route(route: &Route, now_ns: u64) -> RouteReport {
    let answers = route.answers.count(RATE_S, now_ns);
    let of_answers = |sum: Recent| (answers >= 0.5).then(|| sum.count(RATE_S, now_ns) / answers);
    RouteReport {
        route: route.name.clone(),
        requests: route.total,
        requests_per_s: per_s(route.requests, now_ns),
        mean_ms: of_answers(route.cost),
        failed: of_answers(route.failures),
    }
}

/// A count of the last seconds, as a rate.
fn per_s(recent: Recent, now_ns: u64) -> f64 {
    recent.count(RATE_S, now_ns) / f64::from(RATE_S)
}

/// The first `top`, by `key`.
fn first<T, K: Ord>(all: impl Iterator<Item = T>, top: usize, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort_by_key(key);
    all.truncate(top);
    all
}
