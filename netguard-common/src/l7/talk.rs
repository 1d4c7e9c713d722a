//! How a conversation goes on: whose turn it is, where that began, and which bytes of a segment are among its first.

use super::{
    CLIENT_BYTES, FREE_PIECES, PIECES_A_TURN, SERVER_BYTES, Segment, Side, TLS_BYTES, Talk, Voice, is_behind,
    later,
};

/// Bytes of a segment that are among the first of their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Bytes of the payload before them.
    pub(super) skip: u32,
    pub(super) len: u32,
}

/// What a segment is to its conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It belongs to a turn that was begun.
    Goes,
    /// The client begins a turn.
    Turns,
}

/// What may become of one more piece of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// If the budget of pieces allows.
    Paid,
    None,
}

/// A byte that TLS records of a handshake begin with, and those of all others (RFC 8446 section 5.1).
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const OTHER_RECORDS: [u8; 3] = [20, 21, 23];

/// How far from the last byte that was seen a reset may be, to be believed; the kernel is stricter.
const RESET_WITHIN: u32 = 1 << 16;

impl Talk {
    /// It is known from its handshake on, and nothing was left out within a turn.
    pub const WHOLE: u8 = 1;
    /// The client's turn is its first.
    pub const FIRST: u8 = 1 << 1;
    /// It is encrypted by TLS.
    pub const TLS: u8 = 1 << 2;
    /// Nothing of it is handed on but its end.
    pub const QUIET: u8 = 1 << 3;
    /// What is left of the turn and its answer is not handed on.
    pub const SKIPPED: u8 = 1 << 4;
    /// Something of it was handed on.
    pub const TOLD: u8 = 1 << 5;
    /// A turn was broken off, and user space does not know.
    pub const BROKEN: u8 = 1 << 6;

    /// In `floor`.
    pub const SERVER_SPOKE: u8 = 1;
    pub const CLIENT_ENDED: u8 = 1 << 1;
    pub const SERVER_ENDED: u8 = 1 << 2;

    /// A conversation of which `segment`, a client's, is the first that is seen, and whose client began to speak at `start`.
    #[inline(always)]
    pub(super) const fn begun(segment: &Segment, start: u32, is_whole: bool) -> Self {
        let heard = segment.acknowledgement;
        Self {
            client: Voice {
                start,
                end: start,
                heard,
            },
            server: Voice {
                start: heard,
                end: heard,
                heard: start,
            },
            weight: 1,
            pieces: 0,
            flags: if is_whole {
                Self::WHOLE | Self::FIRST
            } else {
                Self::FIRST
            },
            floor: 0,
        }
    }

    #[inline(always)]
    pub(super) const fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Takes notice of a segment with payload.
    #[inline(always)]
    pub(super) fn goes_on(&mut self, segment: &Segment) -> Step {
        let (end, server_spoke) = (segment.end(), self.floor & Self::SERVER_SPOKE != 0);
        match segment.side {
            Side::Client => {
                let start = self.server.heard;
                let speaks = server_spoke && is_behind(end, start);
                // The service may have spoken without having heard anything of this turn: then it goes on.
                let turns = speaks && start != self.client.start;
                if speaks {
                    self.client.start = start;
                    self.floor &= !Self::SERVER_SPOKE;
                }
                self.client.end = later(self.client.end, end);
                self.client.heard = later(self.client.heard, segment.acknowledgement);
                if turns { Step::Turns } else { Step::Goes }
            }
            Side::Server => {
                // Its segments are seen as it sends them, in order: it goes on behind the last one, even where the client spoke before it had
                // heard all.
                let start = later(self.client.heard, self.server.end);
                if !server_spoke && is_behind(end, start) {
                    self.server.start = start;
                    self.floor |= Self::SERVER_SPOKE;
                    self.pieces = 0;
                }
                self.server.end = later(self.server.end, end);
                self.server.heard = later(self.server.heard, segment.acknowledgement);
                Step::Goes
            }
        }
    }

