//! What services are asked for by all together: their routes, how they answer, and which TLS clients they have. Bounded, whatever is asked for.

use std::collections::HashMap;

use super::{
    SECOND_NS,
    count::{Distinct, Outcomes, Recent, period},
    source::RATE_S,
};
use crate::engine::Account;

/// Services, routes of a service, and TLS clients of one.
const SERVICES: usize = 64;
const ROUTES: usize = 512;
const CLIENTS: usize = 256;
/// Routes that are compared when one must give way to a new one; none does that was asked for more often in a while than this.
const COMPARED: usize = 16;
const IN_USE: f64 = 2.0;
const WHILE_S: u32 = 60;
/// Requests by which it is known what is usual: how often the queries of a route are new, how often what is asked for is missing. Of more, the older ones count half.
pub(super) const KNOWN: f64 = 20.0;
const REMEMBERED: f64 = 2_000.0;
/// The part of a second's mean that goes into what is usual.
const USUAL: f64 = 1.0 / 300.0;

/// A service.
#[derive(Debug, Default)]
pub(super) struct Service {
    pub(super) requests: Recent,
    pub(super) total: u64,
    /// Answers 1xx to 5xx.
    pub(super) statuses: [u64; 5],
    /// Microseconds until answers from 200 on began, together.
    pub(super) waited_us: u64,
    /// Answers, and those with 403 and 404.
    pub(super) answers: Outcomes,
    /// Milliseconds.
    pub(super) cost: Recent,
    /// The two that were answered last, and when.
    last: [Option<(Account, u64)>; 2],
    pub(super) hellos: u64,
    pub(super) clients: HashMap<String, Client>,
    pub(super) routes: HashMap<u64, Route>,
    /// Routes for which there was no room, together.
    pub(super) other: Route,
}

/// A TLS client.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) hellos: u64,
    /// The name that was asked for last.
    pub(super) name: String,
}

/// A route of a service.
#[derive(Debug, Default)]
pub(super) struct Route {
    /// Method and path.
    pub(super) name: String,
    pub(super) requests: Recent,
    activity: Recent,
    pub(super) total: u64,
    pub(super) answers: Recent,
    pub(super) failures: Recent,
    /// Answers to POST, and those that refused.
    pub(super) posts: Outcomes,
    /// Milliseconds.
    pub(super) cost: Recent,
    pub(super) pace: AnswerTime,
    light: Light,
    /// Queries of late, and of the time before.
    seen: Option<Box<[Distinct<128>; 2]>>,
}

/// How long answers take, second by second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AnswerTime {
    second: u32,
    sum_ms: f64,
    answers: f64,
    /// In the last second with answers, and usually.
    pub(super) now_ms: f64,
    pub(super) usual_ms: Option<f64>,
}

/// What those ask for who do not ask often.
#[derive(Clone, Copy, Debug, Default)]
struct Light {
    requests: f64,
    new: f64,
}

/// The service at `port`; `None` where there is no room.
pub(super) fn entry(services: &mut HashMap<u16, Service>, port: u16) -> Option<&mut Service> {
    if services.len() >= SERVICES && !services.contains_key(&port) {
        return None;
    }
    Some(services.entry(port).or_default())
}

impl Service {
    /// The route `id`, named when it is new.
    pub(super) fn route(&mut self, id: u64, now_ns: u64, name: impl FnOnce() -> String) -> &mut Route {
        if !self.routes.contains_key(&id) && self.routes.len() >= ROUTES {
            // The order of the table is chance, and so is who is compared.
            let compared = self.routes.iter().take(COMPARED);
            let activity = |route: &Route| route.activity.count(WHILE_S, now_ns);
            let least = compared.min_by(|a, b| activity(a.1).total_cmp(&activity(b.1)));
            let idle = least
                .filter(|(_, route)| activity(route) < IN_USE)
                .map(|(id, _)| *id);
            match idle {
                Some(idle) => {
                    self.routes.remove(&idle);
                }
                None => return &mut self.other,
            }
        }
        self.routes.entry(id).or_insert_with(|| Route {
            name: name(),
            ..Route::default()
        })
    }

    /// Notes that `account` was answered.
    pub(super) fn seen(&mut self, account: Account, now_ns: u64) {
        let is_same = |last: &Option<(Account, u64)>| last.is_some_and(|(known, _)| known == account);
        let place = match self.last.iter().position(is_same) {
            Some(place) => place,
            None => usize::from(self.last[0].map(|(_, at_ns)| at_ns) > self.last[1].map(|(_, at_ns)| at_ns)),
        };
        self.last[place] = Some((account, now_ns));
    }

    /// Whether others than `account` were answered of late.
    pub(super) fn has_others(&self, account: Account, now_ns: u64) -> bool {
        let is_recent = |at_ns: u64| now_ns.saturating_sub(at_ns) < u64::from(WHILE_S) * SECOND_NS;
        let mut last = self.last.iter().flatten();
        last.any(|(known, at_ns)| *known != account && is_recent(*at_ns))
    }

