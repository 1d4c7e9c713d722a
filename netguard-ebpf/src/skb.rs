//! The frame of a classifier, on its way out, as a [`View`].

use aya_ebpf::programs::TcContext;
use netguard_common::view::{Header, View};

#[cfg(target_arch = "bpf")]
use crate::view::forget;
use crate::view::{Zero, load};

/// A frame that leaves. Its headers lie in the linear part of its buffer; the payload of what is forwarded may not.
pub(crate) struct SkbView<'a> {
    data: usize,
    data_end: usize,
    len: u32,
    pub(crate) zero: Zero,
    context: &'a TcContext,
}

impl<'a> SkbView<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a TcContext) -> Self {
        Self {
            data: ctx.data(),
            data_end: ctx.data_end(),
            len: ctx.len(),
            zero: Zero::sign(ctx.len()),
            context: ctx,
        }
    }
}

impl View for SkbView<'_> {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.len
    }

    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    fn opaque(&self, value: u32) -> u32 {
        self.zero.hide(u64::from(value)) as u32
    }

    #[inline(always)]
    fn load<T: Header>(&self, at: u32) -> Option<T> {
        load(self.data, self.data_end, at)
    }

    #[inline(always)]
    fn load_payload<T: Header>(&self, at: u32) -> Option<T> {
        self.context.load(at as usize).ok()
    }

    /// Nothing that leaves is answered.
    #[inline(always)]
    fn load_tcp(&self, _: u32, _: &mut [u32; 26]) -> Option<u32> {
        None
    }

    /// Signatures are for what arrives.
    #[inline(always)]
    fn load_prefix(&self, _: u32, _: u32, _: &mut [u8; 32]) {}

    /// As are heads.
    #[inline(always)]
    fn load_head(&self, _: &mut [u8; 128]) -> u32 {
        0
    }

    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    fn forget<'p, T>(&self, value: &'p mut T) -> &'p mut T {
        forget(value)
    }
}
