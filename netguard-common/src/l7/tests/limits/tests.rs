//! What is left out: strangers, turns and pieces over their budgets, and what there is no room for.

use std::vec::Vec;

use super::*;

#[test]
fn who_has_not_seen_the_handshake_is_a_stranger() {
    // Of a connection that was there before; of one whose answer nobody saw who sends this; and no handshake at all.
    for (opened, acknowledged, flags) in [(true, 0_usize, Piece::WHOLE), (true, 1, 0), (false, 0, 0)] {
        let wire = if opened {
            Wire::open(PLENTY)
        } else {
            Wire::new(PLENTY)
        };
        wire.client(7, acknowledged, b"middle");
        let (piece, _) = wire.pieces().pop().unwrap();
        assert_eq!(piece.flags, flags);
        let start = if flags == 0 { 7 } else { 0 };
        assert_eq!(piece.turn_start, CLIENT.wrapping_add(start));
    }
    // Their budget is their own, and no entry is made beyond it.
    let wire = Wire::open(HearingLimits::new(64, 64));
    for client in 0..20_u32 {
        wire.put(Side::Client, ACK, client << 20, 77, b"forged");
        wire.0.talks.borrow_mut().clear();
    }
    assert_eq!(
        wire.counts(),
        Counts {
            turns: 16,
            skipped: 4,
            pieces: 16,
            ..Counts::ZERO
        }
    );
    wire.client(0, 0, b"GET /");
    let (piece, bytes) = wire.pieces().pop().unwrap();
    assert_eq!(
        (piece.flags, piece.weight, &bytes[..]),
        (Piece::WHOLE, 1, &b"GET /"[..])
    );
    // The service's answers to nobody make none either.
    let wire = Wire::new(PLENTY);
    wire.server(0, 0, b"220 mail");
    assert!(!wire.is_known() && wire.handed_on().is_empty());
    // What is encrypted and joined in the middle says nothing.
    let wire = Wire::new(PLENTY);
    wire.client(0, 0, &[23, 3, 3, 0, 1, 0]);
    assert!(wire.is_known() && wire.handed_on().is_empty());
}

#[test]
fn turns_over_the_budget_are_left_out_whole_and_the_next_stands_for_them() {
    let wire = Wire::open(HearingLimits::new(64, 64));
    let mut at = 0;
    let mut turn = || {
        wire.client(at, at, b"ask ");
        wire.client(at + 4, at, b"more");
        wire.server(at, at + 8, b"answered");
        at += 8;
        wire.pieces()
    };
    let weights =
        |pieces: &[(Piece, Vec<u8>)]| pieces.iter().map(|(piece, _)| piece.weight).collect::<Vec<_>>();
    for _ in 0..16 {
        assert_eq!(weights(&turn()), [1; 3]);
    }
    for _ in 0..5 {
        assert_eq!(weights(&turn()), []);
    }
    wire.0.now_ns.set(wire.0.now_ns.get() + 1_000_000_000 / 64);
    assert_eq!(weights(&turn()), [6; 3]);
    assert_eq!(weights(&turn()), []);
    assert_eq!(
        wire.counts(),
        Counts {
            turns: 17,
            skipped: 6,
            pieces: 51,
            ..Counts::ZERO
        }
    );
}

#[test]
fn a_turn_in_too_many_pieces_is_broken_off_and_says_so() {
    let wire = Wire::open(HearingLimits::new(1_000_000, 64));
    for at in 0..60 {
        wire.client(at, 0, b"x");
    }
    // Those that cost nothing, the burst, and one without bytes.
    let pieces = wire.pieces();
    assert_eq!(pieces.len(), 16 + 16 + 1);
    assert!(
        pieces[..32]
            .iter()
            .all(|(piece, _)| piece.len == 1 && piece.flags == Piece::WHOLE)
    );
    let (mark, _) = &pieces[32];
    assert_eq!((mark.len, mark.payload_len, mark.flags), (0, 1, 0));
    wire.server(0, 60, b"no");
    assert_eq!(wire.handed_on(), []);
    // The next turn comes, but the conversation is not whole any more.
    wire.client(60, 2, b"next");
    let (piece, _) = wire.pieces().pop().unwrap();
    assert_eq!((piece.len, piece.flags), (4, 0));
    assert_eq!(wire.counts().broken, 1);
    // However much budget there is.
    let wire = Wire::open(HearingLimits::new(1_000_000, 1_000_000));
    for _ in 0..3000 {
        wire.client(0, 0, b"x");
    }
    assert_eq!(wire.pieces().len(), usize::from(PIECES_A_TURN) + 1);
}

#[test]
fn without_room_a_turn_is_broken_off_and_counted() {
    let wire = Wire::open(PLENTY);
    wire.client(0, 0, b"G");
    wire.0.capacity.set(1);
    wire.client(1, 0, b"E");
    wire.0.capacity.set(usize::MAX);
    wire.client(2, 0, b"T");
    let told: Vec<_> = wire
        .pieces()
        .into_iter()
        .map(|(piece, bytes)| (bytes, piece.flags))
        .collect();
    assert_eq!(told, [(b"G".to_vec(), Piece::WHOLE), (Vec::new(), 0)]);
    assert!(wire.counts().lost > 0);
}

#[test]
fn without_limits_nothing_is_handed_on() {
    for limits in [
        HearingLimits::ZERO,
        HearingLimits::new(0, 9),
        HearingLimits::new(9, 0),
    ] {
        let wire = Wire::open(limits);
        wire.client(0, 0, b"GET /");
        assert!(!wire.is_known() && wire.handed_on().is_empty());
    }
}
