//! The few things of one source that are remembered: what it has in common with many others rather than what it alone does, and of that the
//! newest. So neither the numbers that somebody chooses nor what is strewn in between decide what is seen.

use std::{cmp::Reverse, collections::BTreeSet};

/// Things of one kind, each with when it was last met.
#[derive(Clone, Debug)]
pub(super) struct Kept<K> {
    things: Vec<(K, u64)>,
    most: usize,
}

impl<K: Copy + Ord> Kept<K> {
    /// Room for so many.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            things: Vec::new(),
            most,
        }
    }

    /// Takes `thing` in. Where there is no room, that gives way which the fewest sources have, and of these what was met longest ago.
    pub(super) fn take(&mut self, thing: K, at_ns: u64, shared: &Shared<K>) {
        if let Some((_, met_ns)) = self.things.iter_mut().find(|(known, _)| *known == thing) {
            *met_ns = at_ns.max(*met_ns);
            return;
        }
        if self.things.len() >= self.most {
            let places = self.things.iter().enumerate();
            let least = places.min_by_key(|(_, (known, met_ns))| (shared.of(known), *met_ns));
            if let Some((place, _)) = least {
                self.things.swap_remove(place);
            }
        }
        self.things.push((thing, at_ns));
    }

    /// Forgets what was met before `from_ns`.
    pub(super) fn forget(&mut self, from_ns: u64) {
        self.things.retain(|(_, met_ns)| *met_ns >= from_ns);
    }

    pub(super) fn withdraw(&mut self, things: &BTreeSet<K>) {
        self.things.retain(|(known, _)| !things.contains(known));
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = K> {
        self.things.iter().map(|(thing, _)| *thing)
    }

    pub(super) fn has(&self, thing: &K) -> bool {
        self.things.iter().any(|(known, _)| known == thing)
    }
}

/// How many sources have each thing that several have.
#[derive(Clone, Debug)]
pub(super) struct Shared<K>(Vec<(K, u32)>);

impl<K> Default for Shared<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Copy + Ord> Shared<K> {
    /// Of all the things of all sources.
    pub(super) fn among(things: impl Iterator<Item = K>) -> Self {
        let mut shared = counted(things);
        shared.retain(|(_, count)| *count > 1);
        Self(shared)
    }

    fn of(&self, thing: &K) -> u32 {
        let found = self.0.binary_search_by_key(thing, |(known, _)| *known);
        found.map_or(0, |place| self.0[place].1)
    }

    /// The most first.
    pub(super) fn most(&self) -> Vec<(K, u32)> {
        sorted(self.0.clone())
    }
}

/// How often each is met, the most first.
pub(super) fn most<K: Copy + Ord>(things: impl Iterator<Item = K>) -> Vec<(K, u32)> {
    sorted(counted(things))
}

fn sorted<K: Copy + Ord>(mut counts: Vec<(K, u32)>) -> Vec<(K, u32)> {
    counts.sort_unstable_by_key(|(thing, count)| (Reverse(*count), *thing));
    counts
}

/// How often each is met, in its own order: sorting takes a tenth of the time that a tree does, and the tick waits for it.
fn counted<K: Copy + Ord>(things: impl Iterator<Item = K>) -> Vec<(K, u32)> {
    let mut things: Vec<K> = things.collect();
    things.sort_unstable();
    let mut counts: Vec<(K, u32)> = Vec::new();
    for thing in things {
        match counts.last_mut() {
            Some((known, count)) if *known == thing => *count = count.saturating_add(1),
            _ => counts.push((thing, 1)),
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn things(kept: &Kept<u16>) -> Vec<u16> {
        let mut things: Vec<u16> = kept.iter().collect();
        things.sort_unstable();
        things
    }

    #[test]
    fn what_others_have_as_well_stays_and_the_newest_beside_it() {
        let shared = Shared::among([8_443, 3_389, 3_389, 8_443, 8_443, 7].into_iter());
        let mut kept = Kept::new(3);
        kept.take(3_389, 1, &shared);
        for (at_ns, port) in (2..).zip(1..1_000) {
            kept.take(port, at_ns, &shared);
        }
        kept.take(8_443, 2_000, &shared);
        assert_eq!(things(&kept), [999, 3_389, 8_443]);
        // What comes again is no second thing, and new.
        kept.take(3_389, 3_000, &shared);
        kept.forget(2_500);
        assert_eq!(things(&kept), [3_389]);
        assert!(kept.has(&3_389) && !kept.has(&8_443));
    }

    #[test]
    fn the_most_are_first_and_of_as_many_the_least() {
        assert_eq!(
            most([5, 1, 9, 5, 9, 2].into_iter()),
            [(5, 2), (9, 2), (1, 1), (2, 1)]
        );
        let shared = Shared::among([5, 1, 9, 5, 9, 5].into_iter());
        assert_eq!(shared.most(), [(5, 3), (9, 2)]);
        assert_eq!([1, 5, 7].map(|thing| shared.of(&thing)), [0, 3, 0]);
    }
}
