//! Lines in array maps that CPUs and user space share, whose words are read and written one by one, volatile as
//! [`crate::time_cell::TimeCell`] is.

use netguard_common::{
    bucket, known,
    tables::{BucketSlots, ExactWords, KnownSlots},
};

/// A line of the map `EXACT`, which user space writes.
pub(crate) struct Line(pub(crate) *const u64);

impl ExactWords for Line {
    #[inline(always)]
    fn word(&self, index: u32) -> u64 {
        // SAFETY: the word lies in the line; array entries live as long as the map and are 8-aligned.
        unsafe { self.0.add((index % 8) as usize).read_volatile() }
    }
}

/// The slots of an entry of `KNOWN`.
pub(crate) struct Slots(pub(crate) *mut u32);

impl KnownSlots for Slots {
    #[inline(always)]
    fn load(&self, index: u32) -> u32 {
        // SAFETY: the slot lies in the line; array entries live as long as the map and are 8-aligned.
        unsafe { self.0.add((index % known::SLOTS) as usize).read_volatile() }
    }

    #[inline(always)]
    fn store(&self, index: u32, slot: u32) {
        // SAFETY: as for `load`.
        unsafe { self.0.add((index % known::SLOTS) as usize).write_volatile(slot) }
    }
}

/// The slots of an entry of `BUCKETS`.
pub(crate) struct Buckets(pub(crate) *mut u64);

impl BucketSlots for Buckets {
    #[inline(always)]
    fn load(&self, index: u32) -> u64 {
        // SAFETY: the slot lies in the line; array entries live as long as the map and are 8-aligned.
        unsafe { self.0.add((index % bucket::SLOTS) as usize).read_volatile() }
    }

    #[inline(always)]
    fn store(&self, index: u32, slot: u64) {
        // SAFETY: as for `load`.
        unsafe { self.0.add((index % bucket::SLOTS) as usize).write_volatile(slot) }
    }
}

/// Byte `index` of `line`, of which `index` is less than the length.
#[inline(always)]
pub(crate) fn byte<T>(line: *const T, index: u32) -> u8 {
    // SAFETY: the byte lies in the line; a write of another meanwhile is no matter.
    unsafe { line.cast::<u8>().add(index as usize).read_volatile() }
}
