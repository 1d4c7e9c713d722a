//! Probing: many sources of which each hardly does anything, and that do the same odd thing in the same minutes: they ask where nobody is. It
//! looks back over five minutes, at one packet in eight, and judges no source by itself.
//!
//! A server on the Internet is asked by strangers some hundreds of times an hour, at ports of their own choice: five to ten sources in five
//! minutes among the packets that are looked at. Eight times as many must come while nobody knows what is usual here, four times as many
//! afterwards, and they must have something in common: what they ask for, what their packets look like, or where they are.

mod group;
mod kept;
mod usual;

use std::collections::{BTreeMap, BTreeSet};

use super::{Attempt, Link, Look, Ordinary, QUIET_NS, Sources, Target, network::Asn};
use crate::engine::Account;
pub use group::Group;
pub(super) use group::is_varied;
use kept::{Kept, Shared};
pub use usual::Usual;

/// How far back it looks.
pub(super) const BACK_NS: u64 = 300_000_000_000;
/// Sources that are remembered, and how many give way at once where there are more: to find who was met longest ago means to look at all.
const SOURCES: usize = 8_192;
const GIVE_WAY: usize = 128;
/// What a source asked for, and what its packets look like, that is remembered.
const TARGETS: usize = 16;
const LOOKS: usize = 4;
/// Sources of one network (IPv4 /24, IPv6 /48) that are remembered, and count: whoever owns one is not many.
const OF_A_NETWORK: usize = 8;
/// How long it goes on before it is usual.
const GIVE_IN_NS: u64 = 3_600_000_000_000;

/// Sources that ask where nobody is.
#[derive(Clone, Debug, Default)]
pub struct Probing {
    sources: BTreeMap<Account, Prober>,
    /// What many of them had in common at the last look.
    targets: Shared<Target>,
    looks: Shared<Look>,
    usual: Usual,
    /// When the stretch began that is to be learnt next.
    since_ns: Option<u64>,
    going: Option<Going>,
}

/// What was asked for before it was served, and who asked for nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Early {
    pub targets: BTreeSet<Target>,
    pub sources: BTreeSet<Account>,
}

/// A probe that goes on.
#[derive(Clone, Copy, Debug)]
struct Going {
    since_ns: u64,
    /// When its sources began to come, some seconds or minutes before that.
    begun_ns: u64,
    /// From how many sources on it is one.
    threshold: usize,
}

/// What is remembered of a source.
#[derive(Clone, Debug)]
struct Prober {
    /// When it came first, of the time that is looked back over.
    first_ns: u64,
    last_ns: u64,
    attempts: u32,
    targets: Kept<Target>,
    looks: Kept<Look>,
    is_proven: bool,
}

/// From how many sources on it begins, with how many it goes on, and the most that was usual.
#[derive(Clone, Copy, Debug)]
struct Measure {
    threshold: usize,
    least: usize,
    usual: Option<usize>,
}

impl Probing {
    /// Takes in an attempt.
    pub fn take(&mut self, attempt: &Attempt) {
        if !self.sources.contains_key(&attempt.source) && !self.make_room(attempt) {
            return;
        }
        let prober = self.sources.entry(attempt.source).or_insert_with(|| Prober {
            first_ns: attempt.at_ns,
            last_ns: attempt.at_ns,
            attempts: 0,
            targets: Kept::new(TARGETS),
            looks: Kept::new(LOOKS),
            is_proven: false,
        });
        prober.first_ns = prober.first_ns.min(attempt.at_ns);
        prober.last_ns = prober.last_ns.max(attempt.at_ns);
        prober.attempts = prober.attempts.saturating_add(1);
        prober.is_proven |= attempt.is_proven;
        prober.looks.take(attempt.look, attempt.at_ns, &self.looks);
        prober.targets.take(attempt.target, attempt.at_ns, &self.targets);
    }

    /// Makes room for another source: of its network, or of all, those give way that were met longest ago. Whether there is any.
    fn make_room(&mut self, attempt: &Attempt) -> bool {
        if let Some(network) = attempt.source.network() {
            let neighbours = self.sources.range(Account::from(network)..);
            let neighbours = neighbours.take_while(|(account, _)| account.network() == Some(network));
            let met: Vec<(u64, Account)> = neighbours
                .map(|(account, prober)| (prober.last_ns, *account))
                .collect();
            if met.len() >= OF_A_NETWORK
                && let Some((last_ns, oldest)) = met.iter().min()
            {
                let is_newer = *last_ns <= attempt.at_ns;
                if is_newer {
                    self.sources.remove(oldest);
                }
                return is_newer;
            }
        }
        if self.sources.len() >= SOURCES {
            let all = self.sources.iter();
            let mut met: Vec<(u64, Account)> =
                all.map(|(account, prober)| (prober.last_ns, *account)).collect();
            let (oldest, ..) = met.select_nth_unstable(GIVE_WAY);
            for (_, account) in oldest {
                self.sources.remove(account);
            }
        }
        true
    }

