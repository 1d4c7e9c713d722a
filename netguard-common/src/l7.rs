//! What clients and the services of this machine say to each other over TCP: which segments are handed on to user space, and how much of each.
//! What is said in them is user space's business.
//!
//! Each time that the client speaks after the service, and the other way round, is a *turn*. Of each turn the first bytes are handed on
//! ([`CLIENT_BYTES`], [`SERVER_BYTES`]), in whatever segments and order they come, and more than once if they do. Where a turn begins is known
//! before its first segment: a client's where the service said it had heard everything up to, the service's behind all that it has said. So a
//! segment out of order moves nothing.
//!
//! Memory is bounded and what is left out is counted: conversations lie in a table that forgets the oldest ([`Talk`]), turns have a budget for
//! each CPU, and so do the pieces of turns that come in more than [`FREE_PIECES`]. A turn over the budget is left out as a whole, with its
//! answer, and the next stands for it. Who was seen to complete a handshake, which no forged segment does, has a budget apart from others.

mod hear;
mod opening;
mod segment;
mod talk;

use core::ops::DerefMut;

use crate::{
    layout::{Rate, Settings},
    packet::Address,
    tables::LimitCell,
    view::View,
};

pub use hear::hear;
pub use opening::OPENINGS;
pub use segment::{Link, Segment};

