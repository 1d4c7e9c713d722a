//! Words of maps that all CPUs share, read and written without a lock.

use netguard_common::{
    known::SLOTS,
    tables::{KnownSlots, LimitCell},
};

/// An entry of `LIMIT_CELLS` or `FRAGMENTS`. Volatile, because LLVM has no relaxed atomics for the BPF target's base CPU; an
/// aligned 8-byte access is one instruction all the same.
pub(crate) struct TimeCell(pub(crate) *mut u64);

impl LimitCell for TimeCell {
    #[inline(always)]
    fn load(&self) -> u64 {
        // SAFETY: array entries live as long as the map and are 8-aligned.
        unsafe { self.0.read_volatile() }
    }

    #[inline(always)]
    fn store(&self, word: u64) {
        // SAFETY: as for `load`.
        unsafe { self.0.write_volatile(word) }
    }
}

/// The slots of an entry of `KNOWN`, volatile as [`TimeCell`] is.
pub(crate) struct Slots(pub(crate) *mut u32);

impl KnownSlots for Slots {
    #[inline(always)]
    fn load(&self, index: u32) -> u32 {
        // SAFETY: the slot lies in the line; array entries live as long as the map and are 8-aligned.
        unsafe { self.0.add((index % SLOTS) as usize).read_volatile() }
    }

    #[inline(always)]
    fn store(&self, index: u32, slot: u32) {
        // SAFETY: as for `load`.
        unsafe { self.0.add((index % SLOTS) as usize).write_volatile(slot) }
    }
}