    /// Takes in a hello of the client `ja4`.
    pub(super) fn hello(&mut self, ja4: &str, name: &str, weight: u32) {
        self.hellos = self.hellos.saturating_add(weight.into());
        let has_room = self.clients.len() < CLIENTS || self.clients.contains_key(ja4);
        let key = if has_room { ja4 } else { "(other)" };
        let client = match self.clients.get_mut(key) {
            Some(client) => client,
            None => self.clients.entry(key.to_owned()).or_default(),
        };
        client.hellos = client.hellos.saturating_add(weight.into());
        if client.name != name {
            client.name = name.to_owned();
        }
    }
}

impl Route {
    /// Takes in a request.
    pub(super) fn asked(&mut self, weight: u32, now_ns: u64) {
        self.total = self.total.saturating_add(weight.into());
        self.requests.add(weight, RATE_S, now_ns);
        self.activity.add(weight, WHILE_S, now_ns);
    }

    /// Nought where the query is none (0) or was asked before, by whomever; else how many new ones it stands for, since some seem to be known by chance.
    pub(super) fn newness(&self, query: u64) -> f64 {
        if query == 0 {
            return 0.0;
        }
        let Some(seen) = &self.seen else {
            return 1.0;
        };
        let [now, before] = seen.as_ref();
        if now.has(query) || before.has(query) {
            return 0.0;
        }
        1.0 / ((1.0 - now.filled()) * (1.0 - before.filled()))
    }

    /// Remembers a query. Those of long ago are forgotten, in favour of as many new ones.
    pub(super) fn learn(&mut self, query: u64) {
        if query == 0 {
            return;
        }
        let seen = self
            .seen
            .get_or_insert_with(|| Box::new([Distinct::new(), Distinct::new()]));
        if seen[0].filled() >= 0.25 {
            seen.swap(0, 1);
            seen[0] = Distinct::new();
        }
        seen[0].insert(query);
    }

    /// Takes in the request of somebody who does not ask often.
    pub(super) fn asked_lightly(&mut self, newness: f64) {
        let light = &mut self.light;
        light.requests += 1.0;
        light.new += newness;
        if light.requests > REMEMBERED {
            light.requests /= 2.0;
            light.new /= 2.0;
        }
    }

    /// Takes back requests of somebody who asks often after all, and those with a new query among them.
    pub(super) fn take_back(&mut self, requests: u32, new: f64) {
        self.light.requests = (self.light.requests - f64::from(requests)).max(0.0);
        self.light.new = (self.light.new - new).clamp(0.0, self.light.requests);
    }

    /// The share of such requests with a query that was new, if it is known.
    pub(super) fn light_share(&self) -> Option<f64> {
        (self.light.requests >= KNOWN).then(|| (self.light.new / self.light.requests).min(1.0))
    }
}

impl AnswerTime {
    /// Takes in answers that took `ms`.
    pub(super) fn add(&mut self, ms: u32, weight: u32, now_ns: u64) {
        let (second, _) = period(1, now_ns);
        if second > self.second && self.answers > 0.0 {
            self.now_ms = self.sum_ms / self.answers;
            let usual = self.usual_ms.unwrap_or(self.now_ms);
            self.usual_ms = Some(usual + (self.now_ms - usual) * USUAL);
            self.sum_ms = 0.0;
            self.answers = 0.0;
        }
        self.second = self.second.max(second);
        self.sum_ms += f64::from(ms) * f64::from(weight);
        self.answers += f64::from(weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn routes_are_bounded_and_those_in_use_stay() {
        let mut service = Service::default();
        for second in 1..=30_u64 {
            let now_ns = second * SECOND;
            for _ in 0..3 {
                service
                    .route(7, now_ns, || "GET /used".to_owned())
                    .asked(1, now_ns);
            }
            for junk in 0..1_000 {
                service
                    .route(second * 10_000 + junk, now_ns, String::new)
                    .asked(1, now_ns);
            }
        }
        assert_eq!(service.routes.len(), ROUTES);
        assert_eq!(service.routes.get(&7).map(|route| route.total), Some(90));
        let all: u64 = service.routes.values().map(|route| route.total).sum();
        assert!(all + service.other.total <= 30_090);
    }

    #[test]
    fn clients_are_bounded() {
        let mut service = Service::default();
        for number in 0..1_000 {
            service.hello(&format!("client {number}"), "a", 1);
        }
        assert_eq!(service.clients.len(), CLIENTS + 1);
        assert_eq!(
            service.clients.values().map(|client| client.hellos).sum::<u64>(),
            1_000
        );
    }

    #[test]
    fn what_is_usual_changes_slowly() {
        let mut time = AnswerTime::default();
        for second in 1..100 {
            time.add(20, 1, second * SECOND);
        }
        for second in 100..110 {
            time.add(900, 1, second * SECOND);
        }
        assert!(
            time.now_ms > 800.0 && time.usual_ms.is_some_and(|usual| usual < 60.0),
            "{time:?}"
        );
    }

    #[test]
    fn how_often_queries_are_new() {
        let mut route = Route::default();
        for number in 0..1_000_u64 {
            // Four of five ask for one of ten.
            let query = if number % 5 == 0 {
                number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
            } else {
                number % 10 + 1
            };
            let newness = route.newness(query);
            route.asked_lightly(newness);
            route.learn(query);
        }
        let share = route.light_share();
        assert!(share > Some(0.15) && share < Some(0.25), "{share:?}");
        assert_eq!(Route::default().light_share(), None);
    }
}
