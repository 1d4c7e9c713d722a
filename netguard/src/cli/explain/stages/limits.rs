//! What the limits do to a source: per class and level by how much is used; what many share depends on them all.

use netguard_common::{Verdict, layout::Mode, limit::Class};

use super::{super::facts::Facts, CONTROL, Outcome, Stage};
use crate::bpf::LimitLevel;

/// Neighbour discovery and path-MTU messages, which no later stage sees.
pub(super) fn control(facts: &Facts) -> Stage {
    let mut of_control = facts.levels.iter().filter(|level| level.class == Class::Control);
    match of_control.next() {
        Some(level) => one(CONTROL, facts, level),
        None => {
            let why = "no limit is set";
            let stage = Stage::new(CONTROL, Some(mode(facts)), Outcome::Passes, why);
            of_class(stage, Class::Control, "source")
        }
    }
}

/// The limits of the other classes, of the source or of its prefix.
pub(super) fn of(facts: &Facts, of_prefix: bool) -> Vec<Stage> {
    let levels = facts.levels.iter().filter(|level| level.class != Class::Control);
    let levels = levels.filter(|level| level.of_prefix == of_prefix);
    let stages: Vec<Stage> = levels.map(|level| one("limit", facts, level)).collect();
    if !stages.is_empty() {
        return stages;
    }
    vec![Stage {
        level: Some(level_name(of_prefix)),
        ..Stage::new("limit", Some(mode(facts)), Outcome::Passes, "no limit is set")
    }]
}

fn one(stage: &'static str, facts: &Facts, level: &LimitLevel) -> Stage {
    let mode = mode(facts);
    let is_let_past = level.of_prefix && facts.is_proven;
    let stage = match (level.is_used_up(), is_let_past) {
        (true, false) => {
            let why = format!("all of a burst of {} is used up{}", level.burst, of_score(level));
            Stage::dropping(stage, mode, level.verdict(), why)
        }
        (true, true) => {
            let why = "used up, which does not hold for it, since its address is proven";
            Stage::new(stage, Some(mode), Outcome::Passes, why)
        }
        _ => {
            let why = format!("{} of {} used{}", level.used, level.burst, of_score(level));
            Stage::new(stage, Some(mode), Outcome::Passes, why)
        }
    };
    of_class(stage, level.class, level_name(level.of_prefix))
}

/// Why the limit is less than that of others, if it is.
fn of_score(level: &LimitLevel) -> String {
    match level.divisor {
        1 => String::new(),
        divisor => format!(", 1/{divisor} of what others have, by its score"),
    }
}

fn of_class(stage: Stage, class: Class, level: &'static str) -> Stage {
    Stage {
        class: Some(class.name()),
        level: Some(level),
        ..stage
    }
}

const fn level_name(of_prefix: bool) -> &'static str {
    if of_prefix { "prefix" } else { "source" }
}

/// The rates of UDP services and of ICMP as a whole, whose buckets all who ask share.
pub(super) fn services(facts: &Facts) -> [Stage; 2] {
    let udp = if facts.is_proven {
        "a UDP service over its rate serves it to the last, since its address is proven"
    } else {
        "a UDP service over its rate serves first who is proven or known to it"
    };
    let icmp = match (facts.settings.levels.service_icmp.interval_ns, facts.is_proven) {
        (0, _) => (Outcome::Passes, "ICMP of all together has no limit"),
        (_, true) => (
            Outcome::Depends,
            "ICMP over the rate of all together is let in from it to the last, since its address is proven",
        ),
        (_, false) => (
            Outcome::Depends,
            "ICMP over the rate of all together is let in first from who is proven, or was heard before",
        ),
    };
    [(Class::Udp, (Outcome::Depends, udp)), (Class::Icmp, icmp)].map(|(class, (outcome, why))| {
        let stage = Stage::new("service", Some(mode(facts)), outcome, why);
        of_class(stage, class, "service")
    })
}

/// What becomes of DNS queries that a limit drops.
pub(super) fn dns(facts: &Facts) -> Stage {
    let ports = facts.settings.levels.dns_ports.iter().filter(|port| **port != 0);
    let ports: Vec<String> = ports.map(u16::to_string).collect();
    // In shadow no limit drops a query.
    let is_off = ports.is_empty() || mode(facts) != Mode::Enforce;
    let mode = if is_off { Mode::Off } else { Mode::Enforce };
    let why = format!(
        "a query over a limit to port {} is answered instead: ask again over TCP ({})",
        ports.join(", "),
        Verdict::DnsTruncate.name()
    );
    Stage {
        class: Some(Class::Udp.name()),
        ..Stage::new("dns", Some(mode), Outcome::Depends, why)
    }
}

fn mode(facts: &Facts) -> Mode {
    Mode::from_number(facts.settings.limit)
}
