//! The kernel's tables of sockets: who listens for a packet, and the cookie that it would answer with; who takes a datagram.

use aya_ebpf::{
    EbpfContext,
    bindings::bpf_sock_tuple,
    helpers::generated::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp, bpf_tcp_gen_syncookie},
};
use netguard_common::{
    Packet,
    packet::Family,
    reflection::UdpSocket,
    syn_ack::{Cookie, SynAck, TCP_AT},
};

/// `TCP_LISTEN` of net/tcp_states.h.
const LISTEN: u32 = 10;
/// `TCP_ESTABLISHED`, which connected UDP sockets have, too.
const ESTABLISHED: u32 = 1;
/// The network namespace of the interface.
const THIS_NAMESPACE: u64 = u64::MAX;

/// See [`netguard_common::tables::Tables::listener`].
#[inline(always)]
pub(crate) fn listener(
    ctx: &impl EbpfContext,
    packet: &Packet,
    answer: &SynAck,
    tcp_len: u32,
) -> Option<Option<Cookie>> {
    let ip_len = match packet.family() {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let (mut tuple, tuple_len) = tuple(packet);
    // SAFETY: the tuple has the length that is told; what is found is released below.
    let socket = unsafe { bpf_skc_lookup_tcp(ctx.as_ptr(), &raw mut tuple, tuple_len, THIS_NAMESPACE, 0) };
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

/// See [`netguard_common::tables::Tables::udp_socket`].
#[inline(always)]
pub(crate) fn udp(ctx: &impl EbpfContext, packet: &Packet) -> UdpSocket {
    let (mut tuple, tuple_len) = tuple(packet);
    // SAFETY: the tuple has the length that is told; what is found is released below.
    let socket = unsafe { bpf_sk_lookup_udp(ctx.as_ptr(), &raw mut tuple, tuple_len, THIS_NAMESPACE, 0) };
    if socket.is_null() {
        return UdpSocket::None;
    }
    // SAFETY: the socket is ours until it is released.
    let state = unsafe {
        let state = (*socket).state;
        bpf_sk_release(socket.cast());
        state
    };
    if state == ESTABLISHED {
        UdpSocket::Connected
    } else {
        UdpSocket::Bound
    }
}

/// How the kernel is asked for the socket of `packet`, and the length of that.
#[inline(always)]
fn tuple(packet: &Packet) -> (bpf_sock_tuple, u32) {
    // SAFETY: integers only; zero is a valid one.
    let mut tuple: bpf_sock_tuple = unsafe { core::mem::zeroed() };
    let (source_port, destination_port) = (packet.source_port.to_be(), packet.destination_port.to_be());
    match packet.family() {
        Family::V4 => {
            // SAFETY: all of the union are integers.
            let ipv4 = unsafe { &mut tuple.__bindgen_anon_1.ipv4 };
            (ipv4.saddr, ipv4.daddr) = (packet.source.word_v4(), packet.destination.word_v4());
            (ipv4.sport, ipv4.dport) = (source_port, destination_port);
            (tuple, 12)
        }
        Family::V6 => {
            // SAFETY: as above.
            let ipv6 = unsafe { &mut tuple.__bindgen_anon_1.ipv6 };
            (ipv6.saddr, ipv6.daddr) = (words(packet.source), words(packet.destination));
            (ipv6.sport, ipv6.dport) = (source_port, destination_port);
            (tuple, 36)
        }
    }
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
