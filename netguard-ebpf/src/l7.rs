//! Lends what passes an interface, and the maps, to who listens to conversations. The program is a filter of packet sockets: it sees what arrived
//! behind the XDP program, and what leaves, from the network header on.

use core::{ops::DerefMut, ptr::from_ref};

use aya_ebpf::{
    bindings::{__sk_buff, BPF_RB_NO_WAKEUP},
    helpers::generated::{bpf_ktime_get_ns, bpf_ringbuf_output, bpf_skb_load_bytes},
    programs::SkBuffContext,
};
use netguard_common::{
    l7::{self, Hearing, Link, Listener, PIECE_BYTES, Piece, Talk, TalkKey},
    layout::Settings,
    tables::LimitCell,
    view::{Header, View},
};

use crate::{clock, lent, maps::*, time_cell::TimeCell, view::unproven};

/// `PACKET_OUTGOING`.
const OUTGOING: u32 = 4;

/// Listens to the packet of `ctx`.
#[inline(always)]
pub(crate) fn listen(ctx: &SkBuffContext) {
    let skb = ctx.skb.skb;
    // SAFETY: the context is that of this program. The loads are volatile, or LLVM would make one of two, or half of one, which the kernel does not
    // allow.
    let (ether_type, kind) = unsafe {
        (
            (&raw const (*skb).protocol).read_volatile(),
            (&raw const (*skb).pkt_type).read_volatile(),
        )
    };
    let link = Link {
        // In network byte order.
        ether_type: u16::from_be(ether_type as u16),
        leaves: kind == OUTGOING,
    };
    l7::hear(&SocketView { skb }, link, &Maps { skb });
}

/// A packet of a socket filter, whose bytes are copied out: it may not read them where they lie.
struct SocketView {
    skb: *mut __sk_buff,
}

impl View for SocketView {
    #[inline(always)]
    fn len(&self) -> u32 {
        // SAFETY: the context is that of this program.
        unsafe { (&raw const (*self.skb).len).read_volatile() }
    }

    #[inline(always)]
    fn load<T: Header>(&self, at: u32) -> Option<T> {
        let mut header = core::mem::MaybeUninit::<T>::uninit();
        // SAFETY: the helper fills all of the header, or says that it could not; `Header` makes any bytes a valid `T`.
        unsafe {
            let refused = bpf_skb_load_bytes(
                self.skb.cast(),
                at,
                header.as_mut_ptr().cast(),
                size_of::<T>() as u32,
            );
            (refused == 0).then(|| header.assume_init())
        }
    }

    /// Nothing that is heard is answered.
    #[inline(always)]
    fn load_tcp(&self, _: u32, _: &mut [u32; 26]) -> Option<u32> {
        None
    }

    /// Signatures are for the datapath.
    #[inline(always)]
    fn load_prefix(&self, _: u32, _: u32, _: &mut [u8; 32]) {}

    /// As are heads.
    #[inline(always)]
    fn load_head(&self, _: &mut [u8; 128]) -> u32 {
        0
    }
}

/// The maps, for the packet of `skb`.
struct Maps {
    skb: *mut __sk_buff,
}

impl Listener for Maps {
    #[inline(always)]
    fn settings(&self) -> Option<&Settings> {
        lent::settings()
    }

    #[inline(always)]
    fn is_watched(&self, port: u16) -> bool {
        let (word, bit) = (u32::from(port) / 64, port % 64);
        L7_PORTS.get(word).is_some_and(|bits| bits >> bit & 1 != 0)
    }

    #[inline(always)]
    fn talk(&self, key: &TalkKey) -> Option<impl DerefMut<Target = Talk>> {
        // SAFETY: the kernel keeps the entry's memory while the program runs. Other CPUs may write words of it meanwhile, any of which are valid.
        TALKS.get_ptr_mut(key).map(|talk| unsafe { &mut *talk })
    }

    #[inline(always)]
    fn begin(&self, key: &TalkKey, talk: &Talk) {
        // Where there is no room, it is not followed.
        let _ = TALKS.insert(key, talk, 0);
    }

    #[inline(always)]
    fn end(&self, key: &TalkKey) {
        // That there was none is no matter.
        let _ = TALKS.remove(key);
    }

    #[inline(always)]
    fn opening(&self, index: u32) -> Option<impl LimitCell> {
        OPENINGS.get_ptr_mut(index).map(TimeCell)
    }

    #[inline(always)]
    fn hearing(&self) -> Option<impl DerefMut<Target = Hearing>> {
        // SAFETY: the entry belongs to this CPU, and packets pass there one after the other.
        HEARING.get_ptr_mut(0).map(|hearing| unsafe { &mut *hearing })
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        clock::now_ns()
    }

    #[inline(always)]
    fn exact_ns(&self) -> u64 {
        // SAFETY: the helper takes nothing and only reads a clock.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn emit<V: View>(&self, _: &V, piece: &Piece, at: u32) -> bool {
        let Some(room) = PIECE.get_ptr_mut(0) else {
            return false;
        };
        // SAFETY: the entry belongs to this CPU, as above; its bytes have room for the longest piece, and the ring buffer copies it.
        unsafe {
            (*room).piece = *piece;
            let mut len = 0;
            if piece.len != 0 {
                // Bounds that the verifier can see.
                len = (unproven(u32::from(piece.len) - 1) & (PIECE_BYTES as usize - 1)) + 1;
                let to = (&raw mut (*room).bytes).cast();
                if bpf_skb_load_bytes(self.skb.cast(), at, to, len as u32) != 0 {
                    return false;
                }
            }
            let size = size_of::<Piece>() + len;
            let ring = from_ref(&PIECES).cast_mut().cast();
            bpf_ringbuf_output(ring, room.cast(), size as u64, u64::from(BPF_RB_NO_WAKEUP)) == 0
        }
    }
}
