//! What is learnt from how requests ended: whoever fails again and again (guessed passwords, names that do not exist) has each request count for
//! more. Failures are forgotten at a steady pace, and nobody is blocked for them.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
};

use super::table::{Pace, Table};
use crate::{config, engine::Account};

/// The most that a request counts for.
const MOST: u32 = 16;
/// Times `failures` that are remembered: [`MOST`] holds until most of them are forgotten.
const REMEMBERED: u32 = 6;

/// Failures of clients.
pub(super) struct Feedback {
    statuses: Vec<u16>,
    failures: u32,
    pace: Pace,
    table: Table,
}

impl Feedback {
    pub(super) fn new(settings: &config::Feedback, keys: u32) -> Self {
        let failures = settings.failures.value();
        let within_ns = u64::try_from(settings.within.duration().as_nanos()).unwrap_or(u64::MAX);
        Self {
            statuses: settings
                .statuses
                .iter()
                .filter_map(|status| u16::try_from(status.value()).ok())
                .collect(),
            failures,
            pace: Pace {
                interval_ns: (within_ns / u64::from(failures)).max(1),
                burst: failures.saturating_mul(REMEMBERED),
            },
            table: Table::new(keys),
        }
    }

    /// Takes in that a request of `client` ended with `status`; tells whether that is a failure.
    pub(super) fn take(&mut self, client: IpAddr, status: u16, secret: &RandomState, now_ns: u64) -> bool {
        let is_failure = self.statuses.contains(&status);
        if is_failure {
            self.failed(client, secret, now_ns);
        }
        is_failure
    }

    /// Takes in a failure of `client`.
    pub(super) fn failed(&mut self, client: IpAddr, secret: &RandomState, now_ns: u64) {
        // Without room it has failed as often as is remembered.
        if let Ok(room) = self.table.room(key(client, secret), &self.pace, 1, now_ns) {
            self.table.charge(&room, now_ns);
        }
    }

    /// What a request of `client` counts for, 1 to 16.
    pub(super) fn cost(&self, client: IpAddr, secret: &RandomState, now_ns: u64) -> u32 {
        let failed = self.table.used_of(key(client, secret), &self.pace, now_ns);
        let times = failed / u64::from(self.failures);
        1 << times.min(u64::from(MOST.ilog2()))
    }

    /// Clients whose failures were forgotten early, since too many others failed.
    pub(super) const fn displaced(&self) -> u64 {
        self.table.displaced()
    }
}

fn key(client: IpAddr, secret: &RandomState) -> u64 {
    secret.hash_one(("failures", Account::of(client)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn who_fails_pays_more_for_a_while() {
        let settings = config::Feedback {
            failures: config::Within::constant::<10>(),
            within: "10s".parse().unwrap(),
            ..config::Feedback::default()
        };
        let (mut feedback, secret) = (Feedback::new(&settings, 1_024), RandomState::new());
        let [one, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        assert!(!feedback.take(one, 200, &secret, SECOND));
        for _ in 0..9 {
            assert!(feedback.take(one, 404, &secret, SECOND));
        }
        assert_eq!(feedback.cost(one, &secret, SECOND), 1);
        for (more, cost) in [(1, 2), (10, 4), (10, 8), (10, 16), (100, 16)] {
            for _ in 0..more {
                feedback.take(one, 401, &secret, SECOND);
            }
            assert_eq!(feedback.cost(one, &secret, SECOND), cost, "{more}");
        }
        assert_eq!(feedback.cost(other, &secret, SECOND), 1);
        // A failure is forgotten every second.
        assert_eq!(feedback.cost(one, &secret, 40 * SECOND), 4);
        assert_eq!(feedback.cost(one, &secret, 62 * SECOND), 1);
    }
}
