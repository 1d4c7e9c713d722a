//! Judges requests and responses: floods, caches that are gone around, what is guessed, what costs, and what breaks the protocol.

use std::hash::{BuildHasher as _, RandomState};

use super::{
    Offence,
    service::{KNOWN, Service},
    settings::Violations,
    source::{Case, Missing, RATE_S, SAMPLES, Source},
};
use crate::l7::{Flaw, Request, Response};

pub(super) fn request(
    case: &mut Case<'_>,
    source: &mut Source,
    service: Option<&mut Service>,
    keys: &RandomState,
    request: &Request,
) {
    let (now_ns, weight) = (case.at_ns, case.weight);
    let what = || format!("{} {}", request.method, request.route);
    let id = keys.hash_one((case.port, &request.method, &request.route));
    flood(case, source, weight, &what);
    violations(case, source, id, request);
    let cache = case.settings.cache;
    let endpoint = case.settings.endpoint;
    let Some(used) = source.used(id, now_ns) else {
        return;
    };
    used.hits.add(weight, RATE_S, now_ns);
    let hits = used.hits.count(RATE_S, now_ns);
    let level = used
        .flood
        .add(case.weight_under(endpoint.burst), endpoint.per_s, now_ns);
    let counts = case.weight_under(cache.requests);
    let asked = service.map(|service| {
        service.total = service.total.saturating_add(weight.into());
        service.requests.add(weight, RATE_S, now_ns);
        let route = service.route(id, now_ns, what);
        route.asked(weight, now_ns);
        let (query, within_s) = (request.query, cache.within_s);
        used.asked
            .add(route, query, counts, cache.requests, within_s, now_ns);
        (used.asked.requests, used.asked.share(), route.light_share())
    });
    if level > f64::from(endpoint.burst) {
        let rate = hits / f64::from(RATE_S);
        case.accuse(source, Offence::EndpointFlood, hits, RATE_S, || {
            format!("{rate:.0} a second, limit {}: {}", endpoint.per_s, what())
        });
    }
    let Some((requests, Some(share), usual)) = asked else {
        return;
    };
    // Where it is not known what is usual, it may be that all ask for ever new things.
    let (least, is_usual) = match usual {
        Some(usual) => (cache.requests, usual * 2.0 >= share),
        None => (cache.requests.saturating_mul(5), false),
    };
    if requests >= least && share * 100.0 >= f64::from(cache.percent) && !is_usual {
        let evidence = || {
            let usual = usual.map_or("unknown".to_owned(), |usual| format!("{:.0} %", 100.0 * usual));
            let share = 100.0 * share;
            format!(
                "{share:.0} % of {requests} queries were new, usually {usual}: {}",
                what()
            )
        };
        case.accuse(
            source,
            Offence::CacheBusting,
            requests.into(),
            cache.within_s,
            evidence,
        );
    }
}

/// Takes in `weight` requests or streams, whatever they are for.
pub(super) fn flood(case: &mut Case<'_>, source: &mut Source, weight: u32, what: &dyn Fn() -> String) {
    let pace = case.settings.requests;
    source.requests.add(weight, RATE_S, case.at_ns);
    let counts = weight.min((pace.burst / SAMPLES).max(1));
    if source.flood.add(counts, pace.per_s, case.at_ns) > f64::from(pace.burst) {
        let count = source.requests.count(RATE_S, case.at_ns);
        case.accuse(source, Offence::HttpFlood, count, RATE_S, || {
            let rate = count / f64::from(RATE_S);
            format!(
                "{rate:.0} requests a second, limit {}; last {}",
                pace.per_s,
                what()
            )
        });
    }
}

pub(super) fn response(
    case: &mut Case<'_>,
    source: &mut Source,
    mut service: Option<&mut Service>,
    keys: &RandomState,
    response: &Response,
) {
    let id = keys.hash_one((case.port, &response.method, &response.route));
    enumeration(case, source, service.as_deref_mut(), response);
    stuffing(case, source, service.as_deref_mut(), id, response);
    let Some(service) = service else { return };
    if let Some(count) = service
        .statuses
        .get_mut(usize::from(response.status / 100).wrapping_sub(1))
    {
        *count = count.saturating_add(case.weight.into());
    }
    if (200..600).contains(&response.status) {
        let waited_us = (response.latency_ns / 1_000).saturating_mul(case.weight.into());
        service.waited_us = service.waited_us.saturating_add(waited_us);
    }
    cost(case, source, service, id, response);
}

