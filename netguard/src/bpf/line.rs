//! One line of the map `EXACT` as a value, and the stores that change it, in their order. Pure: whoever has the memory carries
//! them out. The datapath looks meanwhile, so what a line says is right after each of them. A packet that reads a slot of IPv6
//! in the very moment in which it passes from one address to another may find the upper half of the one beside the mark of the
//! other, and be dropped if that is its address. No order of the stores is against that.

use netguard_common::{
    exact::{Mark, V4_SLOTS, V6_SLOTS},
    packet::Family,
};

/// Words of a line.
pub(super) const WORDS: usize = 8;

/// What a line of a family holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    family: Family,
    words: [u64; WORDS],
}

/// What a slot holds: IPv4 addresses as `low`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) high: u64,
    pub(super) low: u64,
    pub(super) is_network: bool,
}

/// A word of a line, and what it becomes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Store {
    pub(super) index: usize,
    pub(super) word: u64,
}

/// What makes a line that of certain rules.
#[derive(Debug)]
pub(super) struct Renewal {
    pub(super) stores: Vec<Store>,
    /// What frees the last slot, once no packet is judged any more that looked before the stores: it may have passed by a slot
    /// before what it seeks came into it, and must not be told then that the line tells all.
    pub(super) at_last: Vec<Store>,
}

/// Stores under way, and what the line is after them.
struct Change {
    line: Line,
    stores: Vec<Store>,
}

impl Key {
    pub(super) const NOBODY: Self = Self {
        high: 0,
        low: 0,
        is_network: false,
    };
}

impl Line {
    pub(super) const fn new(family: Family, words: [u64; WORDS]) -> Self {
        Self { family, words }
    }

    /// Puts `key` into a slot; into none when the line is full.
    pub(super) fn put(self, key: Key, mark: Mark) -> Vec<Store> {
        let mut change = Change::of(self);
        let free = || self.slots().find(|&slot| self.key(slot).is_none());
        if let Some(slot) = self.slot_of(key).or_else(free) {
            change.write(slot, key, mark);
        }
        change.stores
    }

    /// Takes `key` out of its slot.
    pub(super) fn remove(self, key: Key) -> Vec<Store> {
        let mut change = Change::of(self);
        if let Some(slot) = self.slot_of(key) {
            change.clear(slot);
        }
        change.stores
    }

    /// Makes the line that of `wanted`. What stands in it rightly is not moved.
    pub(super) fn renew(self, mut wanted: Vec<(Key, Mark)>) -> Renewal {
        let mut change = Change::of(self);
        let mut free = Vec::new();
        for slot in self.slots() {
            let standing = self.key(slot);
            match wanted.iter().position(|(key, _)| Some(*key) == standing) {
                Some(index) => {
                    let (key, mark) = wanted.swap_remove(index);
                    change.write(slot, key, mark);
                }
                None => free.push(slot),
            }
        }
        let last = self.last();
        // Until each has its slot, the last one says that not all have.
        if free.last() == Some(&last) && (!wanted.is_empty() || self.mark(last) != Mark::FREE) {
            change.clear(last);
        }
        let mut free = free.into_iter();
        for ((key, mark), slot) in wanted.into_iter().zip(free.by_ref()) {
            change.write(slot, key, mark);
        }
        for slot in free.filter(|&slot| slot != last) {
            change.clear(slot);
        }
        let stores = std::mem::take(&mut change.stores);
        if change.line.mark(last) == Mark::GONE {
            change.write(last, Key::NOBODY, Mark::FREE);
        }
        Renewal {
            stores,
            at_last: change.stores,
        }
    }

    pub(super) fn slots(&self) -> std::ops::Range<u32> {
        0..match self.family {
            Family::V4 => V4_SLOTS,
            Family::V6 => V6_SLOTS,
        }
    }

    fn last(&self) -> u32 {
        self.slots().end - 1
    }