crate::shared! {
    /// What may be handed on; a part of the settings.
    pub struct HearingLimits {
        /// Turns of clients in each CPU's second; none: nothing is handed on at all.
        pub turns: Rate,
        /// Of them those in conversations whose handshake was not seen.
        pub strangers: Rate,
        /// Pieces behind the first [`FREE_PIECES`] of their turns.
        pub pieces: Rate,
    }

    /// Key of the map `TALKS`: the two ends of a connection.
    pub struct TalkKey {
        pub client: Address,
        pub server: Address,
        pub client_port: u16,
        pub server_port: u16,
        pub reserved: u32,
    }

    /// Value of the map `TALKS`: how far a conversation is. CPUs write it at once, without a lock: each end its own words.
    pub struct Talk {
        pub client: Voice,
        pub server: Voice,
        /// Turns that the client's turn stands for.
        pub weight: u32,
        /// Pieces of the turn that were handed on.
        pub pieces: u16,
        /// [`Talk::WHOLE`] and so on.
        pub flags: u8,
        /// Who spoke last, and who has ended: [`Talk::SERVER_SPOKE`] and so on.
        pub floor: u8,
    }

    /// One end of a conversation. All are sequence numbers.
    pub struct Voice {
        /// Where its turn began.
        pub start: u32,
        /// Behind the last byte that was seen of it.
        pub end: u32,
        /// Behind the last byte of the other end that it has acknowledged while it spoke.
        pub heard: u32,
    }

    /// The head of a record in the ring buffer `PIECES`; `len` bytes of what was said follow.
    pub struct Piece {
        /// Monotonic.
        pub at_ns: u64,
        pub client: Address,
        pub server: Address,
        /// Of the first byte.
        pub sequence: u32,
        /// Of the first byte of its turn.
        pub turn_start: u32,
        /// Bytes of payload that the segment carried, from this piece on and up to the next one.
        pub payload_len: u32,
        /// Turns that its turn stands for.
        pub weight: u32,
        pub client_port: u16,
        pub server_port: u16,
        pub len: u16,
        /// A [`Side`] as number.
        pub side: u8,
        /// [`Piece::WHOLE`] and [`Piece::LAST`].
        pub flags: u8,
    }

    /// The value of the map `PIECE`: memory of a CPU for the piece that it hands on.
    pub struct PieceRoom {
        pub piece: Piece,
        pub bytes: [u8; 4096],
    }

    /// The value of the map `HEARING`: what a CPU has handed on, and may still.
    pub struct Hearing {
        /// When the next may be handed on, as GCRA has it: a turn, one of a stranger, and a piece.
        pub turn_due_ns: u64,
        pub stranger_due_ns: u64,
        pub piece_due_ns: u64,
        /// Turns that were left out since one was handed on; not those of strangers.
        pub pending: u64,
        pub counts: Counts,
    }

    /// What became of what was said, since the maps were made.
    pub struct Counts {
        /// Turns of clients that were handed on.
        pub turns: u64,
        /// Those that were left out, with their answers.
        pub skipped: u64,
        pub pieces: u64,
        /// Turns that were broken off, because they came in too many pieces.
        pub broken: u64,
        /// Pieces for which there was no room in the ring buffer.
        pub lost: u64,
    }
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Side {
    Client = 0,
    Server = 1,
}

/// Bytes of a client's turn that are handed on.
pub const CLIENT_BYTES: u32 = 16 * 1024;
/// Bytes of a service's turn.
pub const SERVER_BYTES: u32 = 256;
/// Of the second turn of a TLS client: enough to tell that it goes on, or that it does not like what it got.
pub const TLS_BYTES: u32 = 16;
/// Bytes of one piece; longer segments, as aggregation makes them, are handed on in several.
pub const PIECE_BYTES: u32 = 4096;
/// Pieces of a turn, at the most.
pub const PIECES_A_TURN: u16 = 2048;
/// Pieces of a turn that cost nothing but the turn: as many as all of it takes in segments of the usual size.
pub const FREE_PIECES: u16 = 16;

impl HearingLimits {
    /// At most so many turns and pieces in each CPU's second. Nothing is handed on when one of them is 0.
    pub const fn new(turns_per_s: u32, pieces_per_s: u32) -> Self {
        const fn rate(per_s: u32) -> Rate {
            let burst = per_s / 4;
            Rate::new(per_s, if burst < 16 { 16 } else { burst })
        }
        let strangers = turns_per_s.div_ceil(4);
        Self {
            turns: rate(turns_per_s),
            strangers: rate(strangers),
            pieces: rate(pieces_per_s),
        }
    }

    /// Whether nothing is handed on.
    pub const fn is_off(&self) -> bool {
        self.turns.interval_ns == 0 || self.pieces.interval_ns == 0
    }
}

impl Piece {
    /// The connection is known from its handshake on, and nothing was left out within a turn.
    pub const WHOLE: u8 = 1;
    /// This end says nothing more.
    pub const LAST: u8 = 2;
}

/// What the kernel lends to who listens.
pub trait Listener {
    fn settings(&self) -> Option<&Settings>;
    /// Whether a service at this TCP port is listened to.
    fn is_watched(&self, port: u16) -> bool;
    fn talk(&self, key: &TalkKey) -> Option<impl DerefMut<Target = Talk>>;
    /// Makes an entry; the oldest goes when there is no room.
    fn begin(&self, key: &TalkKey, talk: &Talk);
    /// Removes an entry, if there is one.
    fn end(&self, key: &TalkKey);
    /// Cell `index` of those that answers to handshakes are noted in; `None` beyond [`OPENINGS`].
    fn opening(&self, index: u32) -> Option<impl LimitCell>;
    /// That of this CPU.
    fn hearing(&self) -> Option<impl DerefMut<Target = Hearing>>;
    /// Monotonic, no finer than the kernel's ticks.
    fn now_ns(&self) -> u64;
    /// Monotonic, exactly.
    fn exact_ns(&self) -> u64;
    /// Hands `piece` to user space, with its bytes, which begin `at` bytes into the packet; false when there was no room.
    fn emit<V: View>(&self, view: &V, piece: &Piece, at: u32) -> bool;
}

/// Whether sequence number `one` is behind `other`.
#[inline(always)]
const fn is_behind(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) > 0
}

/// The one of both that is behind.
#[inline(always)]
const fn later(one: u32, other: u32) -> u32 {
    if is_behind(one, other) { one } else { other }
}

const _: () = assert!(size_of::<Talk>() <= 32 && PIECE_BYTES == 4096 && size_of::<Piece>() == 64);

#[cfg(test)]
mod tests;
