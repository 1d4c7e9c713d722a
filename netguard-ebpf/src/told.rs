//! The time that user space says that it is, in a test run.

use aya_ebpf::programs::XdpContext;

/// The time that a frame of a test run brings along, in the eight bytes of metadata before it; 0, which is none, where it brings
/// nothing. Parts that run apart are told as of any time that was read.
#[inline(always)]
pub(crate) fn now_ns(ctx: &XdpContext) -> u64 {
    let (at, frame) = (ctx.metadata(), ctx.metadata_end());
    if at + size_of::<u64>() > frame {
        return 0;
    }
    // SAFETY: the bounds were checked just now; the kernel keeps metadata aligned to four bytes.
    unsafe { (at as *const u64).read_unaligned() }
}