    fn slot_of(&self, key: Key) -> Option<u32> {
        self.slots().find(|&slot| self.key(slot) == Some(key))
    }

    /// What `slot` holds, ended or not.
    pub(super) fn key(&self, slot: u32) -> Option<Key> {
        let mark = self.mark(slot);
        if matches!(mark, Mark::FREE | Mark::GONE) {
            return None;
        }
        let first = self.words[slot as usize];
        Some(match self.family {
            Family::V4 => Key {
                low: first & u64::from(u32::MAX),
                ..Key::NOBODY
            },
            Family::V6 => Key {
                high: first,
                low: self.words[(V6_SLOTS + slot) as usize],
                is_network: mark.is_network(),
            },
        })
    }

    pub(super) fn mark(&self, slot: u32) -> Mark {
        let (index, shift) = self.place_of_mark(slot);
        Mark((self.words[index] >> shift) as u32)
    }

    /// The word that has the mark of `slot`, and how far up.
    const fn place_of_mark(&self, slot: u32) -> (usize, u32) {
        match self.family {
            Family::V4 => (slot as usize, 32),
            Family::V6 => ((2 * V6_SLOTS + slot / 2) as usize, slot % 2 * 32),
        }
    }
}

impl Change {
    const fn of(line: Line) -> Self {
        Self {
            line,
            stores: Vec::new(),
        }
    }

    /// Makes `slot` one of nobody. The last one stays taken: something may have found no slot while it was.
    fn clear(&mut self, slot: u32) {
        let mark = if slot == self.line.last() {
            Mark::GONE
        } else {
            Mark::FREE
        };
        self.write(slot, Key::NOBODY, mark);
    }

    /// A slot of IPv6 blocks nobody while it changes its address, and the last one is not free meanwhile.
    fn write(&mut self, slot: u32, key: Key, mark: Mark) {
        match self.line.family {
            Family::V4 => self.store(slot as usize, key.low | u64::from(mark.0) << 32),
            Family::V6 => {
                let (high, low) = (slot as usize, (V6_SLOTS + slot) as usize);
                if (self.line.words[high], self.line.words[low]) != (key.high, key.low) {
                    self.mark(slot, Mark::GONE);
                    self.store(high, key.high);
                    self.store(low, key.low);
                }
                self.mark(slot, mark);
            }
        }
    }

    fn mark(&mut self, slot: u32, mark: Mark) {
        let (index, shift) = self.line.place_of_mark(slot);
        let others = self.line.words[index] & !(u64::from(u32::MAX) << shift);
        self.store(index, others | u64::from(mark.0) << shift);
    }

    fn store(&mut self, index: usize, word: u64) {
        if self.line.words[index] != word {
            self.line.words[index] = word;
            self.stores.push(Store { index, word });
        }
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::{layout::Rule, shared::Field as _};

    use super::*;

    const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

    fn dice(state: &mut u64, sides: u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*state >> 33) % sides
    }

    fn key(family: Family, number: u64) -> Key {
        match family {
            Family::V4 => Key {
                low: number,
                ..Key::NOBODY
            },
            Family::V6 => {
                let is_network = number.is_multiple_of(4);
                Key {
                    high: 1 + number / 2 % 2,
                    low: if is_network { 0 } else { number },
                    is_network,
                }
            }
        }
    }

    fn mark(key: Key, ends: u32) -> Mark {
        let rule = Rule {
            expires_at: ends,
            ..Rule::ZERO
        };
        Mark::of(&rule, key.is_network)
    }

    /// The line after each of `stores`, and before the first.
    fn states(mut line: Line, stores: &[Store]) -> Vec<Line> {
        let mut states = vec![line];
        for store in stores {
            line.words[store.index] = store.word;
            states.push(line);
        }
        states
    }

