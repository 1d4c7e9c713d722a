//! Range stage: what lists with up to millions of prefixes (feeds, countries, autonomous systems) say of a source. User space
//! compiles them all into one table of address ranges, a generation, and exchanges it as a whole: a packet is judged by the
//! old one or by the new one, and each look-up answers for every list at once.
//!
//! A generation is an array of words:
//!
//! | words | content |
//! | --- | --- |
//! | 0 | how many IPv6 bounds there are, and where they begin |
//! | [`POLICIES_AT`] | [`POLICIES`] policies of [`POLICY_WORDS`] words |
//! | [`MARKS_AT`] | [`MARKS`] marks: the policies that hold for a range, one to enforce and one in shadow |
//! | [`GROUPS_AT`] | [`GROUPS`] groups of 2^14 IPv4 addresses: all of one mark, or with bounds |
//! | [`V4_AT`] | IPv4 bounds, two a word, sorted: from this address of the group on, this mark |
//! | see word 0 | IPv6 bounds, [`V6_WORDS`] words each, sorted: from this address on, this mark |

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict,
    layout::Rate,
    limit,
    packet::{Address, Family},
    rule::has_ended,
    tables::{Generation, Tables},
    view::View,
};

/// Policies that a generation can hold.
pub const POLICIES: u32 = 1024;
/// Words of a policy: what it does, and the two of a [`Rate`].
pub const POLICY_WORDS: u32 = 3;
/// Sets of policies that a generation can hold; the first is the empty one.
pub const MARKS: u32 = 8192;
/// Groups of IPv4 addresses.
pub const GROUPS: u32 = 1 << (32 - GROUP_BITS);
/// A group has 2^14 addresses: a list of a million has some bounds in each, which lie in one cache line.
pub const GROUP_BITS: u32 = 14;
/// Words of an IPv6 bound: both halves of its address, as numbers, and its mark.
pub const V6_WORDS: u32 = 3;
/// IPv6 bounds at the most.
pub const V6_BOUNDS: u32 = (1 << V6_STEPS) - 1;

pub const POLICIES_AT: u32 = 1;
pub const MARKS_AT: u32 = POLICIES_AT + POLICIES * POLICY_WORDS;
pub const GROUPS_AT: u32 = MARKS_AT + MARKS;
pub const V4_AT: u32 = GROUPS_AT + GROUPS;

/// What a generation looks like, for the layout fingerprint.
pub(crate) const LAYOUT: [u32; 6] = [POLICIES, POLICY_WORDS, MARKS, GROUP_BITS, V4_AT, V6_WORDS];

/// Look-ups that find one among all IPv4 bounds of a group, and among [`V6_BOUNDS`].
const V4_STEPS: u32 = GROUP_BITS + 1;
const V6_STEPS: u32 = 20;

/// What a policy does with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Subject {
    /// The source is on a published list: it is blocked.
    Feed = 0,
    CountryBlock = 1,
    CountryLimit = 2,
    AsnBlock = 3,
    AsnLimit = 4,
}

impl Subject {
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Feed,
            1 => Self::CountryBlock,
            2 => Self::CountryLimit,
            3 => Self::AsnBlock,
            4 => Self::AsnLimit,
            _ => return None,
        })
    }

    /// The verdict on a packet that the policy is against.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Feed => Verdict::BlockFeed,
            Self::CountryBlock => Verdict::BlockCountry,
            Self::CountryLimit => Verdict::LimitCountry,
            Self::AsnBlock => Verdict::BlockAsn,
            Self::AsnLimit => Verdict::LimitAsn,
        }
    }

    const fn limits(self) -> bool {
        matches!(self, Self::CountryLimit | Self::AsnLimit)
    }
}

/// One policy of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub subject: Subject,
    /// When it ends, as in [`crate::layout::Rule`]; 0: never.
    pub expires_at: u32,
    /// What all sources of the policy together may send; only for those that limit.
    pub rate: Rate,
}

impl Policy {
    pub const fn words(&self) -> [u64; POLICY_WORDS as usize] {
        let what = (self.subject as u64) << 32 | self.expires_at as u64;
        [what, self.rate.interval_ns, self.rate.tolerance_ns]
    }
}

/// The policies that hold for a range, as their numbers in the generation plus 1; 0: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Mark {
    pub enforced: u16,
    pub shadow: u16,
}

impl Mark {
    pub const fn word(self) -> u64 {
        (self.shadow as u64) << 16 | self.enforced as u64
    }
}

