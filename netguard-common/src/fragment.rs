//! Fragments that overlap, as teardrop sends them to break or to deceive whoever puts them together (RFC 5722): a fragment
//! that reaches into one that was seen, and is not the same again, is refused.
//!
//! A cell in a fixed array holds one stretch of one packet: where it begins and ends, and in pieces of which size it came.
//! Nothing is inserted, and another packet that falls into the cell takes it over: a flood of fragments costs detection and
//! never an honest packet. What lies apart from the stretch is not remembered, unless it lies before it, so that whatever
//! touches the beginning of a packet is seen as such. Once a packet is whole its cell is free, so that its number can be used
//! again.

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict,
    hint::mix,
    packet::{Family, Fragment},
    tables::{LimitCell as _, Tables},
};

/// Cells; a power of two.
pub const CELLS: u32 = 8_192;

/// Units of 2^29 ns (0.54 s) in which a stretch ages, and how many of them it counts. The kernel waits longer (30 s), but the
/// numbers of a fast sender come round in less.
const AGE_SHIFT: u32 = 29;
const AGE_MASK: u64 = 0x3f;
const AGE_MOST: u64 = 2;

/// Size of pieces that differ.
const MIXED: u16 = 0x1fff;

/// The part of a packet that a fragment holds, in units of 8 bytes; the last of a packet may fill its last unit in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub start: u16,
    pub end: u16,
    /// No other lies behind it.
    pub last: bool,
}

impl Packet {
    /// The part that this fragment holds.
    #[inline(always)]
    pub const fn piece(&self) -> Piece {
        let [start, end] = self.piece;
        Piece {
            start,
            end,
            last: self.piece_is_last != 0,
        }
    }

    /// Sets the part by its first byte and its length in bytes.
    #[inline(always)]
    pub(crate) fn set_piece(&mut self, offset: u32, len: u32, last: bool) {
        self.piece = [(offset / 8) as u16, (offset + len).div_ceil(8) as u16];
        self.piece_is_last = last as u32;
    }
}

/// Breaks when `packet` is a fragment that overlaps another of its packet.
#[inline(always)]
pub fn check<T: Tables>(packet: &Packet, seed: u64, tables: &T) -> ControlFlow<Verdict> {
    let piece = packet.piece();
    if matches!(packet.fragment(), Fragment::Whole) || piece.start >= piece.end {
        return ControlFlow::Continue(());
    }
    let key = key(packet, seed);
    let Some(cell) = tables.fragment_cell(key as u32 & (CELLS - 1)) else {
        return ControlFlow::Continue(());
    };
    let label = Label::new(key, tables.now_ns());
    let next = match Stretch::unpack(cell.load(), label) {
        None => Some(Stretch::of(piece)),
        Some(seen) => match seen.meet(piece) {
            Meeting::Overlap => return ControlFlow::Break(Verdict::FragmentOverlap),
            Meeting::Nothing => None,
            Meeting::Now(next) => Some(next),
        },
    };
    if let Some(next) = next {
        cell.store(next.pack(label));
    }
    ControlFlow::Continue(())
}

/// What fragments of one packet have in common (RFC 791 section 3.2, RFC 8200 section 4.5). In IPv6 the protocol is not: the
/// first fragment alone tells what follows the extension headers.
#[inline(always)]
const fn key(packet: &Packet, seed: u64) -> u64 {
    let protocol = match packet.family() {
        Family::V4 => packet.protocol as u64,
        Family::V6 => 0x100,
    };
    let (source, destination) = (packet.source, packet.destination);
    let hash = mix(source.high, seed);
    let hash = mix(source.low ^ hash, seed);
    let hash = mix(destination.high ^ hash, seed);
    let hash = mix(destination.low ^ hash, seed);
    mix((packet.fragment_id as u64) << 32 ^ protocol ^ hash, seed)
}

