//! The least that any program does that answers for a service: the same headers, the socket that listens, its cookie, and the
//! SYN turned into an answer in its place. It limits and counts nothing, and repeats the SYN's options as they are.

use aya_ebpf::{
    bindings::{bpf_sock, xdp_action},
    helpers::generated::{bpf_sk_release, bpf_skc_lookup_tcp, bpf_tcp_gen_syncookie},
    macros::xdp,
    programs::XdpContext,
};
use netguard_common::{parse::ETHERNET_LEN, view::View as _};
use network_types::eth::{EthHdr, EtherType};

use crate::view::XdpView;

const IPV4: u16 = EtherType::Ipv4 as u16;
const IPV6: u16 = EtherType::Ipv6 as u16;
/// The TCP header of a SYN with the options that clients send, in words.
const TCP_WORDS: usize = 10;
/// `TCP_LISTEN` of net/tcp_states.h.
const LISTEN: u32 = 10;
/// The network namespace of the interface.
const THIS_NAMESPACE: u64 = u64::MAX;
/// The second half of the word with length and flags: what makes a SYN an answer.
const ACK: u32 = 0x0010_0000;

/// Answers each SYN.
#[xdp(frags)]
pub fn parse_answer(ctx: XdpContext) -> u32 {
    match answer(&ctx) {
        Some(()) => xdp_action::XDP_TX,
        None => xdp_action::XDP_PASS,
    }
}

#[inline(always)]
fn answer(ctx: &XdpContext) -> Option<()> {
    let view = XdpView::new(ctx);
    match view.load::<EthHdr>(0)?.ether_type {
        IPV4 => {
            let ip = view.load::<[u32; 5]>(ETHERNET_LEN)?;
            let ports = view.load::<[u32; 1]>(ETHERNET_LEN + 20)?;
            let cookie = cookie::<20>(ctx, &mut [ip[3], ip[4], ports[0]])?;
            view.store(ETHERNET_LEN + 12, &[ip[4], ip[3]])?;
            turn(&view, ETHERNET_LEN + 20, cookie)
        }
        IPV6 => {
            let ip = view.load::<[u32; 10]>(ETHERNET_LEN)?;
            let ports = view.load::<[u32; 1]>(ETHERNET_LEN + 40)?;
            let [_, _, a, b, c, d, e, f, g, h] = ip;
            let cookie = cookie::<40>(ctx, &mut [a, b, c, d, e, f, g, h, ports[0]])?;
            view.store(ETHERNET_LEN + 8, &[e, f, g, h, a, b, c, d])?;
            turn(&view, ETHERNET_LEN + 40, cookie)
        }
        _ => None,
    }
}

/// The cookie of the socket that listens for `tuple`. The IP header has `IP` bytes.
#[inline(always)]
fn cookie<const IP: usize>(ctx: &XdpContext, tuple: &mut [u32]) -> Option<u32> {
    let (ip, tcp) = (
        ctx.data() + ETHERNET_LEN as usize,
        ctx.data() + ETHERNET_LEN as usize + IP,
    );
    if tcp + 4 * TCP_WORDS > ctx.data_end() {
        return None;
    }
    // SAFETY: the tuple has the length that is told, the socket is ours until it is released, and the headers lie in the frame.
    let made = unsafe {
        let len = size_of_val(tuple) as u32;
        let socket: *mut bpf_sock =
            bpf_skc_lookup_tcp(ctx.ctx.cast(), tuple.as_mut_ptr().cast(), len, THIS_NAMESPACE, 0).cast();
        if socket.is_null() {
            return None;
        }
        let made = if (*socket).state == LISTEN {
            bpf_tcp_gen_syncookie(
                socket.cast(),
                ip as *mut _,
                IP as u32,
                tcp as *mut _,
                4 * TCP_WORDS as u32,
            )
        } else {
            -1
        };
        bpf_sk_release(socket.cast());
        made
    };
    (made >= 0).then_some(made as u32)
}

/// Turns the TCP header, and the Ethernet header before all.
#[inline(always)]
fn turn(view: &XdpView<'_>, at: u32, cookie: u32) -> Option<()> {
    let [ports, asked, none, flags, check] = view.load::<[u32; 5]>(at)?;
    let (sequence, next) = (cookie.to_be(), u32::from_be(asked).wrapping_add(1).to_be());
    let acknowledging = flags | ACK.to_be();
    // Only the difference counts (RFC 1624), and neither addresses nor ports that change places make one.
    let before = [asked, none, flags].map(|word| u64::from(!word));
    let now = [sequence, next, acknowledging].map(u64::from);
    let urgent = check >> 16 << 16;
    let sum = before
        .iter()
        .chain(&now)
        .fold(u64::from(!check as u16), |sum, word| sum + word);
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let check = u32::from(!(((sum & 0xffff) + (sum >> 16)) as u16)) | urgent;
    view.store(at, &[ports.rotate_left(16), sequence, next, acknowledging, check])?;
    let [a, b, c] = view.load::<[u32; 3]>(0)?;
    view.store(0, &[b >> 16 | c << 16, c >> 16 | a << 16, a >> 16 | b << 16])
}
