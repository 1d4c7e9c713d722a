//! Finds the mark of an address in a generation.

use super::{
    Line,
    layout::{CHILDREN, GROUP_BITS, GROUPS_AT, HALVES, LEAF, LEVELS, MARKS_AT, WORDS, group, half},
};
use crate::{
    Packet,
    packet::{Address, Family},
    tables::Generation,
    view::View,
};

/// Look-ups that find one among all lines of a group, of [`HALVES`] bounds each.
const LINE_STEPS: u32 = GROUP_BITS - HALVES.ilog2() + 1;

/// The line of the mark of the packet's source; `None` when no list has it.
#[inline(always)]
pub(super) fn mark<'a, V: View, G: Generation>(
    view: &V,
    packet: &Packet,
    generation: &'a G,
) -> Option<&'a Line> {
    let number = match packet.family() {
        Family::V4 => number_v4(view, u32::from_be(packet.source.word_v4()), generation)?,
        Family::V6 => number_v6(view, packet.source, generation)?,
    };
    match view.opaque(u32::from(number)) {
        0 => None,
        number => generation.line(MARKS_AT + number),
    }
}

#[inline(always)]
fn number_v4<V: View, G: Generation>(view: &V, source: u32, generation: &G) -> Option<u16> {
    let number = source >> GROUP_BITS;
    let word = generation.line(GROUPS_AT + number / WORDS)?[(number % WORDS) as usize];
    // Most sources are on no list, and need no further look.
    if word >> (32 + (source >> 9) % 32) & 1 == 0 {
        return None;
    }
    let (mut first, mut count) = match group(word) {
        Ok(mark) => return Some(mark),
        Err(lines) => lines,
    };
    let key = u64::from((source & ((1 << GROUP_BITS) - 1)) << 16 | 0xffff);
    // The last of the lines that does not begin beyond the source: the first does not.
    for _ in 0..LINE_STEPS {
        if count <= 1 {
            break;
        }
        let middle = count / 2;
        let begin = half(generation.line(first + middle)?, 0);
        first += middle * (1 - beyond(begin, key));
        count = view.opaque(count - middle);
    }
    let bounds = generation.line(first)?;
    let mut at = 0;
    let mut step = HALVES / 2;
    while step > 0 {
        at += step * (1 - beyond(half(bounds, at + step), key));
        step /= 2;
    }
    Some(half(bounds, at) as u16)
}

/// 1 where `bound` is more than `key`, which has no more bits, else 0. A branch would be guessed wrong every other time, and the
/// verifier would follow both.
#[inline(always)]
const fn beyond(bound: u32, key: u64) -> u32 {
    (key.wrapping_sub(bound as u64) >> 63) as u32
}

#[inline(always)]
fn number_v6<V: View, G: Generation>(view: &V, source: Address, generation: &G) -> Option<u16> {
    let (high, low) = (u64::from_be(source.high), u64::from_be(source.low));
    let (key, entry) = find(view, generation.line(0)?[0], high, generation)?;
    // Further bounds lie inside the upper half that has one, at its lower halves.
    let inside = entry & !0xffff;
    if key != high || inside == 0 {
        return Some(entry as u16);
    }
    let (_, entry) = find(view, inside, low, generation)?;
    Some(entry as u16)
}

/// The last key of `tree` that is not beyond `wanted`, and its entry. Every tree has the key 0.
#[inline(always)]
fn find<V: View, G: Generation>(view: &V, tree: u64, wanted: u64, generation: &G) -> Option<(u64, u64)> {
    let mut at = (tree >> 32) as u32;
    let mut levels = (tree as u32 >> 16).checked_sub(1)?;
    for _ in 0..LEVELS {
        if levels == 0 {
            break;
        }
        let node = generation.line(at)?;
        let children = node[CHILDREN - 1];
        let last = (children >> 32) as u32;
        let found = upto::<{ CHILDREN - 1 }>(node, wanted);
        at = view.opaque(children as u32 + found.min(last));
        levels = view.opaque(levels - 1);
    }
    let leaf = generation.line(at)?;
    let found = (upto::<LEAF>(leaf, wanted).wrapping_sub(1)) as usize % LEAF;
    Some((leaf[found], leaf[LEAF + found]))
}

/// How many of the first `N` words are not more than `wanted`.
#[inline(always)]
fn upto<const N: usize>(node: &Line, wanted: u64) -> u32 {
    let mut count = N as u32;
    let mut index = 0;
    while index < N {
        count -= less(wanted, node[index]);
        index += 1;
    }
    count
}

