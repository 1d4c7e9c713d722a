//! Reputation: what speaks against each source, as a score from 0, neutral, to 100, surely harmful, that fades with time. It
//! remembers and counts; what a score leads to is policy's business. Time is an argument and only goes on.

mod blocks;
mod book;
mod evidence;
mod heritage;
mod level;
mod penalty;
mod radius;
mod record;
mod second;
mod seen;
mod sentence;
mod settings;
mod throttle;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use netguard_common::layout::Mode;

use super::Account;
use blocks::Blocks;
use book::Book;
use penalty::JITTER_PERMILLE;
use seen::Seen;

pub use evidence::{Evidence, Kind, Reason};
pub use level::Level;
pub use penalty::{Penalty, Terms};
pub use radius::{Caps, Excess, Radius};
pub use record::{MOST_UNPROVEN, REASONS, Record};
pub use sentence::{Before, Sentence};
pub use settings::Settings;
pub use throttle::Throttle;
pub use view::View;

/// What is known of all sources.
#[derive(Debug)]
pub struct Reputation {
    settings: Settings,
    /// Added to each time that is handed in: times of an earlier process stay before those of this one.
    epoch_ns: u64,
    random: fastrand::Rng,
    book: Book,
    blocks: Blocks,
    /// Those that there would be, where they are only told.
    tried: Blocks,
    radius: Radius,
    /// Established connections, as last looked.
    seen: Seen,
    /// Those whose limits may be divided: what nobody can have forged speaks against them.
    suspects: BTreeSet<Account>,
    throttled: usize,
    /// What findings led to, by name.
    outcomes: BTreeMap<&'static str, u64>,
}

impl Reputation {
    /// `epoch_ns` is added to each time that is handed in, and `seed` is where the length of repeated blocks is drawn from.
    pub fn new(settings: Settings, epoch_ns: u64, seed: u64) -> Self {
        Self {
            book: Book::new(settings.accounts),
            settings,
            epoch_ns,
            random: fastrand::Rng::with_seed(seed),
            blocks: Blocks::default(),
            tried: Blocks::default(),
            radius: Radius::default(),
            seen: Seen::default(),
            suspects: BTreeSet::new(),
            throttled: 0,
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

    /// The addresses that have established connections now, and how many each.
    pub fn connect(&mut self, connected: HashMap<IpAddr, u32>, now_ns: u64) {
        let at_ns = self.at(now_ns);
        self.seen.connect(connected, at_ns);
        for account in self.seen.with(self.settings.shared_from) {
            self.seen.note_many(account, at_ns);
        }
    }

    /// Established connections of `account`, as last looked.
    pub fn connections(&self, account: Account) -> u32 {
        self.seen.connections(account)
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
        self.suspect(account, at_ns);
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

    /// Forgets everybody; tells how many that were. What stands, and what was blocked a moment ago, still counts against the caps.
    pub fn forget_all(&mut self) -> usize {
        self.book.forget_all()
    }

    /// Drops those of whom nothing matters any more.
    pub fn tidy(&mut self, now_ns: u64) {
        let (at_ns, settings) = (self.at(now_ns), self.settings);
        self.book.tidy(at_ns, &settings);
        self.blocks.tidy(at_ns);
        self.tried.tidy(at_ns);
        self.seen.tidy(at_ns);
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
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    pub(super) fn account(number: u32) -> Account {
        Account::of(std::net::Ipv4Addr::from(0x0a00_0000 + number).into())
    }

    pub(super) fn flood(proven: bool) -> Evidence {
        Evidence {
            kind: Kind::Flood,
            proven,
            detail: "limit-syn".to_owned(),
            packets: 100,
        }
    }

    pub(super) fn reputation(accounts: usize) -> Reputation {
        let settings = Settings {
            accounts,
            ..Settings::default()
        };
        Reputation::new(settings, 0, 1)
    }

    #[test]
    fn the_lowest_and_oldest_scores_give_way() {
        let mut reputation = reputation(1_000);
        for number in 0..100 {
            reputation.take(account(number), &flood(true), SECOND);
        }
        for number in 100..100_000 {
            reputation.take(account(number), &flood(false), SECOND + u64::from(number));
            assert!(reputation.counts().0 <= 1_000);
        }
        let (known, displaced) = reputation.counts();
        assert!(known > 800 && displaced > 90_000, "{known} {displaced}");
        let kept = (0..100).filter(|number| reputation.view(account(*number), 2 * SECOND).proven_score > 0);
        assert_eq!(kept.count(), 100, "what is proven outlasts what may be forged");
        let newest = reputation.view(account(99_999), 2 * SECOND);
        assert_eq!((newest.score, newest.proven_score), (40, 0));
        assert_eq!(reputation.view(account(200), 2 * SECOND).score, 0);
    }

    /// Found in review: right after it, the same number could be blocked again within a minute.
    #[test]
    fn who_is_forgotten_still_counts_against_the_caps() {
        let mut reputation = reputation(1_000);
        let block = |reputation: &mut Reputation, number| reputation.penalise(account(number), SECOND);
        let blocked = (0..100)
            .take_while(|number| block(&mut reputation, *number).is_ok())
            .count();
        reputation.forget_all();
        assert!(blocked > 0 && block(&mut reputation, 500).is_err());
    }
}
