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

use crate::{tables::KernelTables, view::XdpView};

/// `TCP_LISTEN` of net/tcp_states.h.
const LISTEN: u32 = 10;
/// `TCP_NEW_SYN_RECV`.
const HALF_OPEN: u32 = 12;
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
    let ip_words = ip_words(packet);
    let headers = answer.headers.as_ptr();
    // SAFETY: the socket is ours until it is released; both headers lie in the answer.
    let made = unsafe {
        let made = if (*socket).state == LISTEN {
            Some(bpf_tcp_gen_syncookie(
                socket.cast(),
                headers.add(TCP_AT - ip_words).cast_mut().cast(),
                4 * ip_words as u32,
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
    unsafe {
        let standing = match (*socket).state {
            HALF_OPEN => Standing::HalfOpen,
            LISTEN if !returns_cookie(ctx, socket, packet) => Standing::Listening,
            _ => Standing::Wanted,
        };
        bpf_sk_release(socket.cast());
        standing
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
    let view = XdpView::with_len(&ctx, packet.frame_len as u32);
    let tables = KernelTables::new(&ctx, view.zero);
    let Some(mut scratch) = tables.syn_ack() else {
        return false;
    };
    if cookie::take(&view, packet, &mut scratch).is_none() {
        return false;
    }
    let headers = scratch.headers.as_ptr();
    let ip_words = ip_words(packet);
    // SAFETY: the caller holds the socket; both headers lie in the scratch memory.
    let refused = unsafe {
        bpf_tcp_check_syncookie(
            listener.cast(),
            headers.add(TCP_AT - ip_words).cast_mut().cast(),
            4 * ip_words as u32,
            headers.add(TCP_AT).cast_mut().cast(),
            TCP_MIN,
        )
    };
    refused == 0
}

/// Words of the IP header.
#[inline(always)]
fn ip_words(packet: &Packet) -> usize {
    match packet.family() {
        Family::V4 => 5,
        Family::V6 => 10,
    }
}

/// The TCP socket that `packet` reaches, which must be released; null when there is none.
#[inline(always)]
fn lookup(ctx: &impl EbpfContext, packet: &Packet) -> *mut bpf_sock {
    reached(packet, |tuple, len| {
        // SAFETY: the tuple has the length that is told.
        unsafe { bpf_skc_lookup_tcp(ctx.as_ptr(), tuple, len, THIS_NAMESPACE, 0) }.cast()
    })
}

/// See [`netguard_common::tables::Tables::udp_socket`].
#[inline(always)]
pub(crate) fn udp(ctx: &impl EbpfContext, packet: &Packet) -> UdpSocket {
    let socket = reached(packet, |tuple, len| {
        // SAFETY: as for `lookup`.
        unsafe { bpf_sk_lookup_udp(ctx.as_ptr(), tuple, len, THIS_NAMESPACE, 0) }
    });
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

/// What `find` answers to the addresses and ports of `packet`, and the length of these.
#[inline(always)]
fn reached(packet: &Packet, find: impl Fn(*mut bpf_sock_tuple, u32) -> *mut bpf_sock) -> *mut bpf_sock {
    let ports = ports(packet);
    // A `bpf_sock_tuple`, in words: zeroed as a whole it would be filled byte by byte, by a function of the compiler's.
    match packet.family() {
        Family::V4 => {
            let mut tuple = [packet.source.word_v4(), packet.destination.word_v4(), ports];
            find(tuple.as_mut_ptr().cast(), size_of_val(&tuple) as u32)
        }
        Family::V6 => {
            let ([a, b, c, d], [e, f, g, h]) = (words(packet.source), words(packet.destination));
            let mut tuple = [a, b, c, d, e, f, g, h, ports];
            find(tuple.as_mut_ptr().cast(), size_of_val(&tuple) as u32)
        }
    }
}

/// Both ports as they lie in a packet.
#[inline(always)]
fn ports(packet: &Packet) -> u32 {
    (u32::from(packet.source_port) << 16 | u32::from(packet.destination_port)).to_be()
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