/// 1 where `a` is less than `b`, else 0: the carry of a subtraction (Warren, Hacker's Delight, section 2-13), without a branch.
#[inline(always)]
const fn less(a: u64, b: u64) -> u32 {
    (((!a & b) | ((!a | b) & a.wrapping_sub(b))) >> 63) as u32
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use super::*;
    use crate::{
        ranges::layout::{NO_BOUND, bound, bounded, children, entry, group_word, put_half, tree, uniform},
        view::SliceView,
    };

    const VIEW: SliceView<'_> = SliceView(&[]);

    /// A generation whose first groups are these, and whose lines lie behind.
    fn generation(groups: &[u32], lines: &[Line]) -> Vec<Line> {
        let mut all = vec![[0; 8]; MARKS_AT as usize];
        for (index, group) in groups.iter().enumerate() {
            all[GROUPS_AT as usize][index] = group_word(*group, u32::MAX);
        }
        all.extend(lines);
        all
    }

    fn halves(bounds: &[u32]) -> Line {
        let mut line = [0; 8];
        for index in 0..HALVES as usize {
            put_half(&mut line, index, bounds.get(index).copied().unwrap_or(NO_BOUND));
        }
        line
    }

    #[test]
    fn an_ipv4_address_has_the_mark_of_the_last_bound_before_it() {
        let bounds = [
            bound(0, 0),
            bound(10, 1),
            bound(20, 2),
            bound(21, 0),
            bound(16_383, 3),
        ];
        let groups = [0, uniform(7), bounded(MARKS_AT, 1)];
        let generation = generation(&groups, &[halves(&bounds)]);
        let of = |group: u32, low| number_v4(&VIEW, group << GROUP_BITS | low, &generation.as_slice());
        assert_eq!((of(0, 5), of(1, 0), of(1, 16_383)), (Some(0), Some(7), Some(7)));
        let found: Vec<_> = [0, 9, 10, 19, 20, 21, 16_382, 16_383]
            .iter()
            .map(|low| of(2, *low).unwrap())
            .collect();
        assert_eq!(found, [0, 0, 1, 1, 2, 0, 0, 3]);
    }

    #[test]
    fn a_network_without_marks_is_not_looked_at() {
        let mut generation = generation(&[uniform(7)], &[]);
        generation[GROUPS_AT as usize][0] = group_word(uniform(7), 1 << 31 | 1 << 3);
        let of = |source| number_v4(&VIEW, source, &generation.as_slice());
        for (source, mark) in [
            (3 << 9, Some(7)),
            ((4 << 9) - 1, Some(7)),
            (4 << 9, None),
            (0, None),
            ((1 << GROUP_BITS) - 1, Some(7)),
            (1 << GROUP_BITS, None),
        ] {
            assert_eq!(of(source), mark, "{source}");
        }
    }

    #[test]
    fn a_group_may_have_a_bound_for_each_address() {
        let bounds: Vec<u32> = (0..1 << GROUP_BITS).map(|low| bound(low, low / 3)).collect();
        for count in [1, 15, 16, 17, 33, 1_000, bounds.len()] {
            let lines: Vec<Line> = bounds[..count].chunks(16).map(halves).collect();
            let generation = generation(&[bounded(MARKS_AT, lines.len() as u32)], &lines);
            for low in 0..1_u32 << GROUP_BITS {
                let wanted = low.min(count as u32 - 1) / 3;
                let found = number_v4(&VIEW, low, &generation.as_slice());
                assert_eq!(found, Some(wanted as u16), "{low} of {count}");
            }
        }
    }

    #[test]
    fn an_ipv6_address_has_the_mark_of_the_last_bound_before_it() {
        let leaf = |keys: [u64; 4], entries: [u64; 4]| {
            let [a, b, c, d] = keys;
            let [e, f, g, h] = entries;
            [a, b, c, d, e, f, g, h]
        };
        let max = u64::MAX;
        let inside = tree(4, 0);
        let generation = [
            [tree(1, 1), 0, 0, 0, 0, 0, 0, 0],
            [7, max, max, max, max, max, max, children(2, 2)],
            leaf([0, 1, 2, 5], [0, entry(4, inside), 3, 0]),
            leaf([7, max - 1, max, max], [2, 5, 5, 5]),
            leaf([0, 5, 9, max], [0, 1, 4, 4]),
        ];
        for (high, low, mark) in [
            (0, 0, 0),
            (0, max, 0),
            (1, 0, 0),
            (1, 5, 1),
            (1, 8, 1),
            (1, 9, 4),
            (1, max, 4),
            (2, 5, 3),
            (4, max, 3),
            (5, 0, 0),
            (6, max, 0),
            (7, 0, 2),
            (max - 1, 0, 5),
            (max, max, 5),
        ] {
            let source = Address {
                high: u64::to_be(high),
                low: u64::to_be(low),
            };
            let found = number_v6(&VIEW, source, &generation.as_slice());
            assert_eq!(found, Some(mark), "{high}:{low}");
        }
        assert_eq!(
            number_v6(&VIEW, Address { high: 0, low: 0 }, &[[0; 8]].as_slice()),
            None
        );
        assert_eq!(
            number_v6(&VIEW, Address { high: 0, low: 0 }, &[].as_slice()),
            None
        );
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
}
