//! Reputation: what speaks against each source, as a score from 0, neutral, to 100, surely harmful, that fades with time. It
//! remembers and counts; what a score leads to is policy's business. Time is an argument and only goes on.

mod book;
mod evidence;
mod level;
mod penalty;
mod radius;
mod record;
mod second;
mod settings;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use netguard_common::layout::Mode;

use super::Account;
use crate::prefix::Prefix;
use book::Book;
use penalty::JITTER_PERMILLE;

pub use evidence::{Evidence, Kind, Reason};
pub use level::Level;
pub use penalty::{Penalty, Terms};
pub use radius::{Caps, Excess, Radius};
pub use record::{MOST_UNPROVEN, REASONS, Record};
pub use settings::Settings;

/// What is known of all sources.
#[derive(Debug)]
pub struct Reputation {
    settings: Settings,
    /// Added to each time that is handed in: times of an earlier process stay before those of this one.
    epoch_ns: u64,
    random: fastrand::Rng,
    book: Book,
    radius: Radius,
    /// Established connections by account, as last looked.
    connected: HashMap<Account, u32>,
    /// What findings led to, by name.
    outcomes: BTreeMap<&'static str, u64>,
}

/// What is known of one source now.
#[derive(Clone, Debug)]
pub struct View {
    pub account: Account,
    /// All evidence.
    pub score: u8,
    /// Evidence that nobody can have forged.
    pub proven_score: u8,
    /// Of the network it lies in.
    pub network_score: u8,
    pub record: Record,
    /// Whether a block stands.
    pub blocked: bool,
    /// How long the next block would be.
    pub next_block_ns: u64,
    pub connections: u32,
}

/// A block of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sentence {
    pub ttl_ns: u64,
    /// Blocks in a row before it.
    pub repeats: u32,
    /// Whether it is one that stood already.
    pub extends: bool,
}

