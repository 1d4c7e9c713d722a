//! A record of the ring buffer as the segment that it is.

use std::net::SocketAddr;

use netguard_common::{
    l7::{Piece, Side as PieceSide, TalkKey},
    packet::Address,
    shared::Shared as _,
};

use crate::l7::{Ends, Segment, Side};

/// The segment in `record`; `None` when it is none that the program makes.
pub(super) fn read(record: &[u8]) -> Option<Segment<'_>> {
    let (head, rest) = record.split_at_checked(size_of::<Piece>())?;
    let piece = Piece::from_bytes(head)?;
    Some(Segment {
        at_ns: piece.at_ns,
        ends: Ends {
            client: SocketAddr::new(piece.client.ip(), piece.client_port),
            server: SocketAddr::new(piece.server.ip(), piece.server_port),
        },
        from: if piece.side == PieceSide::Client as u8 {
            Side::Client
        } else {
            Side::Server
        },
        sequence: piece.sequence,
        turn_start: piece.turn_start,
        bytes: rest.get(..usize::from(piece.len))?,
        payload_len: piece.payload_len,
        is_whole: piece.flags & Piece::WHOLE != 0,
        is_last: piece.flags & Piece::LAST != 0,
        weight: piece.weight.max(1),
    })
}

/// The key under which the kernel knows a conversation.
pub(super) fn key(ends: &Ends) -> TalkKey {
    let address = |end: &SocketAddr| Address::of(end.ip().to_canonical()).1;
    TalkKey {
        client: address(&ends.client),
        server: address(&ends.server),
        client_port: ends.client.port(),
        server_port: ends.server.port(),
        reserved: 0,
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::shared::Field as _;

    use super::*;

    #[test]
    fn a_record_comes_back_as_a_segment_or_not_at_all() {
        let ends = Ends {
            client: "192.0.2.9:40000".parse().expect("an end"),
            server: "[2001:db8::1]:80".parse().expect("an end"),
        };
        let key = key(&ends);
        let piece = Piece {
            at_ns: 7,
            client: key.client,
            server: key.server,
            client_port: key.client_port,
            server_port: key.server_port,
            sequence: 12,
            turn_start: 10,
            payload_len: 900,
            weight: 0,
            len: 3,
            side: PieceSide::Server as u8,
            flags: Piece::LAST,
        };
        // The ring buffer tells lengths in multiples of eight at times.
        let record = [piece.as_bytes(), &b"abc\0\0"[..]].concat();
        let segment = read(&record).expect("a segment");
        assert_eq!((segment.ends, segment.from), (ends, Side::Server));
        assert_eq!(
            (segment.bytes, segment.payload_len, segment.weight),
            (&b"abc"[..], 900, 1)
        );
        assert_eq!((segment.sequence, segment.turn_start), (12, 10));
        assert!(segment.is_last && !segment.is_whole);
        for len in 0..record.len() - 2 {
            assert!(read(&record[..len]).is_none(), "{len} bytes");
        }
        assert!(read(Piece::ZERO.as_bytes()).is_some());
    }
}
