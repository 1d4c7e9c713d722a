//! The time: monotonic, and no finer than the kernel's ticks; or what a frame of a test run says that it is.

use aya_ebpf::{
    btf_maps::PerCpuArray,
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns},
    macros::btf_map,
    programs::XdpContext,
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

/// The time that a frame of a test run brings along, in the eight bytes of metadata before it; 0, which is none, where it brings
/// nothing. Parts that run apart are told as of any time that was read.
#[inline(always)]
pub(crate) fn told_ns(ctx: &XdpContext) -> u64 {
    let (at, frame) = (ctx.metadata(), ctx.metadata_end());
    if at + size_of::<u64>() > frame {
        return 0;
    }
    // SAFETY: the bounds were checked just now; the kernel keeps metadata aligned to four bytes.
    unsafe { (at as *const u64).read_unaligned() }
}
