//! The rules of the configuration. Its blocks were written before anybody knew the addresses of this machine and its
//! gateway, which may come late and change (DHCP), and nobody is there to ask: what they must not touch is spared, and they
//! are judged again whenever that may have changed.

use std::collections::BTreeSet;

use netguard_common::{
    layout::Rule,
    rule::{Origin, Proof, Reason},
};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{EventKind, Journal};
use crate::{
    bpf::{BpfError, List, Rules},
    clock::monotonic_ns,
    config::Config,
    control::essentials,
    engine::{Guard, GuardKind},
    host::Facts,
    prefix::Prefix,
};

/// A part of a configured block that is not blocked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Spared {
    /// The prefix as it is configured.
    pub block: Prefix,
    pub spared: Prefix,
    /// In a sentence: "it is ...".
    pub why: String,
}

/// The rules of the configuration, and what of them is in force.
pub(crate) struct Configured {
    allow: BTreeSet<Prefix>,
    block: Vec<Prefix>,
    never_block: Vec<Prefix>,
    /// Reverse proxies that ask about requests.
    proxies: Vec<Prefix>,
    /// What the blocks were judged by.
    facts: Facts,
    /// What of `block` may be blocked, and what is spared.
    judged: Judged,
    /// What of `allow` was put in force; less while an operator's rule stands in its place.
    allowed: BTreeSet<Prefix>,
    /// The pieces of `block` that were put in force; fewer than judged then, too, and when a table is full.
    placed: BTreeSet<Prefix>,
}

#[derive(Default)]
struct Judged {
    pieces: BTreeSet<Prefix>,
    spared: BTreeSet<Spared>,
}

impl Configured {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            allow: config.allow.iter().copied().collect(),
            block: config.block.iter().map(|block| block.prefix()).collect(),
            never_block: config.guard.never_block.clone(),
            proxies: match config.decision.listen {
                Some(_) => config.decision.trusted_proxies.clone(),
                None => Vec::new(),
            },
            facts: Facts::default(),
            judged: Judged::default(),
            allowed: BTreeSet::new(),
            placed: BTreeSet::new(),
        }
    }

    /// `guard.never_block` of the configuration.
    pub(super) fn never_block(&self) -> impl Iterator<Item = (Prefix, GuardKind)> {
        self.never_block
            .iter()
            .map(|prefix| (*prefix, GuardKind::Configured))
    }

    /// Reverse proxies, whom no detector blocks for what others ask for through them.
    pub(super) fn proxies(&self) -> impl Iterator<Item = (Prefix, GuardKind)> {
        self.proxies.iter().map(|prefix| (*prefix, GuardKind::Proxy))
    }

    pub(crate) fn spared(&self) -> impl Iterator<Item = &Spared> {
        self.judged.spared.iter()
    }

    /// Makes the rules that come from a configuration those of this one. Rules of operators and detectors stay.
    pub(crate) fn establish(&mut self, rules: &mut Rules, facts: &Facts) -> Result<(), BpfError> {
        rules.rebuild()?;
        self.judged = self.judge(facts);
        self.tell_faults(facts);
        self.facts = facts.clone();
        for (list, wanted) in [(List::Allow, &self.allow), (List::Block, &self.judged.pieces)] {
            for (prefix, rule) in rules.entries(list)? {
                if rule.origin == RULE.origin && !wanted.contains(&prefix) {
                    rules.remove(list, prefix)?;
                }
            }
        }
        (self.allowed, self.placed) = (BTreeSet::new(), BTreeSet::new());
        place(rules, List::Allow, &self.allow, &mut self.allowed)?;
        place(rules, List::Block, &self.judged.pieces, &mut self.placed)?;
        for spared in &self.judged.spared {
            warn!("{}", spared.sentence());
        }
        Ok(())
    }

    /// Judges the blocks again by the `facts` of this moment; true when the rules must be changed.
    pub(super) fn judge_again(&mut self, facts: &Facts, journal: &Journal) -> bool {
        if *facts != self.facts {
            let judged = self.judge(facts);
            self.tell_faults(facts);
            for spared in judged.spared.difference(&self.judged.spared) {
                warn!("{}", spared.sentence());
                journal.record(EventKind::Spared(spared.clone()));
            }
            for spared in self.judged.spared.difference(&judged.spared) {
                journal.record(EventKind::SparedNoMore(spared.clone()));
            }
            (self.judged, self.facts) = (judged, facts.clone());
        }
        self.allowed != self.allow || self.placed != self.judged.pieces
    }

    /// Tells what is not known about this machine any more.
    fn tell_faults(&self, facts: &Facts) {
        let known = &self.facts.faults;
        for fault in facts.faults.iter().filter(|fault| !known.contains(fault)) {
            warn!("a name server may not be guarded: {fault}");
        }
    }

    /// Brings the rules in line with what was judged. Only what changes is touched: an operator may have removed a
    /// configured block since. What must not be blocked any more is not, even if its neighbours do not fit.
    pub(super) fn follow(&mut self, rules: &mut Rules) -> Result<(), BpfError> {
        let wanted = &self.judged.pieces;
        let outdated: Vec<Prefix> = self.placed.difference(wanted).copied().collect();
        for prefix in outdated {
            if rules.stands(List::Block, prefix, &RULE)? {
                rules.remove(List::Block, prefix)?;
            }
            self.placed.remove(&prefix);
        }
        let blocked = place(rules, List::Block, wanted, &mut self.placed);
        place(rules, List::Allow, &self.allow, &mut self.allowed).and(blocked)
    }

    fn judge(&self, facts: &Facts) -> Judged {
        let guard = Guard::new(essentials(facts.clone()).chain(self.never_block()));
        let mut judged = Judged::default();
        for &block in &self.block {
            let carved = guard.carve(block);
            judged.pieces.extend(carved.blocked);
            judged
                .spared
                .extend(carved.spared.into_iter().map(|(spared, kind)| Spared {
                    block,
                    spared,
                    why: kind.describe().to_owned(),
                }));
        }
        judged
    }
}

