//! Lines of cells in ordinary memory.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::{
    ranges::Line,
    tables::{ExactWords, Generation, SLOTS, Slots},
};

impl Generation for &[Line] {
    fn line(&self, index: u32) -> Option<&Line> {
        self.get(index as usize)
    }
}

/// Lines that are not there.
pub(super) enum NoWords {}

impl ExactWords for NoWords {
    fn word(&self, _: u32) -> u64 {
        match *self {}
    }
}

impl Slots<u64> for &[AtomicU64; 8] {
    fn load(&self, index: u32) -> u64 {
        self[(index % SLOTS) as usize].load(Ordering::Relaxed)
    }
    fn store(&self, index: u32, slot: u64) {
        self[(index % SLOTS) as usize].store(slot, Ordering::Relaxed);
    }
}

impl Slots<u32> for &[AtomicU32; 8] {
    fn load(&self, index: u32) -> u32 {
        self[(index % SLOTS) as usize].load(Ordering::Relaxed)
    }
    fn store(&self, index: u32, slot: u32) {
        self[(index % SLOTS) as usize].store(slot, Ordering::Relaxed);
    }
}
