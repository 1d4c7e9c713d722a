//! Throttles: the limits of a source move with its score, by what nobody can have forged, and come back as that fades. Whom nothing may be done
//! to is policy's business.

use std::net::IpAddr;

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
    /// By what the limits of `account` are divided: one more for each step of its score; 1 is not at all.
    pub fn divisor(&self, account: Account, now_ns: u64) -> u8 {
        let is_shared = self.connections(account) >= self.settings.shared_from;
        if self.settings.mode != Mode::Enforce || is_shared || !is_limited_alone(account) {
            return 1;
        }
        let (score, _) = self.standing(account, now_ns);
        score
            .checked_div(self.settings.limit_step)
            .map_or(1, |steps| steps + 1)
    }

    /// Those whose limits are divided, in the order of their accounts. Of more than the kernel has room for, those that were suspected first.
    pub fn throttles(&mut self, now_ns: u64) -> Vec<Throttle> {
        let divided = |account: Account| Throttle {
            account,
            divisor: self.divisor(account, now_ns),
        };
        let throttles: Vec<Throttle> = self.suspects.iter().copied().map(divided).collect();
        // Who is shared, or was forgiven, may be a suspect again: until nothing speaks against it, it stays one.
        let (at_ns, half_life_ns) = (self.at(now_ns), self.settings.half_life_ns);
        let book = &self.book;
        self.suspects.retain(|account| {
            let record = book.record(*account);
            record.is_some_and(|record| record.proven(at_ns, half_life_ns).score() > 0)
        });
        let divided = throttles.into_iter().filter(|throttle| throttle.divisor > 1);
        let divided: Vec<Throttle> = divided.collect();
        self.throttled = divided.len();
        divided
    }

    /// How many they were when they were asked for last.
    pub fn throttled(&self) -> usize {
        self.throttled
    }

    /// Takes up `account` among those whose limits may be divided.
    pub(super) fn suspect(&mut self, account: Account) {
        if self.suspects.len() < THROTTLED {
            self.suspects.insert(account);
        }
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
        let throttles = reputation.throttles(now_ns).into_iter();
        throttles.map(|throttle| throttle.divisor).collect()
    }

    #[test]
    fn limits_move_with_the_score_and_come_back() {
        let mut reputation = reputation(100);
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
        assert!(
            reputation.suspects.contains(&account(1)),
            "its score is not nought yet"
        );
        assert!(divisors(&mut reputation, 10_000 * SECOND).is_empty());
        assert!(reputation.suspects.is_empty());
        reputation.take(account(1), &flood(true), 10_001 * SECOND);
        assert_eq!(divisors(&mut reputation, 10_001 * SECOND), [4]);
        reputation.forget(account(1));
        assert!(divisors(&mut reputation, 10_001 * SECOND).is_empty());
    }

    #[test]
    fn many_people_keep_their_limits() {
        let mut reputation = reputation(100);
        let of_many = account(1);
        reputation.take(of_many, &flood(true), 0);
        let connected = |connections| HashMap::from([(of_many.prefix().address(), connections)]);
        reputation.connect(connected(64), 0);
        assert!(divisors(&mut reputation, 0).is_empty());
        reputation.connect(connected(2), 0);
        assert_eq!(divisors(&mut reputation, 0), [4]);
    }

    #[test]
    fn a_64_is_throttled_and_an_address_in_one_is_not() {
        let mut reputation = reputation(100);
        let address: IpAddr = "2001:db8::7".parse().expect("an address");
        for account in [Account::of(address), Account::alone(address)] {
            reputation.take(account, &flood(true), 0);
        }
        let expected = Throttle {
            account: Account::of(address),
            divisor: 4,
        };
        assert_eq!(reputation.throttles(0), [expected]);
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
            reputation.take(account(1), &flood(true), 0);
            assert!(divisors(&mut reputation, 0).is_empty());
        }
    }

    #[test]
    fn what_an_earlier_process_knew_divides_limits_too() {
        let mut before = reputation(100);
        let listed = Evidence {
            kind: Kind::Feed,
            ..flood(true)
        };
        before.take(account(1), &listed, 0);
        let mut next = reputation(100);
        next.adopt(before.whole(), 0);
        assert_eq!(divisors(&mut next, 0), [2]);
    }

    #[test]
    fn suspects_are_bounded() {
        let mut reputation = reputation(100_000);
        for number in 0..20_000 {
            reputation.take(account(number), &flood(true), 0);
        }
        assert_eq!(reputation.throttles(0).len(), THROTTLED);
    }
}
