//! Automatic blocks that stand, by prefix: what was decided, put right by whoever sees the kernel's table. It places and removes none.

use std::collections::BTreeMap;

use super::{Account, Reputation};
use crate::prefix::Prefix;

/// Prefixes, and until when.
#[derive(Debug, Default)]
pub(super) struct Blocks(BTreeMap<Prefix, u64>);

impl Blocks {
    /// Whether exactly `prefix` is blocked.
    pub(super) fn stands(&self, prefix: &Prefix, at_ns: u64) -> bool {
        self.0.get(prefix).is_some_and(|until_ns| *until_ns > at_ns)
    }

    /// Whether one covers `account`, or part of it.
    pub(super) fn touches(&self, account: Account, at_ns: u64) -> bool {
        let own = account.prefix();
        let around = [Some(own.within(32, 64)), Some(own.within(24, 48))];
        let mut around = around.into_iter().flatten();
        around.any(|prefix| self.stands(&prefix, at_ns))
            || self.inside(&own).any(|(_, until_ns)| *until_ns > at_ns)
    }

    /// Networks among them: what is wider than any account.
    pub(super) fn networks(&self, at_ns: u64) -> u64 {
        let standing = self.0.iter().filter(|(_, until_ns)| **until_ns > at_ns);
        let wide = standing.filter(|(prefix, _)| !Account::from(**prefix).prefix().covers(prefix));
        wide.count() as u64
    }

    pub(super) fn begin(&mut self, prefix: Prefix, until_ns: u64) {
        let until = self.0.entry(prefix).or_default();
        *until = until_ns.max(*until);
    }

    pub(super) fn end(&mut self, prefix: &Prefix) {
        self.0.remove(prefix);
    }

    fn inside(&self, prefix: &Prefix) -> impl Iterator<Item = (&Prefix, &u64)> {
        let wide = *prefix;
        let from = self.0.range(wide..);
        from.take_while(move |(inner, _)| wide.covers(inner))
    }

    pub(super) fn tidy(&mut self, at_ns: u64) {
        self.0.retain(|_, until_ns| *until_ns > at_ns);
    }
}

impl Reputation {
    /// The automatic blocks that stand, for all that is known here.
    pub fn standing_blocks(&self, now_ns: u64) -> Vec<Prefix> {
        let at_ns = self.at(now_ns);
        let all = self.blocks.0.iter().filter(|(_, until_ns)| **until_ns > at_ns);
        all.map(|(prefix, _)| *prefix).collect()
    }

    /// These blocks of an earlier process are in force, each for so long from `now_ns` on, and no others: whoever is remembered as blocked
    /// by one that is gone is so no more.
    pub fn found_blocks(&mut self, found: impl IntoIterator<Item = (Prefix, u64)>, now_ns: u64) {
        let at_ns = self.at(now_ns);
        for (prefix, ttl_ns) in found {
            self.blocks.begin(prefix, at_ns.saturating_add(ttl_ns));
        }
        let stands = |account: Account| self.blocks.touches(account, at_ns);
        let penalised = self.book.all();
        let gone = penalised.filter(|(account, record)| record.penalty.stands(at_ns) && !stands(**account));
        let gone: Vec<Account> = gone.map(|(account, _)| *account).collect();
        for account in gone {
            self.end_penalty(account, at_ns);
        }
    }

    /// The block of `prefix` is no longer in force, whoever removed it: it extends into nothing any more, and the next is a new one.
    pub fn block_ended(&mut self, prefix: &Prefix, now_ns: u64) {
        let at_ns = self.at(now_ns);
        let ended: Vec<Prefix> = self.blocks.inside(prefix).map(|(inner, _)| *inner).collect();
        for inner in &ended {
            self.blocks.end(inner);
        }
        let within = self.book.within(prefix).map(|(account, _)| *account);
        let own = [Account::from(*prefix), Account::of(prefix.address())];
        let accounts: Vec<Account> = within.chain(own).collect();
        for account in accounts {
            if !self.blocks.touches(account, at_ns) {
                self.end_penalty(account, at_ns);
            }
        }
    }

