//! The map `EXACT` as memory, see `netguard_common::exact`. The rules are in the hashes; what a process that died left wrong
//! here, the next daemon puts right.

use std::{collections::HashMap, sync::atomic::Ordering};

use aya::maps::Map;
use netguard_common::{
    exact::{ExactLine, FILTER_AT, FILTER_LINES, FilterBit, LINES, Mark, V4_LINES, line_v4, line_v6},
    layout::Rule,
    packet::{Address, Family},
};
use rustix::thread::{MembarrierCommand, membarrier};

use super::{
    BpfError,
    line::{Key, Line, Store, WORDS},
    mapped::Mapped,
};
use crate::prefix::Prefix;

/// The lines of blocked addresses of an instance.
pub(super) struct ExactLines {
    memory: Mapped,
    /// The secret by which addresses are spread.
    seed: u64,
}

impl ExactLines {
    /// Those that lie in `map`.
    pub(super) fn of(map: &Map, seed: u64) -> Result<Self, BpfError> {
        let memory = Mapped::of(map, "EXACT", LINES as usize * size_of::<ExactLine>())?;
        Ok(Self { memory, seed })
    }

    /// Puts the rule for `prefix`, an address or an IPv6 /64, into its line; into none when that is full.
    pub(super) fn put(&self, prefix: Prefix, rule: &Rule) {
        let (line, key) = self.place(prefix);
        self.store(line, &self.line(line).put(key, Mark::of(rule, key.is_network)));
        let (word, mask) = self.filter(prefix);
        self.memory.word(word).fetch_or(mask, Ordering::Release);
    }

    /// Takes the rule for `prefix` out of its line. The filter keeps its bit, which may be another's, too.
    pub(super) fn remove(&self, prefix: Prefix) {
        let (line, key) = self.place(prefix);
        self.store(line, &self.line(line).remove(key));
    }

    /// Makes the lines those of `rules`. What stands in them rightly is not touched: it blocks without a gap. Nobody else may
    /// write rules meanwhile.
    pub(super) fn rebuild(&self, rules: impl Iterator<Item = (Prefix, Rule)>) {
        let mut wanted: HashMap<u32, Vec<(Key, Mark)>> = HashMap::new();
        let mut filter = vec![0; FILTER_LINES as usize * WORDS];
        for (prefix, rule) in rules {
            let (line, key) = self.place(prefix);
            let mark = Mark::of(&rule, key.is_network);
            wanted.entry(line).or_default().push((key, mark));
            let (word, mask) = self.filter(prefix);
            filter[word - first_word(FILTER_AT)] |= mask;
        }
        let mut unfinished = Vec::new();
        for line in 0..FILTER_AT {
            let renewal = self.line(line).renew(wanted.remove(&line).unwrap_or_default());
            self.store(line, &renewal.stores);
            if !renewal.at_last.is_empty() {
                unfinished.push((line, renewal.at_last));
            }
        }
        // Otherwise these lines go on telling less than all, which costs a look into the hash.
        if !unfinished.is_empty() && packets_under_way_are_judged() {
            for (line, stores) in unfinished {
                self.store(line, &stores);
            }
        }
        for (word, right) in (first_word(FILTER_AT)..).zip(filter) {
            self.memory.word(word).store(right, Ordering::Release);
        }
    }

    /// The word of the filter that tells of `prefix`, and its bit there.
    fn filter(&self, prefix: Prefix) -> (usize, u64) {
        let (family, address) = Address::of(prefix.address());
        let bit = match family {
            Family::V4 => FilterBit::of_v4(address.word_v4(), self.seed),
            Family::V6 => FilterBit::of_v6(address.high, self.seed),
        };
        (first_word(bit.line) + bit.word as usize, bit.mask)
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

    /// What line `number` is now.
    fn line(&self, number: u32) -> Line {
        let family = if number < V4_LINES { Family::V4 } else { Family::V6 };
        let word = |index| {
            self.memory
                .word(first_word(number) + index)
                .load(Ordering::Relaxed)
        };
        Line::new(family, std::array::from_fn(word))
    }

    /// Carries out `stores`, so that whoever sees one sees those before it.
    fn store(&self, line: u32, stores: &[Store]) {
        for store in stores {
            let word = self.memory.word(first_word(line) + store.index);
            word.store(store.word, Ordering::Release);
        }
    }
}

const fn first_word(line: u32) -> usize {
    line as usize * WORDS
}

/// Waits until each packet is judged that is being judged now; false when the kernel does not wait. A packet is judged in one
/// RCU read section, and this call waits for those that have begun (Linux 6.18, kernel/sched/membarrier.c; with `nohz_full` it
/// is refused).
fn packets_under_way_are_judged() -> bool {
    membarrier(MembarrierCommand::Global).is_ok()
}

#[cfg(test)]
mod tests {
    use netguard_common::{rule::Origin, shared::Field as _};

    use super::*;

    const SEED: u64 = 7;

    fn lines() -> ExactLines {
        ExactLines {
            memory: Mapped::anonymous(LINES as usize * size_of::<ExactLine>()).unwrap(),
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

    fn last_word(lines: &ExactLines, line: u32) -> u64 {
        lines
            .memory
            .word(first_word(line) + WORDS - 1)
            .load(Ordering::Relaxed)
    }

    /// What the datapath relies upon: a rule has its slot, or its line does not claim to tell all; and no other slot is taken.
    fn check(lines: &ExactLines, prefixes: &[Prefix], rules: &HashMap<Prefix, Rule>) {
        for &prefix in prefixes {
            let (line, key) = lines.place(prefix);
            let content = lines.line(line);
            let slot = content.slots().find(|&slot| content.key(slot) == Some(key));
            let mark = slot.map(|slot| content.mark(slot));
            let (word, bit) = lines.filter(prefix);
            let passes = lines.memory.word(word).load(Ordering::Relaxed) & bit != 0;
            assert!(passes || !rules.contains_key(&prefix), "{prefix} is filtered out");
            match rules.get(&prefix) {
                None => assert_eq!(mark, None, "{prefix}"),
                Some(rule) if mark.is_some() => assert_eq!(mark, Some(Mark::of(rule, key.is_network))),
                Some(_) => assert_ne!(last_word(lines, line), 0, "{prefix} is nowhere"),
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
            check(&lines, &prefixes, &rules);
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
        assert_ne!(last_word(&lines, line), 0);
        lines.rebuild(std::iter::empty());
        for index in 0..WORDS {
            let word = lines.memory.word(first_word(line) + index);
            assert_eq!(word.load(Ordering::Relaxed), 0);
        }
        let (word, _) = lines.filter(prefixes[0]);
        assert_eq!(lines.memory.word(word).load(Ordering::Relaxed), 0);
    }
}
