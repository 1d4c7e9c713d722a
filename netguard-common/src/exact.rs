//! Exact addresses of the blocklist, again, in lines as long as those of a cache: a look into the hash that holds the rules misses
//! the cache twice under a flood from many blocked sources, a look into a line once.
//!
//! A source has one line. The writer fills its slots in order, and what finds no slot is in the hash only. So a line
//! whose last slot is free tells all, and after a look into one whose last slot is taken the hash has to be asked,
//! too. The hash is the truth: each daemon makes the lines anew from it.
//!
//! Before the lines stands a filter, a bit for each hash of an address, small enough to stay in the cache: among the neighbours of
//! blocked addresses most sources go no further. A bit too many costs a look at a line.

use crate::{
    Packet,
    layout::Rule,
    limit::{is_link_local, source_hash, source_key},
    packet::{Address, Family},
    rule::{Origin, holds},
    tables::{ExactWords, Tables},
};

/// Lines of IPv4 addresses; a power of two.
pub const V4_LINES: u32 = 32_768;
/// Lines of IPv6 addresses and /64s, which share one: behind those of IPv4; a power of two.
pub const V6_LINES: u32 = 65_536;
/// The first line of the filter, and how many it has; a power of two.
pub const FILTER_AT: u32 = V4_LINES + V6_LINES;
pub const FILTER_LINES: u32 = 2_048;
/// Entries of the map `EXACT`.
pub const LINES: u32 = FILTER_AT + FILTER_LINES;
/// Slots of a line of IPv4: each a word, an address (network byte order) and above it its mark.
pub const V4_SLOTS: u32 = 8;
/// Slots of a line of IPv6: first the upper halves of addresses, then the lower ones, then marks of half a word.
pub const V6_SLOTS: u32 = 3;

crate::shared! {
    /// One entry of the map `EXACT`.
    pub struct ExactLine {
        pub words: [u64; 8],
    }
}

/// What a slot says about its address: a rule, as far as the datapath needs it. All zeros for a slot that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub u32);

impl Mark {
    /// When the rule ends, as [`Rule::expires_at`]: at most 18 years after the machine's start.
    const ENDS: u32 = NETWORK - 1;
    const DETECTOR: u32 = 1 << 30;
    const TAKEN: u32 = 1 << 31;

    pub const FREE: Self = Self(0);
    /// Of a last slot whose rule is gone: it ended in the first second. The line may still not tell all.
    pub const GONE: Self = Self(Self::TAKEN | 1);

    pub const fn of(rule: &Rule, is_network: bool) -> Self {
        let ends = if rule.expires_at < Self::ENDS {
            rule.expires_at
        } else {
            Self::ENDS
        };
        let detector = if rule.origin == Origin::Detector as u8 {
            Self::DETECTOR
        } else {
            0
        };
        let network = if is_network { NETWORK } else { 0 };
        Self(Self::TAKEN | detector | network | ends)
    }

    /// The rule, with the reason left out.
    #[inline(always)]
    const fn rule(self) -> Option<Rule> {
        if self.0 == 0 {
            return None;
        }
        let origin = if self.0 & Self::DETECTOR == 0 {
            Origin::Operator
        } else {
            Origin::Detector
        };
        Some(Rule {
            expires_at: self.0 & Self::ENDS,
            reason: 0,
            origin: origin as u8,
            proof: 0,
        })
    }

    /// Whether it stands for a /64.
    pub const fn is_network(self) -> bool {
        self.0 & NETWORK != 0
    }
}

const NETWORK: u32 = 1 << 29;

/// What the lines say about a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    Yes,
    No,
    /// The hash may know more.
    Perhaps,
}

/// By what lines are spread: an IPv4 address, in network byte order, ...
#[inline(always)]
const fn hash_v4(source: u32, seed: u64) -> u64 {
    source_hash(source_key(Family::V4, Address::v4(source.to_ne_bytes())), seed)
}

/// ... or the upper half of an IPv6 address, which for most sources is their key.
#[inline(always)]
const fn hash_v6(network: u64, seed: u64) -> u64 {
    source_hash(network, seed)
}

#[inline(always)]
const fn hash(packet: &Packet, seed: u64) -> u64 {
    match packet.family() {
        Family::V6 if is_link_local(packet.source) => hash_v6(packet.source.high, seed),
        _ => packet.source_hash(seed),
    }
}

/// The line of the IPv4 address `source`, in network byte order.
#[inline(always)]
pub const fn line_v4(source: u32, seed: u64) -> u32 {
    line_of(Family::V4, hash_v4(source, seed))
}

/// The line of the IPv6 addresses whose upper half is `network`, in network byte order.
#[inline(always)]
pub const fn line_v6(network: u64, seed: u64) -> u32 {
    line_of(Family::V6, hash_v6(network, seed))
}

/// The line of what has `hash`.
#[inline(always)]
const fn line_of(family: Family, hash: u64) -> u32 {
    match family {
        Family::V4 => hash as u32 & (V4_LINES - 1),
        Family::V6 => V4_LINES + (hash as u32 & (V6_LINES - 1)),
    }
}

/// A bit of the filter.
#[derive(Clone, Copy, Debug)]
pub struct FilterBit {
    pub line: u32,
    /// Its word in the line, and which bit of it.
    pub word: u32,
    pub mask: u64,
}