fn stuffing(
    case: &mut Case<'_>,
    source: &mut Source,
    service: Option<&mut Service>,
    id: u64,
    response: &Response,
) {
    let (now_ns, settings) = (case.at_ns, case.settings.stuffing);
    if response.method != "POST" {
        return;
    }
    let Some(used) = source.used(id, now_ns) else {
        return;
    };
    let what = || format!("{} {}", response.method, response.route);
    let is_refused = matches!(response.status, 401 | 403);
    let own = used.posts.add(is_refused, settings.within_s, now_ns);
    let all = service.map_or(own, |service| {
        let route = service.route(id, now_ns, what);
        route.posts.add(is_refused, settings.within_s, now_ns)
    });
    let is_many =
        own.bad >= f64::from(settings.refusals) && own.share() * 100.0 >= f64::from(settings.percent);
    // Where others are refused as well, it is not that somebody guesses.
    let others = all.without(own);
    let is_usual = others.all >= f64::from(SAMPLES) && others.share() * 2.0 >= own.share();
    if !is_refused || !is_many || is_usual {
        return;
    }
    case.accuse(
        source,
        Offence::CredentialStuffing,
        own.bad,
        settings.within_s,
        || {
            format!(
                "{:.0} of {:.0} were refused in {} s, last {}: {}",
                own.bad,
                own.all,
                settings.within_s,
                response.status,
                what()
            )
        },
    );
}

fn enumeration(case: &mut Case<'_>, source: &mut Source, service: Option<&mut Service>, response: &Response) {
    let (now_ns, settings) = (case.at_ns, case.settings.enumeration);
    let is_missing = matches!(response.status, 403 | 404);
    let own = source.answers.add(is_missing, settings.within_s, now_ns);
    let all = service.map_or(own, |service| {
        service.answers.add(is_missing, settings.within_s, now_ns)
    });
    if !is_missing {
        return;
    }
    let missing = source.missing.get_or_insert_with(|| Box::new(Missing::new()));
    let targets = missing.add(response.target, settings.within_s, now_ns);
    // What is missing for all was not guessed; and where nobody else asks, it is not known what is usual.
    let others = all.without(own);
    let (is_usual, least) = if others.all < KNOWN {
        (false, settings.targets.saturating_mul(10))
    } else {
        (others.share() * 2.0 > own.share(), settings.targets)
    };
    if targets >= f64::from(least) && own.share() * 100.0 >= f64::from(settings.percent) && !is_usual {
        case.accuse(source, Offence::Enumeration, own.bad, settings.within_s, || {
            format!(
                "{:.0} of {:.0} answers were 404 or 403, {targets:.0} targets: {} {}",
                own.bad, own.all, response.method, response.route
            )
        });
    }
}

