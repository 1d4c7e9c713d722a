//! What becomes of a packet that passes: whether it is of a conversation, and what of it is handed on.

use super::{
    Hearing, HearingLimits, Link, Listener, PIECE_BYTES, Piece, Segment, Side, Talk, TalkKey, opening,
    talk::{Part, Room, Step},
};
use crate::{layout::Settings, limit::grant, packet::TcpFlags, view::View};

/// Pieces that the longest part of a segment is handed on in.
const MOST_PIECES: u32 = super::CLIENT_BYTES / PIECE_BYTES;

/// Listens to a packet, which begins at its network header.
#[inline(always)]
pub fn hear<V: View, L: Listener>(view: &V, link: Link, listener: &L) {
    let Some(segment) = Segment::of(view, link, |port| listener.is_watched(port)) else {
        return;
    };
    let Some(settings) = listener.settings() else {
        return;
    };
    if settings.l7.is_off() {
        return;
    }
    if segment.flags.has(TcpFlags::SYN) {
        // What was said between the same ends before is over.
        if matches!(segment.side, Side::Server) && segment.flags.has(TcpFlags::ACK) {
            opening::note(&segment, settings.seed, listener);
            listener.end(&segment.key);
        }
        return;
    }
    let mut talk = match listener.talk(&segment.key) {
        Some(talk) => talk,
        None if begin(&segment, settings, listener) => match listener.talk(&segment.key) {
            Some(talk) => talk,
            // It has gone again: there is hardly room for any.
            None => return,
        },
        None => return,
    };
    let turns = segment.len != 0 && talk.goes_on(&segment) == Step::Turns;
    if turns && !talk.is(Talk::QUIET) && talk.turns() {
        grant_turn(&mut talk, settings, listener);
    }
    let is_over = speak(view, &segment, &mut talk, settings, listener);
    drop(talk);
    if is_over {
        listener.end(&segment.key);
    }
}

/// Makes an entry for the conversation of `segment`, if that is a client's who says something; false otherwise, and when it is a stranger's and there
/// is no budget.
#[inline(always)]
fn begin<L: Listener>(segment: &Segment, settings: &Settings, listener: &L) -> bool {
    if segment.len == 0 || matches!(segment.side, Side::Server) || segment.flags.has(TcpFlags::RST) {
        return false;
    }
    let start = opening::take(segment, settings.seed, listener);
    let mut talk = Talk::begun(segment, start.unwrap_or(segment.sequence), start.is_some());
    if start.is_some() {
        grant_turn(&mut talk, settings, listener);
    } else if !grants_stranger(&settings.l7, listener) {
        return false;
    }
    listener.begin(&segment.key, &talk);
    true
}

/// Has the budget say whether the client's turn is handed on, and what it stands for.
#[inline(always)]
fn grant_turn<L: Listener>(talk: &mut Talk, settings: &Settings, listener: &L) {
    let Some(mut hearing) = listener.hearing() else {
        return;
    };
    let now_ns = listener.now_ns();
    if grant(&settings.l7.turns, &mut hearing.turn_due_ns, now_ns) {
        talk.weight = u32::try_from(hearing.pending.saturating_add(1)).unwrap_or(u32::MAX);
        hearing.pending = 0;
        hearing.counts.turns += 1;
    } else {
        hearing.pending = hearing.pending.saturating_add(1);
        hearing.counts.skipped += 1;
        talk.flags |= Talk::SKIPPED;
    }
}

/// The same for the first turn that is seen of a conversation whose handshake was not. What is left out of these stands for nothing: nobody knows
/// which segments are one turn.
#[inline(always)]
fn grants_stranger<L: Listener>(limits: &HearingLimits, listener: &L) -> bool {
    let Some(mut hearing) = listener.hearing() else {
        return false;
    };
    let is_granted = grant(&limits.strangers, &mut hearing.stranger_due_ns, listener.now_ns());
    if is_granted {
        hearing.counts.turns += 1;
    } else {
        hearing.counts.skipped += 1;
    }
    is_granted
}

