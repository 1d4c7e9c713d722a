//! Frames of HTTP/2 in the clear, counted by kind. Headers are not decompressed, and what streams carry is not read.

use super::{H2Frames, stream::Stream};

/// What a client says first (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of the head of a frame.
const HEAD: usize = 9;
/// The longest frame that may be sent without being asked for it, and the highest kind that is known.
const USUAL_LENGTH: u32 = 16_384;
const KNOWN_KIND: u8 = 0x10;

/// Counts the frames that `stream` has, and takes them. `is_certain`: a frame begins where it stands; otherwise what does not look like one is
/// left, with the rest of the turn.
pub(super) fn count(stream: &mut Stream, frames: &mut H2Frames, is_certain: &mut bool) {
    while let &[high, middle, low, kind, _, id, ..] = stream.ready() {
        if stream.ready().len() < HEAD {
            break;
        }
        let length = u32::from_be_bytes([0, high, middle, low]);
        let is_likely = length <= USUAL_LENGTH && kind <= KNOWN_KIND && id & 0x80 == 0;
        if !*is_certain && !is_likely {
            stream.close_turn();
            break;
        }
        *is_certain = true;
        let counter = match kind {
            1 => Some(&mut frames.headers),
            3 => Some(&mut frames.resets),
            4 => Some(&mut frames.settings),
            6 => Some(&mut frames.pings),
            9 => Some(&mut frames.continuations),
            _ => None,
        };
        if let Some(counter) = counter {
            *counter = counter.saturating_add(1);
        }
        stream.take(HEAD);
        stream.skip(length);
    }
}

/// How many frames were counted.
pub(super) fn total(frames: &H2Frames) -> u32 {
    let kinds = [
        frames.headers,
        frames.resets,
        frames.settings,
        frames.pings,
        frames.continuations,
    ];
    kinds.into_iter().fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::stream::Turn;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let size = (length as u32).to_be_bytes();
        let mut frame = vec![size[1], size[2], size[3], kind, 0, 0, 0, 0, 1];
        frame.resize(HEAD + length, 7);
        frame
    }

    #[test]
    fn frames_are_counted_by_kind_however_they_are_cut() {
        let kinds = [
            (4, 6),
            (1, 20),
            (3, 4),
            (1, 0),
            (6, 8),
            (9, 3),
            (0, 900),
            (3, 4),
            (0x0b, 1),
        ];
        let all: Vec<u8> = kinds
            .iter()
            .flat_map(|(kind, length)| frame(*kind, *length))
            .collect();
        for step in [1, 2, 9, 10, all.len()] {
            let (mut stream, mut frames, mut certain) = (Stream::default(), H2Frames::default(), true);
            stream.turn(0);
            for (index, part) in all.chunks(step).enumerate() {
                stream.put((index * step) as u32, part, part.len() as u32, 64);
                count(&mut stream, &mut frames, &mut certain);
            }
            let expected = H2Frames {
                headers: 2,
                resets: 2,
                settings: 1,
                pings: 1,
                continuations: 1,
            };
            assert_eq!(
                (frames, total(&frames), stream.held()),
                (expected, 7, 0),
                "{step}"
            );
        }
    }

    #[test]
    fn what_was_lost_is_found_again_where_a_turn_begins() {
        let (mut stream, mut frames, mut certain) = (Stream::default(), H2Frames::default(), false);
        stream.turn(0);
        stream.put(0, &[0xff; 20], 20, 64);
        count(&mut stream, &mut frames, &mut certain);
        assert!(!certain && stream.ready().is_empty());
        assert_eq!(stream.turn(500), Turn::Anew);
        let reset = frame(3, 4);
        stream.put(500, &reset, 13, 64);
        count(&mut stream, &mut frames, &mut certain);
        assert_eq!((frames.resets, certain), (1, true));
    }
}
