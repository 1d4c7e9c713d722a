//! The kernel's table of sockets: who listens for a packet, and the cookie that it would answer with.

use aya_ebpf::{
    bindings::bpf_sock_tuple,
    helpers::generated::{bpf_sk_release, bpf_skc_lookup_tcp, bpf_tcp_gen_syncookie},
    programs::XdpContext,
};
use netguard_common::{
    Packet,
    packet::Family,
    syn_ack::{Cookie, SynAck, TCP_AT},
};

/// `TCP_LISTEN` of net/tcp_states.h.
const LISTEN: u32 = 10;
/// The network namespace of the interface.
const THIS_NAMESPACE: u64 = u64::MAX;

/// See [`netguard_common::tables::Tables::listener`].
#[inline(always)]
pub(crate) fn listener(
    ctx: &XdpContext,
    packet: &Packet,
    answer: &SynAck,
    tcp_len: u32,
) -> Option<Option<Cookie>> {
    // SAFETY: integers only; zero is a valid one.
    let mut tuple: bpf_sock_tuple = unsafe { core::mem::zeroed() };
    let (source_port, destination_port) = (packet.source_port.to_be(), packet.destination_port.to_be());
    let (ip_len, tuple_len) = match packet.family() {
        Family::V4 => {
            // SAFETY: all of the union are integers.
            let ipv4 = unsafe { &mut tuple.__bindgen_anon_1.ipv4 };
            (ipv4.saddr, ipv4.daddr) = (packet.source.word_v4(), packet.destination.word_v4());
            (ipv4.sport, ipv4.dport) = (source_port, destination_port);
            (20, 12)
        }
        Family::V6 => {
            // SAFETY: as above.
            let ipv6 = unsafe { &mut tuple.__bindgen_anon_1.ipv6 };
            (ipv6.saddr, ipv6.daddr) = (words(packet.source), words(packet.destination));
            (ipv6.sport, ipv6.dport) = (source_port, destination_port);
            (40, 36)
        }
    };
    // SAFETY: the tuple has the length that is told; what is found is released below.
    let socket = unsafe { bpf_skc_lookup_tcp(ctx.ctx.cast(), &raw mut tuple, tuple_len, THIS_NAMESPACE, 0) };
    if socket.is_null() {
        return None;
    }
    let headers = answer.headers.as_ptr();
    // SAFETY: the socket is ours until it is released; both headers lie in the answer.
    let made = unsafe {
        let made = if (*socket).state == LISTEN {
            Some(bpf_tcp_gen_syncookie(
                socket.cast(),
                headers.add(TCP_AT - ip_len).cast_mut().cast(),
                ip_len as u32,
                headers.add(TCP_AT).cast_mut().cast(),
                tcp_len,
            ))
        } else {
            None
        };
        bpf_sk_release(socket.cast());
        made
    }?;
    Some((made >= 0).then_some(Cookie {
        sequence: made as u32,
        mss: (made >> 32) as u16,
    }))
}

#[inline(always)]
fn words(address: netguard_common::packet::Address) -> [u32; 4] {
    let (high, low) = (address.high, address.low);
    if cfg!(target_endian = "little") {
        [high as u32, (high >> 32) as u32, low as u32, (low >> 32) as u32]
    } else {
        [(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32]
    }
}
