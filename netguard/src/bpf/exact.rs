//! The map `EXACT` as memory, see `netguard_common::exact`. The rules are in the hashes; what a process that died left wrong
//! here, the next daemon puts right.

use std::{
    collections::HashMap,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use aya::maps::Map;
use memmap2::{MmapOptions, MmapRaw};
use netguard_common::{
    exact::{ExactLine, LINES, Mark, V4_LINES, V4_SLOTS, V6_SLOTS, line_v4, line_v6},
    layout::Rule,
    packet::{Address, Family},
};

use super::{BpfError, catalogue::map_data};
use crate::prefix::Prefix;

/// The lines of blocked addresses of an instance.
pub(super) struct ExactLines {
    memory: MmapRaw,
    /// The secret by which addresses are spread.
    seed: u64,
}

/// What a slot holds: IPv4 addresses as `low`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    high: u64,
    low: u64,
    is_network: bool,
}

impl ExactLines {
    /// Those that lie in `map`.
    pub(super) fn of(map: &Map, seed: u64) -> Result<Self, BpfError> {
        let missing = || BpfError::NoSuchMap("EXACT".to_owned());
        let descriptor = map_data(map).ok_or_else(missing)?.fd().as_fd().as_raw_fd();
        let memory = MmapOptions::new()
            .len(LINES as usize * size_of::<ExactLine>())
            .map_raw(descriptor)
            .map_err(|source| BpfError::Memory { map: "EXACT", source })?;
        Ok(Self { memory, seed })
    }

    /// Puts the rule for `prefix`, an address or an IPv6 /64, into its line; into none when that is full.
    pub(super) fn put(&self, prefix: Prefix, rule: &Rule) {
        let (line, key) = self.place(prefix);
        let mark = Mark::of(rule, key.is_network);
        let standing = |slot| self.key(line, slot) == Some(key);
        let usable = |slot| self.key(line, slot).is_none();
        let slot = slots(line)
            .find(|&slot| standing(slot))
            .or_else(|| slots(line).find(|&slot| usable(slot)));
        if let Some(slot) = slot {
            self.write(line, slot, key, mark);
        }
    }

    /// Takes the rule for `prefix` out of its line.
    pub(super) fn remove(&self, prefix: Prefix) {
        let (line, key) = self.place(prefix);
        if let Some(slot) = slots(line).find(|&slot| self.key(line, slot) == Some(key)) {
            // The last one stays taken: something may have found no slot while it was.
            let is_last = slots(line).next_back() == Some(slot);
            let mark = if is_last { Mark::GONE } else { Mark::FREE };
            self.write(line, slot, Key::NOBODY, mark);
        }
    }

    /// Makes the lines those of `rules`. What stands in them rightly is not touched: it blocks without a gap.
    pub(super) fn rebuild(&self, rules: impl Iterator<Item = (Prefix, Rule)>) {
        let mut wanted: HashMap<u32, Vec<(Key, Mark)>> = HashMap::new();
        for (prefix, rule) in rules {
            let (line, key) = self.place(prefix);
            let mark = Mark::of(&rule, key.is_network);
            wanted.entry(line).or_default().push((key, mark));
        }
        for line in 0..LINES {
            self.make(line, wanted.remove(&line).unwrap_or_default());
        }
    }

    /// First puts in what is missing, then clears what is too much: a line that told less than all never claims to tell all.
    fn make(&self, line: u32, mut missing: Vec<(Key, Mark)>) {
        let mut free = Vec::new();
        for slot in slots(line) {
            let standing = self.key(line, slot);
            match missing.iter().position(|(key, _)| Some(*key) == standing) {
                Some(index) => {
                    let (key, mark) = missing.swap_remove(index);
                    if self.mark(line, slot) != mark {
                        self.write(line, slot, key, mark);
                    }
                }
                None => free.push(slot),
            }
        }
        let mut free = free.into_iter();
        for ((key, mark), slot) in missing.into_iter().zip(free.by_ref()) {
            self.write(line, slot, key, mark);
        }
        for slot in free.filter(|&slot| self.mark(line, slot) != Mark::FREE) {
            self.write(line, slot, Key::NOBODY, Mark::FREE);
        }
    }

    fn place(&self, prefix: Prefix) -> (u32, Key) {
        let (family, address) = Address::of(prefix.address());
        match family {
            Family::V4 => {
                let key = Key {
                    low: address.word_v4().into(),
                    ..Key::NOBODY
                };
                (line_v4(address.word_v4(), self.seed), key)
            }
            Family::V6 => {
                let is_network = prefix.bits() < 128;
                let key = Key {
                    high: address.high,
                    low: if is_network { 0 } else { address.low },
                    is_network,
                };
                (line_v6(address.high, self.seed), key)
            }
        }
    }

    /// What `slot` holds, ended or not.
    fn key(&self, line: u32, slot: u32) -> Option<Key> {
        let mark = self.mark(line, slot);
        if matches!(mark, Mark::FREE | Mark::GONE) {
            return None;
        }
        if line < V4_LINES {
            let low = self.word(line, slot).load(Relaxed) & u64::from(u32::MAX);
            return Some(Key { low, ..Key::NOBODY });
        }
        Some(Key {
            high: self.word(line, slot).load(Relaxed),
            low: self.word(line, V6_SLOTS + slot).load(Relaxed),
            is_network: mark.is_network(),
        })
    }

    fn mark(&self, line: u32, slot: u32) -> Mark {
        if line < V4_LINES {
            return Mark((self.word(line, slot).load(Relaxed) >> 32) as u32);
        }
        Mark(self.mark_v6(line, slot).load(Relaxed))
    }

