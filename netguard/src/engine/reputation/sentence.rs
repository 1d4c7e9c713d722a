//! Sentences: when a source is blocked, for how long, and when a whole network is, within the caps. Who may be blocked at all is policy's business.

use super::{Account, Excess, JITTER_PERMILLE, Penalty, Record, Reputation};
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::reputation::tests::{account, flood, reputation};

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
        let before = reputation.penalty(one);
        reputation.penalise(one, 0).expect("within the caps");
        reputation.spare(one, &one.prefix(), before, 0);
        assert_eq!(reputation.penalty(one), Penalty::default());
    }
}
