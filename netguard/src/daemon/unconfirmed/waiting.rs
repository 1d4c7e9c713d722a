//! The changes that wait for their confirmation, by number.

use std::collections::BTreeMap;

use super::{Trial, UnconfirmedChange, Undo, nanoseconds};
use crate::audit::Author;

/// Changes that wait at the same time, at the most.
const MOST: usize = 64;

/// The changes that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    last_id: u64,
    pub(super) changes: BTreeMap<u64, Change>,
}

#[derive(Debug)]
pub(super) struct Change {
    pub(super) what: String,
    pub(super) author: Author,
    pub(super) ends_ns: u64,
    why: Option<String>,
    /// Somebody takes it back already.
    pub(super) going: bool,
    pub(super) undo: Undo,
}

impl Waiting {
    /// Whether no more can wait.
    pub(crate) fn is_full(&self) -> bool {
        self.changes.len() >= MOST
    }

    /// What waits, at `now_ns`.
    pub(crate) fn report(&self, now_ns: u64) -> Vec<UnconfirmedChange> {
        let one = |(id, change): (&u64, &Change)| UnconfirmedChange {
            id: *id,
            what: change.what.clone(),
            author: change.author.clone(),
            goes_back_in_s: change.ends_ns.saturating_sub(now_ns).div_ceil(1_000_000_000),
            why: change.why.clone(),
        };
        self.changes.iter().map(one).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    /// What held before the changes that wait, where `of` knows the one that it is about.
    pub(crate) fn before<T>(&self, of: impl Fn(&Undo) -> Option<T>) -> Option<T> {
        self.changes.values().find_map(|change| of(&change.undo))
    }

    /// The change that waits and is about the same as another, as `is_same` says.
    pub(crate) fn in_the_way(&self, is_same: impl Fn(&Undo) -> bool) -> Option<(u64, &str)> {
        let mut changes = self.changes.iter();
        let (id, change) = changes.find(|(_, change)| is_same(&change.undo))?;
        Some((*id, &change.what))
    }

    pub(super) fn begin(
        &mut self,
        what: String,
        author: Author,
        trial: &Trial,
        undo: Undo,
        now_ns: u64,
    ) -> u64 {
        self.last_id += 1;
        let change = Change {
            what,
            author,
            ends_ns: now_ns.saturating_add(nanoseconds(trial.within)),
            why: trial.why.clone(),
            going: false,
            undo,
        };
        self.changes.insert(self.last_id, change);
        self.last_id
    }

    /// Those that are to go back at `now_ns`; each is told once.
    pub(super) fn due(&mut self, now_ns: u64) -> Vec<u64> {
        let due = self.changes.iter_mut();
        due.filter(|(_, change)| !change.going && change.ends_ns <= now_ns)
            .map(|(id, change)| {
                change.going = true;
                *id
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use netguard_common::layout::Rate;

    use super::*;
    use crate::control::LimitName;

    fn limit(name: &str, before: u32) -> Undo {
        Undo::Limit {
            name: LimitName::parse(name).expect("a limit"),
            before: Rate::new(before, before),
            set: Rate::new(1, 1),
        }
    }

    #[test]
    fn a_change_is_due_once_and_not_before_its_end() {
        let mut waiting = Waiting::default();
        let trial = Trial {
            within: Duration::from_secs(10),
            why: None,
        };
        let first = waiting.begin("udp".to_owned(), Author::Daemon, &trial, limit("udp", 100), 0);
        let second = waiting.begin(
            "syn".to_owned(),
            Author::Daemon,
            &trial,
            limit("syn", 7),
            5_000_000_000,
        );
        assert_eq!((first, second, waiting.len()), (1, 2, 2));
        assert!(waiting.due(9_999_999_999).is_empty());
        assert_eq!(waiting.due(10_000_000_000), [1]);
        assert!(waiting.due(11_000_000_000).is_empty(), "it is on its way");
        assert_eq!(waiting.due(u64::MAX), [2]);
        let left: Vec<u64> = waiting
            .report(4_500_000_000)
            .iter()
            .map(|one| one.goes_back_in_s)
            .collect();
        assert_eq!(left, [6, 11], "what is left is never told as less");
    }

    #[test]
    fn what_held_before_is_found_by_what_it_is_about() {
        let mut waiting = Waiting::default();
        let trial = Trial {
            within: Duration::from_secs(10),
            why: None,
        };
        waiting.begin("udp".to_owned(), Author::Daemon, &trial, limit("udp", 100), 0);
        let of = |name: &str| {
            let name = LimitName::parse(name).expect("a limit");
            waiting.before(|undo| undo.limit_before(name))
        };
        assert_eq!(of("udp"), Some((Rate::new(100, 100), Rate::new(1, 1))));
        assert_eq!(of("syn"), None);
        assert_eq!(waiting.in_the_way(|undo| undo.is_signature(1)), None);
        let name = LimitName::parse("udp").expect("a limit");
        let in_the_way = waiting.in_the_way(|undo| undo.limit_before(name).is_some());
        assert_eq!(in_the_way, Some((1, "udp")));
        for _ in 1..MOST {
            assert!(!waiting.is_full());
            waiting.begin("syn".to_owned(), Author::Daemon, &trial, limit("syn", 1), 0);
        }
        assert!(waiting.is_full());
    }
}