/// Whose stretch lies in a cell, and since when: 17 bits of the key and 6 of the time.
#[derive(Clone, Copy)]
struct Label {
    tag: u64,
    time: u64,
}

impl Label {
    #[inline(always)]
    const fn new(key: u64, now_ns: u64) -> Self {
        Self {
            tag: key >> 47,
            time: now_ns >> AGE_SHIFT & AGE_MASK,
        }
    }
}

/// What was seen of a packet without a gap, in units of 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    low: u16,
    high: u16,
    /// Of every piece but the last of the packet; [`MIXED`], or 0 while only that one was seen.
    size: u16,
    /// Whether the packet ends here.
    last: bool,
}

/// What becomes of a stretch when a piece comes.
enum Meeting {
    Overlap,
    Nothing,
    Now(Stretch),
}

impl Stretch {
    #[inline(always)]
    const fn of(piece: Piece) -> Self {
        let len = piece.end - piece.start;
        Self {
            low: piece.start,
            high: piece.end,
            size: match piece.last {
                true => 0,
                false if len > MIXED => MIXED,
                false => len,
            },
            last: piece.last,
        }
    }

    #[inline(always)]
    const fn meet(self, piece: Piece) -> Meeting {
        let len = piece.end - piece.start;
        if piece.start < self.high && piece.end > self.low {
            return if self.has(piece) {
                Meeting::Nothing
            } else {
                Meeting::Overlap
            };
        }
        if piece.start == self.high && !self.last {
            let fits = len == self.size || (piece.last && len < self.size);
            return Meeting::Now(Self {
                high: piece.end,
                size: if fits { self.size } else { MIXED },
                last: piece.last,
                ..self
            });
        }
        if piece.end == self.low && !piece.last {
            let fits = len == self.size || (self.size == 0 && self.high - self.low <= len);
            return Meeting::Now(Self {
                low: piece.start,
                size: if fits && len < MIXED { len } else { MIXED },
                ..self
            });
        }
        if piece.start < self.low {
            return Meeting::Now(Self::of(piece));
        }
        Meeting::Nothing
    }

    /// Whether `piece` can be one that was seen: networks deliver packets twice.
    #[inline(always)]
    const fn has(self, piece: Piece) -> bool {
        if piece.start < self.low || piece.end > self.high {
            return false;
        }
        let (from, len) = (piece.start - self.low, piece.end - piece.start);
        match self.size {
            MIXED => true,
            0 => from == 0 && piece.end == self.high,
            size => from.is_multiple_of(size) && (len == size || (len < size && piece.end == self.high)),
        }
    }

    /// The stretch in `word`; `None` when it is another packet's, or too old.
    #[inline(always)]
    const fn unpack(word: u64, label: Label) -> Option<Self> {
        let age = label.time.wrapping_sub(word >> 41) & AGE_MASK;
        if word == 0 || word >> 47 != label.tag || age > AGE_MOST {
            return None;
        }
        Some(Self {
            last: word >> 40 & 1 != 0,
            size: (word >> 27) as u16 & 0x1fff,
            low: (word >> 14) as u16 & 0x1fff,
            high: word as u16 & 0x3fff,
        })
    }

