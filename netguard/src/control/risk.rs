//! By which changes an operator can lock themselves out: those are taken back unless they are confirmed. It says why in a sentence.

use netguard_common::{
    layout::{Mode, Rate, Settings},
    limit::Class,
};

use super::{Level, LimitChange, LimitName, RuleAddition, SignatureAddition};
use crate::{
    bpf::List,
    config::ServicePort,
    engine::{Guard, GuardKind},
    prefix::Prefix,
};

/// The widest prefixes that published lists hold are an IPv4 /12 and an IPv6 /24: what is wider is a person's idea.
const WIDE: (u8, u8) = (11, 23);

/// A limit at this part of what it was, or less, is hardly meant for the common client.
const TIGHTER: u64 = 10;

/// Where there was no limit, or nothing is known of what usually comes to a service, less than this is a slip.
const FEW_PER_S: u64 = 100;
const FEW_OF_A_SERVICE_PER_S: u64 = 10;

/// Of additions to `list`, that of a rule which could lock its author out if it held longer than `within_s`.
pub fn of_additions(guard: &Guard, list: List, additions: &[RuleAddition], within_s: u64) -> Option<String> {
    if list == List::Allow {
        return None;
    }
    let lasts = |addition: &&RuleAddition| addition.ttl_s.is_none_or(|ttl_s| ttl_s > within_s);
    let one = additions.iter().filter(lasts).find_map(|addition| {
        let prefix = addition.prefix;
        if is_wide(prefix) {
            return Some(format!("{prefix} is very wide"));
        }
        let (guarded, kind) = guard.objection(&prefix).filter(|(_, kind)| kind.is_essential())?;
        Some(format!(
            "{prefix} touches {guarded}, and that is {}",
            kind.describe()
        ))
    });
    one.or_else(|| of_all(additions.iter().filter(lasts).map(|addition| addition.prefix)))
}

/// Of `prefixes` that are not wide one by one.
fn of_all(prefixes: impl Iterator<Item = Prefix> + Clone) -> Option<String> {
    [true, false].into_iter().find_map(|is_ipv4| {
        let (family, longest, wide) = if is_ipv4 {
            ("IPv4", 32, WIDE.0)
        } else {
            ("IPv6", 128, WIDE.1)
        };
        let of_family = prefixes
            .clone()
            .filter(|prefix| prefix.address().is_ipv4() == is_ipv4);
        let least = 1_u128 << (longest - wide);
        // What stands there twice is looked for only where it can make the difference.
        if of_family.clone().map(size).fold(0, u128::saturating_add) < least {
            return None;
        }
        let mut distinct: Vec<Prefix> = of_family.collect();
        distinct.sort_unstable();
        distinct.dedup_by(|prefix, wider| wider.covers(prefix));
        let sum = distinct.iter().copied().map(size).fold(0, u128::saturating_add);
        let bits = u32::from(longest).saturating_sub(sum.checked_ilog2()?);
        (sum >= least).then(|| {
            format!(
                "{} prefixes, each of them small, are together as wide as an {family} /{bits}",
                distinct.len()
            )
        })
    })
}

/// How many addresses `prefix` has.
fn size(prefix: Prefix) -> u128 {
    let longest = if prefix.address().is_ipv4() { 32 } else { 128 };
    let bits = longest - u32::from(prefix.bits());
    1_u128.checked_shl(bits).unwrap_or(u128::MAX)
}

/// Of additions of which one may hold an address from which whoever asks is logged in, as the command line knows.
pub fn of_session(is_own: bool) -> Option<String> {
    is_own.then(|| "you are logged in from there".to_owned())
}

/// Of the removal of `prefix` from `list`.
pub fn of_removal(guard: &Guard, list: List, prefix: Prefix) -> Option<String> {
    if list == List::Block {
        return None;
    }
    let (session, kind) = guard
        .objections(&prefix)
        .find(|(_, kind)| *kind == GuardKind::Session)?;
    Some(format!(
        "{prefix} touches {session}, and that is {}",
        kind.describe()
    ))
}

/// Of a `change` of the limit `name`, which was `before` it. Who asks for connections beyond that of TCP services is asked to prove
/// themselves, and can.
pub fn of_limit(settings: &Settings, name: LimitName, before: Rate, change: LimitChange) -> Option<String> {
    let only_asks = name.level == Level::Service && name.class == Class::Syn;
    if only_asks || Mode::from_number(settings.limit) != Mode::Enforce {
        return None;
    }
    tighter(before, change).map(|than| format!("the limit {name} is {than}"))
}

/// Of a `rate_per_s` of the service at `port`, to which in half of all seconds `usual` packets or more come, as far as that is known: only of
/// UDP. Whoever asks a TCP service too often is asked to prove themselves, and can.
pub fn of_service(
    settings: &Settings,
    port: ServicePort,
    usual: Option<f64>,
    rate_per_s: u32,
) -> Option<String> {
    if port.is_tcp() || Mode::from_number(settings.limit) != Mode::Enforce {
        return None;
    }
    match usual {
        Some(usual) if f64::from(rate_per_s) < usual => {
            Some(format!("{usual:.0} packets/s usually come to {port}"))
        }
        _ => (u64::from(rate_per_s) < FEW_OF_A_SERVICE_PER_S)
            .then(|| format!("{rate_per_s}/s is hardly anything for {port}")),
    }
}

/// Of a signature that holds longer than `within_s`.
pub fn of_signature(addition: &SignatureAddition, within_s: u64) -> Option<String> {
    let lasts = addition.ttl_s.is_none_or(|ttl_s| ttl_s > within_s);
    (addition.force && !addition.shadow && lasts)
        .then(|| "honest packets may fit the signature, since it is forced".to_owned())
}

