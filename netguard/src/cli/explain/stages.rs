//! What each stage of the datapath does to a source now, in the order in which they are asked, by what stands in the kernel's
//! tables. What a packet of it says of itself is not known here.

mod fits;
mod limits;

use std::net::IpAddr;

use netguard_common::{
    Verdict,
    layout::{Cookies, Mode},
    limit::{Class, source_key},
    packet::Address,
    rule::Origin,
    sanity,
    state::Reach,
};
use serde::Serialize;

use super::facts::Facts;
use crate::bpf::{Entry, List};

/// What becomes of a packet of the source at one stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    Passes,
    Drops,
    /// The stage is in shadow mode: it would be dropped, and is counted instead.
    WouldDrop,
    /// It is answered in the name of the service.
    Answers,
    /// What the packet is decides.
    Depends,
    Off,
    /// Nobody can look.
    Unknown,
}

/// A stage, and what it does to the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Stage {
    pub(super) stage: &'static str,
    /// The class of packets that it is about; `null`: all that the stage looks at.
    pub(super) class: Option<&'static str>,
    /// Whose packets count together: of the `source`, its `prefix`, or all that ask the `service`.
    pub(super) level: Option<&'static str>,
    /// `enforce`, `shadow` or `off`; `null` where the stage has no mode of its own.
    pub(super) mode: Option<&'static str>,
    pub(super) outcome: Outcome,
    /// Where it drops or would.
    pub(super) verdict: Option<String>,
    pub(super) why: String,
    /// Whether the stages before leave any packet of the source to it.
    pub(super) reached: bool,
    /// Whether no packet of the source goes on.
    #[serde(skip)]
    ends: bool,
    /// Whether TCP segments that open nothing go on although it drops.
    #[serde(skip)]
    spares_segments: bool,
}

/// Behind the blocklist, the stages that look at TCP segments which open nothing.
const OF_SEGMENTS: [&str; 3] = ["lists", "signatures", "state"];

const CONTROL: &str = "control";

/// Begins the verdicts of stages that only count.
pub(super) const SHADOW: &str = "shadow-";

/// All stages, as they are for the source of `facts`.
pub(super) fn stages(facts: &Facts) -> Vec<Stage> {
    let mut stages = vec![
        sanity_of(facts),
        allow(facts),
        limits::control(facts),
        own_source(facts),
        blocklist(facts),
        lists(facts),
        fits::signatures(facts),
        state(facts),
        reflection(facts),
        connections(facts),
    ];
    stages.extend(limits::of(facts, false));
    stages.push(closed_port(facts));
    stages.extend(limits::of(facts, true));
    stages.extend(limits::services(facts));
    stages.push(cookies(facts));
    stages.push(limits::dns(facts));
    let (mut reached, mut only_segments) = (true, false);
    for stage in &mut stages {
        stage.reached = reached && (!only_segments || OF_SEGMENTS.contains(&stage.stage));
        reached &= !stage.ends;
        only_segments |= stage.spares_segments && stage.outcome == Outcome::Drops;
    }
    stages
}

/// The verdict that they come to: the first that enforces decides, else the first in shadow is told.
pub(super) fn verdict(stages: &[Stage]) -> String {
    // Of control messages an answer speaks of no other packet, and anybody can send them in its name.
    let mut reached = stages
        .iter()
        .filter(|stage| stage.reached && stage.stage != CONTROL);
    let dropped = reached.clone().find(|stage| stage.outcome == Outcome::Drops);
    let allowed = reached
        .clone()
        .find(|stage| stage.ends && stage.outcome == Outcome::Passes);
    let would = reached.clone().find(|stage| stage.outcome == Outcome::WouldDrop);
    let decided = dropped.or(allowed);
    if decided.is_none() && reached.any(|stage| stage.outcome == Outcome::Unknown) {
        return "unknown".to_owned();
    }
    let verdict = decided.or(would).and_then(|stage| stage.verdict.clone());
    verdict.unwrap_or_else(|| Verdict::Pass.name().to_owned())
}

