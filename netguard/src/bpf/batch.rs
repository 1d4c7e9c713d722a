//! Insertions into one list that stand or fall together: a table that fills up on the way leaves nothing behind.

use std::collections::HashSet;

use netguard_common::layout::Rule;
use tracing::warn;

use super::{BpfError, List, NotedRule, Rules};
use crate::prefix::Prefix;

/// What an insertion did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InsertOutcome {
    /// The rule stands, in place of an older one for the same prefix if there was one.
    Added { before: Option<Rule> },
    /// Nothing was changed: this wider rule says the same and lasts at least as long.
    CoveredBy(Prefix),
}

/// What [`Rules::put`] did.
pub(super) enum Put {
    Added {
        /// The rule that stood there, with its note.
        before: Option<NotedRule>,
    },
    CoveredBy(Prefix),
}

/// Insertions under way. The tables may be let go of between two of them, but to detectors only: another writer could be told
/// that a rule stands which is taken back later. End with [`Batch::finish`], [`Batch::undo`], or the one and later the other.
#[derive(Debug)]
#[must_use]
pub struct Batch {
    list: List,
    done: Vec<Step>,
    tries: bool,
}

/// One insertion, and what it replaced.
#[derive(Debug)]
struct Step {
    prefix: Prefix,
    rule: Rule,
    before: Option<NotedRule>,
}

impl Batch {
    pub const fn new(list: List) -> Self {
        Self {
            list,
            done: Vec::new(),
            tries: false,
        }
    }

    pub const fn list(&self) -> List {
        self.list
    }

    /// The prefixes of insertions of which nothing stands any more.
    ///
    /// # Errors
    /// When the kernel refuses a read.
    pub fn gone(&self, rules: &mut Rules) -> Result<HashSet<Prefix>, BpfError> {
        let mut gone = HashSet::new();
        for step in &self.done {
            if !rules.stands(self.list, step.prefix, &step.rule)? {
                gone.insert(step.prefix);
            }
        }
        Ok(gone)
    }

    /// [`Rules::insert`].
    ///
    /// # Errors
    /// As for that; the insertions before it are in force until they are taken back.
    pub fn insert(
        &mut self,
        rules: &mut Rules,
        prefix: Prefix,
        rule: Rule,
        note: Option<&str>,
    ) -> Result<InsertOutcome, BpfError> {
        self.tries |= rules.in_trie(self.list, prefix, &rule)?;
        Ok(match rules.put(self.list, prefix, rule, note)? {
            Put::CoveredBy(wider) => InsertOutcome::CoveredBy(wider),
            Put::Added { before } => {
                let outcome = InsertOutcome::Added {
                    before: before.as_ref().map(|(rule, _)| *rule),
                };
                self.done.push(Step { prefix, rule, before });
                outcome
            }
        })
    }

    /// [`Rules::insert_all`].
    pub(super) fn insert_all(
        mut self,
        rules: &mut Rules,
        prefixes: impl IntoIterator<Item = Prefix>,
        rule: Rule,
    ) -> Result<(), BpfError> {
        for prefix in prefixes {
            if let Err(error) = self.insert(rules, prefix, rule, None) {
                while self.undo(rules, usize::MAX) {}
                return Err(error);
            }
        }
        self.finish(rules);
        Ok(())
    }

    /// Removes what ends before the new rules and would hide them from then on. What the kernel refuses now is only told: the new
    /// rules are in force, and what ended is swept away.
    pub fn finish(&self, rules: &mut Rules) {
        if self.tries
            && let Err(error) = rules.drop_hidden(self.list)
        {
            warn!("rules that end early hide longer ones until they are swept: {error}");
        }
    }

    /// Takes back up to `at_most` insertions, the newest first; false when there are no more.
    pub fn undo(&mut self, rules: &mut Rules, at_most: usize) -> bool {
        for _ in 0..at_most {
            let Some(step) = self.done.pop() else {
                return false;
            };
            let prefix = step.prefix;
            // What the kernel refuses now stays, and the others go all the same.
            if let Err(error) = self.take_back(rules, step) {
                warn!(%prefix, "a rule that was to be taken back stays: {error}");
            }
        }
        true
    }

    fn take_back(&self, rules: &mut Rules, step: Step) -> Result<(), BpfError> {
        let Step { prefix, rule, before } = step;
        // A detector or the end of its time may have changed it since.
        if rules.stands(self.list, prefix, &rule)? {
            let (before, note) = before.unzip();
            rules.put_back(self.list, prefix, before, note.flatten().as_deref())?;
        }
        Ok(())
    }
}
