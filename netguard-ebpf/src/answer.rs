//! Writes an answer over the packet that it answers.

use aya_ebpf::{bindings::xdp_action, helpers::generated::bpf_xdp_adjust_tail, programs::XdpContext};
use netguard_common::{
    Verdict, cookie,
    packet::Family,
    syn_ack::{TCP_AT, WITH_ALL, WITH_MSS, WITH_TIMESTAMPS, WITHOUT_OPTIONS},
    tables::Tables,
    view::View as _,
};

use crate::{lent, maps::REDIRECTS, tables::KernelTables, view::XdpView};

/// Of Ethernet, without the checksum: `ETH_ZLEN`.
const SHORTEST_FRAME: u32 = 60;
const OPTIONS_AT: usize = TCP_AT + 5;

/// Sends the answer to the packet of `ctx`, which has this `verdict`, where the packet came from. What cannot be written is
/// dropped.
#[inline(always)]
pub(crate) fn send(ctx: &XdpContext, verdict: Verdict) -> u32 {
    match write(ctx, verdict) {
        Some(()) => give_back(ctx),
        None => xdp_action::XDP_DROP,
    }
}

/// Back through the interface that the frame came from. Linux puts what a veth sends back by `XDP_TX` into the ring of its other end without
/// waking that, unless it runs an XDP program: full, the ring stops all that the veth sends. A redirect wakes it.
#[inline(always)]
fn give_back(ctx: &XdpContext) -> u32 {
    let (Ok(action) | Err(action)) =
        REDIRECTS.redirect(ctx.ingress_ifindex() as u32, xdp_action::XDP_TX.into());
    action
}

#[inline(always)]
fn write(ctx: &XdpContext, verdict: Verdict) -> Option<()> {
    let view = XdpView::with_len(ctx, lent::packet()?.frame_len as u32);
    let tables = KernelTables::new(ctx, view.zero);
    if matches!(verdict, Verdict::SynCookie) {
        cookie::answer(&view, &tables)?;
    }
    let (packet, answer) = (tables.packet()?, tables.syn_ack()?);
    let [a, b, c, d, e, f] = view.load::<[u16; 6]>(0)?;
    view.store(0, &[pair(d, e), pair(f, a), pair(b, c)])?;
    // Only what has no options or extensions between both headers is answered: they are written as one.
    match packet.family() {
        Family::V4 => view.store(packet.network_at(), answer.words::<10>(TCP_AT - 5)?)?,
        Family::V6 => view.store(packet.network_at(), answer.words::<15>(0)?)?,
    }
    let options = packet.transport_at() + WITHOUT_OPTIONS;
    let len = answer.transport_len;
    if len >= WITH_MSS {
        view.store(options, answer.words::<1>(OPTIONS_AT)?)?;
    }
    if len >= WITH_TIMESTAMPS {
        view.store(options + 4, answer.words::<3>(OPTIONS_AT + 1)?)?;
    }
    if len >= WITH_ALL {
        view.store(options + 16, answer.words::<1>(OPTIONS_AT + 4)?)?;
    }
    end_at(ctx, view.measure(), packet.transport_at() + len + answer.rest_len)
}

/// Makes the frame of `found` bytes as long as `len`. What pads a short frame stays: a card would add it anew.
#[inline(always)]
fn end_at(ctx: &XdpContext, found: u32, len: u32) -> Option<()> {
    if found == len || (found > len && found <= SHORTEST_FRAME) {
        return Some(());
    }
    // SAFETY: the context is that of this program.
    let refused = unsafe { bpf_xdp_adjust_tail(ctx.ctx, len as i32 - found as i32) };
    (refused == 0).then_some(())
}

/// Two halves as one word of memory.
#[inline(always)]
const fn pair(first: u16, second: u16) -> u32 {
    let ([a, b], [c, d]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u32::from_ne_bytes([a, b, c, d])
}
