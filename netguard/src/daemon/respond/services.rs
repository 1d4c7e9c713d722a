//! Limits of services that were tightened because of attacks. What held before holds again afterwards, unless somebody changed it
//! meanwhile.

use std::collections::BTreeMap;

use netguard_common::{
    layout::{Cookies, Rate, Service, Settings},
    shared::Field as _,
};

use super::Report;
use crate::{
    bpf::{BpfError, Services},
    config::ServicePort,
    engine::response::{Measure, Mode, Standing, Taken},
};

const CHANGED: &str = "somebody changed the limits of the service";
const NO_COOKIES: &str = "SYN cookies are off";
const NO_COOKIES_HERE: &str = "SYN cookies are off for the service";

/// Services whose limits are tightened, by name.
#[derive(Default)]
pub(super) struct Held(BTreeMap<String, Entry>);

struct Entry {
    before: Option<Service>,
    written: Service,
}

/// What is wanted of one service.
#[derive(Default)]
struct Wish {
    rate_per_s: Option<u64>,
    challenge: bool,
    /// The measures that want it, and whether nobody has said yet what came of each.
    numbers: Vec<(u64, bool)>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn follow(
        &mut self,
        wanted: &[Taken],
        kernel: &mut Services,
        settings: &Settings,
    ) -> Vec<Report> {
        let mut reports = Vec::new();
        let wishes = wishes(wanted, &mut reports);
        // Signatures alone ask nothing of it.
        if wishes.is_empty() && self.0.is_empty() {
            return reports;
        }
        let standing = match kernel.list() {
            Ok(standing) => standing,
            Err(error) => {
                reports.extend(said(&wishes, &Standing::Failed(error.to_string())));
                return reports;
            }
        };
        let current = |port: ServicePort| {
            let mut standing = standing.iter();
            standing.find(|entry| (entry.protocol, entry.port) == (port.protocol(), port.port()))
        };
        self.0.retain(|name, entry| {
            let stays = wishes.contains_key(name);
            if !stays
                && let Some(current) = name.parse().ok().and_then(current)
                && limits(*current) == limits(entry.written)
            {
                // Where that fails the tighter limit stays, which the operator sees in `service list`.
                let _restored = entry.restore(*current, kernel);
            }
            stays
        });
        for (name, wish) in &wishes {
            let outcome = match name.parse::<ServicePort>() {
                // Whoever asks a TCP service too often is asked to prove itself: without that nothing holds it. The operator says so, and it
                // will not be otherwise in a moment.
                Ok(port) if port.is_tcp() && settings.cookies == Cookies::Off as u32 => {
                    Standing::Given(NO_COOKIES.to_owned())
                }
                Ok(port) if port.is_tcp() && is_excepted(port, current(port), settings) => {
                    Standing::Given(NO_COOKIES_HERE.to_owned())
                }
                Ok(port) => self
                    .hold(name, port, wish, current(port).copied(), kernel, settings)
                    .unwrap_or_else(|error| Standing::Failed(error.to_string())),
                Err(why) => Standing::Failed(why),
            };
            let is_news =
                |unsaid: bool| unsaid || matches!(outcome, Standing::Failed(_) | Standing::Given(_));
            let numbers = wish.numbers.iter().filter(|(_, unsaid)| is_news(*unsaid));
            reports.extend(numbers.map(|(number, _)| Report::Standing(*number, outcome.clone())));
        }
        reports
    }

    fn hold(
        &mut self,
        name: &str,
        port: ServicePort,
        wish: &Wish,
        current: Option<Service>,
        kernel: &mut Services,
        settings: &Settings,
    ) -> Result<Standing, BpfError> {
        let before = match self.0.get(name) {
            Some(entry) if current.map(limits) == Some(limits(entry.written)) => entry.before,
            Some(_) => {
                self.0.remove(name);
                return Ok(Standing::Given(CHANGED.to_owned()));
            }
            None => current,
        };
        let tight = tightened(held_to(before, port, settings), wish);
        let written = current.map_or(tight, |current| with_floor_of(current, tight));
        if current != Some(written) {
            kernel.set(written)?;
        }
        self.0.insert(name.to_owned(), Entry { before, written });
        Ok(Standing::InForce)
    }
}

impl Entry {
    /// What an operator said of TLS meanwhile is no limit, and stays.
    fn restore(&self, current: Service, kernel: &mut Services) -> Result<(), BpfError> {
        match self.before {
            Some(before) => kernel.set(with_floor_of(current, before)),
            None if current.tls != 0 => kernel.set(Service {
                rate: Rate::UNLIMITED,
                cookies: Cookies::Auto as u8,
                common: 1,
                ..current
            }),
            None => kernel.remove(self.written.protocol, self.written.port).map(drop),
        }
    }
}

/// What is wanted of each service. A measure in shadow is taken by being told.
fn wishes(wanted: &[Taken], reports: &mut Vec<Report>) -> BTreeMap<String, Wish> {
    let mut wishes = BTreeMap::<String, Wish>::new();
    for taken in wanted {
        let (Measure::Limit { service, .. } | Measure::Challenge { service }) = &taken.measure else {
            continue;
        };
        let unsaid = taken.standing == Standing::Wanted;
        if taken.mode != Mode::Enforce {
            if unsaid {
                reports.push(Report::Standing(taken.number, Standing::InForce));
            }
            continue;
        }
        let wish = wishes.entry(service.clone()).or_default();
        wish.numbers.push((taken.number, unsaid));
        match &taken.measure {
            Measure::Limit { rate_per_s, .. } => {
                let least = wish
                    .rate_per_s
                    .map_or(*rate_per_s, |least| least.min(*rate_per_s));
                wish.rate_per_s = Some(least);
            }
            _ => wish.challenge = true,
        }
    }
    wishes
}

