//! Writes an answer over the packet that it answers.

use aya_ebpf::{
    bindings::xdp_action,
    helpers::generated::{bpf_xdp_adjust_tail, bpf_xdp_store_bytes},
    programs::XdpContext,
};
use netguard_common::{
    packet::Family,
    syn_ack::{SynAck, TCP_AT},
    tables::Tables,
    view::View as _,
};

use crate::{maps::KernelTables, view::XdpView};

const TCP_MIN: u32 = 20;
const TCP_WITH_MSS: u32 = 24;

/// Sends the answer that was made for the packet of `ctx` where the packet came from. What cannot be written is dropped.
#[inline(always)]
pub(crate) fn send(ctx: &XdpContext) -> u32 {
    match write(ctx) {
        Some(()) => xdp_action::XDP_TX,
        None => xdp_action::XDP_DROP,
    }
}

#[inline(always)]
fn write(ctx: &XdpContext) -> Option<()> {
    let view = XdpView::new(ctx);
    let tables = KernelTables::new(ctx, &view);
    let (packet, answer) = (tables.packet()?, tables.syn_ack()?);
    let frame_len = view.len();
    let [a, b, c, d, e, f, g, h, i, j, k, l] = view.load::<[u8; 12]>(0)?;
    store(ctx, 0, &[g, h, i, j, k, l, a, b, c, d, e, f])?;
    let answer: &SynAck = &answer;
    match packet.family() {
        Family::V4 => store(ctx, packet.network_at(), piece::<20>(answer, TCP_AT - 20))?,
        Family::V6 => store(ctx, packet.network_at(), piece::<40>(answer, 0))?,
    }
    if answer.transport_len == TCP_WITH_MSS {
        store(ctx, packet.transport_at(), piece::<24>(answer, TCP_AT))?;
    } else {
        store(ctx, packet.transport_at(), piece::<20>(answer, TCP_AT))?;
    }
    let len = packet.transport_at() + answer.transport_len.clamp(TCP_MIN, TCP_WITH_MSS) + answer.rest_len;
    let surplus = len as i32 - frame_len as i32;
    // SAFETY: the context is that of this program.
    let refused = unsafe { bpf_xdp_adjust_tail(ctx.ctx, surplus) };
    (refused == 0).then_some(())
}

#[inline(always)]
fn piece<const N: usize>(answer: &SynAck, at: usize) -> &[u8; N] {
    // SAFETY: callers name pieces inside the 104 bytes.
    unsafe { &*answer.headers.as_ptr().add(at).cast() }
}

#[inline(always)]
fn store<const N: usize>(ctx: &XdpContext, at: u32, bytes: &[u8; N]) -> Option<()> {
    // SAFETY: the helper checks the range in the frame, and reads `N` bytes that are there.
    let refused = unsafe { bpf_xdp_store_bytes(ctx.ctx, at, bytes.as_ptr().cast_mut().cast(), N as u32) };
    (refused == 0).then_some(())
}
