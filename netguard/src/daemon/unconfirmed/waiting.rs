//! The changes that wait for their confirmation, by number.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{Trial, UnconfirmedChange, Undo, nanoseconds};
use crate::audit::Author;

/// Changes that wait at the same time, at the most.
const MOST: usize = 64;

/// A daemon begins with the hundredth of a second at which it does, in seven digits: they come round after a day.
const FIRST_ID: u64 = 1_000_000;
const FIRST_IDS: u64 = 9_000_000;
const MS_PER_ID: u128 = 10;

/// The changes that wait.
#[derive(Debug)]
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
    /// Nothing waits. The number of the first that will is one that no daemon told before this one, which begins at `now`: whoever confirms
    /// what an earlier one told confirms nothing else.
    pub(crate) fn since(now: SystemTime) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let turn = (since.as_millis() / MS_PER_ID) % u128::from(FIRST_IDS);
        Self {
            last_id: FIRST_ID + u64::try_from(turn).unwrap_or(0),
            changes: BTreeMap::new(),
        }
    }

    /// Whether another can wait, in place of those that `is_replaced` says or beside them.
    pub(crate) fn has_room(&self, is_replaced: impl Fn(&Undo) -> bool) -> bool {
        let stays = |change: &&Change| !is_replaced(&change.undo);
        self.changes.len() < MOST || self.changes.values().filter(stays).count() < MOST
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

    /// As a daemon has it whose numbers begin with 1.
    fn nothing() -> Waiting {
        Waiting {
            last_id: 0,
            changes: BTreeMap::new(),
        }
    }

    fn limit(name: &str, before: u32) -> Undo {
        Undo::Limit {
            name: LimitName::parse(name).expect("a limit"),
            before: Rate::new(before, before),
            set: Rate::new(1, 1),
        }
    }

    #[test]
    fn a_change_is_due_once_and_not_before_its_end() {
        let mut waiting = nothing();
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
        let mut waiting = nothing();
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
    }

    /// Found in review: a change that would have taken the place of one of them was refused, too.
    #[test]
    fn there_is_room_for_so_many_and_for_what_replaces_one_of_them() {
        let mut waiting = nothing();
        let trial = Trial {
            within: Duration::from_secs(10),
            why: None,
        };
        for number in 0..MOST {
            assert!(waiting.has_room(|_| false), "{number}");
            let name = if number == 7 { "udp" } else { "syn" };
            waiting.begin(name.to_owned(), Author::Daemon, &trial, limit(name, 1), 0);
        }
        let is_of = |name: &str| {
            let name = LimitName::parse(name).expect("a limit");
            waiting.has_room(|undo| undo.limit_before(name).is_some())
        };
        assert!(!waiting.has_room(|_| false));
        assert!(is_of("udp") && !is_of("icmp"));
    }

    /// Found in review: after each start numbers began with 1, so whoever confirmed one that was told before confirmed another change.
    #[test]
    fn no_number_comes_again_after_a_restart() {
        let trial = Trial {
            within: Duration::from_secs(10),
            why: None,
        };
        let first_at = |ms: u64| {
            let mut waiting = Waiting::since(UNIX_EPOCH + Duration::from_millis(ms));
            waiting.begin("udp".to_owned(), Author::Daemon, &trial, limit("udp", 1), 0)
        };
        let start = 1_796_000_000_000;
        let first = first_at(start);
        assert!((FIRST_ID..FIRST_ID + FIRST_IDS + 1).contains(&first), "{first}");
        assert!(first_at(start + 1_000) >= first + MOST as u64, "a second later");
        // Over the moment at which the digits begin anew.
        let day = FIRST_IDS * 10;
        let ids: std::collections::BTreeSet<u64> =
            (0..100).map(|s| first_at(day * 9 - 50_000 + s * 1_000)).collect();
        assert_eq!(ids.len(), 100);
        assert!(first_at(0) > 0 && Waiting::since(UNIX_EPOCH - Duration::from_secs(9)).last_id == FIRST_ID);
    }
}