fn said(wishes: &BTreeMap<String, Wish>, standing: &Standing) -> Vec<Report> {
    let numbers = wishes.values().flat_map(|wish| &wish.numbers);
    numbers
        .map(|(number, _)| Report::Standing(*number, standing.clone()))
        .collect()
}

/// What holds for the service at `port`, which has the entry `own`: the common limits, unless that says otherwise.
fn held_to(own: Option<Service>, port: ServicePort, settings: &Settings) -> Service {
    let entry = match own {
        Some(own) if own.common == 0 => return own,
        Some(own) => own,
        None => Service::ZERO,
    };
    let (rate, cookies) = if port.is_tcp() {
        (settings.service_syn, settings.cookies as u8)
    } else {
        (settings.levels.service_udp, Cookies::Auto as u8)
    };
    Service {
        rate,
        port: port.port(),
        protocol: port.protocol(),
        cookies,
        common: 0,
        ..entry
    }
}

/// `service` without what it says of TLS.
fn limits(service: Service) -> Service {
    with_floor_of(Service::ZERO, service)
}

/// `service` with what `other` says of TLS.
fn with_floor_of(other: Service, service: Service) -> Service {
    Service {
        tls: other.tls,
        tls_minimum: other.tls_minimum,
        ..service
    }
}

/// Whether the operator wants no cookies for this service.
fn is_excepted(port: ServicePort, current: Option<&Service>, settings: &Settings) -> bool {
    let is_off = current.is_some_and(|service| service.cookies == Cookies::Off as u8);
    is_off || settings.cookies_except.contains(&port.port())
}

/// `service` with what `wish` says, and never with more.
fn tightened(service: Service, wish: &Wish) -> Service {
    let rate = match wish
        .rate_per_s
        .map(|rate| u32::try_from(rate).unwrap_or(u32::MAX))
    {
        Some(rate) => {
            let held = Rate::new(rate, rate);
            let is_tighter = service.rate.interval_ns == 0 || held.interval_ns > service.rate.interval_ns;
            if is_tighter { held } else { service.rate }
        }
        None => service.rate,
    };
    let cookies = if wish.challenge {
        Cookies::Always as u8
    } else {
        service.cookies
    };
    Service {
        rate,
        cookies,
        ..service
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(per_s: u32) -> Service {
        Service {
            rate: Rate::new(per_s, 2 * per_s),
            port: 80,
            protocol: 6,
            cookies: Cookies::Auto as u8,
            ..Service::ZERO
        }
    }

    fn wish(rate_per_s: Option<u64>, challenge: bool) -> Wish {
        Wish {
            rate_per_s,
            challenge,
            numbers: Vec::new(),
        }
    }

    #[test]
    fn a_limit_is_never_loosened() {
        assert_eq!(
            tightened(service(1_000), &wish(Some(5_000), false)),
            service(1_000)
        );
        let tighter = tightened(service(1_000), &wish(Some(100), true));
        assert_eq!(
            (tighter.rate, tighter.cookies),
            (Rate::new(100, 100), Cookies::Always as u8)
        );
        let unlimited = Service {
            rate: Rate::UNLIMITED,
            ..service(1)
        };
        assert_eq!(
            tightened(unlimited, &wish(Some(u64::MAX), false)).rate,
            Rate::new(u32::MAX, u32::MAX)
        );
    }

    #[test]
    fn an_operators_word_against_cookies_holds() {
        let port: ServicePort = "tcp/80".parse().expect("a service");
        let mut settings = Settings::ZERO;
        assert!(!is_excepted(port, None, &settings));
        assert!(!is_excepted(port, Some(&service(1)), &settings));
        let without = Service {
            cookies: Cookies::Off as u8,
            ..service(1)
        };
        assert!(is_excepted(port, Some(&without), &settings));
        settings.cookies_except[0] = 80;
        assert!(is_excepted(port, None, &settings));
    }

    #[test]
    fn a_service_without_an_entry_begins_with_the_common_limits() {
        let mut settings = Settings::ZERO;
        settings.service_syn = Rate::new(700, 70);
        settings.levels.service_udp = Rate::new(900, 90);
        settings.cookies = Cookies::Auto as u32;
        let of = |name: &str| held_to(None, name.parse().expect("a service"), &settings);
        assert_eq!(
            (of("tcp/80").rate, of("udp/53").rate),
            (Rate::new(700, 70), Rate::new(900, 90))
        );
        assert_eq!(of("tcp/80").cookies, Cookies::Auto as u8);
        // So does one whose entry only says what it may speak, and that stays.
        let floor = Service {
            tls: 2,
            common: 1,
            rate: Rate::UNLIMITED,
            ..service(1)
        };
        let held = held_to(Some(floor), "tcp/80".parse().expect("a service"), &settings);
        assert_eq!((held.rate, held.common, held.tls), (Rate::new(700, 70), 0, 2));
        assert_eq!(
            held_to(Some(service(5)), "tcp/80".parse().expect("a service"), &settings),
            service(5)
        );
    }
}