    /// Takes back what was asked for of services that have `begun` since: their clients came a little early. Who asked for nothing else is
    /// forgotten, and told.
    pub fn withdraw(&mut self, begun: &BTreeSet<Target>) -> Early {
        let mut early = Early::default();
        let was_asked = |target: &&Target| self.sources.values().any(|prober| prober.targets.has(target));
        early.targets = begun.iter().filter(was_asked).copied().collect();
        self.sources.retain(|account, prober| {
            prober.targets.withdraw(begun);
            if prober.targets.is_empty() {
                early.sources.insert(*account);
            }
            !prober.targets.is_empty()
        });
        early
    }

    /// What is usual here.
    pub const fn usual(&self) -> &Usual {
        &self.usual
    }

    /// Takes up what was learnt of that, or forgets it.
    pub fn recall(&mut self, usual: Usual) {
        self.usual = usual;
    }

    /// What goes on at `now_ns`, once a second. `is_calm`: nothing else is attacked, so that what came is usual.
    pub fn look(&mut self, now_ns: u64, ordinary: &Ordinary, asn: Asn<'_>, is_calm: bool) -> Option<Group> {
        self.forget(now_ns);
        let all: Sources = self
            .sources
            .iter()
            .map(|(account, prober)| (*account, prober.is_proven))
            .collect();
        let count = counted(all.keys());
        let threshold = self
            .going
            .map_or_else(|| self.usual.threshold(), |going| going.threshold);
        // It goes on with half of what it began with.
        let least = if self.going.is_some() {
            threshold / 2
        } else {
            threshold
        };
        let measure = Measure {
            threshold,
            least,
            usual: self.usual.most(),
        };
        let group = match count >= least {
            true => self.found(&measure, ordinary, asn),
            false => None,
        };
        let mut group = group.filter(|group| {
            let is_over = now_ns - group.last_ns >= QUIET_NS;
            if is_over {
                // What is over hides nobody, and whoever comes again is counted anew.
                self.sources
                    .retain(|account, _| !group.members.contains_key(account));
            }
            !is_over
        });
        self.going = group.as_mut().map(|group| {
            let going = self.going.unwrap_or(Going {
                since_ns: now_ns,
                begun_ns: group.begun_ns,
                threshold,
            });
            // Those that came first are forgotten while it goes on.
            group.begun_ns = going.begun_ns;
            going
        });
        self.learn(now_ns, count, is_calm);
        group
    }

    /// Forgets what was too long ago. A clock that jumped back leaves nothing behind that never ends.
    fn forget(&mut self, now_ns: u64) {
        self.sources
            .retain(|_, prober| prober.last_ns <= now_ns && now_ns - prober.last_ns < BACK_NS);
        let from_ns = now_ns.saturating_sub(BACK_NS);
        for prober in self.sources.values_mut() {
            prober.first_ns = prober.first_ns.max(from_ns);
            prober.targets.forget(from_ns);
            prober.looks.forget(from_ns);
        }
    }

    fn found(&mut self, measure: &Measure, ordinary: &Ordinary, asn: Asn<'_>) -> Option<Group> {
        let all = self.sources.values();
        self.targets = Shared::among(all.clone().flat_map(|prober| prober.targets.iter()));
        self.looks = Shared::among(all.flat_map(|prober| prober.looks.iter()));
        group::found(self, measure, ordinary, asn)
    }

    /// `count` sources came in the last five minutes. Who asks for what a crowd asks for is none of those that are usual: it would raise what
    /// it takes as well.
    fn learn(&mut self, now_ns: u64, count: usize, is_calm: bool) {
        let is_given_in = |since_ns: u64| now_ns.saturating_sub(since_ns) >= GIVE_IN_NS;
        let is_usual = is_calm && self.going.is_none_or(|going| is_given_in(going.since_ns));
        let since_ns = *self.since_ns.get_or_insert(now_ns);
        if !is_usual || since_ns > now_ns {
            self.since_ns = Some(now_ns);
        } else if now_ns - since_ns >= BACK_NS {
            self.since_ns = Some(now_ns);
            let usual = match self.going {
                Some(_) => count,
                None => group::varied(&self.sources),
            };
            self.usual.learn(usual);
            // From now on that is how much comes here.
            if self.going.is_some_and(|going| is_given_in(going.since_ns)) {
                self.going = None;
            }
        }
    }

    /// Sources that are remembered.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }
}

/// How many `accounts` there are, those of one network up to a number.
fn counted<'a>(accounts: impl Iterator<Item = &'a Account>) -> usize {
    let mut networks = BTreeMap::<_, usize>::new();
    for account in accounts {
        // A neighbour on the link is one by itself.
        let network = account.network().unwrap_or_else(|| account.prefix());
        *networks.entry(network).or_default() += 1;
    }
    networks.values().map(|count| (*count).min(OF_A_NETWORK)).sum()
}

#[cfg(test)]
mod tests;
