//! Turns the configuration into the datapath's settings.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use netguard_common::{
    l7::HearingLimits,
    layout::{Cookies, Levels, Mode, Rate, Service, Settings, Suspicion, TelemetrySettings},
    limit::Class,
    shared::Field as _,
    state::Reach,
};

use super::connections;
use crate::config::{Config, CookieMode, Limit, PolicyMode, TelemetryMode};

/// Samples per second and CPU that the kernel sends at the most, and at once.
const SAMPLES: Rate = Rate::new(2_000, 400);

/// Pieces of what clients say that are handed on in a CPU's second beyond the first few of their turns: some come byte by byte.
const PIECES_PER_S: u32 = 40_000;

/// Answers per second and CPU at the most, and at once: a flood in the name of others must not flood them.
const ANSWERS: Rate = Rate::new(300_000, 30_000);

/// The settings that `config` asks for, where the table of sockets is believed as far as `reach`. The seed of `before` is kept:
/// limit cells were filled under it.
pub fn settings(config: &Config, before: &Settings, reach: Reach) -> Settings {
    let mode = |policy: PolicyMode| Mode::from(policy.under(config.mode)) as u32;
    let mut settings = Settings {
        sanity: mode(config.sanity.mode),
        blocklist: mode(config.blocklist.mode),
        limit: mode(config.limit.mode),
        seed: if before.seed == 0 { random() } else { before.seed },
        sample: SAMPLES,
        cookies: match (config.mode, config.syn_cookies.mode) {
            // An answer is an act, which shadow is not.
            (crate::config::Mode::Shadow, _) => Cookies::Off as u32,
            (_, mode) => cookies(mode) as u32,
        },
        service_syn: Rate::new(
            config.syn_cookies.rate_per_s.value(),
            config.syn_cookies.burst.value(),
        ),
        answers: ANSWERS,
        cookies_except: config.syn_cookies.except_ports.padded(),
        suspicion: Suspicion {
            state: mode(config.state.mode),
            reach: reach as u32,
            strays: Rate::new(config.state.rate_per_s.value(), config.state.burst.value()),
            signatures: mode(config.signatures.mode),
            tls: mode(PolicyMode::Enforce),
        },
        levels: Levels {
            service_udp: limit_rate(config.limit.service.udp),
            service_icmp: limit_rate(config.limit.service.icmp),
            dns_ports: config.dns.truncate_ports.padded(),
            ..Levels::ZERO
        },
        telemetry: TelemetrySettings {
            on: u32::from(config.telemetry.mode == TelemetryMode::On),
            generation: 0,
        },
        connections: connections::limits(config, &before.connections),
        l7: match config.http.mode {
            PolicyMode::Off => HearingLimits::ZERO,
            _ => HearingLimits::new(config.http.read_per_s.value(), PIECES_PER_S),
        },
        ..Settings::ZERO
    };
    for class in Class::ALL {
        let limit = match class {
            Class::Syn => config.limit.syn,
            Class::Udp => config.limit.udp,
            Class::Icmp => config.limit.icmp,
            Class::Control => config.limit.control,
            Class::Other => config.limit.other,
        };
        settings.limits[class as usize] = limit_rate(limit);
        let prefix = match class {
            Class::Syn => config.limit.prefix.syn,
            Class::Udp => config.limit.prefix.udp,
            Class::Icmp => config.limit.prefix.icmp,
            Class::Control => None,
            Class::Other => config.limit.prefix.other,
        };
        settings.levels.prefix[class as usize] = prefix.map_or(Rate::UNLIMITED, limit_rate);
    }
    settings
}

/// The entries that `config` asks for in the table of services.
pub(crate) fn services(config: &Config) -> Vec<Service> {
    config.service.iter().map(service_entry).collect()
}

/// `service` as the datapath wants it.
pub fn service_entry(service: &crate::config::Service) -> Service {
    let rate = service.rate_per_s.zip(service.burst);
    let is_tcp = service.port.is_tcp();
    Service {
        rate: rate.map_or(Rate::UNLIMITED, |(rate, burst)| {
            Rate::new(rate.value(), burst.value())
        }),
        port: service.port.port(),
        protocol: service.port.protocol(),
        cookies: cookies(service.cookies) as u8,
        tls: Mode::from(service.tls.filter(|_| is_tcp).unwrap_or(PolicyMode::Off)) as u8,
        common: u8::from(rate.is_none()),
        tls_minimum: service.tls_minimum.unwrap_or_default().number(),
    }
}

fn cookies(mode: CookieMode) -> Cookies {
    match mode {
        CookieMode::Off => Cookies::Off,
        CookieMode::Auto => Cookies::Auto,
        CookieMode::Always => Cookies::Always,
    }
}

/// The rate of `limit` as the datapath wants it.
pub fn limit_rate(limit: Limit) -> Rate {
    Rate::new(limit.rate_per_s.value(), limit.burst.value())
}

/// A number that nobody outside can know: std seeds its hashers from the system's random source.
fn random() -> u64 {
    RandomState::new().build_hasher().finish() | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shadow_enforces_nothing_and_the_seed_stays() {
        let mut config = Config::default();
        let first = settings(&config, &Settings::ZERO, Reach::All);
        assert_eq!(
            [first.sanity, first.blocklist, first.limit, first.suspicion.state],
            [Mode::Enforce as u32; 4]
        );
        assert_ne!(first.seed, 0);
        config.mode = crate::config::Mode::Shadow;
        config.limit.mode = PolicyMode::Off;
        let second = settings(&config, &first, Reach::All);
        assert_eq!(
            [second.sanity, second.limit],
            [Mode::Shadow as u32, Mode::Off as u32]
        );
        assert_eq!(second.seed, first.seed);
    }

    #[test]
    fn limits_stand_in_their_classes() {
        let settings = settings(&Config::default(), &Settings::ZERO, Reach::All);
        assert_eq!(settings.limits[Class::Syn as usize], Rate::new(200, 1000));
        assert_eq!(settings.limits[Class::Icmp as usize], Rate::new(20, 100));
    }
}