/// The word of a group all of whose addresses have `mark`.
pub const fn uniform(mark: u16) -> u64 {
    (mark as u64) << 32
}

/// The word of a group with `count` bounds, the first of which is number `first` of all. Its address is 0.
pub const fn bounded(first: u32, count: u16) -> u64 {
    (count as u64) << 48 | first as u64
}

/// A bound of a group: from its address `low` on, `mark`.
pub const fn bound(low: u16, mark: u16) -> u32 {
    (low as u32) << 16 | mark as u32
}

/// Word 0.
pub const fn head(v6_at: u32, v6_count: u32) -> u64 {
    (v6_at as u64) << 32 | v6_count as u64
}

/// What the lists say of the packet's source: the verdict of the policy in shadow, if any, and whether to go on.
#[inline(always)]
pub fn check<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    tables: &T,
) -> (Option<Verdict>, ControlFlow<Verdict>) {
    let Some(generation) = tables.generation() else {
        return (None, ControlFlow::Continue(()));
    };
    let mark = mark(view, packet, &generation);
    let mark = view.opaque(mark);
    let shadow = against(mark >> 16, &generation, tables);
    let outcome = match against(mark & 0xffff, &generation, tables) {
        Some(verdict) => ControlFlow::Break(verdict),
        None => ControlFlow::Continue(()),
    };
    (shadow, outcome)
}

/// The verdict of policy `number` when it is against one more packet now.
#[inline(always)]
fn against<G: Generation, T: Tables>(number: u32, generation: &G, tables: &T) -> Option<Verdict> {
    let index = number.checked_sub(1)?;
    let at = POLICIES_AT + index * POLICY_WORDS;
    let what = generation.word(at)?;
    let subject = Subject::from_number((what >> 32) as u8)?;
    let expires_at = what as u32;
    // Reads the clock only for one that can end.
    if expires_at != 0 && has_ended(expires_at, tables.now_ns()) {
        return None;
    }
    if subject.limits() {
        let rate = Rate {
            interval_ns: generation.word(at + 1)?,
            tolerance_ns: generation.word(at + 2)?,
        };
        let cell = tables.policy_cell(index)?;
        if limit::admit(&rate, &cell, &cell, tables.now_ns()) {
            return None;
        }
    }
    tables.count_policy(index);
    Some(subject.verdict())
}

/// The word of the mark of the packet's source.
#[inline(always)]
fn mark<V: View, G: Generation>(view: &V, packet: &Packet, generation: &G) -> u32 {
    let number = match packet.family() {
        Family::V4 => number_v4(view, u32::from_be(packet.source.word_v4()), generation),
        Family::V6 => number_v6(view, packet.source, generation),
    };
    let word = match number {
        Some(number) if number != 0 => generation.word(MARKS_AT + u32::from(number)),
        _ => None,
    };
    word.unwrap_or(0) as u32
}

#[inline(always)]
fn number_v4<V: View, G: Generation>(view: &V, source: u32, generation: &G) -> Option<u16> {
    let group = generation.word(GROUPS_AT + (source >> GROUP_BITS))?;
    let (first, mark, mut count) = (group as u32, (group >> 32) as u16, (group >> 48) as u32);
    if count == 0 {
        return Some(mark);
    }
    let low = source & ((1 << GROUP_BITS) - 1);
    // The last of `count` bounds from `at` on that is not beyond `low`: the first is not.
    let mut at = first;
    for _ in 0..V4_STEPS {
        if count <= 1 {
            break;
        }
        let half = count / 2;
        let bound = bound_v4(at + half, generation)? >> 16;
        at += half * (1 - less(u64::from(low), u64::from(bound)));
        count = view.opaque(count - half);
    }
    Some(bound_v4(at, generation)? as u16)
}

#[inline(always)]
fn bound_v4<G: Generation>(number: u32, generation: &G) -> Option<u32> {
    let word = generation.word(V4_AT + number / 2)?;
    Some((word >> (number % 2 * 32)) as u32)
}

