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
pub(super) struct Configured {
    allow: BTreeSet<Prefix>,
    block: Vec<Prefix>,
    never_block: Vec<Prefix>,
    /// The parts of `block` that may be blocked.
    enforced: BTreeSet<Prefix>,
    spared: BTreeSet<Spared>,
}

impl Configured {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            allow: config.allow.iter().copied().collect(),
            block: config.block.iter().map(|block| block.prefix()).collect(),
            never_block: config.guard.never_block.clone(),
            enforced: BTreeSet::new(),
            spared: BTreeSet::new(),
        }
    }

    /// `guard.never_block` of the configuration.
    pub(super) fn never_block(&self) -> impl Iterator<Item = (Prefix, GuardKind)> {
        self.never_block
            .iter()
            .map(|prefix| (*prefix, GuardKind::Configured))
    }

    pub(super) fn spared(&self) -> impl Iterator<Item = &Spared> {
        self.spared.iter()
    }

    /// Makes the rules that come from a configuration those of this one. Rules of operators and detectors stay.
    pub(super) fn establish(&mut self, rules: &mut Rules, facts: &Facts) -> Result<(), BpfError> {
        (self.enforced, self.spared) = self.judge(facts);
        for (list, wanted) in [(List::Allow, &self.allow), (List::Block, &self.enforced)] {
            let standing = rules.list(list, monotonic_ns())?;
            for entry in &standing {
                if entry.rule.origin == RULE.origin && !wanted.contains(&entry.prefix) {
                    rules.remove(list, entry.prefix)?;
                }
            }
            let permanent: BTreeSet<Prefix> = standing
                .iter()
                .filter(|entry| entry.rule.is_permanent())
                .map(|entry| entry.prefix)
                .collect();
            rules.insert_all(list, wanted.difference(&permanent).copied(), RULE)?;
        }
        for spared in &self.spared {
            warn!("{}", spared.sentence());
        }
        Ok(())
    }

    /// Judges the blocks again with the `facts` of this moment. Only what changes is touched: an operator may have removed a
    /// configured block since.
    pub(super) fn review(
        &mut self,
        rules: &mut Rules,
        facts: &Facts,
        journal: &Journal,
    ) -> Result<(), BpfError> {
        let (enforced, spared) = self.judge(facts);
        for &prefix in self.enforced.difference(&enforced) {
            if rules.stands(List::Block, prefix, &RULE)? {
                rules.remove(List::Block, prefix)?;
            }
        }
        rules.insert_all(List::Block, enforced.difference(&self.enforced).copied(), RULE)?;
        for spared in spared.difference(&self.spared) {
            warn!("{}", spared.sentence());
            journal.record(EventKind::Spared(spared.clone()));
        }
        for spared in self.spared.difference(&spared) {
            journal.record(EventKind::SparedNoMore(spared.clone()));
        }
        (self.enforced, self.spared) = (enforced, spared);
        Ok(())
    }

    fn judge(&self, facts: &Facts) -> (BTreeSet<Prefix>, BTreeSet<Spared>) {
        let guard = Guard::new(essentials(facts.clone()).chain(self.never_block()));
        let mut enforced = BTreeSet::new();
        let mut spared = BTreeSet::new();
        for &block in &self.block {
            spared.extend(guard.objections(&block).map(|(prefix, kind)| Spared {
                block,
                spared: prefix,
                why: kind.describe().to_owned(),
            }));
            enforced.extend(guard.outside(block));
        }
        (enforced, spared)
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
            "{block} is blocked but for {spared}, which is {why}; `netguard block add --force` would block that, too"
        )
    }
}
