//! A word in an array map that all CPUs share, read and written without a lock.

use netguard_common::tables::LimitCell;

/// An entry of such a map. Volatile, so that it is read and written each time; an aligned 8-byte access is one instruction.
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