    fn end_penalty(&mut self, account: Account, at_ns: u64) {
        let settings = self.settings;
        let record = self.book.record(account);
        if record.is_some_and(|record| record.penalty.stands(at_ns)) {
            self.book.change(account, at_ns, &settings, |record| {
                record.penalty.end(at_ns);
                true
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::engine::reputation::tests::{account, flood, reputation};

    const SECOND: u64 = 1_000_000_000;

    fn prefix(text: &str) -> Prefix {
        text.parse().expect("a prefix")
    }

    #[test]
    fn a_block_touches_what_it_covers_and_what_it_lies_in() {
        let mut blocks = Blocks::default();
        for text in ["192.0.2.7", "198.51.100.0/24", "2001:db8::66", "2001:db8:7::/48"] {
            blocks.begin(prefix(text), 10);
        }
        let touches = |text: &str| blocks.touches(Account::of(text.parse().expect("an address")), 9);
        assert!(
            ["192.0.2.7", "198.51.100.9", "2001:db8::1", "2001:db8:7:3::1"]
                .into_iter()
                .all(touches)
        );
        assert!(
            !["192.0.2.8", "2001:db8:0:1::1", "2001:db8:8::1"]
                .into_iter()
                .any(touches)
        );
        let alone = |text: &str| Account::alone(text.parse::<IpAddr>().expect("an address"));
        assert!(blocks.touches(alone("2001:db8::66"), 9) && !blocks.touches(alone("2001:db8::67"), 9));
        assert_eq!((blocks.networks(9), blocks.networks(10)), (2, 0));
        assert!(!blocks.touches(account(1), 9) && !blocks.stands(&prefix("192.0.2.7"), 10));
    }

    /// Found in review: whoever undid a block still found it told as one that stands, and the next as its extension, past the caps.
    #[test]
    fn a_block_that_was_removed_stands_no_more_and_the_next_is_a_new_one() {
        let mut reputation = reputation(100);
        let one = account(1);
        reputation.take(one, &flood(true), 0);
        reputation.penalise(one, 0).expect("within the caps");
        assert!(reputation.view(one, SECOND).blocked);
        reputation.block_ended(&prefix("10.0.0.0/24"), SECOND);
        let view = reputation.view(one, SECOND);
        assert!(!view.blocked && !view.record.penalty.stands(reputation.at(SECOND)));
        assert!(reputation.standing_blocks(SECOND).is_empty());
        let next = reputation.penalise(one, 2 * SECOND).expect("within the caps");
        assert_eq!((next.extends, next.repeats), (false, 1));
        assert_eq!(reputation.view(one, 2 * SECOND).record.penalty.total, 2);
    }

    /// Found in review: after a reboot the kernel has no rule, and the file says that there is a block.
    #[test]
    fn only_what_the_kernel_has_is_taken_over() {
        let mut before = reputation(100);
        for number in [1, 2] {
            before.take(account(number), &flood(true), 0);
            before.penalise(account(number), 0).expect("within the caps");
        }
        let mut next = reputation(100);
        next.adopt(before.whole(), SECOND);
        next.found_blocks(
            [
                (prefix("10.0.0.1"), 59 * SECOND),
                (prefix("192.0.2.0/24"), SECOND),
            ],
            SECOND,
        );
        let [one, two] = [1, 2].map(|number| next.view(account(number), SECOND));
        assert!(one.blocked && !two.blocked);
        assert_eq!(next.standing_blocks(SECOND).len(), 2);
        assert!(next.penalise(account(1), 2 * SECOND).expect("it stands").extends);
        assert!(
            !next
                .penalise(account(2), 2 * SECOND)
                .expect("within the caps")
                .extends
        );
    }
}
