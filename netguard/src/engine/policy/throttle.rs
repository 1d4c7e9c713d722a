//! Whose limits are divided, and by what: nobody guarded.

use crate::engine::{Account, Guard, Reputation, reputation::Throttle};

/// Leaves of `throttles` those of whom the guard list has nobody.
pub fn spare_guarded(mut throttles: Vec<Throttle>, guard: &Guard) -> Vec<Throttle> {
    throttles.retain(|throttle| !is_guarded(throttle.account, guard));
    throttles
}

/// By what the limits of `account` are divided at `now_ns`; 1 is not at all.
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
        reputation.connect(std::collections::HashMap::new(), 0);
        let throttles = reputation.throttles(0).expect("it is known who is connected");
        let throttled = spare_guarded(throttles, &guard);
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
