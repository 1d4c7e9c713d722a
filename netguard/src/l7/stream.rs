//! What one end of a connection says, put in order: segments come in any order, overlap, and any of them more than once. It holds no more than it is
//! told to, and understands nothing.

#[cfg(test)]
mod tests;

/// Pieces behind holes that are kept at the most.
const PIECES: usize = 1_024;

/// What one end says, from the first byte that was not taken on.
#[derive(Debug, Default)]
pub(super) struct Stream {
    has_begun: bool,
    /// Nothing of this turn is listened to any more.
    is_deaf: bool,
    /// Where the next turn begins cannot be told by its number.
    is_lost: bool,
    /// The number of the first byte of the turn.
    turn: u32,
    /// The number of the first byte that was not taken.
    next: u32,
    /// From `next` on, without a hole, behind what was taken of it.
    ready: Vec<u8>,
    taken: usize,
    /// What is behind holes, in order and disjoint.
    ahead: Vec<Piece>,
    /// Where the bytes of a segment end that were handed on, if it had more.
    cut: Option<u32>,
    /// The number behind the last byte that this end says.
    last: Option<u32>,
}

#[derive(Debug)]
struct Piece {
    sequence: u32,
    bytes: Vec<u8>,
}

/// How a turn relates to what was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is the first one.
    First,
    /// It is the one that is read.
    Same,
    /// An earlier one.
    Old,
    /// A new one, where the last one ended.
    Onward,
    /// A new one, after one that was not listened to any more.
    Anew,
    /// A new one. Something between was not handed on.
    Apart,
}

impl Stream {
    /// Says to which turn the next bytes belong.
    pub(super) fn turn(&mut self, start: u32) -> Turn {
        if !self.has_begun {
            self.has_begun = true;
            self.leap(start);
            return Turn::First;
        }
        if start == self.turn {
            return Turn::Same;
        }
        if distance(self.turn, start) < 0 && !self.is_lost {
            return Turn::Old;
        }
        if self.is_deaf {
            self.leap(start);
            return Turn::Anew;
        }
        if distance(self.end(), start) > 0 {
            self.leap(start);
            return Turn::Apart;
        }
        self.turn = start;
        self.cut = None;
        Turn::Onward
    }

    /// Puts bytes in their place; none beyond `most` from the first that was not taken.
    pub(super) fn put(&mut self, sequence: u32, bytes: &[u8], payload_len: u32, most: usize) {
        if self.is_deaf {
            return;
        }
        let handed = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if handed < payload_len {
            let cut = sequence.wrapping_add(handed);
            let is_nearer = self.cut.is_none_or(|known| distance(known, cut) < 0);
            self.cut = is_nearer.then_some(cut).or(self.cut);
        }
        self.ready.drain(..std::mem::take(&mut self.taken));
        let at = distance(self.end(), sequence);
        match usize::try_from(at) {
            Ok(0) => self.ready.extend_from_slice(bytes),
            Ok(at) => {
                let room = most.saturating_sub(self.ready.len() + at);
                self.put_ahead(sequence, &bytes[..bytes.len().min(room)]);
            }
            Err(_) => {
                let known = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
                self.ready
                    .extend_from_slice(bytes.get(known..).unwrap_or_default());
            }
        }
        self.join();
    }

    /// What may be taken.
    pub(super) fn ready(&self) -> &[u8] {
        &self.ready[self.taken..]
    }

