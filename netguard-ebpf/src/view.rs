//! The frame of an XDP program as a [`View`], and how packet bytes are read.

use core::cell::Cell;

use aya_ebpf::{
    helpers::generated::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    programs::XdpContext,
};
use netguard_common::{
    syn_ack::{TCP_AT, TCP_LEN},
    view::{Header, View},
};

/// Offsets beyond this are never read; tells the verifier that pointer arithmetic stays inside a page.
pub(crate) const MAX_OFFSET: usize = 2047;
const TCP_MIN: usize = 20;
/// The TCP header of a SYN as most clients send it.
const USUAL_SYN: usize = 40;

/// Reads through `data` and `data_end`. Headers lie in the linear part of a frame in every driver; what lies
/// in fragments counts as truncated only if a header is split, which no driver does.
pub(crate) struct XdpView<'a> {
    pub(crate) data: usize,
    pub(crate) data_end: usize,
    /// Of what lies between both, until all is measured.
    len: Cell<u32>,
    pub(crate) zero: Zero,
    context: &'a XdpContext,
}

impl<'a> XdpView<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a XdpContext) -> Self {
        Self::with_len(ctx, ctx.data_end().wrapping_sub(ctx.data()) as u32)
    }

    /// For a frame whose length is known.
    #[inline(always)]
    pub(crate) fn with_len(ctx: &'a XdpContext, len: u32) -> Self {
        Self {
            data: ctx.data(),
            data_end: ctx.data_end(),
            len: Cell::new(len),
            zero: Zero::sign(len),
            context: ctx,
        }
    }
}

impl View for XdpView<'_> {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.len.get()
    }

    #[inline(always)]
    fn measure(&self) -> u32 {
        // SAFETY: the pointer comes from the kernel and is the context of this program.
        let len = unsafe { bpf_xdp_get_buff_len(self.context.ctx) } as u32;
        self.len.set(len);
        len
    }

    #[inline(always)]
    fn opaque(&self, value: u32) -> u32 {
        self.zero.hide(u64::from(value)) as u32
    }

    #[inline(always)]
    fn load<T: Header>(&self, at: u32) -> Option<T> {
        load(self.data, self.data_end, at)
    }

    #[inline(always)]
    fn load_tcp(&self, at: u32, headers: &mut [u32; 26]) -> Option<u32> {
        let [.., offset, _] = self.load::<[u8; 14]>(at)?;
        // Before Linux 6.2 the verifier knows the bounds of what was compared only: that is what must be passed on.
        let options = unproven((u32::from(offset >> 4) * 4).wrapping_sub(TCP_MIN as u32));
        if options > TCP_LEN - TCP_MIN {
            return None;
        }
        let len = options + TCP_MIN;
        // With the options that clients send. Few words are copied faster than the helper is called.
        if len == USUAL_SYN
            && let Some(words) = self.load::<[u32; USUAL_SYN / 4]>(at)
        {
            headers[TCP_AT..TCP_AT + words.len()].copy_from_slice(&words);
            return Some(len as u32);
        }
        let to = headers[TCP_AT..].as_mut_ptr();
        // SAFETY: `len` bytes have room behind `TCP_AT`.
        let refused = unsafe { bpf_xdp_load_bytes(self.context.ctx, at, to.cast(), len as u32) };
        (refused == 0).then_some(len as u32)
    }

    #[inline(always)]
    fn load_prefix(&self, at: u32, len: u32, to: &mut [u8; 32]) {
        let len = len.min(to.len() as u32);
        if len == 0 {
            return;
        }
        // As above.
        let len = (unproven(len - 1) & 31) + 1;
        // SAFETY: `len` bytes have room. Where they do not lie in the frame nothing is copied.
        let _refused =
            unsafe { bpf_xdp_load_bytes(self.context.ctx, at, to.as_mut_ptr().cast(), len as u32) };
    }

    #[inline(always)]
    fn load_head(&self, to: &mut [u8; 128]) -> u32 {
        let len = self.len().min(to.len() as u32);
        if len == 0 {
            return 0;
        }
        // As above.
        let len = (unproven(len - 1) & 127) + 1;
        // SAFETY: `len` bytes have room.
        let refused = unsafe { bpf_xdp_load_bytes(self.context.ctx, 0, to.as_mut_ptr().cast(), len as u32) };
        if refused == 0 { len as u32 } else { 0 }
    }

    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    fn forget<'p, T>(&self, value: &'p mut T) -> &'p mut T {
        forget(value)
    }
}