#[inline(always)]
fn number_v6<V: View, G: Generation>(view: &V, source: Address, generation: &G) -> Option<u16> {
    let head = generation.word(0)?;
    let (begin, mut count) = ((head >> 32) as u32, head as u32);
    let (high, low) = (u64::from_be(source.high), u64::from_be(source.low));
    // How many of the bounds are not beyond the source; there may be none.
    let mut after = 0;
    for _ in 0..V6_STEPS {
        if count == 0 {
            break;
        }
        let half = count / 2;
        let at = begin + (after + half) * V6_WORDS;
        let bound = (generation.word(at)?, generation.word(at + 1)?);
        let beyond = less(high, bound.0) | (1 - less(bound.0, high)) & less(low, bound.1);
        // Beyond the source: the first half goes on; else what is behind the bound.
        after += (1 - beyond) * (half + 1);
        count = half - (1 - beyond) * (2 * half + 1 - count);
        (after, count) = (view.opaque(after), view.opaque(count));
    }
    let last = after.checked_sub(1)?;
    Some(generation.word(begin + last * V6_WORDS + 2)? as u16)
}

/// 1 where `a` is less than `b`, else 0: the carry of a subtraction (Warren, Hacker's Delight, section 2-13). A branch would be
/// guessed wrong every other time, and the verifier would follow both.
#[inline(always)]
const fn less(a: u64, b: u64) -> u32 {
    (((!a & b) | ((!a | b) & a.wrapping_sub(b))) >> 63) as u32
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, vec, vec::Vec};

    use super::*;
    use crate::view::SliceView;

    const VIEW: SliceView<'_> = SliceView(&[]);

    struct Words(Vec<u64>);

    impl Generation for Words {
        fn word(&self, index: u32) -> Option<u64> {
            self.0.get(index as usize).copied()
        }
    }

    #[test]
    fn an_ipv4_address_has_the_mark_of_the_last_bound_before_it() {
        let mut words = vec![0; V4_AT as usize];
        words[GROUPS_AT as usize + 1] = uniform(7);
        words[GROUPS_AT as usize + 2] = bounded(1, 5);
        let bounds = [
            bound(9, 99),
            bound(0, 0),
            bound(10, 1),
            bound(20, 2),
            bound(21, 0),
            bound(16_383, 3),
        ];
        words.extend(
            bounds
                .chunks(2)
                .map(|pair| u64::from(pair[1]) << 32 | u64::from(pair[0])),
        );
        let of = |group: u32, low| number_v4(&VIEW, group << GROUP_BITS | low, &Words(words.clone()));
        assert_eq!((of(0, 5), of(1, 0), of(1, 16_383)), (Some(0), Some(7), Some(7)));
        let found: Vec<_> = [0, 9, 10, 19, 20, 21, 16_382, 16_383]
            .iter()
            .map(|low| of(2, *low).unwrap())
            .collect();
        assert_eq!(found, [0, 0, 1, 1, 2, 0, 0, 3]);
    }

    #[test]
    fn an_ipv6_address_has_the_mark_of_the_last_bound_before_it() {
        let bounds: [(u64, u64, u64); 4] = [(1, 5, 1), (1, 9, 0), (7, 0, 2), (8, 0, 0)];
        for count in 0..=bounds.len() {
            let mut words = vec![head(1, count as u32)];
            for (high, low, mark) in &bounds[..count] {
                words.extend([*high, *low, *mark]);
            }
            for high in 0..10_u64 {
                for low in [0_u64, 4, 5, 8, 9, u64::MAX] {
                    let source = Address {
                        high: high.to_be(),
                        low: low.to_be(),
                    };
                    let last = bounds[..count]
                        .iter()
                        .rfind(|bound| (bound.0, bound.1) <= (high, low));
                    let wanted = last.map(|bound| bound.2 as u16);
                    assert_eq!(
                        number_v6(&VIEW, source, &Words(words.clone())),
                        wanted,
                        "{high}:{low}"
                    );
                }
            }
        }
        let (_, address) = Address::of("::1".parse::<IpAddr>().unwrap());
        assert_eq!(number_v6(&VIEW, address, &Words(vec![])), None);
    }

    #[test]
    fn less_is_less() {
        let numbers = [
            0,
            1,
            2,
            u64::MAX / 2,
            1 << 63,
            (1 << 63) + 1,
            u64::MAX - 1,
            u64::MAX,
        ];
        for a in numbers {
            for b in numbers {
                assert_eq!(less(a, b), u32::from(a < b), "{a} {b}");
            }
        }
    }

    #[test]
    fn a_policy_comes_back_from_its_words() {
        for number in 0..5 {
            let subject = Subject::from_number(number).unwrap();
            assert_eq!(subject as u8, number);
        }
        assert_eq!(Subject::from_number(5), None);
    }
}
