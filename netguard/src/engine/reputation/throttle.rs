//! Throttles: the limits of a source move with its score, by what it was found to have done, and come back as that fades. Whom nothing may be
//! done to is policy's business.

use std::{cmp::Reverse, net::IpAddr};

use netguard_common::{layout::Mode, maps::THROTTLED};

use super::{Account, Reputation};

/// A source whose limits are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    pub account: Account,
    /// At least 2.
    pub divisor: u8,
}

impl Throttle {
    /// The source, as the kernel knows it by one of its addresses, and the divisor.
    pub fn parts(&self) -> (IpAddr, u8) {
        (self.account.prefix().address(), self.divisor)
    }
}

impl Reputation {
    /// By what the limits of `account` are divided: one more for each step of its score, as far as that rests on what it did itself; 1 is not at all.
    /// The caps are not asked.
    pub fn divisor(&self, account: Account, now_ns: u64) -> u8 {
        let at_ns = self.at(now_ns);
        match self.moves_limits(account, at_ns) {
            true => self.steps(account, at_ns) + 1,
            false => 1,
        }
    }

    /// Those whose limits are divided, in the order of their accounts; `None` while nobody knows who is connected. Of sources that are connected no
    /// more than blocks may touch in a minute, the worst first.
    pub fn throttles(&mut self, now_ns: u64) -> Option<Vec<Throttle>> {
        if !self.seen.is_known() {
            return None;
        }
        let at_ns = self.at(now_ns);
        let suspects = self.suspects.iter();
        let suspects = suspects.map(|account| (*account, self.steps(*account, at_ns)));
        let suspects: Vec<(Account, u8)> = suspects.filter(|(_, steps)| *steps > 0).collect();
        self.suspects = suspects.iter().map(|(account, _)| *account).collect();
        let moved = suspects
            .into_iter()
            .filter(|(account, _)| self.moves_limits(*account, at_ns));
        let throttles = moved.map(|(account, steps)| Throttle {
            account,
            divisor: steps + 1,
        });
        let (mut connected, mut throttles): (Vec<Throttle>, Vec<_>) =
            throttles.partition(|throttle| self.connections(throttle.account) > 0);
        connected.sort_by_key(|throttle| Reverse(throttle.divisor));
        let most = self.settings.caps.touched(self.seen.connected().len() as u64);
        connected.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        throttles.append(&mut connected);
        throttles.sort_by_key(|throttle| throttle.account);
        self.throttled = throttles.len();
        Some(throttles)
    }

    /// How many they were when they were asked for last.
    pub fn throttled(&self) -> usize {
        self.throttled
    }

    /// Takes up `account` among those whose limits are divided, if they are to be.
    pub(super) fn suspect(&mut self, account: Account, at_ns: u64) {
        if self.steps(account, at_ns) > 0 && self.suspects.len() < THROTTLED {
            self.suspects.insert(account);
        }
    }

    /// Many people are behind `account`: its limits stay whole for a while.
    pub fn note_many(&mut self, account: Account, now_ns: u64) {
        let at_ns = self.at(now_ns);
        self.seen.note_many(account, at_ns);
    }

    /// Whether scores move limits, and those of `account`: not where many people have it.
    fn moves_limits(&self, account: Account, at_ns: u64) -> bool {
        self.settings.mode == Mode::Enforce && !self.seen.is_many(account, at_ns)
    }

    fn steps(&self, account: Account, at_ns: u64) -> u8 {
        let record = self.book.record(account);
        let Some(record) = record.filter(|_| is_limited_alone(account)) else {
            return 0;
        };
        let score = record.deeds(at_ns, self.settings.half_life_ns).score();
        score.checked_div(self.settings.limit_step).unwrap_or(0)
    }
}

