//! Turns the configuration into the datapath's settings.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use netguard_common::{
    layout::{Cookies, Mode, Rate, Settings},
    limit::Class,
    shared::Field as _,
};

use crate::config::{Config, CookieMode, Limit, PolicyMode};

/// Samples per second and CPU that the kernel sends at the most, and at once.
const SAMPLES: Rate = Rate::new(2_000, 400);

/// Answers per second and CPU at the most, and at once: a flood in the name of others must not flood them.
const ANSWERS: Rate = Rate::new(300_000, 30_000);

/// The settings that `config` asks for. The seed of `before` is kept: limit cells were filled under it.
pub fn settings(config: &Config, before: &Settings) -> Settings {
    let mode = |policy: PolicyMode| match policy.under(config.mode) {
        PolicyMode::Off => Mode::Off as u32,
        PolicyMode::Shadow => Mode::Shadow as u32,
        PolicyMode::Enforce => Mode::Enforce as u32,
    };
    let mut settings = Settings {
        sanity: mode(config.sanity.mode),
        blocklist: mode(config.blocklist.mode),
        limit: mode(config.limit.mode),
        seed: if before.seed == 0 { random() } else { before.seed },
        sample: SAMPLES,
        cookies: match (config.mode, config.syn_cookies.mode) {
            // An answer is an act, which shadow is not.
            (crate::config::Mode::Shadow, _) | (_, CookieMode::Off) => Cookies::Off as u32,
            (_, CookieMode::Auto) => Cookies::Auto as u32,
            (_, CookieMode::Always) => Cookies::Always as u32,
        },
        service_syn: Rate::new(
            config.syn_cookies.rate_per_s.value(),
            config.syn_cookies.burst.value(),
        ),
        answers: ANSWERS,
        cookies_except: config.syn_cookies.except_ports.padded(),
        ..Settings::ZERO
    };
    for class in Class::ALL {
        let limit = match class {
            Class::Syn => config.limit.syn,
            Class::Udp => config.limit.udp,
            Class::Icmp => config.limit.icmp,
            Class::Control => config.limit.control,
        };
        settings.limits[class as usize] = limit_rate(limit);
    }
    settings
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
        let first = settings(&config, &Settings::ZERO);
        assert_eq!(
            [first.sanity, first.blocklist, first.limit],
            [Mode::Enforce as u32; 3]
        );
        assert_ne!(first.seed, 0);
        config.mode = crate::config::Mode::Shadow;
        config.limit.mode = PolicyMode::Off;
        let second = settings(&config, &first);
        assert_eq!(
            [second.sanity, second.limit],
            [Mode::Shadow as u32, Mode::Off as u32]
        );
        assert_eq!(second.seed, first.seed);
    }

    #[test]
    fn limits_stand_in_their_classes() {
        let settings = settings(&Config::default(), &Settings::ZERO);
        assert_eq!(settings.limits[Class::Syn as usize], Rate::new(200, 1000));
        assert_eq!(settings.limits[Class::Icmp as usize], Rate::new(20, 100));
    }
}
