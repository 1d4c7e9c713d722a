//! The records of all sources, in bounded memory: when there is no room, the lowest and oldest scores give way, an eighth of the
//! room at a time, so that a million forged sources cost each no more than a look-up.

use std::collections::{BTreeMap, BTreeSet};

use super::{Account, Record, Settings};
use crate::prefix::Prefix;

/// Of what share of the room is made free at once.
const AT_ONCE: usize = 8;
/// Changes that are collected at the most, in so many times the room.
const CHANGES: usize = 4;

#[derive(Debug)]
pub(super) struct Book {
    capacity: usize,
    records: BTreeMap<Account, Record>,
    changed: BTreeSet<Account>,
    /// Whether anybody asks for what has changed.
    collects: bool,
    is_overfull: bool,
    displaced: u64,
}

impl Book {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            records: BTreeMap::new(),
            changed: BTreeSet::new(),
            collects: true,
            is_overfull: false,
            displaced: 0,
        }
    }

    pub(super) fn record(&self, account: Account) -> Option<&Record> {
        self.records.get(&account)
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn displaced(&self) -> u64 {
        self.displaced
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Account, &Record)> {
        self.records.iter()
    }

    /// The records of accounts within `network`.
    pub(super) fn within(&self, network: &Prefix) -> impl Iterator<Item = (&Account, &Record)> {
        let from = Account::of(network.address());
        self.records
            .range(from..)
            .take_while(move |(account, _)| network.covers(&account.prefix()))
    }

    /// Has `change` alter the record of `account`, which is made if there is none; what `change` answers is whether it did.
    pub(super) fn change(
        &mut self,
        account: Account,
        at_ns: u64,
        settings: &Settings,
        change: impl FnOnce(&mut Record) -> bool,
    ) {
        if !self.records.contains_key(&account) {
            self.make_room(at_ns, settings);
        }
        if change(self.records.entry(account).or_default()) {
            self.mark([account].into_iter());
        }
    }

    /// Takes over what a file says, where nothing is known yet.
    pub(super) fn adopt(&mut self, account: Account, record: Record) {
        self.records.entry(account).or_insert(record);
    }

    /// How many more there is room for.
    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.records.len())
    }

    fn make_room(&mut self, at_ns: u64, settings: &Settings) {
        if self.records.len() < self.capacity {
            return;
        }
        self.tidy(at_ns, settings);
        if self.records.len() < self.capacity {
            return;
        }
        let mut ranked: Vec<_> = self
            .records
            .iter()
            .map(|(account, record)| rank(*account, record, at_ns, settings))
            .collect();
        let surplus = (self.capacity / AT_ONCE).clamp(1, ranked.len());
        ranked.select_nth_unstable(surplus - 1);
        for (_, _, _, account) in ranked.drain(..surplus) {
            self.forget(account);
        }
        self.displaced = self.displaced.saturating_add(surplus as u64);
    }

    /// Drops those of whom nothing matters any more.
    pub(super) fn tidy(&mut self, at_ns: u64, settings: &Settings) {
        let mut faded = Vec::new();
        self.records.retain(|account, record| {
            let matters = !record.is_neutral(at_ns, settings.half_life_ns, &settings.terms);
            if !matters {
                faded.push(*account);
            }
            matters
        });
        self.mark(faded.into_iter());
    }

    /// Tells whether it was known. Whoever keeps records may know it all the same.
    pub(super) fn forget(&mut self, account: Account) -> bool {
        self.mark([account].into_iter());
        self.records.remove(&account).is_some()
    }

    pub(super) fn forget_all(&mut self) -> usize {
        let known = std::mem::take(&mut self.records);
        self.mark(known.keys().copied());
        known.len()
    }

    /// Who has changed since this was asked before.
    pub(super) fn changed(&mut self) -> BTreeSet<Account> {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn mark(&mut self, accounts: impl Iterator<Item = Account>) {
        if self.collects && !self.is_overfull {
            self.changed.extend(accounts);
            // While nobody takes them, all that is known is less than what has changed.
            if self.changed.len() > self.capacity.saturating_mul(CHANGES) {
                self.changed.clear();
                self.is_overfull = true;
            }
        }
    }

    /// Whether changes were given up since this was asked before: only all of it says what is so.
    pub(super) fn take_overfull(&mut self) -> bool {
        std::mem::take(&mut self.is_overfull)
    }

    /// Nobody will ask for what has changed.
    pub(super) fn collect_nothing(&mut self) {
        self.collects = false;
        self.changed.clear();
    }
}

/// Who gives way last when there is no room: who was blocked, then by score, then by when they were last met.
pub(super) fn rank(
    account: Account,
    record: &Record,
    at_ns: u64,
    settings: &Settings,
) -> (bool, u8, u64, Account) {
    let was_blocked = record.penalty.repeats(at_ns, &settings.terms) > 0;
    let level = record.level(at_ns, settings.half_life_ns);
    (was_blocked, level.score(), record.seen_ns, account)
}