/// Zero, which neither the compiler nor the kernel's verifier knows to be that.
#[derive(Clone, Copy)]
pub(crate) struct Zero(u64);

impl Zero {
    /// The sign of the length of a frame: all bits or none, and no frame is that long.
    #[inline(always)]
    pub(crate) const fn sign(len: u32) -> Self {
        Self(((len as i32) >> 31) as u32 as u64)
    }

    /// `value`, with its history hidden: to both it may be any number.
    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    pub(crate) fn hide(self, mut value: u64) -> u64 {
        // SAFETY: a register operation only.
        unsafe { core::arch::asm!("{0} ^= {1}", inout(reg) value, in(reg) self.0) }
        value
    }

    #[cfg(not(target_arch = "bpf"))]
    pub(crate) fn hide(self, value: u64) -> u64 {
        value ^ self.0
    }
}

#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(crate) fn forget<T>(value: &mut T) -> &mut T {
    let mut at = core::ptr::from_mut(value);
    // SAFETY: moves a register to itself; the compiler must assume that the memory behind it was written.
    unsafe {
        core::arch::asm!("{0} = {0}", inout(reg) at);
        &mut *at
    }
}

/// The `T` that starts `at` bytes behind `data`, unless it ends behind `data_end`.
#[inline(always)]
pub(crate) fn load<T: Header>(data: usize, data_end: usize, at: u32) -> Option<T> {
    let at = unproven(at);
    if at > MAX_OFFSET {
        return None;
    }
    let start = data + at;
    if start + size_of::<T>() > data_end {
        return None;
    }
    // SAFETY: the bounds were checked just now, and `Header` makes any bytes a valid `T`.
    Some(unsafe { read(start) })
}

/// The longest header that is read at once: that of IPv6.
#[cfg(target_arch = "bpf")]
const MAX_HEADER: usize = 40;

/// The `T` at address `from`, by as few loads as there are words in it. Left to itself the compiler reads unaligned
/// memory byte by byte; the kernel reads words at any address of a packet.
///
/// # Safety
/// All of it must be readable.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn read<T: Header>(from: usize) -> T {
    const { assert!(size_of::<T>() <= MAX_HEADER) };
    let mut words = [0_u64; MAX_HEADER / 8];
    macro_rules! word {
        ($index:literal) => {
            if size_of::<T>() >= ($index + 1) * 8 {
                // SAFETY: inside the header.
                unsafe {
                    core::arch::asm!("{0} = *(u64 *)({1} + {2})", out(reg) words[$index], in(reg) from,
                        const $index * 8, options(pure, readonly, nostack));
                }
            }
        };
    }
    word!(0);
    word!(1);
    word!(2);
    word!(3);
    word!(4);
    let rest = size_of::<T>() % 8;
    let mut tail = 0_u64;
    let mut shift = 0;
    if rest >= 4 {
        // SAFETY: inside the header.
        unsafe {
            core::arch::asm!("{0} = *(u32 *)({1} + {2})", out(reg) tail, in(reg) from,
                const size_of::<T>() & !7, options(pure, readonly, nostack));
        }
        shift = 32;
    }
    if rest % 4 >= 2 {
        let half: u64;
        // SAFETY: inside the header.
        unsafe {
            core::arch::asm!("{0} = *(u16 *)({1} + {2})", out(reg) half, in(reg) from,
                const size_of::<T>() & !3, options(pure, readonly, nostack));
        }
        tail |= half << shift;
        shift += 16;
    }
    if rest % 2 == 1 {
        let byte: u64;
        // SAFETY: inside the header.
        unsafe {
            core::arch::asm!("{0} = *(u8 *)({1} + {2})", out(reg) byte, in(reg) from,
                const size_of::<T>() & !1, options(pure, readonly, nostack));
        }
        tail |= byte << shift;
    }
    if rest > 0 {
        words[size_of::<T>() / 8] = tail;
    }
    // SAFETY: the words hold the bytes of a `T`, which may be any bytes.
    unsafe { words.as_ptr().cast::<T>().read_unaligned() }
}

/// # Safety
/// All of it must be readable.
#[cfg(not(target_arch = "bpf"))]
unsafe fn read<T: Header>(from: usize) -> T {
    // SAFETY: the caller promises it.
    unsafe { (from as *const T).read_unaligned() }
}

/// `at`, about which the compiler knows nothing: it would otherwise drop a bounds check that it can prove but
/// the verifier cannot.
#[inline(always)]
pub(crate) fn unproven(at: u32) -> usize {
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