impl Reputation {
    /// `epoch_ns` is added to each time that is handed in, and `seed` is where the length of repeated blocks is drawn from.
    pub fn new(settings: Settings, epoch_ns: u64, seed: u64) -> Self {
        Self {
            book: Book::new(settings.accounts),
            settings,
            epoch_ns,
            random: fastrand::Rng::with_seed(seed),
            radius: Radius::default(),
            connected: HashMap::new(),
            outcomes: BTreeMap::new(),
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The time that records have for `now_ns`.
    pub fn at(&self, now_ns: u64) -> u64 {
        now_ns.saturating_add(self.epoch_ns)
    }

    /// Who has established connections now, and how many.
    pub fn connect(&mut self, connected: HashMap<Account, u32>) {
        self.connected = connected;
    }

    /// Established connections of `account`, as last looked.
    pub fn connections(&self, account: Account) -> u32 {
        self.connected.get(&account).copied().unwrap_or(0)
    }

    /// Takes in evidence against `account`.
    pub fn take(&mut self, account: Account, evidence: &Evidence, now_ns: u64) {
        if self.settings.mode == Mode::Off {
            return;
        }
        let (at_ns, settings) = (self.at(now_ns), self.settings);
        self.book.change(account, at_ns, &settings, |record| {
            // Whoever has been below the exit meanwhile begins anew.
            let suspect = record.is_suspect(at_ns, settings.half_life_ns, settings.release_below);
            record.set_suspect(suspect);
            record.take(evidence, at_ns, settings.half_life_ns)
        });
    }

    /// The score of evidence that nobody can have forged, and the one from which on `account` is blocked.
    pub fn standing(&self, account: Account, now_ns: u64) -> (u8, u8) {
        let (at_ns, settings) = (self.at(now_ns), &self.settings);
        let Some(record) = self.book.record(account) else {
            return (0, settings.block_from);
        };
        let half_life_ns = settings.half_life_ns;
        let suspect = record.is_suspect(at_ns, half_life_ns, settings.release_below);
        let from = if suspect {
            settings.block_from.min(settings.release_below)
        } else {
            settings.block_from
        };
        (record.proven(at_ns, half_life_ns).score(), from)
    }

    /// Begins a block of `account`, or lets the one that stands begin anew.
    ///
    /// # Errors
    /// When it would be too much.
    pub fn penalise(&mut self, account: Account, now_ns: u64) -> Result<Sentence, Excess> {
        let (at_ns, settings) = (self.at(now_ns), self.settings);
        let stands = |record: &Record| record.penalty.stands(at_ns);
        let extends = self.book.record(account).is_some_and(stands);
        if !extends {
            let connected = self.connected.len() as u64;
            self.radius.take(1, connected, &settings.caps, at_ns)?;
        }
        let draw = self.random.u32(0..=2 * JITTER_PERMILLE);
        let mut sentence = Sentence {
            ttl_ns: settings.terms.block_for_ns,
            repeats: 0,
            extends,
        };
        self.book.change(account, at_ns, &settings, |record| {
            let repeats = record.penalty.repeats(at_ns, &settings.terms);
            (sentence.ttl_ns, sentence.repeats) = if extends {
                (record.penalty.extend(at_ns), repeats.saturating_sub(1))
            } else {
                (record.penalty.begin(at_ns, &settings.terms, draw), repeats)
            };
            record.set_suspect(true);
            true
        });
        Ok(sentence)
    }

    /// The block of `prefix` was not placed: it does not count.
    pub fn spare(&mut self, account: Account, prefix: &Prefix, before: Penalty, now_ns: u64) {
        let at_ns = self.at(now_ns);
        if account.network().as_ref() == Some(prefix) {
            return self.radius.network_not_blocked(prefix);
        }
        let settings = self.settings;
        self.book.change(account, at_ns, &settings, |record| {
            record.penalty = before;
            true
        });
    }

    pub fn penalty(&self, account: Account) -> Penalty {
        self.book
            .record(account)
            .map_or_else(Penalty::default, |record| record.penalty)
    }

    /// The network of `account`, if so many of its sources were blocked lately that all of it is to be.
    pub fn is_network_due(&self, account: Account, now_ns: u64) -> Option<Prefix> {
        let at_ns = self.at(now_ns);
        let network = account.network()?;
        let lately = |record: &Record| {
            record.penalty.total > 0
                && at_ns.saturating_sub(record.penalty.begun_ns) < self.settings.network_within_ns
        };
        let blocked = self.book.within(&network).filter(|(_, record)| lately(record));
        let is_due = blocked.count() >= self.settings.network_after as usize;
        (is_due && !self.radius.is_network_blocked(&network, at_ns)).then_some(network)
    }

    /// Begins a block of `network` for `ttl_ns`.
    ///
    /// # Errors
    /// When it would be too much.
    pub fn penalise_network(&mut self, network: Prefix, ttl_ns: u64, now_ns: u64) -> Result<(), Excess> {
        let (at_ns, settings) = (self.at(now_ns), self.settings);
        let harmless = |account: &Account| {
            let record = self.book.record(*account);
            record.is_none_or(|record| {
                record.proven(at_ns, settings.half_life_ns).score() < settings.release_below
            })
        };
        let free = |account: &Account| {
            let record = self.book.record(*account);
            record.is_none_or(|record| !record.penalty.stands(at_ns))
        };
        let inside = |account: &&Account| network.covers(&account.prefix());
        let innocent = self.connected.keys().filter(|account| harmless(account));
        let (innocent, bystanders) = innocent.fold((0, 0), |(all, within), account| {
            (all + 1, within + u64::from(inside(&account)))
        });
        let touched = self
            .connected
            .keys()
            .filter(inside)
            .filter(|account| free(account));
        let touched = touched.count() as u64;
        let caps = &settings.caps;
        self.radius.may_block_network(bystanders, innocent, caps, at_ns)?;
        self.radius
            .take(touched, self.connected.len() as u64, caps, at_ns)?;
        self.radius.network_blocked(network, at_ns.saturating_add(ttl_ns));
        Ok(())
    }

    /// What is known of `account`.
    pub fn view(&self, account: Account, now_ns: u64) -> View {
        let record = self.book.record(account).cloned().unwrap_or_default();
        let network_score = self.network_score(account, now_ns);
        self.view_of(account, record, network_score, now_ns)
    }

    fn view_of(&self, account: Account, record: Record, network_score: u8, now_ns: u64) -> View {
        let (at_ns, half_life_ns) = (self.at(now_ns), self.settings.half_life_ns);
        View {
            account,
            score: record.level(at_ns, half_life_ns).score(),
            proven_score: record.proven(at_ns, half_life_ns).score(),
            network_score,
            blocked: record.penalty.stands(at_ns),
            next_block_ns: record.penalty.next_ns(at_ns, &self.settings.terms),
            connections: self.connections(account),
            record,
        }
    }

    /// The score of the network of `account`: 100 when as many of its sources as lead to its block are at 100 by proven evidence.
    pub fn network_score(&self, account: Account, now_ns: u64) -> u8 {
        let (at_ns, half_life_ns) = (self.at(now_ns), self.settings.half_life_ns);
        let Some(network) = account.network() else {
            return 0;
        };
        let scores = self.book.within(&network);
        let scores = scores.map(|(_, record)| u64::from(record.proven(at_ns, half_life_ns).score()));
        let enough = u64::from(self.settings.network_after.max(1));
        u8::try_from((scores.sum::<u64>() / enough).min(100)).unwrap_or(100)
    }

    /// Those with the highest scores, at most `count`, the highest first.
    pub fn top(&self, count: usize, now_ns: u64) -> Vec<View> {
        let (at_ns, half_life_ns) = (self.at(now_ns), self.settings.half_life_ns);
        let scored = self.book.all().map(|(account, record)| {
            let level = record.level(at_ns, half_life_ns);
            (std::cmp::Reverse(level), *account)
        });
        let mut scored: Vec<_> = scored.collect();
        if scored.len() > count && count > 0 {
            scored.select_nth_unstable(count - 1);
        }
        scored.truncate(count);
        scored.sort_unstable();
        // Many of them may be of one network, with many sources in it.
        let mut networks: HashMap<Option<Prefix>, u8> = HashMap::new();
        let view = |(_, account): (_, Account)| {
            let network = networks.entry(account.network());
            let network_score = *network.or_insert_with(|| self.network_score(account, now_ns));
            let record = self.book.record(account).cloned().unwrap_or_default();
            self.view_of(account, record, network_score, now_ns)
        };
        scored.into_iter().map(view).collect()
    }

    /// Sources that are remembered, and those that had to give way to others.
    pub fn counts(&self) -> (usize, u64) {
        (self.book.len(), self.book.displaced())
    }

    /// Counts what a finding led to.
    pub fn count(&mut self, outcome: &'static str) {
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    /// What findings led to since this process began, by name.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.outcomes.iter().map(|(outcome, count)| (*outcome, *count))
    }

    /// Forgets `account`; tells whether anything was known.
    pub fn forget(&mut self, account: Account) -> bool {
        self.book.forget(account)
    }

    /// Forgets everybody; tells how many that were.
    pub fn forget_all(&mut self) -> usize {
        self.radius = Radius::default();
        self.book.forget_all()
    }

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

    /// Drops those of whom nothing matters any more.
    pub fn tidy(&mut self, now_ns: u64) {
        let (at_ns, settings) = (self.at(now_ns), self.settings);
        self.book.tidy(at_ns, &settings);
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

impl Default for Reputation {
    /// One that is off.
    fn default() -> Self {
        let settings = Settings {
            mode: Mode::Off,
            ..Settings::default()
        };
        Self::new(settings, 0, 0)
    }
}

#[cfg(test)]
mod tests;