/// Hands on what `segment` says, as far as it is to be; tells whether the conversation is over.
#[inline(always)]
fn speak<V: View, L: Listener>(
    view: &V,
    segment: &Segment,
    talk: &mut Talk,
    settings: &Settings,
    listener: &L,
) -> bool {
    let resets = segment.flags.has(TcpFlags::RST);
    if resets && !talk.believes_reset(segment) {
        return false;
    }
    let ends = resets || segment.flags.has(TcpFlags::FIN);
    let part = talk.part(segment);
    if talk.is_first_word(segment, &part)
        && let Some([byte]) = view.load_payload::<[u8; 1]>(segment.at.wrapping_add(part.skip))
    {
        talk.begins_with(byte);
    }
    let mut is_last = ends && talk.ends(segment);
    if part.len != 0 && !talk.is(Talk::QUIET | Talk::SKIPPED) {
        let Some(mut hearing) = listener.hearing() else {
            return false;
        };
        let mut teller = Teller {
            view,
            segment,
            talk,
            at_ns: listener.exact_ns(),
            hearing: &mut hearing,
            limits: &settings.l7,
            listener,
        };
        if teller.tell(part, is_last) {
            is_last = false;
        }
    }
    if part.len != 0 && talk.is(Talk::BROKEN) && !talk.is(Talk::QUIET) {
        tell_nothing(view, segment, talk, false, listener);
    }
    if is_last && talk.is(Talk::TOLD) {
        tell_nothing(view, segment, talk, true, listener);
    }
    resets || (ends && talk.ended(segment.side))
}

/// What it takes to hand pieces on.
struct Teller<'a, V, L> {
    view: &'a V,
    segment: &'a Segment,
    talk: &'a mut Talk,
    at_ns: u64,
    hearing: &'a mut Hearing,
    limits: &'a HearingLimits,
    listener: &'a L,
}

impl<V: View, L: Listener> Teller<'_, V, L> {
    /// Hands `part` of the segment on, the end of what its end says with its last piece if `is_last`; false when it was broken off.
    #[inline(always)]
    fn tell(&mut self, part: Part, is_last: bool) -> bool {
        let Part { mut skip, mut len } = part;
        for _ in 0..MOST_PIECES {
            let piece_len = if len < PIECE_BYTES { len } else { PIECE_BYTES };
            let is_final = piece_len == len;
            if !self.has_room() {
                self.hearing.counts.broken += 1;
                self.talk.breaks();
                return false;
            }
            let mut piece = head(self.segment, self.talk, self.at_ns, is_final && is_last);
            piece.sequence = self.segment.sequence.wrapping_add(skip);
            piece.payload_len = if is_final {
                self.segment.len.wrapping_sub(skip)
            } else {
                piece_len
            };
            piece.len = piece_len as u16;
            if !self
                .listener
                .emit(self.view, &piece, self.segment.at.wrapping_add(skip))
            {
                self.hearing.counts.lost += 1;
                self.talk.breaks();
                return false;
            }
            self.hearing.counts.pieces += 1;
            self.talk.pieces = self.talk.pieces.saturating_add(1);
            self.talk.flags = self.talk.flags & !Talk::BROKEN | Talk::TOLD;
            if is_final {
                return true;
            }
            skip = skip.wrapping_add(piece_len);
            len -= piece_len;
        }
        true
    }

    #[inline(always)]
    fn has_room(&mut self) -> bool {
        match self.talk.room() {
            Room::Free => true,
            Room::Paid => grant(
                &self.limits.pieces,
                &mut self.hearing.piece_due_ns,
                self.listener.now_ns(),
            ),
            Room::None => false,
        }
    }
}

/// Hands on a piece without bytes: that an end says nothing more, or that what is left of its turn is not handed on.
#[inline(always)]
fn tell_nothing<V: View, L: Listener>(
    view: &V,
    segment: &Segment,
    talk: &mut Talk,
    is_last: bool,
    listener: &L,
) {
    let piece = head(segment, talk, listener.exact_ns(), is_last);
    let is_told = listener.emit(view, &piece, segment.at);
    if is_told && !is_last {
        talk.flags &= !Talk::BROKEN;
    }
    if let Some(mut hearing) = listener.hearing() {
        if is_told {
            hearing.counts.pieces += 1;
        } else {
            hearing.counts.lost += 1;
        }
    }
}

/// A piece of `segment` without any bytes yet.
#[inline(always)]
fn head(segment: &Segment, talk: &Talk, at_ns: u64, is_last: bool) -> Piece {
    let TalkKey {
        client,
        server,
        client_port,
        server_port,
        ..
    } = segment.key;
    let whole = if talk.is(Talk::WHOLE) { Piece::WHOLE } else { 0 };
    Piece {
        at_ns,
        client,
        server,
        sequence: segment.sequence,
        turn_start: match segment.side {
            Side::Client => talk.client.start,
            Side::Server => talk.server.start,
        },
        payload_len: segment.len,
        weight: talk.weight,
        client_port,
        server_port,
        len: 0,
        side: segment.side as u8,
        flags: if is_last { whole | Piece::LAST } else { whole },
    }
}