/// Whether nobody shares the limits of `account`: those of an IPv6 address by itself are those of its /64.
fn is_limited_alone(account: Account) -> bool {
    account.network().is_some()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::engine::reputation::{
        Evidence, Kind, Settings,
        tests::{account, flood, reputation},
    };

    const SECOND: u64 = 1_000_000_000;

    fn divisors(reputation: &mut Reputation, now_ns: u64) -> Vec<u8> {
        let throttles = reputation.throttles(now_ns).into_iter().flatten();
        throttles.map(|throttle| throttle.divisor).collect()
    }

    #[test]
    fn limits_move_with_the_score_and_come_back() {
        let mut reputation = alone(100);
        reputation.take(account(1), &flood(true), 0);
        reputation.take(account(2), &flood(false), 0);
        let mut met = Vec::new();
        for minute in 0..60 {
            met.extend(divisors(&mut reputation, minute * 60 * SECOND));
        }
        assert_eq!(met[0], 4, "60 points are three steps");
        assert!(met.is_sorted_by(|before, after| before >= after), "{met:?}");
        assert_eq!(
            (met.last(), met.len()),
            (Some(&2), 18),
            "20 points are left after 17 minutes"
        );
        assert!(divisors(&mut reputation, 10_000 * SECOND).is_empty());
        assert!(reputation.suspects.is_empty());
        reputation.take(account(1), &flood(true), 10_001 * SECOND);
        assert_eq!(divisors(&mut reputation, 10_001 * SECOND), [4]);
        reputation.forget(account(1));
        assert!(divisors(&mut reputation, 10_001 * SECOND).is_empty());
    }

    /// A reputation that knows that nobody is connected.
    fn alone(accounts: usize) -> Reputation {
        let mut reputation = reputation(accounts);
        reputation.connect(HashMap::new(), 0);
        reputation
    }

    #[test]
    fn many_people_keep_their_limits_also_when_fewer_of_them_are_there() {
        let mut reputation = alone(100);
        let of_many = account(1);
        reputation.take(of_many, &flood(true), 0);
        let connected = |connections| HashMap::from([(of_many.prefix().address(), connections)]);
        assert_eq!(divisors(&mut reputation, 0), [4]);
        reputation.connect(connected(64), 0);
        assert!(divisors(&mut reputation, 0).is_empty());
        reputation.connect(connected(2), SECOND);
        assert!(divisors(&mut reputation, SECOND).is_empty());
        reputation.take(account(2), &flood(true), SECOND);
        assert_eq!(divisors(&mut reputation, SECOND), [4]);
        reputation.note_many(account(2), SECOND);
        assert!(divisors(&mut reputation, SECOND).is_empty());
        assert_eq!(divisors(&mut reputation, 601 * SECOND), [2, 2], "it was long ago");
    }

    /// Found in review: after a start all were divided who had been many.
    #[test]
    fn nobody_is_until_it_is_known_who_is_connected() {
        let mut reputation = reputation(100);
        reputation.take(account(1), &flood(true), 0);
        assert_eq!(reputation.throttles(0), None);
        reputation.connect(HashMap::new(), 0);
        assert_eq!(divisors(&mut reputation, 0), [4]);
    }

    /// Found in review: a limit that is wrong about everybody divided the limits of everybody.
    #[test]
    fn of_those_who_are_connected_few_are_and_the_worst_first() {
        let mut reputation = alone(1_000);
        for number in 0..200 {
            reputation.take(account(number), &flood(true), 0);
        }
        for number in 100..105 {
            reputation.take(account(number), &flood(true), 0);
        }
        let peers = (0..200).map(|number| (account(number).prefix().address(), 1));
        reputation.connect(peers.collect(), 0);
        let divisors = divisors(&mut reputation, 0);
        assert_eq!(divisors.len(), 20, "a tenth of them");
        assert_eq!(divisors.iter().filter(|divisor| **divisor == 5).count(), 5);
        reputation.connect(HashMap::new(), 0);
        assert_eq!(reputation.throttles(0).map(|all| all.len()), Some(200));
    }

    #[test]
    fn what_is_no_deed_of_its_own_divides_nothing() {
        let mut reputation = alone(100);
        for kind in [Kind::Attack, Kind::Malformed, Kind::Feed, Kind::Requests] {
            let evidence = Evidence { kind, ..flood(true) };
            for minute in 0..60 {
                reputation.take(account(1), &evidence, minute * 60 * SECOND);
            }
        }
        assert!(reputation.view(account(1), 3_600 * SECOND).proven_score > 40);
        assert!(divisors(&mut reputation, 3_600 * SECOND).is_empty() && reputation.suspects.is_empty());
    }

    #[test]
    fn a_64_is_throttled_and_an_address_in_one_is_not() {
        let mut reputation = alone(100);
        let address: IpAddr = "2001:db8::7".parse().expect("an address");
        for account in [Account::of(address), Account::alone(address)] {
            reputation.take(account, &flood(true), 0);
        }
        let expected = Throttle {
            account: Account::of(address),
            divisor: 4,
        };
        assert_eq!(reputation.throttles(0), Some(vec![expected]));
    }

    #[test]
    fn nobody_is_where_that_is_not_wanted() {
        for settings in [
            Settings {
                mode: Mode::Shadow,
                ..Settings::default()
            },
            Settings {
                limit_step: 0,
                ..Settings::default()
            },
        ] {
            let mut reputation = Reputation::new(settings, 0, 0);
            reputation.connect(HashMap::new(), 0);
            reputation.take(account(1), &flood(true), 0);
            assert!(divisors(&mut reputation, 0).is_empty());
        }
    }

    #[test]
    fn what_an_earlier_process_knew_divides_limits_too() {
        let mut before = reputation(100);
        before.take(account(1), &flood(true), 0);
        let mut next = alone(100);
        next.adopt(before.whole(), 0);
        assert_eq!(divisors(&mut next, 0), [4]);
    }

    #[test]
    fn suspects_are_bounded() {
        let mut reputation = alone(100_000);
        for number in 0..20_000 {
            reputation.take(account(number), &flood(true), 0);
        }
        assert_eq!(reputation.throttles(0).map(|all| all.len()), Some(THROTTLED));
    }
}
