//! What one process leaves to the next: changes for whoever keeps them, and taking over what was kept. It knows no file.

use std::collections::BTreeSet;

use super::{Account, Record, Reputation};

impl Reputation {
    /// What was remembered by an earlier process. Records of this one are newer, and stay.
    pub fn adopt(&mut self, records: impl IntoIterator<Item = (Account, Record)>, now_ns: u64) {
        let (at_ns, settings) = (self.at(now_ns), self.settings);
        for (account, record) in records {
            let record = record.bounded(at_ns, &settings.terms);
            if !record.is_neutral(at_ns, settings.half_life_ns, &settings.terms) {
                self.book.adopt(account, record, at_ns, &settings);
            }
        }
    }

    /// Accounts that have changed since this was asked before, with what is known of them; `None`: nothing any more.
    pub fn changes(&mut self) -> Vec<(Account, Option<Record>)> {
        let changed: BTreeSet<Account> = self.book.changed();
        let changes = changed.into_iter();
        changes
            .map(|account| (account, self.book.record(account).cloned()))
            .collect()
    }

    /// These changes were not taken: they are told again.
    pub fn changed_again(&mut self, changes: &[(Account, Option<Record>)]) {
        self.book.mark(changes.iter().map(|(account, _)| *account));
    }

    /// All that is known.
    pub fn whole(&mut self) -> Vec<(Account, Record)> {
        self.book.changed();
        let all = self.book.all();
        all.map(|(account, record)| (*account, record.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::reputation::{
        Settings,
        tests::{account, flood, reputation},
    };

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn changes_are_told_once_and_taken_over_by_the_next() {
        let mut before = reputation(100);
        before.take(account(1), &flood(true), 5 * SECOND);
        before.take(account(2), &flood(false), 5 * SECOND);
        before.penalise(account(1), 5 * SECOND).expect("within the caps");
        let changes = before.changes();
        assert_eq!(changes.len(), 2);
        assert!(before.changes().is_empty());
        before.forget(account(2));
        assert_eq!(before.changes(), [(account(2), None)]);

        // The clock of the next process begins anew; its epoch puts it behind the times of the one before.
        let mut next = Reputation::new(Settings::default(), 65 * SECOND, 1);
        let records = changes
            .into_iter()
            .filter_map(|(account, record)| Some((account, record?)));
        next.adopt(records, SECOND);
        let view = next.view(account(1), SECOND);
        assert_eq!((view.score, view.blocked), (57, false));
        assert_eq!(view.next_block_ns, 120 * SECOND, "a penalty outlives the process");
    }

    #[test]
    fn a_wall_clock_that_was_wrong_makes_nothing_immortal() {
        let mut wrong = Reputation::new(Settings::default(), u64::MAX / 2, 1);
        wrong.take(account(1), &flood(true), SECOND);
        wrong.penalise(account(1), SECOND).expect("within the caps");
        let records: Vec<_> = wrong.whole();
        let mut next = reputation(100);
        next.adopt(records, SECOND);
        assert_eq!(next.view(account(1), SECOND).score, 60);
        assert_eq!(next.view(account(1), 86_400 * SECOND).score, 0);
        next.tidy(3 * 86_400 * SECOND);
        assert_eq!(next.counts().0, 0);
    }
}