/// Puts the rule of a configuration for each of `wanted` on `list`, all or none, but for those that are `placed` already, that
/// have one for good, or that have to wait.
fn place(
    rules: &mut Rules,
    list: List,
    wanted: &BTreeSet<Prefix>,
    placed: &mut BTreeSet<Prefix>,
) -> Result<(), BpfError> {
    let new: BTreeSet<Prefix> = wanted.difference(placed).copied().collect();
    if new.is_empty() {
        return Ok(());
    }
    let Standing { settled, waiting } = Standing::of(&new, &rules.entries(list)?, monotonic_ns());
    let missing = new
        .iter()
        .filter(|prefix| !settled.contains(prefix) && !waiting.contains(prefix));
    rules.insert_all(list, missing.copied(), RULE)?;
    placed.extend(new.difference(&waiting));
    Ok(())
}

/// What is in the way of new rules.
#[derive(Debug, Default, PartialEq, Eq)]
struct Standing {
    /// Prefixes that have a rule for good.
    settled: BTreeSet<Prefix>,
    /// Prefixes that have one of an operator which will end: the configured one comes then.
    waiting: BTreeSet<Prefix>,
}

impl Standing {
    /// That of `new`, by the `rules` that there are at `now_ns`.
    fn of(new: &BTreeSet<Prefix>, rules: &[(Prefix, Rule)], now_ns: u64) -> Self {
        let mut standing = Self::default();
        for (prefix, rule) in rules.iter().filter(|(prefix, _)| new.contains(prefix)) {
            if rule.is_permanent() {
                standing.settled.insert(*prefix);
            } else if rule.origin == Origin::Operator as u8 && !rule.expired(now_ns) {
                standing.waiting.insert(*prefix);
            }
        }
        standing.waiting = &standing.waiting - &standing.settled;
        standing
    }
}

/// Every rule of a configuration.
const RULE: Rule = Rule {
    expires_at: 0,
    reason: Reason::Requested as u16,
    origin: Origin::Config as u8,
    proof: Proof::Operator as u8,
};

impl Spared {
    /// For people.
    pub fn sentence(&self) -> String {
        let Self { block, spared, why } = self;
        format!(
            "{block} is blocked but for {spared}, {} {why}; `netguard block add --force` would block that, too",
            if spared.is_host() {
                "which is"
            } else {
                "in which is"
            }
        )
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::rule::EXPIRY_SHIFT;

    use super::*;

    /// Found in review: what an operator's rule stood in the way of was never put in force.
    #[test]
    fn a_configured_rule_waits_for_the_end_of_an_operators_and_no_longer() {
        let prefixes = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
        let [timed, permanent, detected, free] = prefixes.map(|text| text.parse::<Prefix>().unwrap());
        let rule = |expires_at, origin: Origin| Rule {
            expires_at,
            origin: origin as u8,
            ..RULE
        };
        let rules = [
            (timed, rule(7, Origin::Operator)),
            (permanent, rule(0, Origin::Operator)),
            (detected, rule(7, Origin::Detector)),
        ];
        let new = BTreeSet::from([timed, permanent, detected, free]);
        let mut standing = Standing {
            settled: BTreeSet::from([permanent]),
            waiting: BTreeSet::from([timed]),
        };
        assert_eq!(Standing::of(&new, &rules, 6 << EXPIRY_SHIFT), standing);
        standing.waiting.clear();
        assert_eq!(Standing::of(&new, &rules, 7 << EXPIRY_SHIFT), standing);
    }
}