impl FilterBit {
    /// That of the IPv4 address `source`, in network byte order.
    pub const fn of_v4(source: u32, seed: u64) -> Self {
        Self::of(hash_v4(source, seed))
    }

    /// That of the IPv6 addresses whose upper half is `network`, in network byte order.
    pub const fn of_v6(network: u64, seed: u64) -> Self {
        Self::of(hash_v6(network, seed))
    }

    #[inline(always)]
    const fn of(hash: u64) -> Self {
        // Upper bits: lower ones say in which line the address lies.
        let number = (hash >> 40) as u32;
        Self {
            line: FILTER_AT + ((number >> 9) & (FILTER_LINES - 1)),
            word: number >> 6 & 7,
            mask: 1 << (number & 63),
        }
    }
}

/// Whether the source of `packet` is blocked by itself or as one of its /64.
#[inline(always)]
pub(crate) fn look<T: Tables>(packet: &Packet, seed: u64, tables: &T) -> Listed {
    let hash = hash(packet, seed);
    let bit = FilterBit::of(hash);
    if let Some(line) = tables.exact(bit.line)
        && line.word(bit.word) & bit.mask == 0
    {
        return Listed::No;
    }
    match packet.family() {
        Family::V4 => look_v4(packet, line_of(Family::V4, hash), tables),
        Family::V6 => look_v6(packet, line_of(Family::V6, hash), tables),
    }
}

#[inline(always)]
fn look_v4<T: Tables>(packet: &Packet, line: u32, tables: &T) -> Listed {
    let source = packet.source.word_v4();
    let Some(line) = tables.exact(line) else {
        return Listed::Perhaps;
    };
    let mut slot = 0;
    while slot < V4_SLOTS {
        let word = line.word(slot);
        if word as u32 == source && word >> 32 != 0 {
            return listed(holds(Mark((word >> 32) as u32).rule(), packet, tables), &line);
        }
        slot += 1;
    }
    listed(false, &line)
}

#[inline(always)]
fn look_v6<T: Tables>(packet: &Packet, line: u32, tables: &T) -> Listed {
    let Address { high, low } = packet.source;
    let Some(line) = tables.exact(line) else {
        return Listed::Perhaps;
    };
    let (mut address, mut network) = (Mark::FREE, Mark::FREE);
    let mut slot = 0;
    while slot < V6_SLOTS {
        if line.word(slot) == high {
            let mark = mark_v6(&line, slot);
            if mark.is_network() {
                network = mark;
            } else if line.word(V6_SLOTS + slot) == low {
                address = mark;
            }
        }
        slot += 1;
    }
    let blocked = holds(address.rule(), packet, tables) || holds(network.rule(), packet, tables);
    listed(blocked, &line)
}

/// The mark in `slot` of a line of IPv6.
#[inline(always)]
pub fn mark_v6(line: &impl ExactWords, slot: u32) -> Mark {
    Mark((line.word(2 * V6_SLOTS + slot / 2) >> (slot % 2 * 32)) as u32)
}

/// The last word of either kind of line is that of its last slot.
#[inline(always)]
fn listed(blocked: bool, line: &impl ExactWords) -> Listed {
    if blocked {
        Listed::Yes
    } else if line.word(7) == 0 {
        Listed::No
    } else {
        Listed::Perhaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_keeps_what_the_datapath_needs() {
        for (expires_at, origin) in [(0, Origin::Operator), (77, Origin::Detector), (5, Origin::Config)] {
            let rule = Rule {
                expires_at,
                reason: 1,
                origin: origin as u8,
                proof: 2,
            };
            let kept = Mark::of(&rule, true).rule().unwrap();
            assert_eq!(kept.expires_at, expires_at);
            assert_eq!(kept.origin == Origin::Detector as u8, origin == Origin::Detector);
            assert!(Mark::of(&rule, true).is_network() && !Mark::of(&rule, false).is_network());
        }
        let distant = Rule {
            expires_at: u32::MAX,
            ..Mark::GONE.rule().unwrap()
        };
        assert_eq!(Mark::of(&distant, false).rule().unwrap().expires_at, Mark::ENDS);
    }

    #[test]
    fn a_free_slot_and_one_whose_rule_is_gone_block_nobody() {
        assert_eq!(Mark::FREE.rule(), None);
        assert!(Mark::GONE.rule().unwrap().expired(2 << crate::rule::EXPIRY_SHIFT));
    }

    #[test]
    fn lines_of_the_families_lie_apart() {
        for key in 0..1000 {
            assert!(line_v4(key, 7) < V4_LINES);
            assert!((V4_LINES..FILTER_AT).contains(&line_v6(key.into(), 7)));
            assert!((FILTER_AT..LINES).contains(&FilterBit::of_v6(key.into(), 7).line));
        }
    }

    #[test]
    fn the_bits_of_the_filter_are_used_evenly() {
        let bits: std::collections::HashSet<_> = (0..100_000)
            .map(|key| FilterBit::of_v4(key, 7))
            .map(|bit| (bit.line, bit.word, bit.mask))
            .collect();
        // Of a million: 4.7 % of the addresses meet another.
        assert!((94_500..96_000).contains(&bits.len()), "{}", bits.len());
    }
}
