//! The sources that are remembered, bounded: where there is no room, one that does little gives way to a new one.

use std::{collections::HashMap, net::IpAddr};

use super::{SECOND_NS, source::Source};
use crate::engine::Account;

/// Sources that are compared when one must give way.
const COMPARED: usize = 16;
/// A source that has said nothing for so long is forgotten, within as many ticks as it takes to look at all of them.
const IDLE_NS: u64 = 600 * SECOND_NS;
const LOOKED_AT: usize = 256;

#[derive(Debug)]
pub(super) struct Sources {
    most: usize,
    index: HashMap<Account, usize>,
    sources: Vec<Source>,
    /// Where it is looked next for one that gives way, and for one that is idle.
    hand: usize,
    idle: usize,
    displaced: u64,
}

impl Sources {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            index: HashMap::new(),
            sources: Vec::new(),
            hand: 0,
            idle: 0,
            displaced: 0,
        }
    }

    /// The source that `from` is accountable as. `None`: all others do more than a new one can have done.
    pub(super) fn entry(&mut self, from: IpAddr, now_ns: u64) -> Option<&mut Source> {
        let account = Account::of(from);
        if let Some(index) = self.index.get(&account) {
            return self.sources.get_mut(*index);
        }
        let source = Source::new(account, from);
        if self.sources.len() < self.most {
            self.index.insert(account, self.sources.len());
            self.sources.push(source);
            return self.sources.last_mut();
        }
        self.displaced += 1;
        let candidates = (0..COMPARED).map(|step| (self.hand + step) % self.sources.len());
        let activity = |index: &usize| self.sources[*index].activity(now_ns);
        let least = candidates.min_by(|a, b| activity(a).total_cmp(&activity(b)))?;
        self.hand = (self.hand + COMPARED) % self.sources.len();
        if self.sources[least].activity(now_ns) == f64::INFINITY {
            return None;
        }
        self.index.remove(&self.sources[least].account);
        self.index.insert(account, least);
        self.sources[least] = source;
        self.sources.get_mut(least)
    }

    /// Forgets sources that have said nothing for so long; looks at some of them, and at others the next time.
    pub(super) fn forget_idle(&mut self, now_ns: u64) {
        for _ in 0..LOOKED_AT.min(self.sources.len()) {
            if self.idle >= self.sources.len() {
                self.idle = 0;
            }
            let Some(source) = self.sources.get(self.idle) else {
                break;
            };
            if now_ns.saturating_sub(source.last_ns) < IDLE_NS {
                self.idle += 1;
                continue;
            }
            self.index.remove(&source.account);
            self.sources.swap_remove(self.idle);
            if let Some(moved) = self.sources.get(self.idle) {
                self.index.insert(moved.account, self.idle);
            }
        }
        if self.sources.capacity() > 1_024 && self.sources.len() < self.sources.capacity() / 4 {
            self.sources.shrink_to(self.sources.len() * 2);
            self.index.shrink_to(self.sources.len() * 2);
        }
    }

    pub(super) fn of(&self, account: Account) -> Option<&Source> {
        self.sources.get(*self.index.get(&account)?)
    }

    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    /// Sources that came when there was no room.
    pub(super) const fn displaced(&self) -> u64 {
        self.displaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_much_is_not_pushed_out() {
        const SECOND: u64 = 1_000_000_000;
        let address = |number: u32| IpAddr::from(std::net::Ipv4Addr::from(number));
        let mut sources = Sources::new(100);
        let busy = address(0x0a00_0001);
        sources
            .entry(busy, SECOND)
            .expect("room")
            .activity
            .add(5_000, 60, SECOND);
        for number in 0..100_000 {
            let now_ns = SECOND + u64::from(number) * 100_000;
            let source = sources.entry(address(0x0b00_0000 + number), now_ns);
            source.expect("one that gives way").activity.add(1, 60, now_ns);
        }
        assert!(sources.of(Account::of(busy)).is_some());
        assert_eq!((sources.len(), sources.index.len()), (100, 100));
        assert_eq!(sources.displaced(), 100_000 - 99);
        // Long after, it gives way as any other.
        for number in 0..200 {
            sources.entry(address(0x0c00_0000 + number), 1_000 * SECOND);
        }
        assert!(sources.of(Account::of(busy)).is_none());
    }

    #[test]
    fn who_says_nothing_for_ten_minutes_is_forgotten() {
        let mut sources = Sources::new(10_000);
        let address = |number: u32| IpAddr::from(std::net::Ipv4Addr::from(number));
        for number in 0..5_000 {
            let source = sources.entry(address(number), SECOND_NS).expect("room");
            source.last_ns = SECOND_NS * if number % 7 == 0 { 500 } else { 1 };
        }
        sources.forget_idle(600 * SECOND_NS);
        assert_eq!(sources.len(), 5_000);
        for _ in 0..40 {
            sources.forget_idle(700 * SECOND_NS);
        }
        assert_eq!((sources.len(), sources.index.len()), (715, 715));
        for number in 0..5_000 {
            let account = Account::of(address(number));
            let found = sources.of(account).map(|source| source.account);
            assert_eq!(found, (number % 7 == 0).then_some(account));
        }
        assert!(sources.sources.capacity() < 5_000);
        for _ in 0..40 {
            sources.forget_idle(2_000 * SECOND_NS);
        }
        assert_eq!((sources.len(), sources.index.len()), (0, 0));
        // Those that come then have room.
        assert!(sources.entry(address(1), 2_000 * SECOND_NS).is_some());
    }
}
