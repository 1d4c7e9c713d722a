//! Counts TCP connections where the kernel opens and closes them (`sock_ops`, for all sockets of a cgroup). Only those that others opened
//! with this machine count; a mark at the socket says since when it is, so each closes once, and how long it stood is known.

use core::ptr;

use aya_ebpf::{
    bindings::{
        BPF_NOEXIST, BPF_SK_STORAGE_GET_F_CREATE, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB,
        BPF_SOCK_OPS_STATE_CB_FLAG, BPF_TCP_CLOSE, bpf_sock_ops,
    },
    helpers::generated::{
        bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_sk_storage_delete,
        bpf_sk_storage_get,
    },
    programs::SockOpsContext,
};
use netguard_common::{
    connection::{self, Excess, Held, Holder, Ledger, NOTHING, OPENED, UNCOUNTED},
    layout::{Mode, Settings},
    packet::{Address, Family, protocol},
    service,
};

use crate::{cells, lent::settings, maps::*};

/// `AF_INET6`; everything else with TCP is IPv4.
const INET6: u32 = 10;

/// Takes notice of what happened to a socket.
#[inline(always)]
pub(crate) fn notice(ctx: &SockOpsContext) {
    match ctx.op() {
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => opened(ctx),
        BPF_SOCK_OPS_STATE_CB if ctx.arg(1) == BPF_TCP_CLOSE => closed(ctx),
        _ => {}
    }
}

#[inline(always)]
fn opened(ctx: &SockOpsContext) {
    let Some(settings) = settings() else {
        return;
    };
    if settings.connections.mode == Mode::Off as u32 || !is_here(ctx, settings) {
        return;
    }
    let (family, peer, own) = ends(ctx);
    // Connections within this machine are nobody's.
    if peer == own || is_loopback(family, peer) {
        return;
    }
    let socket = socket(ctx);
    if socket.is_null() {
        return;
    }
    let mut mark = connection::mark(now_ns());
    // SAFETY: the socket was checked; the kernel copies the mark.
    let marked = unsafe {
        let existing = bpf_sk_storage_get(storage(), socket, ptr::null_mut(), 0);
        existing.is_null()
            && !bpf_sk_storage_get(
                storage(),
                socket,
                ptr::from_mut(&mut mark).cast(),
                u64::from(BPF_SK_STORAGE_GET_F_CREATE),
            )
            .is_null()
    };
    // Marked before: by the program of an earlier daemon, which is attached until this one has taken over.
    if !marked
        || ctx
            .set_cb_flags((ctx.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG) as i32)
            .is_err()
    {
        return;
    }
    cells::count(CONNECTION_SUMS.get_ptr_mut(OPENED));
    match connection::opened(family, peer, ctx.local_port() as u16, settings, &Counts) {
        Some(false) => {}
        Some(true) => tell(ctx, peer, own),
        None => {
            unmark(socket);
            cells::count(CONNECTION_SUMS.get_ptr_mut(UNCOUNTED));
        }
    }
}

#[inline(always)]
fn closed(ctx: &SockOpsContext) {
    let Some(settings) = settings() else {
        return;
    };
    let socket = socket(ctx);
    if socket.is_null() {
        return;
    }
    let Some(mark) = unmark(socket) else {
        return;
    };
    let (family, peer, _) = ends(ctx);
    connection::closed(family, peer, settings, &Counts);
    // Where new ones get no marks, only the longest of the old ones are left to end: their mean says nothing.
    if settings.telemetry.on == 0 || settings.connections.mode == Mode::Off as u32 {
        return;
    }
    if let Some(stood_ms) = connection::stood_ms(mark, now_ns()) {
        ended(ctx.local_port() as u16, stood_ms);
    }
}

/// Counts that a connection with the service at `port` stood for so long.
#[inline(always)]
fn ended(port: u16, stood_ms: u64) {
    let number = service::slot(protocol::TCP, port).map_or(0, cells::watched);
    if let Some(telemetry) = TELEMETRY.get_ptr_mut(0) {
        // SAFETY: the entry is one of the map; only the places of its words are taken.
        let [connections, milliseconds] = unsafe {
            let ended = &raw mut (*telemetry).ended[number as usize];
            [&raw mut (*ended).connections, &raw mut (*ended).milliseconds]
        };
        // In one step each, though they are of this CPU: one process that closes may interrupt another.
        fetch_add(connections, 1);
        fetch_add(milliseconds, stood_ms);
    }
}

