//! Which hints announce a generation: a set of places in the map `HINTS`.

use netguard_common::{
    hint::{LINE, LINES, V4_BYTES, coarse, coarse_v4, fine, slot_v4},
    packet::Address,
};

use super::bounds::Bound;
use crate::prefix::Prefix;

const WORDS: usize = (LINES * LINE / u64::BITS) as usize;

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

    /// Adds the places of all addresses in `prefix`.
    pub(super) fn mark(&mut self, prefix: Prefix) {
        let (family, address) = Address::of(prefix.address());
        let (bits, seed) = (prefix.bits(), self.seed);
        for slot in fine(family, address, bits, seed).chain(coarse(family, address, bits, seed)) {
            self.insert(slot);
        }
    }

    /// Adds the places of all IPv4 addresses that have a mark.
    pub(super) fn mark_v4(&mut self, bounds: &[Bound<u32>]) {
        let ends = bounds.iter().skip(1).map(|(begin, _)| begin - 1);
        for ((begin, mark), last) in bounds.iter().zip(ends.chain([u32::MAX])) {
            if *mark != 0 {
                (slot_v4(begin.to_be())..=slot_v4(last.to_be())).for_each(|slot| self.insert(slot));
            }
        }
        const WORDS: usize = (u8::MAX as usize + 1) / u64::BITS as usize;
        for network in 0..V4_BYTES >> 8 {
            let [coarse, dense] = coarse_v4(network << 8);
            let fine = &self.words[network as usize * WORDS..][..WORDS];
            let (any, all) = (
                fine.iter().any(|word| *word != 0),
                fine.iter().all(|word| *word == u64::MAX),
            );
            if any {
                self.insert(coarse);
            }
            if all {
                self.insert(dense);
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
