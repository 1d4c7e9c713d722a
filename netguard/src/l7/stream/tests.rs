//! Segments in any order, and what becomes of them.

use super::*;

const START: u32 = u32::MAX - 3;
const TEXT: &[u8] = b"0123456789abcdef";

fn put(stream: &mut Stream, from: usize, to: usize) {
    let bytes = &TEXT[from..to];
    let sequence = START.wrapping_add(from as u32);
    stream.put(sequence, bytes, bytes.len() as u32, 64);
}

fn stream() -> Stream {
    let mut stream = Stream::default();
    assert_eq!(stream.turn(START), Turn::First);
    stream
}

#[test]
fn any_order_overlap_and_repetition_give_the_same() {
    for parts in [
        &[(0, 16)][..],
        &[(8, 16), (0, 8)],
        &[(4, 8), (12, 16), (8, 12), (0, 4)],
        &[(2, 5), (9, 12), (1, 14), (0, 2), (13, 16)],
        &[(3, 4), (5, 6), (7, 8), (9, 10), (2, 12), (0, 16), (0, 16)],
        &[(0, 5), (3, 9), (0, 9), (9, 16), (15, 16)],
        &[(6, 7), (6, 9), (5, 8), (0, 6), (8, 16)],
    ] {
        let mut stream = stream();
        for (from, to) in parts {
            put(&mut stream, *from, *to);
        }
        assert_eq!(stream.ready(), TEXT, "{parts:?}");
        stream.take(16);
        assert_eq!((stream.held(), stream.ready()), (0, &[][..]), "{parts:?}");
    }
}

#[test]
fn what_is_skipped_is_not_kept() {
    let mut stream = stream();
    put(&mut stream, 0, 2);
    put(&mut stream, 6, 7);
    put(&mut stream, 10, 12);
    stream.skip(11);
    assert_eq!(stream.ready(), &TEXT[11..12]);
    put(&mut stream, 2, 11);
    assert_eq!(stream.ready(), &TEXT[11..12]);
    put(&mut stream, 5, 16);
    assert_eq!(stream.ready(), &TEXT[11..16]);
}

#[test]
fn turns_follow_each_other() {
    let mut stream = stream();
    put(&mut stream, 0, 4);
    assert_eq!(stream.turn(START), Turn::Same);
    assert_eq!(stream.turn(START.wrapping_add(4)), Turn::Onward);
    put(&mut stream, 4, 5);
    assert_eq!(stream.ready(), &TEXT[..5]);
    assert_eq!(stream.turn(START), Turn::Old);
    // Something between was not handed on.
    assert_eq!(stream.turn(START.wrapping_add(8)), Turn::Apart);
    put(&mut stream, 8, 9);
    assert_eq!(stream.ready(), &TEXT[8..9]);
    // A body that reaches into the next turn.
    stream.skip(5);
    assert_eq!(stream.turn(START.wrapping_add(10)), Turn::Onward);
    put(&mut stream, 10, 16);
    assert_eq!(stream.ready(), &TEXT[13..]);
    stream.close_turn();
    put(&mut stream, 10, 16);
    assert_eq!((stream.ready(), stream.held()), (&[][..], 0));
    assert_eq!(stream.turn(START.wrapping_add(16)), Turn::Anew);
}

#[test]
fn the_end_counts_once_all_before_it_came() {
    let mut stream = stream();
    put(&mut stream, 4, 8);
    stream.end_at(START.wrapping_add(8));
    assert!(stream.is_ending() && !stream.has_ended());
    put(&mut stream, 0, 4);
    assert!(stream.has_ended());
    // Another connection of the same ends.
    assert!(stream.is_of_another(START.wrapping_add(9)) && !stream.is_of_another(START));
}

#[test]
fn what_was_not_handed_on_is_known() {
    let mut stream = stream();
    stream.put(START, &TEXT[..4], 9, 64);
    assert!(stream.is_cut());
    // And is no longer once it comes.
    put(&mut stream, 4, 9);
    stream.turn(START.wrapping_add(9));
    assert!(!stream.is_cut());
}

#[test]
fn what_is_far_ahead_is_not_kept() {
    let mut stream = stream();
    stream.put(START.wrapping_add(60), TEXT, 16, 64);
    stream.put(START.wrapping_add(1 << 30), TEXT, 16, 64);
    assert_eq!(
        stream.ahead.iter().map(|piece| piece.bytes.len()).sum::<usize>(),
        4
    );
    let mut stream = Stream::default();
    stream.turn(0);
    for at in 0..4_000 {
        stream.put(2 * at + 1, b"x", 1, 1 << 20);
    }
    assert_eq!(stream.ahead.len(), PIECES);
}
