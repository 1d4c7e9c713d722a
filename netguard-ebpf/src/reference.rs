//! Reference programs that the benchmark measures netguard against: the floor (an empty program), the
//! least that any blocklist must do (parse the addresses, one hash look-up), and the least that any limit of sources must.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![expect(
    unreachable_pub,
    reason = "entry points and sections are for the loader, which rustc cannot see"
)]

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, HashMap},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use netguard_common::{
    layout::{Rate, Rule},
    limit::admit,
    packet::Address,
    parse::ETHERNET_LEN,
    view::View as _,
};
use network_types::{
    eth::{EthHdr, EtherType},
    ip::{Ipv4Hdr, Ipv6Hdr},
};

use crate::{time_cell::TimeCell, view::XdpView};

mod clock;
mod least_answer;
mod object;
mod store;
mod time_cell;
mod view;

#[btf_map]
static LISTED_V4: HashMap<u32, Rule, 65_536> = HashMap::new();
#[btf_map]
static LISTED_V6: HashMap<Address, Rule, 65_536> = HashMap::new();

const IPV4: u16 = EtherType::Ipv4 as u16;
const IPV6: u16 = EtherType::Ipv6 as u16;

/// Theoretical arrival times, by hashed source.
#[btf_map]
static ARRIVALS: Array<u64, { 1 << ARRIVALS_BITS }> = Array::new();
const ARRIVALS_BITS: usize = 16;

/// Does nothing: what the harness itself costs.
#[xdp(frags)]
pub fn empty(_: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// The least that any blocklist does: bounds-checked Ethernet and IP headers, the source looked up in one hash. It
/// follows no tags, options or extension headers and judges nothing.
#[xdp(frags)]
pub fn parse_hash(ctx: XdpContext) -> u32 {
    let view = XdpView::new(&ctx);
    match listed(&view) {
        Some(true) => xdp_action::XDP_DROP,
        _ => xdp_action::XDP_PASS,
    }
}

#[inline(always)]
fn listed(view: &XdpView<'_>) -> Option<bool> {
    match view.load::<EthHdr>(0)?.ether_type {
        IPV4 => {
            let header = view.load::<Ipv4Hdr>(ETHERNET_LEN)?;
            Some(LISTED_V4.get_ptr(u32::from_ne_bytes(header.src_addr)).is_some())
        }
        IPV6 => {
            let header = view.load::<Ipv6Hdr>(ETHERNET_LEN)?;
            Some(LISTED_V6.get_ptr(Address::v6(header.src_addr)).is_some())
        }
        _ => None,
    }
}

/// The least that any limit of sources does: the same headers, the clock, one time by hashed source.
#[xdp(frags)]
pub fn parse_limit(ctx: XdpContext) -> u32 {
    const A_MINUTE: Rate = Rate {
        interval_ns: 60_000_000_000,
        tolerance_ns: 60_000_000_000,
    };
    let Some(key) = key(&XdpView::new(&ctx)) else {
        return xdp_action::XDP_PASS;
    };
    // Fibonacci hashing (Knuth).
    let index = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - ARRIVALS_BITS);
    let Some(arrival) = ARRIVALS.get_ptr_mut(index as u32) else {
        return xdp_action::XDP_PASS;
    };
    if admit(&A_MINUTE, &TimeCell(arrival), 1, clock::now_ns()) {
        xdp_action::XDP_PASS
    } else {
        xdp_action::XDP_DROP
    }
}

/// What a limit accounts the packet by.
#[inline(always)]
fn key(view: &XdpView<'_>) -> Option<u64> {
    match view.load::<EthHdr>(0)?.ether_type {
        IPV4 => {
            let header = view.load::<Ipv4Hdr>(ETHERNET_LEN)?;
            Some(u64::from(u32::from_ne_bytes(header.src_addr)))
        }
        IPV6 => {
            let header = view.load::<Ipv6Hdr>(ETHERNET_LEN)?;
            Some(Address::v6(header.src_addr).high)
        }
        _ => None,
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
