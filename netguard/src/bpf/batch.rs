//! Insertions into one list that stand or fall together: a table that fills up on the way leaves nothing behind.

use netguard_common::layout::Rule;

use super::{BpfError, List, Rules, rules::Put};
use crate::prefix::Prefix;

/// What an insertion did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InsertOutcome {
    /// The rule stands, in place of an older one for the same prefix if there was one.
    Added,
    /// Nothing was changed: this wider rule says the same and lasts at least as long.
    CoveredBy(Prefix),
}

/// Insertions under way. The tables may be let go of between two of them; end with [`Batch::end`].
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
    before: Option<(Rule, Option<String>)>,
}

impl Batch {
    pub const fn new(list: List) -> Self {
        Self {
            list,
            done: Vec::new(),
            tries: false,
        }
    }

    /// [`Rules::insert`].
    ///
    /// # Errors
    /// As for that; the insertions before it are in force until [`Batch::end`] is told.
    pub fn insert(
        &mut self,
        rules: &mut Rules,
        prefix: Prefix,
        rule: Rule,
        note: Option<&str>,
    ) -> Result<InsertOutcome, BpfError> {
        self.tries |= rules.storage(self.list, prefix)?.is_trie();
        Ok(match rules.put(self.list, prefix, rule, note)? {
            Put::CoveredBy(wider) => InsertOutcome::CoveredBy(wider),
            Put::Added { before } => {
                self.done.push(Step { prefix, rule, before });
                InsertOutcome::Added
            }
        })
    }

    /// Ends the batch with its `result`: removes what the new rules hide, or, after a failure, the new rules.
    ///
    /// # Errors
    /// That of `result`, or the kernel's refusal.
    pub fn end<T, E: From<BpfError>>(self, rules: &mut Rules, result: Result<T, E>) -> Result<T, E> {
        match result {
            Ok(_) if self.tries => rules.drop_hidden(self.list)?,
            Ok(_) => {}
            Err(_) => self.undo(rules)?,
        }
        result
    }

    /// Somebody else may have changed a rule since it was inserted: theirs stays.
    fn undo(self, rules: &mut Rules) -> Result<(), BpfError> {
        for Step { prefix, rule, before } in self.done.into_iter().rev() {
            if rules.stands(self.list, prefix, &rule)? {
                let (before, note) = before.unzip();
                rules.put_back(self.list, prefix, before, note.flatten().as_deref())?;
            }
        }
        Ok(())
    }
}
