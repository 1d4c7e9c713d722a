//! Where what lies in a generation:
//!
//! | lines | content |
//! | --- | --- |
//! | 0 | word 0: the [`tree`] of IPv6; word [`MARKED`]: how many lines of marks there are, for user space |
//! | [`GROUPS_AT`] | [`GROUPS`] words, each of a group of 2^14 IPv4 addresses: see [`group_word`] |
//! | [`MARKS_AT`] | a line for each mark: the policies that hold for a range, one to enforce and one in shadow |
//! | behind | lines of IPv4 bounds: from this address of the group on, this mark; and nodes of IPv6 trees |
//!
//! A bound holds until the next one. An IPv6 address is found by its upper half; a bound whose lower half is not zero lies in a
//! tree of the lower halves that follow its upper half, one of its own.

use super::{Line, Mark, Policy};

/// Marks that a generation can hold; the first is that of no policy.
pub const MARKS: u32 = 8192;
/// A group has 2^14 addresses: a list of a million has some bounds in each, which lie in one line.
pub const GROUP_BITS: u32 = 14;
/// Groups of IPv4 addresses.
pub const GROUPS: u32 = 1 << (32 - GROUP_BITS);

pub const GROUPS_AT: u32 = 1;
pub const MARKS_AT: u32 = GROUPS_AT + GROUPS / WORDS;

/// The word of line 0 that tells how many lines of marks there are: what lies behind them looks like any of them. 0 where an earlier
/// version wrote the generation, which did not tell.
pub const MARKED: usize = 1;

/// Words of a line, each of which holds a group.
pub const WORDS: u32 = 8;

/// Half words of a line, each of which holds a bound of IPv4.
pub const HALVES: u32 = 16;
/// Lines of a generation up to which bounds of IPv4 can lie.
pub const V4_LINES: u32 = 1 << LINE_BITS;
const LINE_BITS: u32 = 20;
const BOUNDED: u32 = 1 << 31;

/// Where the words of policies lie in the line of a mark.
pub(super) const ENFORCED_AT: usize = 1;
pub(super) const SHADOW_AT: usize = ENFORCED_AT + POLICY_WORDS;
/// Both.
pub const POLICIES_AT: [usize; 2] = [ENFORCED_AT, SHADOW_AT];
/// What a policy does, and the two words of its [`crate::layout::Rate`].
pub(super) const POLICY_WORDS: usize = 3;

/// Children of an inner node of a tree. Its last word tells which of them is the last one, and in which line the first lies; its
/// other words are the keys with which all but the first begin, in order, and then the largest.
pub const CHILDREN: usize = 8;
/// Keys of a leaf, in order and then the largest, and behind them as many entries: what holds from the key on.
pub const LEAF: usize = 4;
/// Levels of inner nodes: more than lines can make.
pub const LEVELS: u32 = 10;
/// IPv6 bounds that a generation can hold.
pub const V6_BOUNDS: usize = 1 << 24;

/// What a generation looks like, for the layout fingerprint.
pub(crate) const FINGERPRINT: [u32; 7] = [
    super::POLICIES,
    super::CHUNK,
    GROUP_BITS,
    MARKS_AT,
    LINE_BITS,
    CHILDREN as u32,
    LEAF as u32,
];

/// The line of `mark`, whose policies are these.
pub fn mark_line(mark: Mark, enforced: Option<&Policy>, shadow: Option<&Policy>) -> Line {
    let mut line = [0; 8];
    line[0] = u64::from(mark.shadow) << 16 | u64::from(mark.enforced);
    for (policy, at) in [(enforced, ENFORCED_AT), (shadow, SHADOW_AT)] {
        if let Some(policy) = policy {
            line[at..at + POLICY_WORDS].copy_from_slice(&policy.words());
        }
    }
    line
}

/// A group all of whose addresses have `mark`.
pub const fn uniform(mark: u16) -> u32 {
    mark as u32
}

/// A group whose bounds lie in `count` lines from line `first` on. The first of them is of its first address.
pub const fn bounded(first: u32, count: u32) -> u32 {
    BOUNDED | (count - 1) << LINE_BITS | first
}

/// The word of a group: `half` is that of [`uniform`] or [`bounded`], and bit i of `marked` says whether an address of its /23
/// number i has a mark.
pub const fn group_word(half: u32, marked: u32) -> u64 {
    (marked as u64) << 32 | half as u64
}

/// The mark of a [`uniform`] group, or the first and the number of its lines.
#[inline(always)]
pub(super) const fn group(word: u64) -> Result<u16, (u32, u32)> {
    let half = word as u32;
    if half & BOUNDED == 0 {
        Ok(half as u16)
    } else {
        Err((half & (V4_LINES - 1), ((half & !BOUNDED) >> LINE_BITS) + 1))
    }
}

/// A bound of a group: from its address `low` on, `mark`.
pub const fn bound(low: u16, mark: u16) -> u32 {
    (low as u32) << 16 | mark as u32
}

/// Behind the last bound of a group: beyond all of its addresses.
pub const NO_BOUND: u32 = bound(u16::MAX, 0);

/// Half word `index` of `line`, of [`HALVES`].
#[inline(always)]
pub const fn half(line: &Line, index: u32) -> u32 {
    (line[(index / 2 % 8) as usize] >> (index % 2 * 32)) as u32
}

/// Puts `value` into half word `index` of `line`, where zeros are.
pub const fn put_half(line: &mut Line, index: usize, value: u32) {
    line[index / 2] |= (value as u64) << (index % 2 * 32);
}

/// The last word of an inner node with `count` children, the first of which is line `first`.
pub const fn children(first: u32, count: usize) -> u64 {
    (count as u64 - 1) << 32 | first as u64
}

/// A tree whose root is line `root`, `levels` of inner nodes above its leaves; never 0.
pub const fn tree(root: u32, levels: u32) -> u64 {
    (root as u64) << 32 | (levels as u64 + 1) << 16
}

/// What holds from a key on: `mark`; but at the key itself what `tree` says, which is 0 for nothing else.
pub const fn entry(mark: u16, tree: u64) -> u64 {
    tree | mark as u64
}