fn is_wide(prefix: Prefix) -> bool {
    let (v4, v6) = WIDE;
    prefix.bits() <= if prefix.address().is_ipv4() { v4 } else { v6 }
}

fn tighter(before: Rate, change: LimitChange) -> Option<String> {
    let rate_per_s = u64::from(change.rate_per_s);
    if before.interval_ns == 0 {
        return (rate_per_s < FEW_PER_S).then(|| format!("{rate_per_s}/s, where there was none"));
    }
    let is_tighter = |now: u64, was: u64| now.saturating_mul(TIGHTER) <= was;
    let (was, burst) = (before.per_second(), before.burst());
    if is_tighter(rate_per_s, was) {
        return Some(format!("a tenth or less of the {was}/s it was"));
    }
    is_tighter(u64::from(change.burst), burst)
        .then(|| format!("for bursts of a tenth or less of the {burst} packets it was"))
}

#[cfg(test)]
mod tests {
    use netguard_common::shared::Field as _;

    use super::*;
    use crate::control::Force;

    fn addition(prefix: &str, ttl_s: Option<u64>) -> [RuleAddition; 1] {
        [RuleAddition {
            prefix: prefix.parse().expect("a prefix"),
            ttl_s,
            note: None,
            force: Force::All,
        }]
    }

    #[test]
    fn wide_and_forced_blocks_are_risky_unless_they_end_soon() {
        let guard = Guard::new([
            ("192.0.2.1".parse().expect("a prefix"), GuardKind::Session),
            ("203.0.113.9".parse().expect("a prefix"), GuardKind::Allowlist),
        ]);
        let of = |list, prefix, ttl_s| of_additions(&guard, list, &addition(prefix, ttl_s), 60);
        for risky in ["10.0.0.0/8", "10.0.0.0/11", "2001::/16", "192.0.2.0/24"] {
            assert!(of(List::Block, risky, None).is_some(), "{risky}");
            assert!(of(List::Block, risky, Some(61)).is_some(), "{risky}");
            assert_eq!(of(List::Block, risky, Some(60)), None, "{risky}");
            assert_eq!(of(List::Allow, risky, None), None, "{risky}");
        }
        for usual in ["10.0.0.0/12", "2001:d00::/24", "198.51.100.7", "203.0.113.9"] {
            assert_eq!(of(List::Block, usual, None), None, "{usual}");
        }
        let session: Prefix = "192.0.2.0/24".parse().expect("a prefix");
        assert!(of_removal(&guard, List::Allow, session).is_some_and(|why| why.contains("192.0.2.1/32")));
        assert_eq!(of_removal(&guard, List::Block, session), None);
    }

    /// Found in review: a thousand /20 were no risk, although together they are as wide as a /10.
    #[test]
    fn many_small_blocks_are_as_risky_as_the_wide_one_that_they_make() {
        let of = |prefixes: &[String], ttl_s| {
            let additions: Vec<RuleAddition> = prefixes
                .iter()
                .flat_map(|prefix| addition(prefix, ttl_s))
                .collect();
            of_additions(&Guard::default(), List::Block, &additions, 60)
        };
        // 512 of them make a /11.
        let v4 = |count: u32| -> Vec<String> {
            (0..count)
                .map(|number| format!("20.{}.{}.0/20", number / 16 * 2, number % 16 * 16))
                .collect()
        };
        let v6 = |count: u32| -> Vec<String> {
            (0..count)
                .map(|number| format!("2001:{number:x}00::/24"))
                .collect()
        };
        let told = of(&v4(512), None).expect("risky");
        assert_eq!(
            told,
            "512 prefixes, each of them small, are together as wide as an IPv4 /11"
        );
        assert_eq!(of(&v4(511), None), None);
        assert_eq!(of(&v4(512), Some(60)), None, "it ends soon");
        assert_eq!(of(&v6(1), None), None);
        let told = of(&[v4(511), v6(3)].concat(), None).expect("risky");
        assert!(told.contains("3 prefixes") && told.contains("IPv6 /23"), "{told}");
        // What stands there twice, or in another, is no wider.
        let within = ["20.0.0.0/20".to_owned(), "20.0.7.0/24".to_owned()];
        assert_eq!(of(&[v4(511), v4(511), within.to_vec()].concat(), None), None);
        assert!(of(&[v4(511), v4(511), v4(512)].concat(), None).is_some());
    }

    #[test]
    fn a_limit_is_risky_at_a_tenth() {
        let mut settings = Settings::ZERO;
        settings.limit = Mode::Enforce as u32;
        let name = LimitName::parse("udp").expect("a limit");
        let of = |settings: &Settings, before, rate_per_s| {
            let change = LimitChange {
                rate_per_s,
                burst: rate_per_s,
            };
            of_limit(settings, name, before, change).is_some()
        };
        assert!(of(&settings, Rate::new(1_000, 1_000), 100));
        assert!(!of(&settings, Rate::new(1_000, 1_000), 101));
        assert!(of(&settings, Rate::new(1_000, 5_000), 500), "no burst is left");
        assert!(!of(&settings, Rate::new(1_000, 1_000), 5_000));
        assert!(of(&settings, Rate::UNLIMITED, 99) && !of(&settings, Rate::UNLIMITED, 100));
        let service = |name: &str, usual, rate_per_s| {
            let port = name.parse().expect("a service");
            of_service(&settings, port, usual, rate_per_s).is_some()
        };
        assert!(service("udp/53", None, 9) && !service("udp/53", None, 10));
        assert!(service("udp/53", Some(800.0), 799) && !service("udp/53", Some(800.0), 800));
        assert!(!service("tcp/80", Some(800.0), 1));
        settings.limit = Mode::Shadow as u32;
        assert!(!of(&settings, Rate::new(1_000, 1_000), 1));
    }
}
