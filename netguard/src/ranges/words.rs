//! The words of a generation, as `netguard_common::ranges` reads them.

use netguard_common::ranges::{
    GROUP_BITS, GROUPS, GROUPS_AT, MARKS_AT, Mark, POLICIES_AT, POLICY_WORDS, V4_AT, bound, bounded, head,
    uniform,
};

use super::{Effect, bounds::Bound};

/// All of a generation without lists: nothing is found beyond its end.
pub(super) const EMPTY: u64 = head(0, 0);

pub(super) fn lay_out(effects: &[Effect], marks: &[Mark], v4: &[Bound<u32>], v6: &[Bound<u128>]) -> Vec<u64> {
    let mut words = vec![0; V4_AT as usize];
    for (index, effect) in effects.iter().enumerate() {
        if let Some(policy) = effect.policy() {
            let at = POLICIES_AT as usize + index * POLICY_WORDS as usize;
            words[at..at + POLICY_WORDS as usize].copy_from_slice(&policy.words());
        }
    }
    for (index, mark) in marks.iter().enumerate() {
        words[MARKS_AT as usize + index] = mark.word();
    }
    let mut bounds = Vec::new();
    groups(v4, &mut words[GROUPS_AT as usize..V4_AT as usize], &mut bounds);
    words.extend(bounds.chunks(2).map(|pair| {
        let second = pair.get(1).copied().unwrap_or(0);
        u64::from(second) << 32 | u64::from(pair[0])
    }));
    words[0] = head(words.len() as u32, v6.len() as u32);
    words.extend(
        v6.iter()
            .flat_map(|(at, mark)| [(at >> 64) as u64, *at as u64, u64::from(*mark)]),
    );
    words
}

/// Parts `v4` into groups, each of which begins with a bound of its own unless one mark holds for all of it.
fn groups(v4: &[Bound<u32>], groups: &mut [u64], bounds: &mut Vec<u32>) {
    let mut rest = v4;
    let mut mark = 0;
    for (number, group) in (0..GROUPS).zip(groups) {
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
        if here.is_empty() {
            *group = uniform(begins);
            continue;
        }
        *group = bounded(bounds.len() as u32, here.len() as u16 + 1);
        bounds.push(bound(0, begins));
        bounds.extend(here.iter().map(|(at, mark)| bound((at - begin) as u16, *mark)));
    }
}
