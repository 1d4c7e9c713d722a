//! Writes an answer over the packet that it answers.

use aya_ebpf::{
    bindings::xdp_action,
    helpers::generated::{bpf_xdp_adjust_tail, bpf_xdp_store_bytes},
    programs::XdpContext,
};
use netguard_common::{
    Verdict, cookie,
    packet::Family,
    syn_ack::{SynAck, TCP_AT, WITH_ALL, WITHOUT_OPTIONS},
    tables::Tables,
    view::View as _,
};

use crate::{
    tables::KernelTables,
    view::{XdpView, unproven},
};

const SHORTEST: usize = WITHOUT_OPTIONS as usize;
const LONGEST: usize = WITH_ALL as usize;

/// Sends the answer to the packet of `ctx`, which has this `verdict`, where the packet came from. What cannot be written is
/// dropped.
#[inline(always)]
pub(crate) fn send(ctx: &XdpContext, verdict: Verdict) -> u32 {
    match write(ctx, verdict) {
        Some(()) => xdp_action::XDP_TX,
        None => xdp_action::XDP_DROP,
    }
}

#[inline(always)]
fn write(ctx: &XdpContext, verdict: Verdict) -> Option<()> {
    let view = XdpView::new(ctx);
    let tables = KernelTables::new(ctx, &view);
    if matches!(verdict, Verdict::SynCookie) {
        cookie::answer(&view, &tables)?;
    }
    let (packet, answer) = (tables.packet()?, tables.syn_ack()?);
    let frame_len = view.len();
    let [a, b, c, d, e, f] = view.load::<[u16; 6]>(0)?;
    store(ctx, 0, &[d, e, f, a, b, c], 12)?;
    let answer: &SynAck = &answer;
    // Unproven: the compiler knows too well which lengths there are.
    let transport_len = unproven(answer.transport_len);
    if !(SHORTEST..=LONGEST).contains(&transport_len) {
        return None;
    }
    // Only what has no options or extensions between both headers is answered: they are written as one.
    let at = packet.network_at();
    match packet.family() {
        Family::V4 => store(ctx, at, &answer.headers[TCP_AT - 5..], 20 + transport_len as u32)?,
        Family::V6 => store(ctx, at, &answer.headers, 40 + transport_len as u32)?,
    }
    let len = packet.transport_at() + transport_len as u32 + answer.rest_len;
    let surplus = len as i32 - frame_len as i32;
    // SAFETY: the context is that of this program.
    let refused = unsafe { bpf_xdp_adjust_tail(ctx.ctx, surplus) };
    (refused == 0).then_some(())
}

/// Writes the first `len` bytes of `words`, which must have as many.
#[inline(always)]
fn store<T>(ctx: &XdpContext, at: u32, words: &[T], len: u32) -> Option<()> {
    // SAFETY: the helper checks the range in the frame; callers have `len` bytes, which the verifier checks.
    let refused = unsafe { bpf_xdp_store_bytes(ctx.ctx, at, words.as_ptr().cast_mut().cast(), len) };
    (refused == 0).then_some(())
}