fn cost(case: &mut Case<'_>, source: &mut Source, service: &mut Service, id: u64, response: &Response) {
    let (now_ns, weight) = (case.at_ns, case.weight);
    let settings = case.settings.cost;
    let ms = u32::try_from(response.latency_ns / 1_000_000).unwrap_or(u32::MAX);
    let route = service.route(id, now_ns, || format!("{} {}", response.method, response.route));
    route.answers.add(weight, RATE_S, now_ns);
    if response.status >= 400 {
        route.failures.add(weight, RATE_S, now_ns);
    }
    let sum = ms.saturating_mul(weight);
    route.cost.add(sum, RATE_S, now_ns);
    route.pace.add(ms, weight, now_ns);
    let pace = route.pace;
    service.seen(source.account, now_ns);
    // Until it is known what is usual, waiting is no cost.
    let Some(usual_ms) = pace
        .usual_ms
        .filter(|usual| *usual < f64::from(settings.waiting_ms))
    else {
        return;
    };
    // A body takes as long to come as the client's line is slow; and what is slow for all is nobody's fault.
    let has_body = matches!(response.method.as_str(), "POST" | "PUT" | "PATCH");
    let most_ms = if has_body { usual_ms } else { 2.0 * usual_ms };
    let sum = ms.min(most_ms.ceil() as u32).saturating_mul(weight);
    let sum = sum.min(settings.ms_per_s.saturating_mul(settings.within_s) / SAMPLES);
    source.cost.add(sum, settings.within_s, now_ns);
    source.worked.add(1, settings.within_s, now_ns);
    service.cost.add(sum, settings.within_s, now_ns);
    let own = source.cost.count(settings.within_s, now_ns);
    let all = service.cost.count(settings.within_s, now_ns);
    let per_s = own / f64::from(settings.within_s.max(1));
    let is_most = own * 100.0 >= all * f64::from(settings.percent);
    let has_many = source.worked.count(settings.within_s, now_ns) >= f64::from(settings.answers);
    // A server that serves one client is nobody's victim.
    let times = if service.has_others(source.account, now_ns) {
        1.0
    } else {
        3.0
    };
    let limit = times * f64::from(settings.ms_per_s);
    if per_s >= limit && is_most && has_many {
        let count = source.requests.count(RATE_S, now_ns);
        case.accuse(source, Offence::CostlyRequests, count, RATE_S, || {
            let what = format!("{} {}", response.method, response.route);
            format!(
                "{per_s:.0} ms of work a second, limit {limit:.0}; answers take {:.0} ms: {what}",
                pace.now_ms
            )
        });
    }
}

fn violations(case: &mut Case<'_>, source: &mut Source, id: u64, request: &Request) {
    let settings = case.settings.violations;
    let Some(worst) = request
        .flaws
        .iter()
        .max_by_key(|flaw| weight_of(**flaw, &settings))
    else {
        return;
    };
    let (within_s, now_ns) = (settings.within_s, case.at_ns);
    let [mut broken, mut injected] = [0_u32; 2];
    for flaw in &request.flaws {
        let weight = weight_of(*flaw, &settings);
        match injection(*flaw) {
            None => broken = broken.saturating_add(weight),
            // Who types into a search box, or turns pages, says the same again and again.
            Some(kind) => {
                let is_new = source
                    .used(id, now_ns)
                    .is_some_and(|used| used.injected.add(kind, now_ns));
                injected = injected.saturating_add(if is_new { weight } else { 0 });
            }
        }
    }
    if broken == 0 && injected == 0 {
        return;
    }
    source.flawed.add(1, within_s, now_ns);
    source.score.add(broken, within_s, now_ns);
    source.injected.add(injected, within_s, now_ns);
    let score = source.score(&settings, now_ns);
    let flawed = source.flawed.count(within_s, now_ns);
    if score >= f64::from(settings.score) && flawed >= f64::from(SAMPLES) {
        case.accuse(source, Offence::HttpViolation, flawed, within_s, || {
            let (name, limit) = (worst.name(), settings.score);
            let what = format!("{} {}", request.method, request.route);
            format!("score {score:.0} in {within_s} s, limit {limit}; last {name}: {what}")
        });
    }
}

/// What looks like an attempt to break in, as a bit.
const fn injection(flaw: Flaw) -> Option<u8> {
    match flaw {
        Flaw::SqlInjection => Some(1),
        Flaw::Script => Some(2),
        Flaw::Traversal => Some(4),
        Flaw::Command => Some(8),
        _ => None,
    }
}

const fn weight_of(flaw: Flaw, settings: &Violations) -> u32 {
    match flaw {
        Flaw::Smuggling | Flaw::Nul => settings.smuggling,
        Flaw::TooManyHeaders | Flaw::HeadTooLong | Flaw::Ranges => settings.excess,
        Flaw::RequestLine | Flaw::Folding | Flaw::Framing => settings.malformed,
        Flaw::SqlInjection | Flaw::Script | Flaw::Traversal | Flaw::Command => settings.injection,
        Flaw::Method | Flaw::Characters | Flaw::BodyTooLong => settings.careless,
        Flaw::Host => settings.host,
    }
}