impl Stage {
    /// One that has `outcome` when it enforces.
    fn new(stage: &'static str, mode: Option<Mode>, outcome: Outcome, why: impl Into<String>) -> Self {
        let outcome = match (mode, outcome) {
            (Some(Mode::Off), _) => Outcome::Off,
            (Some(Mode::Shadow), Outcome::Drops) => Outcome::WouldDrop,
            _ => outcome,
        };
        Self {
            stage,
            class: None,
            level: None,
            mode: mode.map(|mode| match mode {
                Mode::Off => "off",
                Mode::Shadow => "shadow",
                Mode::Enforce => "enforce",
            }),
            outcome,
            verdict: None,
            why: if outcome == Outcome::Off {
                String::new()
            } else {
                why.into()
            },
            reached: true,
            ends: false,
            spares_segments: false,
        }
    }

    /// One that drops, with the verdict of it.
    fn dropping(stage: &'static str, mode: Mode, verdict: Verdict, why: impl Into<String>) -> Self {
        let stage = Self::new(stage, Some(mode), Outcome::Drops, why);
        let shadow = if stage.outcome == Outcome::WouldDrop {
            SHADOW
        } else {
            ""
        };
        Self {
            verdict: (stage.outcome != Outcome::Off).then(|| format!("{shadow}{}", verdict.name())),
            ..stage
        }
    }

    /// The same, behind which no packet of the source goes on if it drops.
    fn ending(self) -> Self {
        Self {
            ends: matches!(self.outcome, Outcome::Drops | Outcome::Passes),
            ..self
        }
    }
}

fn sanity_of(facts: &Facts) -> Stage {
    let mode = Mode::from_number(facts.settings.sanity);
    let (family, source) = Address::of(facts.address);
    if sanity::is_martian(family, source) {
        return Stage::dropping(
            "sanity",
            mode,
            Verdict::MartianSource,
            Verdict::MartianSource.help(),
        )
        .ending();
    }
    let why = "whatever no honest host sends is dropped";
    Stage::new("sanity", Some(mode), Outcome::Depends, why)
}

fn allow(facts: &Facts) -> Stage {
    let Some(rule) = facts.on(List::Allow).next() else {
        return Stage::new("allow", None, Outcome::Passes, "it is not on the allowlist");
    };
    let why = format!("{} is on the allowlist, {}", rule.prefix, by(rule));
    Stage {
        verdict: Some(Verdict::PassAllow.name().to_owned()),
        ..Stage::new("allow", None, Outcome::Passes, why).ending()
    }
}

fn own_source(facts: &Facts) -> Stage {
    let mode = Mode::from_number(facts.settings.sanity);
    let is_of_a_link = match facts.address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if facts.is_own && !is_of_a_link {
        return Stage::dropping("own-source", mode, Verdict::OwnSource, Verdict::OwnSource.help()).ending();
    }
    let why = "it is no address of this machine";
    Stage::new("own-source", Some(mode), Outcome::Passes, why)
}

fn blocklist(facts: &Facts) -> Stage {
    let mode = Mode::from_number(facts.settings.blocklist);
    let rules = facts.on(List::Block);
    let Some((verdict, rule)) = rules
        .map(|rule| (blocked_by(rule), rule))
        .min_by_key(|(verdict, _)| *verdict)
    else {
        return Stage::new("blocklist", Some(mode), Outcome::Passes, "no rule blocks it");
    };
    let why = format!("{} is blocked, {}", rule.prefix, by(rule));
    // A rule of a detector leaves connections that stand to the next rule.
    let mut rules = facts.on(List::Block);
    if rules.all(|rule| rule.rule.origin == Origin::Detector as u8) {
        let why = format!("{why}, but for its connections that stand");
        return Stage {
            spares_segments: true,
            ..Stage::dropping("blocklist", mode, verdict, why)
        };
    }
    Stage::dropping("blocklist", mode, verdict, why).ending()
}

/// The verdict of a rule of the blocklist.
fn blocked_by(rule: &Entry) -> Verdict {
    let is_v6_host = rule.prefix.bits() == 64 && rule.prefix.address().is_ipv6();
    match rule.prefix.is_host() || is_v6_host {
        true => Verdict::BlockAddress,
        false => Verdict::BlockPrefix,
    }
}

fn by(rule: &Entry) -> String {
    match Origin::from_number(rule.rule.origin) {
        Some(Origin::Operator) => "by an operator".to_owned(),
        Some(Origin::Config) => "by the configuration".to_owned(),
        Some(Origin::Detector) => "by a detector".to_owned(),
        None => "by nobody knows whom".to_owned(),
    }
}