    /// Begins a turn of the client; whether it is one for the budget. Of a conversation by TLS there is a second turn that tells whether the
    /// client goes on, and no third.
    #[inline(always)]
    pub(super) fn turns(&mut self) -> bool {
        let was_first = self.is(Self::FIRST);
        self.flags &= !Self::FIRST;
        self.pieces = 0;
        if !self.is(Self::TLS) {
            self.flags &= !Self::SKIPPED;
            return true;
        }
        if !was_first || self.is(Self::SKIPPED) {
            self.flags |= Self::QUIET;
        }
        false
    }

    /// The bytes of `segment` that are among the first of their turn.
    #[inline(always)]
    pub(super) fn part(&self, segment: &Segment) -> Part {
        let is_second = self.is(Self::TLS) && !self.is(Self::FIRST);
        let (start, limit) = match segment.side {
            Side::Client if is_second => (self.client.start, TLS_BYTES),
            Side::Client => (self.client.start, CLIENT_BYTES),
            Side::Server if is_second => (self.server.start, 0),
            Side::Server => (self.server.start, SERVER_BYTES),
        };
        let offset = segment.sequence.wrapping_sub(start);
        // Bytes before the turn, or where in the turn it begins.
        let is_before = (offset as i32) < 0;
        let skip = if is_before { offset.wrapping_neg() } else { 0 };
        let begin = if is_before { 0 } else { offset };
        if skip >= segment.len || begin >= limit {
            return Part { skip: 0, len: 0 };
        }
        let (most, len) = (limit - begin, segment.len - skip);
        Part {
            skip,
            len: if len < most { len } else { most },
        }
    }

    /// Whether `part` of a client's segment begins with the first byte that the client ever said.
    #[inline(always)]
    pub(super) fn is_first_word(&self, segment: &Segment, part: &Part) -> bool {
        matches!(segment.side, Side::Client)
            && self.is(Self::FIRST)
            && part.len != 0
            && segment.sequence.wrapping_add(part.skip) == self.client.start
    }

    /// Takes notice of the first byte that the client said.
    #[inline(always)]
    pub(super) fn begins_with(&mut self, byte: u8) {
        if byte == HANDSHAKE {
            self.flags |= Self::TLS;
        } else if !self.is(Self::WHOLE) && OTHER_RECORDS.contains(&byte) {
            // In the middle of what nobody can read.
            self.flags |= Self::QUIET;
        }
    }

    /// Whether one more piece of the turn may be handed on.
    #[inline(always)]
    pub(super) const fn room(&self) -> Room {
        if self.pieces < FREE_PIECES {
            Room::Free
        } else if self.pieces < PIECES_A_TURN {
            Room::Paid
        } else {
            Room::None
        }
    }

    /// Breaks the turn off: what is left of it is not handed on.
    #[inline(always)]
    pub(super) const fn breaks(&mut self) {
        self.flags = self.flags & !Self::WHOLE | Self::SKIPPED | Self::BROKEN;
    }

    /// Whether `segment` is one that ends what its end says, the first such one.
    #[inline(always)]
    pub(super) fn ends(&self, segment: &Segment) -> bool {
        self.floor & ended(segment.side) == 0
    }

    /// Takes notice that an end has said all; whether both have.
    #[inline(always)]
    pub(super) const fn ended(&mut self, side: Side) -> bool {
        self.floor |= ended(side);
        const BOTH: u8 = Talk::CLIENT_ENDED | Talk::SERVER_ENDED;
        self.floor & BOTH == BOTH
    }

    /// Whether a reset is where the kernel would take it for one; anybody could send others.
    #[inline(always)]
    pub(super) const fn believes_reset(&self, segment: &Segment) -> bool {
        match segment.side {
            Side::Client => {
                let offset = segment.sequence.wrapping_sub(self.client.end) as i32;
                offset.unsigned_abs() <= RESET_WITHIN
            }
            Side::Server => true,
        }
    }
}

const fn ended(side: Side) -> u8 {
    match side {
        Side::Client => Talk::CLIENT_ENDED,
        Side::Server => Talk::SERVER_ENDED,
    }
}