/// Monotonic nanoseconds. Not those of [`crate::clock`]: a process that closes may be interrupted by packets, whose time that is.
#[inline(always)]
fn now_ns() -> u64 {
    // SAFETY: the helper takes nothing and only reads a clock.
    unsafe { bpf_ktime_get_ns() }
}

/// Tells user space of a connection that is one too many.
#[inline(always)]
fn tell(ctx: &SockOpsContext, peer: Address, own: Address) {
    let excess = Excess {
        own,
        peer,
        // SAFETY: the context is that of this program.
        cookie: unsafe { bpf_get_socket_cookie(ctx.ops.cast()) },
        own_port: ctx.local_port() as u16,
        // In network byte order, in all four bytes.
        peer_port: u32::from_be(ctx.remote_port()) as u16,
        reserved: 0,
    };
    // Where there is no room it stands: the next attempt is refused all the same.
    let _ = EXCESS.output_untyped::<Excess>(&excess, 0);
}

/// Whether the socket lies in the network namespace that is protected: all of a machine can share a cgroup.
#[inline(always)]
fn is_here(ctx: &SockOpsContext, settings: &Settings) -> bool {
    // SAFETY: the context is that of this program.
    unsafe { bpf_get_netns_cookie(ctx.ops.cast()) == settings.connections.namespace }
}

/// The family, the peer and the own address; IPv4 peers of IPv6 sockets are IPv4.
#[inline(always)]
fn ends(ctx: &SockOpsContext) -> (Family, Address, Address) {
    if ctx.family() != INET6 {
        let v4 = |word: u32| Address::v4(word.to_ne_bytes());
        return (Family::V4, v4(ctx.remote_ip4()), v4(ctx.local_ip4()));
    }
    // SAFETY: the context is that of this program, and its words are read one by one, as the verifier demands.
    let (peer, own) = unsafe {
        let (peer, own) = (&raw const (*ctx.ops).remote_ip6, &raw const (*ctx.ops).local_ip6);
        (words(peer.cast()), words(own.cast()))
    };
    if is_mapped(peer) {
        (Family::V4, peer, own)
    } else {
        (Family::V6, peer, own)
    }
}

/// # Safety
/// `at` are four words of the context.
#[inline(always)]
unsafe fn words(at: *const u32) -> Address {
    // SAFETY: the caller promises it.
    let [a, b, c, d] = unsafe {
        [
            at.read_volatile(),
            at.add(1).read_volatile(),
            at.add(2).read_volatile(),
            at.add(3).read_volatile(),
        ]
    };
    Address {
        high: u64::from(a) | u64::from(b) << 32,
        low: u64::from(c) | u64::from(d) << 32,
    }
}

/// Whether it is an IPv4 address, as an IPv6 socket has it.
#[inline(always)]
const fn is_mapped(address: Address) -> bool {
    const MARK: u64 = u64::from_ne_bytes([0, 0, 0xff, 0xff, 0, 0, 0, 0]);
    const MASK: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    address.high == 0 && address.low & MASK == MARK
}

#[inline(always)]
fn is_loopback(family: Family, address: Address) -> bool {
    match family {
        Family::V4 => address.octets_v4()[0] == 127,
        Family::V6 => address.high == 0 && address.low == 1_u64.to_be(),
    }
}

#[inline(always)]
fn socket(ctx: &SockOpsContext) -> *mut core::ffi::c_void {
    let ops: *mut bpf_sock_ops = ctx.ops;
    // SAFETY: the context is that of this program.
    unsafe { (*ops).__bindgen_anon_2.sk.cast() }
}

#[inline(always)]
fn storage() -> *mut core::ffi::c_void {
    (&raw const COUNTED).cast_mut().cast()
}

