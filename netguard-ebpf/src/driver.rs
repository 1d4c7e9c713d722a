//! What the benchmark sends: a driver that gives each packet of a test run another source before the program under test sees it,
//! and a flood for an interface of the laboratory. Never part of the filter.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![expect(
    unreachable_pub,
    reason = "entry points and sections are for the loader, which rustc cannot see"
)]

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, ProgramArray},
    helpers::generated::{
        bpf_ktime_get_ns, bpf_redirect, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len, bpf_xdp_store_bytes,
    },
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use netguard_common::{
    drive::{self, Drive, FRAME_LEN, IDENTIFICATION_AT, SOURCE_V4_AT, SOURCE_V6_AT},
    packet::{Address, Family},
    parse::ETHERNET_LEN,
    view::View as _,
};
use network_types::{
    eth::{EthHdr, EtherType},
    ip::{Ipv4Hdr, Ipv6Hdr},
};

use crate::view::{XdpView, unproven};

mod object;
mod view;

/// Packets that a flood sends at once, as a network card with interrupt moderation hands them over.
const BURST: u32 = 64;
/// A flood that was held up makes up for this much, and no more.
const HURRY_NS: u64 = 2_000_000;

#[btf_map]
static DRIVE: Array<Drive, 1> = Array::new();
/// Programs under test that know of fragments.
#[btf_map]
static PROGRAMS: ProgramArray<64> = ProgramArray::new();
/// Programs under test that do not: the kernel keeps the two kinds apart.
#[btf_map]
static LINEAR_PROGRAMS: ProgramArray<64> = ProgramArray::new();

/// Changes the source and goes on with the program under test.
#[xdp(frags)]
pub fn scatter(ctx: XdpContext) -> u32 {
    if let Some(program) = prepare(&ctx) {
        // SAFETY: nothing here waits to be dropped.
        unsafe { PROGRAMS.tail_call(&ctx, program) };
    }
    xdp_action::XDP_ABORTED
}

/// As [`scatter`], for programs that do not know of fragments.
#[xdp]
pub fn scatter_linear(ctx: XdpContext) -> u32 {
    if let Some(program) = prepare(&ctx) {
        // SAFETY: as above.
        unsafe { LINEAR_PROGRAMS.tail_call(&ctx, program) };
    }
    xdp_action::XDP_ABORTED
}

/// Sends the frame from a source of many; run on live frames.
#[xdp(frags)]
pub fn flood(ctx: XdpContext) -> u32 {
    let Some(drive) = drive() else {
        return xdp_action::XDP_ABORTED;
    };
    if !due(drive) {
        return xdp_action::XDP_DROP;
    }
    let family = family(drive);
    let source = next_source(drive, family);
    let ballast = drive::ballast(family, source).to_ne_bytes();
    if matches!(family, Family::V4) {
        [drive.frame[IDENTIFICATION_AT], drive.frame[IDENTIFICATION_AT + 1]] = ballast;
    }
    let at = drive.ballast_at as usize & (FRAME_LEN - 2);
    [drive.frame[at], drive.frame[at + 1]] = ballast;
    if put_back(&ctx, drive).is_none() {
        return xdp_action::XDP_ABORTED;
    }
    drive.sent += 1;
    // SAFETY: takes numbers only.
    (unsafe { bpf_redirect(drive.interface, 0) }) as u32
}

/// Drops what goes to a source that nobody has: on a real wire it would be gone. For the other end of a virtual cable.
#[xdp(frags)]
pub fn wire(ctx: XdpContext) -> u32 {
    match destination(&XdpView::new(&ctx)) {
        Some((family, address)) if drive::is_source(family, address) => xdp_action::XDP_DROP,
        _ => xdp_action::XDP_PASS,
    }
}

