//! What is known of a source at a moment, and of its network; and who is worst.

use std::{cmp::Reverse, collections::HashMap};

use super::{Account, Record, Reputation};
use crate::prefix::Prefix;

/// How long what feeds say of a source holds.
const LOOKED_UP_NS: u64 = 3_600_000_000_000;

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
    /// Whether an automatic block stands, of it, in it or around it.
    pub blocked: bool,
    /// How long the next block would be.
    pub next_block_ns: u64,
    pub connections: u32,
}

impl Reputation {
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
            blocked: self.blocks.touches(account, at_ns),
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

    /// Those whom feeds were not asked for lately, at most `count`, the highest scores first. They count as asked for from now on.
    pub fn to_look_up(&mut self, count: usize, now_ns: u64) -> Vec<Account> {
        let (at_ns, settings) = (self.at(now_ns), self.settings);
        let is_due = |record: &Record| {
            record
                .looked_up_ns
                .is_none_or(|then_ns| at_ns.saturating_sub(then_ns) >= LOOKED_UP_NS)
        };
        let due = self.book.all().filter(|(_, record)| is_due(record));
        let mut due: Vec<_> = due
            .map(|(account, record)| (Reverse(record.level(at_ns, settings.half_life_ns)), *account))
            .collect();
        if due.len() > count && count > 0 {
            due.select_nth_unstable(count - 1);
        }
        due.truncate(count);
        due.sort_unstable();
        for (_, account) in &due {
            self.book.change(*account, at_ns, &settings, |record| {
                record.looked_up_ns = Some(at_ns);
                // That is for this process alone.
                false
            });
        }
        due.into_iter().map(|(_, account)| account).collect()
    }

    /// Those with the highest scores, at most `count`, the highest first.
    pub fn top(&self, count: usize, now_ns: u64) -> Vec<View> {
        let (at_ns, half_life_ns) = (self.at(now_ns), self.settings.half_life_ns);
        let scored = self.book.all().map(|(account, record)| {
            let level = record.level(at_ns, half_life_ns);
            (Reverse(level), *account)
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::reputation::tests::{account, flood, reputation};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_network_is_as_bad_as_its_sources() {
        let mut reputation = reputation(1_000);
        let neighbours: Vec<Account> = (0..12).map(account).collect();
        for neighbour in &neighbours[..4] {
            reputation.take(*neighbour, &flood(true), 0);
            reputation.take(*neighbour, &flood(true), 0);
        }
        assert_eq!(reputation.network_score(neighbours[11], 0), 42);
        assert_eq!(reputation.network_score(account(700), 0), 0);
        for neighbour in &neighbours {
            for _ in 0..9 {
                reputation.take(*neighbour, &flood(true), 0);
            }
        }
        assert_eq!(reputation.network_score(neighbours[0], 0), 100);
    }

    /// Found in review: the sixteen worst were asked for again and again, nobody else ever, and who was listed once no more.
    #[test]
    fn everybody_is_looked_up_in_turn_and_again() {
        let mut reputation = reputation(1_000);
        for number in 0..40 {
            reputation.take(account(number), &flood(number == 7), SECOND);
        }
        let mut asked: Vec<Account> = (0..3).flat_map(|_| reputation.to_look_up(16, SECOND)).collect();
        assert_eq!((asked.len(), asked[0]), (40, account(7)));
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(
            (asked.len(), reputation.to_look_up(16, 600 * SECOND).len()),
            (40, 0)
        );
        assert_eq!(reputation.to_look_up(16, 3_601 * SECOND).len(), 16);
    }

    #[test]
    fn the_worst_come_first() {
        let mut reputation = reputation(1_000);
        for number in 0..50 {
            reputation.take(account(number), &flood(number == 7), SECOND);
        }
        reputation.take(account(9), &flood(true), SECOND);
        reputation.take(account(9), &flood(true), SECOND);
        let top = reputation.top(3, SECOND);
        let accounts: Vec<Account> = top.iter().map(|view| view.account).collect();
        assert_eq!(accounts[..2], [account(9), account(7)]);
        assert_eq!(top.len(), 3);
        assert!(reputation.top(0, SECOND).is_empty());
        assert_eq!(reputation.forget_all(), 50);
        assert_eq!(reputation.top(9, SECOND).len(), 0);
    }
}
