//! The lines of a generation, as `netguard_common::ranges` reads them.

use std::iter;

use netguard_common::ranges::{
    LINES, Line, Mark, Policy,
    layout::{
        CHILDREN, GROUP_BITS, GROUPS, GROUPS_AT, HALVES, LEAF, MARKED, MARKS_AT, NO_BOUND, V4_LINES,
        V6_BOUNDS, WORDS, bound, bounded, children, entry, group_word, mark_line, put_half, tree, uniform,
    },
};

use super::{CompileError, Effect, bounds::Bound};

/// All of a generation without lists: nothing is found in it.
pub(super) const EMPTY: Line = [0; 8];

pub(super) fn lay_out(
    effects: &[Effect],
    marks: &[Mark],
    v4: &[Bound<u32>],
    v6: &[Bound<u128>],
) -> Result<Vec<Line>, CompileError> {
    let mut lines = vec![EMPTY; MARKS_AT as usize];
    lines.extend(marks.iter().map(|mark| {
        let policy = |number| policy_of(effects, number);
        mark_line(*mark, policy(mark.enforced), policy(mark.shadow))
    }));
    lines[0][MARKED] = marks.len() as u64;
    groups(v4, &mut lines)?;
    if v6.len() > V6_BOUNDS {
        return Err(CompileError::V6Bounds);
    }
    if !v6.is_empty() {
        lines[0][0] = tree_v6(v6, &mut lines);
    }
    if lines.len() > LINES as usize {
        return Err(CompileError::Lines);
    }
    Ok(lines)
}

fn policy_of(effects: &[Effect], number: u16) -> Option<&Policy> {
    effects.get(usize::from(number.checked_sub(1)?))?.policy()
}

/// Parts `v4` into groups, each of which begins with a bound of its own unless one mark holds for all of it.
fn groups(v4: &[Bound<u32>], lines: &mut Vec<Line>) -> Result<(), CompileError> {
    let mut rest = v4;
    let mut mark = 0;
    for number in 0..GROUPS {
        let begin = number << GROUP_BITS;
        let inside = rest
            .iter()
            .take_while(|(at, _)| at >> GROUP_BITS == number)
            .count();
        let (here, behind) = rest.split_at(inside);
        rest = behind;
        let (begins, here) = match here.split_first() {
            Some(((at, first), others)) if *at == begin => (*first, others),
            _ => (mark, here),
        };
        mark = here.last().map_or(begins, |(_, last)| *last);
        let group = if here.is_empty() {
            uniform(begins)
        } else {
            let bounds: Vec<u32> = iter::once(bound(0, begins))
                .chain(here.iter().map(|(at, mark)| bound((at - begin) as u16, *mark)))
                .collect();
            let first = lines.len();
            lines.extend(bounds.chunks(HALVES as usize).map(bounds_line));
            if lines.len() > V4_LINES as usize {
                return Err(CompileError::V4Bounds);
            }
            bounded(first as u32, (lines.len() - first) as u32)
        };
        let line = &mut lines[(GROUPS_AT + number / WORDS) as usize];
        line[(number % WORDS) as usize] = group_word(group, marked(begin, begins, here));
    }
    Ok(())
}

/// Which /23s of the group that begins at `begin` with mark `begins` have any mark; `bounds` are the others in it.
fn marked(begin: u32, begins: u16, bounds: &[Bound<u32>]) -> u32 {
    let starts = iter::once((begin, begins)).chain(bounds.iter().copied());
    let last = begin + ((1 << GROUP_BITS) - 1);
    let ends = bounds.iter().map(|(at, _)| at - 1).chain([last]);
    let network = |at: u32| (at - begin) >> 9;
    starts
        .zip(ends)
        .filter(|((_, mark), _)| *mark != 0)
        .map(|((first, _), last)| u32::MAX << network(first) & u32::MAX >> (31 - network(last)))
        .fold(0, |all, some| all | some)
}

fn bounds_line(bounds: &[u32]) -> Line {
    let mut line = EMPTY;
    let bounds = bounds.iter().chain(iter::repeat(&NO_BOUND));
    for (index, bound) in (0..HALVES as usize).zip(bounds) {
        put_half(&mut line, index, *bound);
    }
    line
}

/// Lays the tree of `bounds` out, and those of the lower halves of upper halves that have several.
fn tree_v6(bounds: &[Bound<u128>], lines: &mut Vec<Line>) -> u64 {
    let mut entries = Vec::with_capacity(bounds.len());
    let mut mark = 0;
    for same in bounds.chunk_by(|(a, _), (b, _)| a >> 64 == b >> 64) {
        let inside = match same {
            [(at, _)] if *at as u64 == 0 => 0,
            _ => {
                let lows = same.iter().map(|(at, mark)| (*at as u64, entry(*mark, 0)));
                lay_tree(&from_zero(mark, lows), lines)
            }
        };
        if let Some((at, last)) = same.last() {
            mark = *last;
            entries.push(((at >> 64) as u64, entry(mark, inside)));
        }
    }
    lay_tree(&from_zero(0, entries.into_iter()), lines)
}

/// `entries`, with one for what lies before the first: it has `mark`.
fn from_zero(mark: u16, entries: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut entries = entries.peekable();
    let before = match entries.peek() {
        Some((0, _)) => None,
        _ => Some((0, entry(mark, 0))),
    };
    before.into_iter().chain(entries).collect()
}

/// Lays the tree of these keys and entries out, which are sorted: its leaves, then each level of nodes above them.
fn lay_tree(entries: &[(u64, u64)], lines: &mut Vec<Line>) -> u64 {
    let mut first = lines.len();
    let mut begins: Vec<u64> = entries.chunks(LEAF).map(|leaf| leaf[0].0).collect();
    lines.extend(entries.chunks(LEAF).map(leaf));
    let mut levels = 0;
    while begins.len() > 1 {
        let above = lines.len();
        let nodes = begins.chunks(CHILDREN).enumerate();
        lines.extend(nodes.map(|(number, begins)| node((first + number * CHILDREN) as u32, begins)));
        begins = begins.iter().step_by(CHILDREN).copied().collect();
        (first, levels) = (above, levels + 1);
    }
    tree(first as u32, levels)
}

fn leaf(entries: &[(u64, u64)]) -> Line {
    // Who is found in a place that is not used has the largest key: it is behind the last entry, or has it.
    let rest = match entries.last() {
        Some((u64::MAX, last)) => *last,
        Some((_, last)) => entry(*last as u16, 0),
        None => 0,
    };
    let mut line = [u64::MAX; 8];
    line[LEAF..].fill(rest);
    for (index, (key, entry)) in entries.iter().enumerate() {
        (line[index], line[LEAF + index]) = (*key, *entry);
    }
    line
}

/// An inner node whose children, from line `first` on, begin with these keys.
fn node(first: u32, begins: &[u64]) -> Line {
    let mut line = [u64::MAX; 8];
    line[..begins.len() - 1].copy_from_slice(&begins[1..]);
    line[CHILDREN - 1] = children(first, begins.len());
    line
}