/// Makes the packet of the next source; tells which program is under test.
#[inline(always)]
fn prepare(ctx: &XdpContext) -> Option<u32> {
    let drive = drive()?;
    let family = family(drive);
    if drive.restore != 0 {
        next_source(drive, family);
        put_back(ctx, drive)?;
    } else if drive.mask != 0 {
        let source = drive::source(family, drive.next());
        match family {
            Family::V4 => store(ctx, SOURCE_V4_AT, &source.octets_v4())?,
            Family::V6 => store(ctx, SOURCE_V6_AT, &source.octets())?,
        }
    }
    Some(drive.program)
}

#[inline(always)]
fn drive() -> Option<&'static mut Drive> {
    // SAFETY: each object has a map of its own, and its programs run on one CPU at a time.
    DRIVE.get_ptr_mut(0).map(|drive| unsafe { &mut *drive })
}

#[inline(always)]
fn family(drive: &Drive) -> Family {
    if drive.ipv6 == 0 { Family::V4 } else { Family::V6 }
}

/// Writes the next source into the frame.
#[inline(always)]
fn next_source(drive: &mut Drive, family: Family) -> Address {
    let source = drive::source(family, drive.next());
    match family {
        Family::V4 => drive.frame[SOURCE_V4_AT..SOURCE_V4_AT + 4].copy_from_slice(&source.octets_v4()),
        Family::V6 => drive.frame[SOURCE_V6_AT..SOURCE_V6_AT + 16].copy_from_slice(&source.octets()),
    }
    source
}

/// Makes the packet the frame, whatever was done to it.
#[inline(always)]
fn put_back(ctx: &XdpContext, drive: &Drive) -> Option<()> {
    // SAFETY: the context is that of this program.
    let now = unsafe { bpf_xdp_get_buff_len(ctx.ctx) } as u32;
    if now != drive.frame_len {
        // SAFETY: as above.
        let refused = unsafe { bpf_xdp_adjust_tail(ctx.ctx, drive.frame_len as i32 - now as i32) };
        (refused == 0).then_some(())?;
    }
    let len = unproven(drive.frame_len);
    if len == 0 || len > FRAME_LEN {
        return None;
    }
    // SAFETY: the helper checks the range in the packet; the frame is at least as long as `len`.
    let refused =
        unsafe { bpf_xdp_store_bytes(ctx.ctx, 0, drive.frame.as_ptr().cast_mut().cast(), len as u32) };
    (refused == 0).then_some(())
}

#[inline(always)]
fn store<const N: usize>(ctx: &XdpContext, at: usize, bytes: &[u8; N]) -> Option<()> {
    // SAFETY: the helper checks the range in the packet, and reads `N` bytes that are there.
    let refused =
        unsafe { bpf_xdp_store_bytes(ctx.ctx, at as u32, bytes.as_ptr().cast_mut().cast(), N as u32) };
    (refused == 0).then_some(())
}

/// Whether a packet may leave now.
#[inline(always)]
fn due(drive: &mut Drive) -> bool {
    if drive.gap_ns == 0 {
        return true;
    }
    if drive.burst_left == 0 {
        // SAFETY: reads a clock.
        let now_ns = unsafe { bpf_ktime_get_ns() };
        drive.due_ns = drive.due_ns.max(now_ns.saturating_sub(HURRY_NS));
        if now_ns < drive.due_ns {
            return false;
        }
        drive.due_ns += drive.gap_ns * u64::from(BURST);
        drive.burst_left = BURST;
    }
    drive.burst_left -= 1;
    true
}

#[inline(always)]
fn destination(view: &XdpView<'_>) -> Option<(Family, Address)> {
    const IPV4: u16 = EtherType::Ipv4 as u16;
    const IPV6: u16 = EtherType::Ipv6 as u16;
    match view.load::<EthHdr>(0)?.ether_type {
        IPV4 => {
            let header = view.load::<Ipv4Hdr>(ETHERNET_LEN)?;
            Some((Family::V4, Address::v4(header.dst_addr)))
        }
        IPV6 => {
            let header = view.load::<Ipv6Hdr>(ETHERNET_LEN)?;
            Some((Family::V6, Address::v6(header.dst_addr)))
        }
        _ => None,
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
