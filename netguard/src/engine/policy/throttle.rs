//! Whose limits are divided, and by what: nobody guarded.

use crate::engine::{Account, Guard, Reputation, reputation::Throttle};

/// What `reputation` says of limits at `now_ns`, but of those of whom the guard list has anybody.
pub fn throttles(guard: &Guard, reputation: &mut Reputation, now_ns: u64) -> Vec<Throttle> {
    let mut throttles = reputation.throttles(now_ns);
    throttles.retain(|throttle| !is_guarded(throttle.account, guard));
    throttles
}

/// The same of `account` alone; 1 is not at all.
pub fn divisor(account: Account, guard: &Guard, reputation: &Reputation, now_ns: u64) -> u8 {
    match is_guarded(account, guard) {
        true => 1,
        false => reputation.divisor(account, now_ns),
    }
}

fn is_guarded(account: Account, guard: &Guard) -> bool {
    guard.objection(&account.prefix()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{
        GuardKind,
        reputation::{Evidence, Kind, Settings},
    };

    #[test]
    fn whoever_is_guarded_keeps_its_limits() {
        let [one, other] = [1, 2].map(|last| Account::of([192, 0, 2, last].into()));
        let mut reputation = Reputation::new(Settings::default(), 0, 0);
        let evidence = Evidence {
            kind: Kind::Flood,
            proven: true,
            detail: "limit-udp".to_owned(),
            packets: 1,
        };
        for account in [one, other] {
            reputation.take(account, &evidence, 0);
        }
        let guard = Guard::new([(one.prefix(), GuardKind::Resolver)]);
        let throttled = throttles(&guard, &mut reputation, 0);
        assert_eq!(
            throttled,
            [Throttle {
                account: other,
                divisor: 4
            }]
        );
        let divisors = [one, other].map(|account| divisor(account, &guard, &reputation, 0));
        assert_eq!(divisors, [1, 4]);
    }
}
