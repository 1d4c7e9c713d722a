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
    bpf::{BpfError, Entry, List, Rules},
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
pub(super) struct Configured {
    allow: BTreeSet<Prefix>,
    block: Vec<Prefix>,
    never_block: Vec<Prefix>,
    /// What the blocks were judged by.
    facts: Facts,
    /// What of `block` may be blocked, and what is spared.
    judged: Judged,
    /// The pieces of `block` that were put in force; fewer than judged when a table is full.
    placed: BTreeSet<Prefix>,
}

#[derive(Default)]
struct Judged {
    pieces: BTreeSet<Prefix>,
    spared: BTreeSet<Spared>,
}

impl Configured {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            allow: config.allow.iter().copied().collect(),
            block: config.block.iter().map(|block| block.prefix()).collect(),
            never_block: config.guard.never_block.clone(),
            facts: Facts::default(),
            judged: Judged::default(),
            placed: BTreeSet::new(),
        }
    }

    /// `guard.never_block` of the configuration.
    pub(super) fn never_block(&self) -> impl Iterator<Item = (Prefix, GuardKind)> {
        self.never_block
            .iter()
            .map(|prefix| (*prefix, GuardKind::Configured))
    }

    pub(super) fn spared(&self) -> impl Iterator<Item = &Spared> {
        self.judged.spared.iter()
    }

    /// Makes the rules that come from a configuration those of this one. Rules of operators and detectors stay.
    pub(super) fn establish(&mut self, rules: &mut Rules, facts: &Facts) -> Result<(), BpfError> {
        rules.rebuild()?;
        self.judged = self.judge(facts);
        self.tell_faults(facts);
        self.facts = facts.clone();
        for (list, wanted) in [(List::Allow, &self.allow), (List::Block, &self.judged.pieces)] {
            for entry in rules.list(list, monotonic_ns())? {
                if entry.rule.origin == RULE.origin && !wanted.contains(&entry.prefix) {
                    rules.remove(list, entry.prefix)?;
                }
            }
            place(rules, list, wanted)?;
        }
        self.placed.clone_from(&self.judged.pieces);
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
        self.placed != self.judged.pieces
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
        let new: BTreeSet<Prefix> = wanted.difference(&self.placed).copied().collect();
        for prefix in outdated {
            if rules.stands(List::Block, prefix, &RULE)? {
                rules.remove(List::Block, prefix)?;
            }
            self.placed.remove(&prefix);
        }
        place(rules, List::Block, &new)?;
        self.placed.extend(new);
        Ok(())
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

/// Puts the rule of a configuration for each of `prefixes` on `list`, all or none, but for those that have one for good or
/// from an operator.
fn place(rules: &mut Rules, list: List, prefixes: &BTreeSet<Prefix>) -> Result<(), BpfError> {
    if prefixes.is_empty() {
        return Ok(());
    }
    let standing = rules.list(list, monotonic_ns())?;
    let theirs = |entry: &&Entry| entry.rule.is_permanent() || entry.rule.origin == Origin::Operator as u8;
    let taken: BTreeSet<Prefix> = standing.iter().filter(theirs).map(|entry| entry.prefix).collect();
    rules.insert_all(list, prefixes.difference(&taken).copied(), RULE)
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
