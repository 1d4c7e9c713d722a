//! The time: monotonic, and no finer than the kernel's ticks.

use aya_ebpf::{
    btf_maps::PerCpuArray,
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns},
    macros::btf_map,
};
use netguard_common::clock::Clock;

#[btf_map]
static CLOCK: PerCpuArray<Clock, 1> = PerCpuArray::new();

/// Nanoseconds of CLOCK_MONOTONIC_COARSE (Linux 5.11). It is read by a call, the count of ticks is not (Linux 5.6).
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    // SAFETY: the helpers take nothing and only read clocks.
    let read = || unsafe { bpf_ktime_get_coarse_ns() };
    match CLOCK.get_ptr_mut(0) {
        // SAFETY: the entry belongs to this CPU, where programs on the packet path do not interrupt one another.
        Some(clock) => unsafe { (*clock).now_ns(bpf_jiffies64(), read) },
        None => read(),
    }
}
