//! Range stage: what lists with up to millions of prefixes (feeds, countries, autonomous systems) say of a source. User space
//! compiles them all into one table of address ranges, a generation, and exchanges it as a whole: a packet is judged by the
//! old one or by the new one, and each look-up answers for every list at once.
//!
//! A generation is made of [lines](Line), because what a source needs of it should miss the cache as seldom as possible. [`layout`]
//! says what lies where. In the kernel lines lie in arrays of [`CHUNK`] each: an array in an array of maps is looked into without a
//! call only if its length is known when the program is loaded.

pub mod layout;
mod search;

use core::ops::ControlFlow;

use layout::{ENFORCED_AT, POLICY_WORDS, SHADOW_AT};

use crate::{
    Packet, Verdict,
    apart::Part,
    layout::{Rate, Settings},
    limit, pace,
    rule::has_ended,
    tables::Tables,
    view::View,
};

/// Policies that a generation can hold.
pub const POLICIES: u32 = 1024;

/// An entry of a generation: as long as a line of the cache.
pub type Line = [u64; 8];

const CHUNK_BITS: u32 = 14;
/// Lines of a chunk: a mebibyte.
pub const CHUNK: u32 = 1 << CHUNK_BITS;
/// Chunks that a generation can have, and lines.
pub const CHUNKS: u32 = 512;
pub const LINES: u32 = CHUNKS * CHUNK;
/// Entries of the map `RANGES`: the chunks of the generation in force, and of the one that is written.
pub const RANGES: u32 = 2 * CHUNKS;

crate::shared! {
    /// The entry of the map `GENERATION`.
    pub struct InForce {
        /// The entry of `RANGES` that holds the first chunk of the generation in force.
        pub first_chunk: u32,
        /// Lines that it has; 0 when there never was one.
        pub lines: u32,
    }
}

impl InForce {
    /// The entry of `RANGES`, and that in the chunk, where `line` lies.
    #[inline(always)]
    pub const fn place(&self, line: u32) -> (u32, u32) {
        (self.first_chunk + (line >> CHUNK_BITS), line & (CHUNK - 1))
    }

    /// The first chunk of the other generation.
    pub const fn other(&self) -> u32 {
        if self.first_chunk == 0 { CHUNKS } else { 0 }
    }
}

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
    /// Whether sources pass beyond it that have proven themselves, or that are known to the UDP service that they ask, and what this
    /// machine asked.
    pub spares: bool,
}

/// The bit of a policy's first word that says [`Policy::spares`].
const SPARES: u64 = 1 << 40;

impl Policy {
    pub(crate) const fn words(&self) -> [u64; POLICY_WORDS] {
        let spares = if self.spares { SPARES } else { 0 };
        let what = spares | (self.subject as u64) << 32 | self.expires_at as u64;
        [what, self.rate.interval_ns, self.rate.tolerance_ns]
    }
}

/// The first word of a policy that spares, when it has ended, where `what` is that of one that has not.
pub const fn end_of_sparing(what: u64) -> Option<u64> {
    const LONG_AGO: u64 = 1;
    let ended = what & !(u32::MAX as u64) | LONG_AGO;
    if what & SPARES != 0 && what != ended {
        Some(ended)
    } else {
        None
    }
}

/// The policies that hold for a range, as their numbers in the generation plus 1; 0: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Mark {
    pub enforced: u16,
    pub shadow: u16,
}

/// What the lists say of the packet's source: the verdict of the policy in shadow, if any, and whether to go on.
#[inline(always)]
pub fn check<V: View, T: Tables>(
    view: &V,
    packet: &mut Packet,
    settings: &Settings,
    tables: &T,
) -> (Option<Verdict>, ControlFlow<Verdict>) {
    let Some(generation) = tables.generation() else {
        return (None, ControlFlow::Continue(()));
    };
    let Some(mark) = search::mark(view, packet, &generation) else {
        return (None, ControlFlow::Continue(()));
    };
    let numbers = view.opaque(mark[0] as u32);
    let shadow = against::<SHADOW_AT, V, T>(view, numbers >> 16, mark, packet, settings, tables);
    let outcome = match against::<ENFORCED_AT, V, T>(view, numbers & 0xffff, mark, packet, settings, tables) {
        Some(verdict) => ControlFlow::Break(verdict),
        None => ControlFlow::Continue(()),
    };
    (shadow, outcome)
}

/// The verdict of policy `number`, whose words begin `AT` in the line of `mark`, when it is against `packet` now.
#[inline(always)]
fn against<const AT: usize, V: View, T: Tables>(
    view: &V,
    number: u32,
    mark: &Line,
    packet: &mut Packet,
    settings: &Settings,
    tables: &T,
) -> Option<Verdict> {
    let index = number.checked_sub(1)?;
    let what = mark[AT];
    let subject = Subject::from_number((what >> 32) as u8)?;
    let expires_at = what as u32;
    // Reads the clock only for one that can end.
    if expires_at != 0 && has_ended(expires_at, tables.now_ns()) {
        return None;
    }
    if subject.limits() {
        let rate = Rate {
            interval_ns: mark[AT + 1],
            tolerance_ns: mark[AT + 2],
        };
        let cell = tables.policy_cell(index)?;
        pace::count(packet, settings, tables);
        let packets = pace::packets(packet.chance, &rate, rate.tolerance_ns);
        if limit::admit(&rate, &cell, packets, tables.now_ns()) {
            return None;
        }
        // Only beyond the rate: who is known costs those who are not nothing then.
        if what & SPARES != 0 && tables.apart(Part::Trusted, view, packet, settings) != 0 {
            return None;
        }
    }
    tables.count_policy(index);
    Some(subject.verdict())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_comes_back_from_its_words() {
        for number in 0..5 {
            let subject = Subject::from_number(number).unwrap();
            assert_eq!(subject as u8, number);
        }
        assert_eq!(Subject::from_number(5), None);
    }

    /// Whether a policy spares is no part of what it does.
    #[test]
    fn who_is_spared_stands_beside_what_is_done() {
        let policy = |spares| Policy {
            subject: Subject::AsnLimit,
            expires_at: u32::MAX,
            rate: Rate::UNLIMITED,
            spares,
        };
        let [plain, sparing] = [false, true].map(|spares| policy(spares).words()[0]);
        assert_eq!(sparing ^ plain, SPARES);
        for word in [plain, sparing] {
            assert_eq!(Subject::from_number((word >> 32) as u8), Some(Subject::AsnLimit));
            assert_eq!(word as u32, u32::MAX);
        }
        assert_eq!(end_of_sparing(plain), None);
        let ended = end_of_sparing(sparing).unwrap();
        assert_eq!(ended >> 32, sparing >> 32);
        assert!(has_ended(ended as u32, 1 << 40));
        assert_eq!(end_of_sparing(ended), None);
    }
}
