//! The kernel's tables of sockets: who listens for a packet, the cookie that it would answer with, which packets have a
//! connection, and who takes a datagram.

use aya_ebpf::{
    EbpfContext,
    bindings::{bpf_sock, bpf_sock_tuple},
    helpers::generated::{
        bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp, bpf_tcp_check_syncookie, bpf_tcp_gen_syncookie,
    },
    programs::XdpContext,
};
use netguard_common::{
    Packet, cookie,
    packet::{Family, TcpFlags},
    reflection::UdpSocket,
    state::Standing,
    syn_ack::{Cookie, SynAck, TCP_AT},
    tables::Tables as _,
};

use crate::{maps::KernelTables, view::XdpView};

/// `TCP_LISTEN` of net/tcp_states.h.
const LISTEN: u32 = 10;
/// `TCP_ESTABLISHED`, which connected UDP sockets have, too.
const ESTABLISHED: u32 = 1;
/// The network namespace of the interface.
const THIS_NAMESPACE: u64 = u64::MAX;
const TCP_MIN: u32 = 20;

/// See [`netguard_common::tables::Tables::listener`].
#[inline(always)]
pub(crate) fn listener(
    ctx: &impl EbpfContext,
    packet: &Packet,
    answer: &SynAck,
    tcp_len: u32,
) -> Option<Option<Cookie>> {
    let socket = lookup(ctx, packet);
    if socket.is_null() {
        return None;
    }
    let ip_len = match packet.family() {
        Family::V4 => 20,
        Family::V6 => 40,
    };
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

/// See [`netguard_common::tables::Tables::standing`]. A socket that waits for the end of its handshake or lingers after its
/// connection has its segments, too.
#[inline(always)]
pub(crate) fn standing(ctx: &impl EbpfContext, packet: &Packet) -> Standing {
    let socket = lookup(ctx, packet);
    if socket.is_null() {
        return Standing::Unknown;
    }
    // SAFETY: the socket is ours until it is released.
    let wanted = unsafe {
        let wanted = (*socket).state != LISTEN || returns_cookie(ctx, socket, packet);
        bpf_sk_release(socket.cast());
        wanted
    };
    if wanted {
        Standing::Wanted
    } else {
        Standing::Listening
    }
}

/// Whether `packet` acknowledges a SYN cookie of `listener`, the kernel's or ours.
#[inline(always)]
fn returns_cookie(ctx: &impl EbpfContext, listener: *mut bpf_sock, packet: &Packet) -> bool {
    const BESIDE: u8 = TcpFlags::SYN | TcpFlags::RST;
    let flags = packet.tcp_flags();
    if !flags.has(TcpFlags::ACK) || flags.0 & BESIDE != 0 {
        return false;
    }
    // Segments are judged as they arrive only: at XDP.
    let ctx = XdpContext::new(ctx.as_ptr().cast());
    let view = XdpView::new(&ctx);
    let tables = KernelTables::new(&ctx, &view);
    let Some(mut scratch) = tables.syn_ack() else {
        return false;
    };
    if cookie::take(&view, packet, &mut scratch).is_none() {
        return false;
    }
    let headers = scratch.headers.as_ptr();
    let ip_len = match packet.family() {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    // SAFETY: the caller holds the socket; both headers lie in the scratch memory.
    let refused = unsafe {
        bpf_tcp_check_syncookie(
            listener.cast(),
            headers.add(TCP_AT - ip_len).cast_mut().cast(),
            ip_len as u32,
            headers.add(TCP_AT).cast_mut().cast(),
            TCP_MIN,
        )
    };
    refused == 0
}

/// The socket that `packet` reaches, which must be released; null when there is none.
#[inline(always)]
fn lookup(ctx: &impl EbpfContext, packet: &Packet) -> *mut bpf_sock {
    let (mut tuple, tuple_len) = tuple(packet);
    // SAFETY: the tuple has the length that is told.
    unsafe { bpf_skc_lookup_tcp(ctx.as_ptr(), &raw mut tuple, tuple_len, THIS_NAMESPACE, 0) }.cast()
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
