//! The least that any program does that answers for a service: the same headers, the socket that listens, its cookie, and the
//! SYN turned into an answer in its place. It limits and counts nothing, and repeats the SYN's maximum segment size.

use aya_ebpf::{
    bindings::{bpf_sock, xdp_action},
    helpers::generated::{bpf_sk_release, bpf_skc_lookup_tcp, bpf_tcp_gen_syncookie},
    macros::xdp,
    programs::XdpContext,
};
use netguard_common::{packet::protocol, parse::ETHERNET_LEN, view::View as _};
use network_types::eth::EthHdr;

use crate::{IPV4, IPV6, view::XdpView};

/// Words of the TCP header of a SYN that has a maximum segment size only, and of one with the options that clients send.
const SHORT: usize = 6;
const LONG: usize = 10;
/// `TCP_LISTEN` of net/tcp_states.h.
const LISTEN: u32 = 10;
/// The network namespace of the interface.
const THIS_NAMESPACE: u64 = u64::MAX;
/// The second half of the word with length and flags: what makes a SYN an answer.
const ACK: u32 = 0x0010_0000;
/// Four options that say nothing.
const PADDING: u32 = 0x0101_0101;

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
            let [ports, _, _, flags] = view.load::<[u32; 4]>(ETHERNET_LEN + 20)?;
            let mut tuple = [ip[3], ip[4], ports];
            let cookie = match words(flags) {
                SHORT => cookie::<20, SHORT>(ctx, &mut tuple)?,
                LONG => cookie::<20, LONG>(ctx, &mut tuple)?,
                _ => return None,
            };
            view.store(ETHERNET_LEN + 12, &[ip[4], ip[3]])?;
            turn(&view, ETHERNET_LEN + 20, &ip[3..], cookie)
        }
        IPV6 => {
            let ip = view.load::<[u32; 10]>(ETHERNET_LEN)?;
            let [ports, _, _, flags] = view.load::<[u32; 4]>(ETHERNET_LEN + 40)?;
            let [_, _, a, b, c, d, e, f, g, h] = ip;
            let mut tuple = [a, b, c, d, e, f, g, h, ports];
            let cookie = match words(flags) {
                SHORT => cookie::<40, SHORT>(ctx, &mut tuple)?,
                LONG => cookie::<40, LONG>(ctx, &mut tuple)?,
                _ => return None,
            };
            view.store(ETHERNET_LEN + 8, &[e, f, g, h, a, b, c, d])?;
            turn(&view, ETHERNET_LEN + 40, &ip[2..], cookie)
        }
        _ => None,
    }
}

/// Words of a TCP header, by the word in it that says so.
#[inline(always)]
const fn words(flags: u32) -> usize {
    (u32::from_be(flags) >> 28) as usize
}

/// The cookie of the socket that listens for `tuple`. The IP header has `IP` bytes, the TCP header `TCP` words.
#[inline(always)]
fn cookie<const IP: usize, const TCP: usize>(ctx: &XdpContext, tuple: &mut [u32]) -> Option<u32> {
    let (ip, tcp) = (
        ctx.data() + ETHERNET_LEN as usize,
        ctx.data() + ETHERNET_LEN as usize + IP,
    );
    if tcp + 4 * TCP > ctx.data_end() {
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
                4 * TCP as u32,
            )
        } else {
            -1
        };
        bpf_sk_release(socket.cast());
        made
    };
    (made >= 0).then_some(made as u32)
}

/// Turns the TCP header, and the Ethernet header before all. The checksum is made anew: that of a SYN of this machine's own is for a
/// card to finish.
#[inline(always)]
fn turn(view: &XdpView<'_>, at: u32, addresses: &[u32], cookie: u32) -> Option<()> {
    let [ports, asked, _, flags, _, mss] = view.load::<[u32; SHORT]>(at)?;
    let words = words(flags);
    let ports = ports.rotate_left(16);
    let (sequence, next) = (cookie.to_be(), u32::from_be(asked).wrapping_add(1).to_be());
    let flags = flags | ACK.to_be();
    let mut sum = u64::from((4 * words as u32 + u32::from(protocol::TCP)).to_be());
    if words == LONG {
        view.store(at + 24, &[PADDING; LONG - SHORT])?;
        sum += (LONG - SHORT) as u64 * u64::from(PADDING);
    }
    let headers = [ports, sequence, next, flags, mss];
    let sum = headers
        .iter()
        .chain(addresses)
        .fold(sum, |sum, word| sum + u64::from(*word));
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let check = u32::from(!(((sum & 0xffff) + (sum >> 16)) as u16));
    view.store(at, &[ports, sequence, next, flags, check])?;
    let [a, b, c] = view.load::<[u32; 3]>(0)?;
    view.store(0, &[b >> 16 | c << 16, c >> 16 | a << 16, a >> 16 | b << 16])
}