    /// The datapath may look at any moment. A slot of IPv6 blocks nobody while it changes its address.
    fn write(&self, line: u32, slot: u32, key: Key, mark: Mark) {
        if line < V4_LINES {
            self.word(line, slot)
                .store(key.low | u64::from(mark.0) << 32, Relaxed);
            return;
        }
        let (high, low) = (self.word(line, slot), self.word(line, V6_SLOTS + slot));
        if (high.load(Relaxed), low.load(Relaxed)) != (key.high, key.low) {
            self.mark_v6(line, slot).store(Mark::GONE.0, Relaxed);
            high.store(key.high, Relaxed);
            low.store(key.low, Relaxed);
        }
        self.mark_v6(line, slot).store(mark.0, Relaxed);
    }

    fn word(&self, line: u32, index: u32) -> &AtomicU64 {
        assert!(line < LINES && index < 8, "the word lies in the map");
        // SAFETY: inside the mapping, which is page-aligned and lives as long as `self`; processes and the kernel use its words
        // and half words by single instructions.
        unsafe {
            AtomicU64::from_ptr(
                self.memory
                    .as_mut_ptr()
                    .cast::<u64>()
                    .add((line * 8 + index) as usize),
            )
        }
    }

    /// The half word behind the addresses that is the mark of `slot`.
    fn mark_v6(&self, line: u32, slot: u32) -> &AtomicU32 {
        let index = 4 * V6_SLOTS + slot;
        assert!(line < LINES && index < 16, "the mark lies in the map");
        // SAFETY: as for `word`.
        unsafe {
            AtomicU32::from_ptr(
                self.memory
                    .as_mut_ptr()
                    .cast::<u32>()
                    .add((line * 16 + index) as usize),
            )
        }
    }
}

impl Key {
    const NOBODY: Self = Self {
        high: 0,
        low: 0,
        is_network: false,
    };
}

fn slots(line: u32) -> std::ops::Range<u32> {
    0..if line < V4_LINES { V4_SLOTS } else { V6_SLOTS }
}

#[cfg(test)]
mod tests {
    use netguard_common::{rule::Origin, shared::Field as _};

    use super::*;

    const SEED: u64 = 7;

    fn lines() -> ExactLines {
        let memory = MmapOptions::new()
            .len(LINES as usize * size_of::<ExactLine>())
            .map_anon()
            .unwrap();
        ExactLines {
            memory: memory.into(),
            seed: SEED,
        }
    }

    /// Addresses and /64s that share few lines.
    fn prefixes() -> Vec<Prefix> {
        let crowded = (0_u32..)
            .filter(|address| line_v4(address.to_be(), SEED) < 3)
            .map(|address| Prefix::from(std::net::IpAddr::from(address.to_be_bytes())));
        let mut prefixes: Vec<Prefix> = crowded.take(40).collect();
        for host in 0..10 {
            prefixes.push(format!("2001:db8::{host:x}").parse().unwrap());
        }
        prefixes.push("2001:db8::/64".parse().unwrap());
        prefixes
    }

    fn rule(expires_at: u32) -> Rule {
        Rule {
            expires_at,
            origin: Origin::Detector as u8,
            ..Rule::ZERO
        }
    }

    /// What the datapath relies upon: a rule has its slot, or its line does not claim to tell all; and no other slot is taken.
    fn check(lines: &ExactLines, rules: &HashMap<Prefix, Rule>) {
        for prefix in prefixes() {
            let (line, key) = lines.place(prefix);
            let slot = slots(line).find(|&slot| lines.key(line, slot) == Some(key));
            let mark = slot.map(|slot| lines.mark(line, slot));
            match rules.get(&prefix) {
                None => assert_eq!(mark, None, "{prefix}"),
                Some(rule) if mark.is_some() => assert_eq!(mark, Some(Mark::of(rule, key.is_network))),
                Some(_) => assert_ne!(lines.word(line, 7).load(Relaxed), 0, "{prefix} is nowhere"),
            }
        }
    }

    #[test]
    fn lines_never_hide_a_rule() {
        let (lines, prefixes) = (lines(), prefixes());
        let mut rules = HashMap::new();
        let mut dice = 1_u64;
        for step in 1..2_000_u32 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let prefix = prefixes[(dice >> 33) as usize % prefixes.len()];
            match dice >> 60 {
                // The table has lost or gained a rule that was not announced.
                _ if step.is_multiple_of(250) => {
                    if rules.remove(&prefix).is_none() {
                        rules.insert(prefix, rule(step));
                    }
                    lines.rebuild(rules.iter().map(|(prefix, rule)| (*prefix, *rule)));
                }
                0..8 => {
                    rules.insert(prefix, rule(step));
                    lines.put(prefix, &rule(step));
                }
                _ => {
                    rules.remove(&prefix);
                    lines.remove(prefix);
                }
            }
            check(&lines, &rules);
        }
    }

    #[test]
    fn a_line_that_was_full_tells_all_again_when_it_is_made_anew() {
        let (lines, prefixes) = (lines(), prefixes());
        for prefix in &prefixes {
            lines.put(*prefix, &rule(0));
        }
        for prefix in &prefixes {
            lines.remove(*prefix);
        }
        let (line, _) = lines.place(prefixes[0]);
        assert_ne!(lines.word(line, 7).load(Relaxed), 0);
        lines.rebuild(std::iter::empty());
        for index in 0..8 {
            assert_eq!(lines.word(line, index).load(Relaxed), 0);
        }
    }
}