fn lists(facts: &Facts) -> Stage {
    let report = &facts.report;
    if let Some(why) = &report.lists_unknown {
        return Stage::new("lists", None, Outcome::Unknown, why.clone());
    }
    let names: Vec<String> = report
        .lists
        .iter()
        .map(|list| format!("{} {}", list.kind, list.name))
        .collect();
    let names = names.join(", ");
    let Some(verdict) = report.list_verdict.clone() else {
        let why = if names.is_empty() {
            "no feed and no place that the configuration names is against it".to_owned()
        } else {
            format!("nothing is against it: {names}")
        };
        return Stage::new("lists", None, Outcome::Passes, why);
    };
    let mode = match verdict.starts_with(SHADOW) {
        true => Mode::Shadow,
        false => Mode::Enforce,
    };
    // A country's limit bites when it is used up by all its sources together.
    if verdict.contains("limit-") {
        let why = format!("held to a rate together with all others there: {names}");
        return Stage::new("lists", Some(mode), Outcome::Depends, why);
    }
    Stage {
        verdict: Some(verdict),
        ..Stage::new("lists", Some(mode), Outcome::Drops, names).ending()
    }
}

fn state(facts: &Facts) -> Stage {
    let suspicion = &facts.settings.suspicion;
    let mode = Some(Mode::from_number(suspicion.state));
    if Reach::from_number(suspicion.reach) == Reach::Nothing {
        return Stage::new("state", mode, Outcome::Passes, ENDS_ELSEWHERE);
    }
    let why = "TCP segments of no connection are dropped while such come in numbers";
    Stage::new("state", mode, Outcome::Depends, why)
}

const ENDS_ELSEWHERE: &str = "connections of this machine's addresses end in others: its sockets cannot tell";

fn closed_port(facts: &Facts) -> Stage {
    let suspicion = &facts.settings.suspicion;
    let mode = Some(Mode::from_number(suspicion.state));
    if Reach::from_number(suspicion.reach) != Reach::All {
        let why = "addresses are translated here: a port without a socket says nothing";
        return Stage::new("closed-port", mode, Outcome::Passes, why);
    }
    let why = "datagrams to ports where nothing listens are dropped while such come in numbers";
    Stage::new("closed-port", mode, Outcome::Depends, why)
}

fn reflection(facts: &Facts) -> Stage {
    let mode = Some(Mode::from_number(facts.settings.reflection.mode));
    let why = "datagrams from ports that reflectors answer from pass if this machine asked for them";
    Stage::new("reflection", mode, Outcome::Depends, why)
}

fn connections(facts: &Facts) -> Stage {
    let mode = facts.connection_mode();
    let (family, source) = Address::of(facts.address);
    let new = |outcome, why| Stage {
        class: Some(Class::Syn.name()),
        ..Stage::new("connections", Some(mode), outcome, why)
    };
    if facts.settings.connections.spares(source_key(family, source)) {
        return new(
            Outcome::Passes,
            "it may hold any number: somebody is logged in from it".to_owned(),
        );
    }
    if let Some(refusal) = facts
        .holdings
        .iter()
        .find_map(super::connections::Holding::refusal)
    {
        return Stage {
            class: Some(Class::Syn.name()),
            ..Stage::dropping("connections", mode, Verdict::ConnectionLimit, refusal)
        };
    }
    if facts.holdings.is_empty() {
        return new(Outcome::Passes, "it holds none".to_owned());
    }
    let held = facts.holdings.iter().map(super::connections::Holding::figure);
    new(Outcome::Passes, held.collect::<Vec<_>>().join(", "))
}

fn cookies(facts: &Facts) -> Stage {
    let (outcome, mode, why) = match Cookies::from_number(facts.settings.cookies) {
        Cookies::Off => (Outcome::Passes, Mode::Off, ""),
        Cookies::Auto => (
            Outcome::Depends,
            Mode::Enforce,
            "answered in the name of a service that is asked for connections faster than its rate",
        ),
        Cookies::Always => (
            Outcome::Answers,
            Mode::Enforce,
            "answered in the name of every service without settings of its own",
        ),
    };
    Stage {
        class: Some(Class::Syn.name()),
        ..Stage::new("cookies", Some(mode), outcome, why)
    }
}

#[cfg(test)]
mod tests;
