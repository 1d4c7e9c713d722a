//! Which hints announce a generation: a set of places in the map `HINTS`.

use netguard_common::{
    hint::{SLOTS, coarse, coarse_v4, fine},
    packet::Address,
};

use super::bounds::Bound;
use crate::prefix::Prefix;

const WORDS: usize = (SLOTS / u64::BITS) as usize;

/// A set of hint places.
#[derive(Clone, Debug)]
pub struct Slots {
    words: Vec<u64>,
    /// The secret by which IPv6 networks are spread.
    seed: u64,
}

impl Slots {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            words: vec![0; WORDS],
            seed,
        }
    }

    /// Adds the places of all addresses in the IPv6 `prefix`.
    pub(super) fn mark_v6(&mut self, prefix: Prefix) {
        let (family, address) = Address::of(prefix.address());
        let (bits, seed) = (prefix.bits(), self.seed);
        for slot in fine(family, address, bits, seed).chain(coarse(family, address, bits, seed)) {
            self.insert(slot);
        }
    }

    /// Adds the places of all IPv4 addresses that have a mark: coarse ones, the fine ones are not asked.
    pub(super) fn mark_v4(&mut self, bounds: &[Bound<u32>]) {
        let ends = bounds.iter().skip(1).map(|(begin, _)| begin - 1);
        for ((begin, mark), last) in bounds.iter().zip(ends.chain([u32::MAX])) {
            if *mark != 0 {
                (coarse_v4(begin.to_be())..=coarse_v4(last.to_be())).for_each(|slot| self.insert(slot));
            }
        }
    }

    /// For each place whether it is in the set, in words of 64 places.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    fn insert(&mut self, slot: u32) {
        self.words[(slot / u64::BITS) as usize] |= 1 << (slot % u64::BITS);
    }
}
