//! Reference programs that the benchmark measures netguard against: the floor (an empty program) and the
//! least that any blocklist must do (parse the addresses, one hash look-up). Never attached.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![expect(
    unreachable_pub,
    reason = "entry points and sections are for the loader, which rustc cannot see"
)]

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::HashMap,
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use netguard_common::{layout::Rule, packet::Address, parse::ETHERNET_LEN, view::View as _};
use network_types::{
    eth::{EthHdr, EtherType},
    ip::{Ipv4Hdr, Ipv6Hdr},
};

use crate::view::XdpView;

mod object;
mod view;

#[btf_map]
static LISTED_V4: HashMap<u32, Rule, 65_536> = HashMap::new();
#[btf_map]
static LISTED_V6: HashMap<Address, Rule, 65_536> = HashMap::new();

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
    const IPV4: u16 = EtherType::Ipv4 as u16;
    const IPV6: u16 = EtherType::Ipv6 as u16;
    let ethernet = view.load::<EthHdr>(0)?;
    match ethernet.ether_type {
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

#[cfg(not(target_arch = "bpf"))]
fn main() {}