/// Takes the mark off, and tells it; `None` where there was none, or another program took it off.
#[inline(always)]
fn unmark(socket: *mut core::ffi::c_void) -> Option<u64> {
    // SAFETY: the socket was checked; the mark is read before it goes.
    unsafe {
        let mark: *const u64 = bpf_sk_storage_get(storage(), socket, ptr::null_mut(), 0).cast();
        if mark.is_null() {
            return None;
        }
        let mark = mark.read_volatile();
        if bpf_sk_storage_delete(storage(), socket) == 0 {
            Some(mark)
        } else {
            None
        }
    }
}

/// Where [`open`] looks for `opened`.
const _: () = assert!(
    core::mem::offset_of!(Held, penalties) % 8 == 0
        && core::mem::offset_of!(Held, opened) == core::mem::offset_of!(Held, penalties) + 4
);

/// The maps, as the ledger.
struct Counts;

impl Ledger for Counts {
    #[inline(always)]
    fn add(&self, holder: &Holder) -> Option<u64> {
        if let Some(held) = CONNECTIONS.get_ptr_mut(holder) {
            return Some(open(held));
        }
        // Another CPU may have been first: then it is there.
        let _ = CONNECTIONS.insert(holder, NOTHING, u64::from(BPF_NOEXIST));
        CONNECTIONS.get_ptr_mut(holder).map(open)
    }

    #[inline(always)]
    fn take(&self, holder: &Holder) -> Option<u64> {
        let count = count(holder)?;
        let before = fetch_add(count, ONE_LESS);
        if before == 0 {
            fetch_add(count, 1);
            return None;
        }
        Some(before)
    }

    #[inline(always)]
    fn hint(&self, hint: u32, is_more: bool) {
        if let Some(word) = CONNECTION_HINTS.get_ptr_mut(hint) {
            fetch_add(word, if is_more { 1 } else { ONE_LESS });
        }
    }

    #[inline(always)]
    fn correction(&self, holder: &Holder) -> i32 {
        correction(holder)
    }
}

/// Counts one more connection, and tells how many there were.
#[inline(always)]
fn open(held: *mut Held) -> u64 {
    // SAFETY: as for `fetch_add`. The word holds `penalties` in its lower half, which stays as it is.
    fetch_add(unsafe { (&raw mut (*held).penalties).cast() }, 1 << 32);
    fetch_add(held.cast(), 1)
}

/// Has `holder` refused until `until_ns`.
#[inline(always)]
pub(crate) fn punish(holder: &Holder, penalties: u32, until_ns: u64) {
    if let Some(held) = CONNECTIONS.get_ptr_mut(holder) {
        // SAFETY: as for `fetch_add`; another CPU that punishes at this moment writes the same.
        unsafe { ((*held).penalties, (*held).until_ns) = (penalties, until_ns) };
    }
}

/// By what user space found the count of `holder` to be wrong.
#[inline(always)]
pub(crate) fn correction(holder: &Holder) -> i32 {
    // SAFETY: the number is copied at once.
    unsafe { CORRECTIONS.get(holder) }.copied().unwrap_or(0)
}

/// The count of `holder`, which all CPUs write: the first word of its entry.
#[inline(always)]
fn count(holder: &Holder) -> Option<*mut u64> {
    CONNECTIONS.get_ptr_mut(holder).map(|held| held.cast())
}

/// Added, it takes one away.
const ONE_LESS: u64 = u64::MAX;

/// Adds `number` to the word `at` in one step, and tells what it was. `at` is a word of a map: such live as long as a program that may see
/// them runs, and are aligned. The compiler knows no such step for this target.
#[cfg(target_arch = "bpf")]
#[inline(always)]
fn fetch_add(at: *mut u64, mut number: u64) -> u64 {
    // SAFETY: all callers hand over words of maps.
    unsafe {
        core::arch::asm!("{0} = atomic_fetch_add((u64 *)({1} + 0), {0})", inout(reg) number, in(reg) at);
    }
    number
}

#[cfg(not(target_arch = "bpf"))]
fn fetch_add(at: *mut u64, number: u64) -> u64 {
    // SAFETY: as above; it runs nowhere.
    unsafe {
        let before = at.read();
        at.write(before.wrapping_add(number));
        before
    }
}
