//! What the endpoint counts, and whom it refuses most. All of it is bounded, and of API keys only fingerprints are in it.

use std::{collections::HashMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::verdict::Answer;

/// Names that are remembered of those who are refused.
const NAMES: usize = 128;
/// Clients that may be watched for going on while they are refused.
const WATCHED: usize = 4_096;
/// Refusals of a client in a second from which on it does not care that it is refused.
const CARELESS: u32 = 20;
/// Such seconds in a row that are told.
const SECONDS: u32 = 5;

/// Checks by what became of them, and what was strange about them.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// By answer; and those that were only counted.
    answers: [[u64; 2]; Answer::ALL.len()],
    /// Checks by somebody who may not speak for others.
    pub untrusted: u64,
    /// Checks by a trusted proxy that does not say for whom.
    pub unsaid: u64,
    pub reports: u64,
    /// Reports of failures among them.
    pub failures: u64,
    /// Reports of somebody who may not report.
    pub refused_reports: u64,
}

/// Somebody who is refused, and how often, which is an upper bound where others had to give way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedKey {
    /// Which limit refuses it.
    pub limit: String,
    /// Such as `192.0.2.1/32, POST /login`.
    pub key: String,
    pub refusals: u64,
}

/// Whom limits refuse most.
#[derive(Debug, Default)]
pub(super) struct Refused {
    names: HashMap<u64, RefusedKey>,
    clients: HashMap<IpAddr, Careless>,
}

/// A client that goes on while it is refused.
#[derive(Clone, Copy, Debug, Default)]
struct Careless {
    refusals: u32,
    seconds: u32,
    limit: usize,
}

impl Counts {
    pub(super) fn count(&mut self, answer: Answer, shadow: bool) {
        self.answers[answer as usize][usize::from(shadow)] += 1;
    }

    pub(super) fn of(&self, answer: Answer, shadow: bool) -> u64 {
        self.answers[answer as usize][usize::from(shadow)]
    }
}

impl Refused {
    /// Counts that `limit` refused what has this `hash`; `name` is only made where it is new.
    pub(super) fn count(&mut self, hash: u64, limit: &str, name: impl FnOnce() -> String) {
        if let Some(known) = self.names.get_mut(&hash) {
            known.refusals += 1;
            return;
        }
        let mut refusals = 1;
        if self.names.len() >= NAMES {
            // Whoever was refused least gives way, and its count is taken over: none is ever told too low.
            let least = self.names.iter().min_by_key(|(_, known)| known.refusals);
            if let Some((gone, count)) = least.map(|(hash, known)| (*hash, known.refusals)) {
                self.names.remove(&gone);
                refusals += count;
            }
        }
        let (limit, key) = (limit.to_owned(), name());
        let new = RefusedKey { limit, key, refusals };
        self.names.insert(hash, new);
    }

    /// Those who are refused most, at most `most` of them.
    pub(super) fn top(&self, most: usize) -> Vec<RefusedKey> {
        let mut all: Vec<RefusedKey> = self.names.values().cloned().collect();
        all.sort_by(|a, b| b.refusals.cmp(&a.refusals).then_with(|| a.key.cmp(&b.key)));
        all.truncate(most);
        all
    }

    /// Counts that `client` was refused by the limit of this number.
    pub(super) fn watch(&mut self, client: IpAddr, limit: usize) {
        let has_room = self.clients.len() < WATCHED;
        if has_room || self.clients.contains_key(&client) {
            let watched = self.clients.entry(client).or_default();
            watched.refusals += 1;
            watched.limit = limit;
        }
    }

    /// At the end of a second: clients that have gone on for several while they were refused, and the limit that refuses them.
    pub(super) fn second(&mut self) -> Vec<(IpAddr, usize)> {
        self.clients.retain(|_, watched| {
            let goes_on = std::mem::take(&mut watched.refusals) >= CARELESS;
            watched.seconds = watched.seconds.saturating_add(1);
            goes_on
        });
        let long = self
            .clients
            .iter()
            .filter(|(_, watched)| watched.seconds >= SECONDS);
        long.map(|(client, watched)| (*client, watched.limit)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_the_heaviest_stay() {
        let mut refused = Refused::default();
        for hash in 0..100_000 {
            refused.count(hash, "a", || format!("key {hash}"));
            refused.count(7, "a", || "heavy".to_owned());
        }
        assert_eq!(refused.top(usize::MAX).len(), NAMES);
        let top = &refused.top(1)[0];
        // It was there before under its other name.
        assert!(top.refusals >= 99_999, "{top:?}");
    }

    #[test]
    fn who_goes_on_for_seconds_is_told() {
        let mut refused = Refused::default();
        let client = IpAddr::from([192, 0, 2, 1]);
        for second in 1..=SECONDS {
            for _ in 0..CARELESS {
                refused.watch(client, 3);
            }
            refused.watch([192, 0, 2, 2].into(), 3);
            let told = refused.second();
            assert_eq!(
                told,
                if second < SECONDS {
                    vec![]
                } else {
                    vec![(client, 3)]
                }
            );
        }
        assert_eq!(refused.second(), [], "it stopped");
        for host in 0..100_000_u32 {
            refused.watch(IpAddr::from(host.to_be_bytes()), 0);
        }
        assert_eq!(refused.clients.len(), WATCHED);
    }
}
