//! What one process leaves to the next: changes for whoever keeps them, and taking over what was kept. It knows no file.

use std::{cmp::Reverse, collections::BTreeSet};

use super::{Account, Record, Reputation, book::rank};

impl Reputation {
    /// What was remembered by an earlier process. Records of this one are newer, and stay. What has faded since, or finds no room, is told
    /// as changed, so that it does not stay wherever it was kept. Answers how many found no room.
    pub fn adopt(&mut self, records: impl IntoIterator<Item = (Account, Record)>, now_ns: u64) -> usize {
        let (at_ns, settings) = (self.at(now_ns), self.settings);
        let bounded =
            |(account, record): (Account, Record)| (account, record.bounded(at_ns, &settings.terms));
        let (mut live, faded): (Vec<_>, Vec<_>) = records
            .into_iter()
            .map(bounded)
            .partition(|(_, record)| !record.is_neutral(at_ns, settings.half_life_ns, &settings.terms));
        self.book.mark(faded.into_iter().map(|(account, _)| account));
        let room = self.book.room();
        let without = live.len().saturating_sub(room);
        if without > 0 {
            // Whom a full book would let go last comes first.
            live.sort_by_cached_key(|(account, record)| Reverse(rank(*account, record, at_ns, &settings)));
            self.book.mark(live.drain(room..).map(|(account, _)| account));
        }
        for (account, record) in live {
            self.book.adopt(account, record);
            self.suspect(account, at_ns);
        }
        without
    }

    /// Nobody keeps what changes: it is not collected.
    pub fn keep_nothing(&mut self) {
        self.book.collect_nothing();
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

    /// Whether changes were given up since this was asked before, since nobody took them: only all that is known says what is so.
    pub fn changes_given_up(&mut self) -> bool {
        self.book.take_overfull()
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

    /// Found in review: what faded while no daemon ran stayed in the file for ever, and came back.
    #[test]
    fn what_is_not_taken_over_is_told_as_gone() {
        let mut before = reputation(100);
        before.take(account(1), &flood(false), 0);
        before.take(account(2), &flood(true), 900_000 * SECOND);
        let mut next = reputation(100);
        assert_eq!(next.adopt(before.whole(), 900_000 * SECOND), 0);
        assert_eq!((next.counts().0, next.changes()), (1, vec![(account(1), None)]));
        assert!(!next.forget(account(7)));
        assert_eq!(
            next.changes(),
            [(account(7), None)],
            "whoever keeps it may still know it"
        );
    }

    /// Found in review: of too many the first in the order of their text stayed, whoever that was.
    #[test]
    fn of_too_many_the_worst_are_taken_over() {
        let mut before = reputation(100);
        for number in 0..20 {
            before.take(account(number), &flood(number >= 10), SECOND);
        }
        before.penalise(account(3), SECOND).expect("within the caps");
        let mut next = reputation(8);
        assert_eq!(next.adopt(before.whole(), 2 * SECOND), 12);
        assert_eq!(next.counts().0, 8);
        assert_eq!(next.changes().len(), 12, "the others go from the file, too");
        assert!(next.view(account(3), 2 * SECOND).record.penalty.total == 1);
        assert!((0..3).all(|number| next.view(account(number), 2 * SECOND).score == 0));
    }

    /// Found in review: without a file every change was collected for nobody, without end.
    #[test]
    fn without_a_keeper_nothing_is_collected() {
        let mut reputation = reputation(10);
        reputation.keep_nothing();
        for number in 0..1_000 {
            reputation.take(account(number), &flood(false), SECOND);
        }
        reputation.forget_all();
        assert!(reputation.changes().is_empty());
    }

    #[test]
    fn changes_that_nobody_takes_are_given_up() {
        let mut reputation = reputation(100);
        for number in 0..100_000 {
            reputation.take(account(number), &flood(false), SECOND);
        }
        assert!(reputation.changes().len() <= 400);
        assert!(reputation.changes_given_up() && !reputation.changes_given_up());
        assert!(reputation.whole().len() <= 100);
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
