//! What services of this machine say, by its sockets; and the parts of the look at it that the verifier judges by themselves, as those in
//! [`crate::apart`].

use core::ptr::{from_ref, null_mut};

use aya_ebpf::{
    bindings::{__sk_buff, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    helpers::generated::{bpf_get_socket_cookie, bpf_sk_fullsock, bpf_sk_storage_get, bpf_tcp_sock},
    programs::TcContext,
};
use netguard_common::{
    tables::Tables as _,
    tls::{self, Conversation, Handshake, Reading},
};

use crate::{
    cells, lent,
    maps::{CONVERSATIONS, HANDSHAKES, READING, TLS as COUNTERS},
    skb::SkbView,
    tables::KernelTables,
};

/// `SOCK_STREAM`.
const STREAM: u32 = 1;
/// `IPPROTO_TCP`.
const TCP: u32 = 6;

/// Whether the packet that this CPU looks at, of `ctx`, must not leave.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn netguard_tls(ctx: *mut __sk_buff) -> u32 {
    let (Some(settings), Some(packet)) = (lent::settings(), lent::packet()) else {
        return 0;
    };
    let ctx = TcContext::new(ctx);
    let view = SkbView::new(&ctx);
    let tables = KernelTables::new(&ctx, view.zero);
    match tables.service(u32::from(packet.source_port)) {
        Some(service) => u32::from(tls::is_refused(&view, packet, settings, service, &tables)),
        None => 0,
    }
}

/// Reads a little more of the conversation that this CPU reads; 0 when there is no more to read, or no need.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn netguard_tls_step(ctx: *mut __sk_buff) -> u32 {
    let Some(reading) = reading() else {
        return 0;
    };
    let ctx = TcContext::new(ctx);
    u32::from(tls::step(&SkbView::new(&ctx), reading))
}

/// The memory of this CPU for what is read.
#[inline(always)]
pub(crate) fn reading() -> Option<&'static mut Reading> {
    // SAFETY: the slot belongs to this CPU, and what leaves there does so one after the other.
    READING.get_ptr_mut(0).map(|reading| unsafe { &mut *reading })
}

/// What the kernel calls the socket of `skb`, and the number of the interface that it leaves through.
#[inline(always)]
pub(crate) fn names(skb: *mut __sk_buff) -> (u64, u32) {
    // SAFETY: the context is that of this program.
    unsafe { (bpf_get_socket_cookie(skb.cast()), (*skb).ifindex) }
}

/// What the socket of `skb` carries: begun now, if it carries nothing yet. A socket that is none of TCP has nothing of what is asked of it.
#[inline(always)]
pub(crate) fn conversation(skb: *mut __sk_buff) -> Option<&'static mut Conversation> {
    // SAFETY: the context is that of this program. The kernel lends the sockets and what they carry for as long as it runs; a socket is
    // locked while it sends, so nobody else reads or writes what it carries. The loads are volatile, or LLVM would make one of two, or
    // half of one, which the kernel does not allow.
    unsafe {
        let socket = (&raw const (*skb).__bindgen_anon_2.sk).read_volatile();
        if socket.is_null() {
            return None;
        }
        let socket: *mut bpf_sock = bpf_sk_fullsock(socket);
        if socket.is_null()
            || (&raw const (*socket).type_).read_volatile() != STREAM
            || (&raw const (*socket).protocol).read_volatile() != TCP
        {
            return None;
        }
        let map = from_ref(&CONVERSATIONS).cast_mut().cast();
        let known: *mut Conversation = bpf_sk_storage_get(map, socket.cast(), null_mut(), 0).cast();
        if !known.is_null() {
            return Some(&mut *known);
        }
        let tcp = bpf_tcp_sock(socket);
        if tcp.is_null() {
            return None;
        }
        let (unacknowledged, acknowledged) = (
            (&raw const (*tcp).snd_una).read_volatile(),
            (&raw const (*tcp).bytes_acked).read_volatile(),
        );
        let create = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
        let fresh: *mut Conversation = bpf_sk_storage_get(map, socket.cast(), null_mut(), create).cast();
        if fresh.is_null() {
            return None;
        }
        // The acknowledgement of a SYN-ACK is none of bytes.
        (*fresh).first = unacknowledged.wrapping_sub(acknowledged as u32);
        Some(&mut *fresh)
    }
}

/// Counts a handshake among those of `index`.
#[inline(always)]
pub(crate) fn count(index: u32) {
    cells::count(COUNTERS.get_ptr_mut(index));
}

/// Hands `handshake` to user space; false when there was no room.
#[inline(always)]
pub(crate) fn tell(handshake: &Handshake) -> bool {
    HANDSHAKES
        .output_untyped::<Handshake>(handshake, u64::from(aya_ebpf::bindings::BPF_RB_NO_WAKEUP))
        .is_ok()
}
