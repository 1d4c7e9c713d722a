//! Sentences: when a source is blocked, for how long, and when a whole network is, within the caps. Who may be blocked at all is policy's business.

use std::collections::BTreeSet;

use netguard_common::layout::Mode;

use super::{Account, Excess, JITTER_PERMILLE, Penalty, Radius, Record, Reputation, blocks::Blocks};
use crate::prefix::Prefix;

/// A block of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sentence {
    pub ttl_ns: u64,
    /// Blocks in a row before it.
    pub repeats: u32,
    /// Whether it is one that stood already.
    pub extends: bool,
}

/// What was so before a block was decided on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    pub penalty: Penalty,
    /// Whether the same was blocked already.
    pub stood: bool,
    /// Connected sources that the block touches.
    pub touched: u64,
}

impl Reputation {
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

    /// Begins a block of `account`, or lets the one that stands begin anew. In shadow it is one that is only told.
    ///
    /// # Errors
    /// When it would be too much.
    pub fn penalise(&mut self, account: Account, now_ns: u64) -> Result<Sentence, Excess> {
        let (at_ns, settings) = (self.at(now_ns), self.settings);
        let is_tried = self.is_tried();
        let extends = self.newest_blocks().stands(&account.prefix(), at_ns);
        if !extends {
            let connected = self.seen.connected().len() as u64;
            self.radius.take(1, connected, &settings.caps, at_ns)?;
        }
        let draw = self.random.u32(0..=2 * JITTER_PERMILLE);
        let mut sentence = Sentence {
            ttl_ns: settings.terms.block_for_ns,
            repeats: 0,
            extends,
        };
        self.book.change(account, at_ns, &settings, |record| {
            if is_tried && record.tried == Penalty::default() {
                record.tried = record.penalty;
            }
            let penalty = record.penalty_mut(is_tried);
            let repeats = penalty.repeats(at_ns, &settings.terms);
            // Who was forgotten meanwhile begins anew, below a block that stands.
            (sentence.ttl_ns, sentence.repeats) = if extends && penalty.stands(at_ns) {
                (penalty.extend(at_ns, &settings.terms), repeats.saturating_sub(1))
            } else {
                (penalty.begin(at_ns, &settings.terms, draw), repeats)
            };
            if !is_tried {
                record.set_suspect(true);
            }
            true
        });
        let until_ns = at_ns.saturating_add(sentence.ttl_ns);
        self.newest_blocks_mut().begin(account.prefix(), until_ns);
        Ok(sentence)
    }

    /// The block of `prefix`, decided on at `now_ns`, was not placed: it does not count.
    pub fn spare(&mut self, account: Account, prefix: &Prefix, before: Before, now_ns: u64) {
        let at_ns = self.at(now_ns);
        if !before.stood {
            self.newest_blocks_mut().end(prefix);
            self.radius.give_back(before.touched, at_ns);
        }
        if account.network().as_ref() == Some(prefix) {
            return;
        }
        let (settings, is_tried) = (self.settings, self.is_tried());
        self.book.change(account, at_ns, &settings, |record| {
            *record.penalty_mut(is_tried) = before.penalty;
            true
        });
    }

    /// What `account` was sentenced to so far.
    pub fn before(&self, account: Account, now_ns: u64) -> Before {
        let record = self.book.record(account);
        Before {
            penalty: record.map_or_else(Penalty::default, |record| *record.penalty_of(self.is_tried())),
            stood: self.newest_blocks().stands(&account.prefix(), self.at(now_ns)),
            touched: 1,
        }
    }

    /// The network of `account`, if so many of its sources were blocked lately that all of it is to be.
    pub fn is_network_due(&self, account: Account, now_ns: u64) -> Option<Prefix> {
        let at_ns = self.at(now_ns);
        let network = account.network()?;
        let is_due = self.blocked_lately(&network, at_ns) >= u64::from(self.settings.network_after);
        (is_due && !self.newest_blocks().stands(&network, at_ns)).then_some(network)
    }

    /// Sources of `network` that were blocked lately.
    pub fn blocked_lately(&self, network: &Prefix, at_ns: u64) -> u64 {
        let records = self.book.within(network);
        records
            .filter(|(_, record)| self.was_blocked_lately(record, at_ns))
            .count() as u64
    }