    /// Takes `bytes` of it.
    pub(super) fn take(&mut self, bytes: usize) {
        self.skip(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Goes on `bytes`, whether they are there or not.
    pub(super) fn skip(&mut self, bytes: u32) {
        let there = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.next = self.next.wrapping_add(bytes);
        if there < self.ready().len() {
            self.taken += there;
        } else {
            self.empty();
            self.join();
        }
    }

    /// Listens to no more of this turn.
    pub(super) fn close_turn(&mut self) {
        self.is_deaf = true;
        self.empty();
        self.ahead = Vec::new();
    }

    /// Listens to no more of this turn, which may be longer than numbers tell.
    pub(super) fn lose(&mut self) {
        self.close_turn();
        self.is_lost = true;
    }

    /// Notes the number behind the last byte that this end says.
    pub(super) fn end_at(&mut self, sequence: u32) {
        self.last = Some(sequence);
    }

    /// Whether this end has said that it says nothing more.
    pub(super) const fn is_ending(&self) -> bool {
        self.last.is_some()
    }

    /// Whether all that it said was seen, as far as it was listened to.
    pub(super) fn has_ended(&self) -> bool {
        let is_heard = |last| self.is_deaf || distance(self.end(), last) <= 0 || self.is_cut();
        self.last.is_some_and(is_heard)
    }

    /// Whether what comes next was not handed on.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.is_some_and(|cut| distance(cut, self.end()) >= 0)
    }

    /// Whether nothing of the turn was taken.
    pub(super) const fn is_at_turn(&self) -> bool {
        self.next == self.turn && !self.is_deaf
    }

    /// Whether this turn is listened to.
    pub(super) const fn is_heard(&self) -> bool {
        !self.is_deaf
    }

    /// Whether anything came.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether `start` begins a turn that can be none of this connection's: so far back, or after its end.
    pub(super) fn is_of_another(&self, start: u32) -> bool {
        const FAR: i32 = 1 << 24;
        let way = distance(self.turn, start);
        let is_behind = self.last.is_some_and(|last| distance(last, start) > 0);
        self.has_begun && start != self.turn && (is_behind || way < -FAR)
    }

    /// Bytes of memory that it holds for what was not taken.
    pub(super) fn held(&self) -> usize {
        let piece = |piece: &Piece| piece.bytes.capacity();
        self.ready.capacity()
            + self.ahead.capacity() * size_of::<Piece>()
            + self.ahead.iter().map(piece).sum::<usize>()
    }

    /// The number behind the last byte of those that are ready.
    fn end(&self) -> u32 {
        let ready = u32::try_from(self.ready().len()).unwrap_or(u32::MAX);
        self.next.wrapping_add(ready)
    }

    /// Forgets what was there and goes on with the turn that begins at `start`.
    fn leap(&mut self, start: u32) {
        self.empty();
        self.ahead = Vec::new();
        self.cut = None;
        self.is_deaf = false;
        self.is_lost = false;
        self.turn = start;
        self.next = start;
    }

    fn empty(&mut self) {
        self.ready = Vec::new();
        self.taken = 0;
    }

    /// Keeps what of `bytes` is not there yet.
    fn put_ahead(&mut self, mut sequence: u32, mut bytes: &[u8]) {
        let mut index = self
            .ahead
            .partition_point(|piece| distance(piece.end(), sequence) >= 0);
        while !bytes.is_empty() && self.ahead.len() < PIECES {
            let next = self.ahead.get(index).map(|piece| (piece.sequence, piece.end()));
            let free = match next {
                Some((begins, _)) => length(distance(sequence, begins)).min(bytes.len()),
                None => bytes.len(),
            };
            if free > 0 {
                let piece = Piece {
                    sequence,
                    bytes: bytes[..free].to_vec(),
                };
                self.ahead.insert(index, piece);
                index += 1;
            }
            let Some((_, ends)) = next else { break };
            let known = length(distance(sequence, ends)).min(bytes.len());
            bytes = &bytes[known..];
            sequence = ends;
            index += 1;
        }
        self.coalesce();
    }

    /// Makes one piece of those that touch.
    fn coalesce(&mut self) {
        let mut index = 1;
        while index < self.ahead.len() {
            if self.ahead[index - 1].end() == self.ahead[index].sequence {
                let piece = self.ahead.remove(index);
                self.ahead[index - 1].bytes.extend_from_slice(&piece.bytes);
            } else {
                index += 1;
            }
        }
    }

    /// Takes up what has no hole before it any more.
    fn join(&mut self) {
        let reached = |stream: &Self, piece: &Piece| distance(stream.end(), piece.sequence) <= 0;
        while self.ahead.first().is_some_and(|piece| reached(self, piece)) {
            let piece = self.ahead.remove(0);
            let known = length(distance(piece.sequence, self.end()));
            self.ready
                .extend_from_slice(piece.bytes.get(known..).unwrap_or_default());
        }
        if self.ahead.is_empty() && self.ahead.capacity() > 0 {
            self.ahead = Vec::new();
        }
    }
}

impl Piece {
    fn end(&self) -> u32 {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.sequence.wrapping_add(length)
    }
}

/// How far `to` is behind `from`; numbers wrap (RFC 9293, 3.4).
const fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

/// A distance as a length; none where it points back.
fn length(distance: i32) -> usize {
    usize::try_from(distance).unwrap_or(0)
}
