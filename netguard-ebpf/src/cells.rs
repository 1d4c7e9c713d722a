//! Lines in array maps that CPUs and user space share, whose words are read and written one by one, volatile as
//! [`crate::time_cell::TimeCell`] is; and counters that one CPU has for itself.

use netguard_common::{
    layout::Counter,
    ranges::{self, InForce},
    service,
    tables::{ExactWords, Generation, SLOTS, Slots},
};

use crate::maps::{RANGES, WATCHED};

/// A line of the map `EXACT`, which user space writes.
pub(crate) struct Line(pub(crate) *const u64);

impl ExactWords for Line {
    #[inline(always)]
    fn word(&self, index: u32) -> u64 {
        // SAFETY: the word lies in the line; array entries live as long as the map and are 8-aligned.
        unsafe { self.0.add((index % 8) as usize).read_volatile() }
    }
}

/// The slots of an entry of `BUCKETS` or `KNOWN`.
pub(crate) struct SlotLine<W>(pub(crate) *mut W);

impl<W: Copy> Slots<W> for SlotLine<W> {
    #[inline(always)]
    fn load(&self, index: u32) -> W {
        // SAFETY: the slot lies in the line, and any bytes are a slot; array entries live as long as the map and are 8-aligned.
        unsafe { self.0.add((index % SLOTS) as usize).read_volatile() }
    }

    #[inline(always)]
    fn store(&self, index: u32, slot: W) {
        // SAFETY: as for `load`.
        unsafe { self.0.add((index % SLOTS) as usize).write_volatile(slot) }
    }
}

/// The generation of lists that the packet began with: its chunks stay in their places until the packet is judged.
pub(crate) struct Compiled(pub(crate) InForce);

impl Generation for Compiled {
    #[inline(always)]
    fn line(&self, index: u32) -> Option<&ranges::Line> {
        let (chunk, at) = self.0.place(index);
        RANGES.get(chunk)?.get(at)
    }
}

/// Byte `index` of `line`, of which `index` is less than the length.
#[inline(always)]
pub(crate) fn byte<T>(line: *const T, index: u32) -> u8 {
    // SAFETY: the byte lies in the line; a write of another meanwhile is no matter.
    unsafe { line.cast::<u8>().add(index as usize).read_volatile() }
}

/// What a CPU has for itself.
#[inline(always)]
pub(crate) fn own<'a, T>(entry: Option<*mut T>) -> Option<&'a mut T> {
    // SAFETY: the entry belongs to this CPU, lives as long as the map, and XDP programs are not preempted by one another there.
    entry.map(|entry| unsafe { &mut *entry })
}

/// The number under which the service at `slot` is counted, see [`service::slot`]; 0 for others.
#[inline(always)]
pub(crate) fn watched(slot: u32) -> u8 {
    WATCHED
        .get_ptr(slot / service::LINE)
        .map_or(0, |line| byte(line, slot % service::LINE))
}

/// Adds one packet of `bytes` to `counter`.
#[inline(always)]
pub(crate) fn add(counter: Option<*mut Counter>, bytes: u32) {
    if let Some(counter) = counter {
        // SAFETY: the slot belongs to this CPU, and XDP programs are not preempted by one another there.
        let counter = unsafe { &mut *counter };
        counter.packets += 1;
        counter.bytes += u64::from(bytes);
    }
}

/// Adds one to `counter`, a word of this CPU.
#[inline(always)]
pub(crate) fn count(counter: Option<*mut u64>) {
    if let Some(counter) = counter {
        // SAFETY: as for `add`.
        unsafe { *counter += 1 };
    }
}