    fn was_blocked_lately(&self, record: &Record, at_ns: u64) -> bool {
        let penalty = record.penalty_of(self.is_tried());
        penalty.total > 0 && at_ns.saturating_sub(penalty.begun_ns) < self.settings.network_within_ns
    }

    /// Begins a block of `network`, as long as a first one of a source: it takes all of it, whoever is there. Tells how many connected
    /// sources it touches, and how long it is.
    ///
    /// # Errors
    /// When it would be too much.
    pub fn penalise_network(&mut self, network: Prefix, now_ns: u64) -> Result<(u64, u64), Excess> {
        let (at_ns, settings) = (self.at(now_ns), self.settings);
        let record = |account: &Account| self.book.record(*account);
        let harmless = |account: &Account| {
            record(account).is_none_or(|record| {
                record.proven(at_ns, settings.half_life_ns).score() < settings.release_below
            })
        };
        let free = |account: &Account| !self.newest_blocks().touches(*account, at_ns);
        let inside = |account: &&Account| network.covers(&account.prefix());
        let innocent = self.seen.connected().filter(|account| harmless(account)).count() as u64;
        // Whoever uses it, also those who are not connected at this very moment.
        let lately: BTreeSet<&Account> = self.seen.lately(&network, at_ns).collect();
        let bystanders = lately.iter().filter(|account| harmless(account)).count() as u64;
        let noticed = self.book.within(&network);
        let noticed = noticed.filter(|(_, record)| {
            at_ns.saturating_sub(record.seen_ns) < settings.network_within_ns
                || self.was_blocked_lately(record, at_ns)
        });
        let seen = noticed
            .map(|(account, _)| account)
            .chain(lately)
            .collect::<BTreeSet<_>>()
            .len() as u64;
        let blocked = self.blocked_lately(&network, at_ns);
        let touched = self
            .seen
            .connected()
            .filter(inside)
            .filter(|account| free(account))
            .count() as u64;
        let (networks, connected) = (
            self.newest_blocks().networks(at_ns),
            self.seen.connected().len() as u64,
        );
        Radius::may_block_network(bystanders, innocent, networks, &settings.caps)?;
        if blocked.saturating_mul(2) <= seen {
            return Err(Excess::Minority { blocked, seen });
        }
        self.radius.take(touched, connected, &settings.caps, at_ns)?;
        let ttl_ns = settings.terms.block_for_ns;
        self.newest_blocks_mut()
            .begin(network, at_ns.saturating_add(ttl_ns));
        Ok((touched, ttl_ns))
    }

    /// Whether blocks are only told.
    fn is_tried(&self) -> bool {
        self.settings.mode != Mode::Enforce
    }

    /// Those that decisions of now are about: in shadow the ones that would stand.
    fn newest_blocks(&self) -> &Blocks {
        if self.is_tried() {
            &self.tried
        } else {
            &self.blocks
        }
    }