    /// Whether whoever looks at the words of a line one by one while it goes through `states`, in whatever order, finds `key` or is
    /// told to ask the hash.
    fn is_found(states: &[Line], key: Key) -> bool {
        let first = &states[0];
        let stays = |slot| states.iter().all(|line| line.key(slot) == Some(key));
        let asks = || states.iter().all(|line| line.words[WORDS - 1] != 0);
        first.slots().any(stays) || asks()
    }

    /// Found in review: a packet that looked while a line was made anew could find no slot of what had been in the hash only, and
    /// then the last slot free.
    #[test]
    fn a_rule_is_found_at_any_moment_while_its_line_is_made_anew() {
        let mut seed = 1;
        for round in 0..20_000 {
            let family = FAMILIES[round % 2];
            let keys: Vec<Key> = (1..16).map(|number| key(family, number)).collect();
            let any = |seed: &mut u64| keys[dice(seed, keys.len() as u64) as usize];
            let mut line = Line::new(family, [0; WORDS]);
            // What daemons before left: some in slots, rightly or not, some gone.
            for step in 0..dice(&mut seed, 14) {
                let key = any(&mut seed);
                let stores = match step % 3 {
                    0 => line.remove(key),
                    _ => line.put(key, mark(key, step as u32 + 2)),
                };
                line = states(line, &stores)[stores.len()];
            }
            let mut wanted: Vec<(Key, Mark)> = Vec::new();
            for ends in 0..dice(&mut seed, 12) as u32 {
                let key = any(&mut seed);
                if wanted.iter().all(|(other, _)| *other != key) {
                    wanted.push((key, mark(key, ends + 2)));
                }
            }
            check(line, &wanted);
        }
    }

    fn check(line: Line, wanted: &[(Key, Mark)]) {
        let Renewal { stores, at_last } = line.renew(wanted.to_vec());
        let first = states(line, &stores);
        let renewed = first[stores.len()];
        let second = states(renewed, &at_last);
        let made = second[at_last.len()];
        for (key, mark) in wanted {
            let before = is_found(&[line], *key);
            assert!(!before || is_found(&first, *key), "{key:?} in {first:?}");
            assert!(is_found(&second, *key), "{key:?} in {second:?}");
            let slot = made.slot_of(*key);
            assert!(
                slot.is_none_or(|slot| made.mark(slot) == *mark),
                "{key:?} in {made:?}"
            );
        }
        // Nobody else is blocked, by an address that is half another's least of all.
        let holders = |line: &Line| line.slots().filter_map(|slot| line.key(slot)).collect::<Vec<_>>();
        let known: Vec<Key> = wanted.iter().map(|(key, _)| *key).chain(holders(&line)).collect();
        for state in first.iter().chain(&second) {
            for key in holders(state) {
                assert!(known.contains(&key), "{key:?} in {state:?}");
            }
        }
        let slots = made.slots().len();
        assert_eq!(holders(&made).len(), wanted.len().min(slots), "{made:?}");
        let tells_all = made.words[WORDS - 1] == 0;
        assert_eq!(tells_all, made.key(made.last()).is_none(), "{made:?}");
    }

    /// As above, of single changes: what had a slot keeps it, and a line that does not tell all never claims to.
    #[test]
    fn a_change_of_one_rule_hides_no_other() {
        let mut seed = 7;
        for family in FAMILIES {
            let mut line = Line::new(family, [0; WORDS]);
            let mut rules: Vec<Key> = Vec::new();
            for step in 0..10_000 {
                let key = key(family, 1 + dice(&mut seed, 15));
                rules.retain(|other| *other != key);
                let removes = dice(&mut seed, 2) == 0;
                let stores = if removes {
                    line.remove(key)
                } else {
                    line.put(key, mark(key, step % 1_000 + 2))
                };
                let passed = states(line, &stores);
                for other in &rules {
                    assert!(is_found(&passed, *other), "{other:?} in {passed:?}");
                }
                line = passed[stores.len()];
                if !removes {
                    rules.push(key);
                    assert!(is_found(&[line], key), "{key:?} in {line:?}");
                }
            }
        }
    }
}
