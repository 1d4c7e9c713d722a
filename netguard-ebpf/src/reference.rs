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
use netguard_common::{
    Packet,
    layout::Rule,
    packet::{Address, Family},
    parse::parse_into,
    shared::Field as _,
};

use crate::view::XdpView;

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

/// Parses and looks the source up in one hash.
#[xdp(frags)]
pub fn parse_hash(ctx: XdpContext) -> u32 {
    let mut packet = Packet::ZERO;
    if parse_into(&XdpView::new(&ctx), &mut packet).is_break() {
        return xdp_action::XDP_PASS;
    }
    let listed = match packet.family() {
        Family::V4 => LISTED_V4.get_ptr(packet.source.word_v4()).is_some(),
        Family::V6 => LISTED_V6.get_ptr(packet.source).is_some(),
    };
    if listed {
        xdp_action::XDP_DROP
    } else {
        xdp_action::XDP_PASS
    }
}

#[used]
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
