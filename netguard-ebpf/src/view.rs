//! The frame of an XDP program as a [`View`].

use core::marker::PhantomData;

use aya_ebpf::{helpers::generated::bpf_xdp_get_buff_len, programs::XdpContext};
use netguard_common::view::{Header, View};

/// Offsets beyond this are never read; tells the verifier that pointer arithmetic stays inside a page.
const MAX_OFFSET: usize = 2047;

/// Reads through `data` and `data_end`. Headers lie in the linear part of a frame in every driver; what lies
/// in fragments counts as truncated only if a header is split, which no driver does.
pub(crate) struct XdpView<'a> {
    data: usize,
    data_end: usize,
    len: u32,
    context: PhantomData<&'a XdpContext>,
}

impl<'a> XdpView<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a XdpContext) -> Self {
        // SAFETY: the pointer comes from the kernel and is the context of this program.
        let len = unsafe { bpf_xdp_get_buff_len(ctx.ctx) } as u32;
        Self {
            data: ctx.data(),
            data_end: ctx.data_end(),
            len,
            context: PhantomData,
        }
    }
}

impl View for XdpView<'_> {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.len
    }

    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    fn opaque(&self, value: u32) -> u32 {
        let mut value = u64::from(value);
        // SAFETY: two register operations that cancel out. The verifier knows nothing about the operand (it
        // came from a helper), hence nothing about the result; the compiler does not look into either.
        unsafe {
            core::arch::asm!("{0} ^= {1}", inout(reg) value, in(reg) u64::from(self.len));
            core::arch::asm!("{0} ^= {1}", inout(reg) value, in(reg) u64::from(self.len));
        }
        value as u32
    }

    #[inline(always)]
    fn load<T: Header>(&self, at: u32) -> Option<T> {
        let at = unproven(at);
        if at > MAX_OFFSET {
            return None;
        }
        let start = self.data + at;
        if start + size_of::<T>() > self.data_end {
            return None;
        }
        // SAFETY: the bounds were checked just now, and `Header` makes any bytes a valid `T`.
        Some(unsafe { (start as *const T).read_unaligned() })
    }
}

/// `at`, about which the compiler knows nothing: it would otherwise drop a bounds check that it can prove but
/// the verifier cannot.
#[inline(always)]
fn unproven(at: u32) -> usize {
    #[cfg_attr(
        not(target_arch = "bpf"),
        expect(unused_mut, reason = "only the BPF target has the barrier")
    )]
    let mut at = at as usize;
    // SAFETY: moves a register to itself. (Without an instruction, two line records of the BTF would share one
    // offset, which the kernel refuses.)
    #[cfg(target_arch = "bpf")]
    unsafe {
        core::arch::asm!("{0} = {0}", inout(reg) at);
    }
    at
}