    /// The stretch as a cell holds it: nothing once the packet is whole.
    #[inline(always)]
    const fn pack(self, label: Label) -> u64 {
        if self.low == 0 && self.last {
            return 0;
        }
        label.tag << 47
            | label.time << 41
            | (self.last as u64) << 40
            | (self.size as u64) << 27
            | (self.low as u64) << 14
            | self.high as u64
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::{
        memory::Memory,
        packet::{Address, Transport, protocol, tests::packet},
    };

    /// What becomes of fragments from `source`: first unit, end, whether more follow.
    fn fates(memory: &Memory, source: u8, pieces: &[(u16, u16, bool)]) -> Vec<bool> {
        let source = Address::v4([192, 0, 2, source]);
        let mut packet = packet(Family::V4, source, protocol::UDP, Transport::Other);
        packet.fragment_id = 7;
        let fate = |(start, end, more): &(u16, u16, bool)| {
            packet.set_fragment(Fragment::Later);
            packet.set_piece(u32::from(*start) * 8, u32::from(end - start) * 8, !more);
            check(&packet, 3, memory).is_continue()
        };
        pieces.iter().map(fate).collect()
    }

    fn pass(pieces: &[(u16, u16, bool)]) -> bool {
        let memory = Memory::new(Memory::enforcing());
        fates(&memory, 1, pieces).into_iter().all(|passes| passes)
    }

    /// That all pass but the last.
    fn refused(pieces: &[(u16, u16, bool)]) -> bool {
        let memory = Memory::new(Memory::enforcing());
        let mut fates = fates(&memory, 1, pieces);
        fates.pop() == Some(false) && fates.into_iter().all(|passes| passes)
    }

    #[test]
    fn honest_fragments_pass_in_any_order_and_twice() {
        let all = [
            (0, 185, true),
            (185, 370, true),
            (370, 555, true),
            (555, 600, false),
        ];
        for order in 0..256 {
            let pieces: Vec<_> = (0..4).map(|at| all[order >> (2 * at) & 3]).collect();
            assert!(pass(&pieces), "{pieces:?}");
            assert!(pass(&[&pieces[..], &pieces[..]].concat()), "{pieces:?}");
        }
        // A router with a smaller link made three of two.
        assert!(pass(&[
            (0, 100, true),
            (100, 185, true),
            (185, 200, false),
            (100, 185, true)
        ]));
    }

    #[test]
    fn overlaps_are_refused() {
        assert!(refused(&[(0, 5, true), (3, 4, false)]), "teardrop: inside");
        assert!(refused(&[(0, 5, true), (3, 9, false)]), "over the edge");
        assert!(refused(&[(3, 9, false), (0, 5, true)]), "the other way round");
        assert!(refused(&[(0, 5, true), (5, 10, true), (0, 10, true)]), "over two");
        assert!(refused(&[(0, 5, true), (5, 10, true), (4, 9, true)]));
        assert!(
            refused(&[(0, 5, true), (0, 4, true)]),
            "the header again, shorter"
        );
        assert!(
            refused(&[(800, 900, true), (0, 5, true), (1, 3, false)]),
            "behind a decoy"
        );
        assert!(refused(&[(5, 9, false), (6, 8, true)]));
    }

    #[test]
    fn a_number_is_used_again() {
        assert!(
            pass(&[(0, 5, true), (5, 9, false), (0, 7, true), (7, 8, false)]),
            "the first was whole"
        );
        let memory = Memory::new(Memory::enforcing());
        assert_eq!(fates(&memory, 1, &[(0, 5, true), (3, 9, false)]), [true, false]);
        memory.now_ns.set(2_000_000_000);
        assert_eq!(fates(&memory, 1, &[(0, 7, true), (7, 9, false)]), [true, true]);
    }

    /// Two hundred thousand packets in eight thousand cells: whoever shares one loses nothing.
    #[test]
    fn a_flood_costs_detection_only() {
        let memory = Memory::new(Memory::enforcing());
        let mut flood = packet(
            Family::V6,
            Address::v6([0x20; 16]),
            protocol::UDP,
            Transport::Other,
        );
        let mut dropped = 0;
        for id in 0..200_000 {
            flood.fragment_id = id;
            flood.set_fragment(Fragment::Later);
            flood.set_piece(id % 50 * 8, 80, id % 2 == 0);
            dropped += u32::from(check(&flood, 3, &memory).is_break());
        }
        // A cell knows its packet by 17 bits.
        assert!(dropped < 20, "{dropped}");
        assert_eq!(
            fates(&memory, 1, &[(0, 185, true), (185, 200, false)]),
            [true, true]
        );
    }
}