    fn newest_blocks_mut(&mut self) -> &mut Blocks {
        if self.is_tried() {
            &mut self.tried
        } else {
            &mut self.blocks
        }
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
    fn who_was_blocked_is_blocked_again_sooner() {
        let mut reputation = reputation(100);
        let one = account(1);
        reputation.take(one, &flood(true), 0);
        assert_eq!(reputation.standing(one, 0), (60, 50));
        let first = Sentence {
            ttl_ns: 60 * SECOND,
            repeats: 0,
            extends: false,
        };
        assert_eq!(reputation.penalise(one, 0), Ok(first));
        let again = reputation.penalise(one, 0).expect("it stands");
        assert_eq!(
            again,
            Sentence {
                extends: true,
                ..first
            }
        );
        assert_eq!(reputation.standing(one, 60 * SECOND).1, 30);
        let later = 1_000 * SECOND;
        assert!(reputation.standing(one, later).0 < 30);
        assert_eq!(
            reputation.standing(one, later).1,
            50,
            "it has been below the exit"
        );
        reputation.take(one, &flood(true), later);
        assert_eq!(reputation.standing(one, later).1, 50);
        let second = reputation.penalise(one, later).expect("within the caps");
        assert!((108..=132).contains(&(second.ttl_ns / SECOND)) && second.repeats == 1 && !second.extends);
        let view = reputation.view(one, later);
        assert!(view.blocked);
        assert_eq!((view.record.penalty.total, view.next_block_ns), (2, 240 * SECOND));
    }

    #[test]
    fn a_block_that_failed_is_no_penalty() {
        let mut reputation = reputation(100);
        let one = account(1);
        reputation.take(one, &flood(true), 0);
        for _ in 0..100 {
            let before = reputation.before(one, 0);
            reputation.penalise(one, 0).expect("within the caps");
            reputation.spare(one, &one.prefix(), before, 0);
            assert_eq!(
                reputation.before(one, 0),
                Before {
                    touched: 1,
                    ..Before::default()
                }
            );
        }
        assert!(!reputation.view(one, 0).blocked);
    }

    /// Found in review: what would have been blocked in shadow made the first block in earnest a longer one.
    #[test]
    fn shadow_penalises_nobody_in_earnest() {
        let settings = Settings {
            mode: Mode::Shadow,
            ..Settings::default()
        };
        let mut reputation = Reputation::new(settings, 0, 1);
        let one = account(1);
        let mut repeats = Vec::new();
        for round in 0..4 {
            reputation.take(one, &flood(true), round * 600 * SECOND);
            let sentence = reputation
                .penalise(one, round * 600 * SECOND)
                .expect("within the caps");
            repeats.push((sentence.repeats, sentence.extends));
        }
        assert_eq!(
            repeats,
            [(0, false), (1, false), (2, false), (3, false)],
            "it is told as it would be"
        );
        let now_ns = 1_800 * SECOND;
        let view = reputation.view(one, now_ns);
        assert!(!view.blocked && reputation.standing_blocks(now_ns).is_empty());
        assert_eq!(
            (view.record.penalty, view.next_block_ns),
            (Penalty::default(), 60 * SECOND)
        );
        let kept = serde_json::to_string(&reputation.whole()[0].1).expect("a record");
        let record: Record = serde_json::from_str(&kept).expect("a record");
        let mut next = Reputation::new(Settings::default(), 0, 1);
        next.adopt([(one, record)], now_ns);
        assert_eq!(next.standing(one, now_ns).1, 50, "nor is it suspected for that");
        let first = next.penalise(one, now_ns).expect("within the caps");
        assert_eq!(
            (first.ttl_ns, first.repeats, first.extends),
            (60 * SECOND, 0, false)
        );
    }

    /// Found in review: eight connected neighbours, forged, had all of a network blocked for as long as the last of them, others in it or not.
    #[test]
    fn a_network_is_blocked_only_where_most_that_were_seen_were() {
        let block = |others: u32, gone: bool| {
            let mut reputation = reputation(1_000);
            let caps = super::super::Caps {
                bystanders_percent: 100,
                sources_percent: 100,
                ..reputation.settings.caps
            };
            reputation.settings.caps = caps;
            let address = |number: u32| account(number).prefix().address();
            let connected = |from: u32, to: u32| (from..to).map(|number| (address(number), 1)).collect();
            reputation.connect(connected(0, 8 + others), 0);
            if gone {
                reputation.connect(connected(0, 8), SECOND);
            }
            for number in 0..8 {
                reputation.take(account(number), &flood(true), SECOND);
                reputation
                    .penalise(account(number), SECOND)
                    .expect("within the caps");
            }
            let network = reputation.is_network_due(account(1), SECOND).expect("it is due");
            reputation.penalise_network(network, SECOND)
        };
        assert_eq!(block(0, false), Ok((0, 60 * SECOND)));
        assert_eq!(block(7, false), Ok((7, 60 * SECOND)));
        let excess = Excess::Minority { blocked: 8, seen: 16 };
        assert_eq!(block(8, false), Err(excess));
        assert_eq!(
            block(8, true),
            Err(Excess::Bystanders {
                touched: 8,
                allowed: 0
            }),
            "who was connected a moment ago uses it, too"
        );
    }
}
