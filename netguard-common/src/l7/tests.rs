//! Whole conversations on the host: what of them is handed on.

#[path = "tests/limits/tests.rs"]
mod limits;

use std::vec::Vec;

use super::*;
use crate::{memory::Overheard, packet::TcpFlags, shared::Field as _};

/// Numbers wrap within most of these conversations.
const CLIENT: u32 = u32::MAX - 40;
const SERVER: u32 = u32::MAX - 3;

const ACK: u8 = TcpFlags::ACK;
const FIN: u8 = TcpFlags::FIN | TcpFlags::ACK;
const SYN_ACK: u8 = TcpFlags::SYN | TcpFlags::ACK;

/// One connection, and who listens to it. Offsets count from the first byte that each end says.
struct Wire(Overheard);

impl Wire {
    fn new(limits: HearingLimits) -> Self {
        let settings = Settings {
            seed: 7,
            l7: limits,
            ..Settings::ZERO
        };
        Self(Overheard::new(settings, &[80]))
    }

    /// A connection whose handshake was seen.
    fn open(limits: HearingLimits) -> Self {
        let wire = Self::new(limits);
        wire.put(Side::Server, SYN_ACK, SERVER.wrapping_sub(1), CLIENT, &[]);
        wire
    }

    fn client(&self, at: usize, heard: usize, said: &[u8]) {
        self.say(Side::Client, ACK, at, heard, said);
    }

    fn server(&self, at: usize, heard: usize, said: &[u8]) {
        self.say(Side::Server, ACK, at, heard, said);
    }

    fn say(&self, side: Side, flags: u8, at: usize, heard: usize, said: &[u8]) {
        let (own, other) = match side {
            Side::Client => (CLIENT, SERVER),
            Side::Server => (SERVER, CLIENT),
        };
        self.put(
            side,
            flags,
            own.wrapping_add(at as u32),
            other.wrapping_add(heard as u32),
            said,
        );
    }

    fn put(&self, side: Side, flags: u8, sequence: u32, acknowledgement: u32, said: &[u8]) {
        let mut packet = std::vec![0x45, 0];
        packet.extend(u16::try_from(40 + said.len()).unwrap_or(0).to_be_bytes());
        packet.extend([0, 1, 0x40, 0, 64, 6, 0, 0]);
        let ends: [[u8; 4]; 2] = [[192, 0, 2, 9], [198, 51, 100, 1]];
        let ports = [40_000_u16, 80];
        let (from, to) = (side as usize, 1 - side as usize);
        packet.extend([ends[from], ends[to]].concat());
        packet.extend([ports[from].to_be_bytes(), ports[to].to_be_bytes()].concat());
        packet.extend([sequence.to_be_bytes(), acknowledgement.to_be_bytes()].concat());
        packet.extend([0x50, flags, 1, 0, 0, 0, 0, 0]);
        packet.extend(said);
        self.0.hear(&packet, side == Side::Server);
    }

    /// What was handed on since the last look: side, where its turn begins, where it begins, its bytes.
    fn handed_on(&self) -> Vec<(Side, usize, usize, Vec<u8>)> {
        self.pieces()
            .into_iter()
            .map(|(piece, bytes)| told(&piece, bytes))
            .collect()
    }

    fn pieces(&self) -> Vec<(Piece, Vec<u8>)> {
        self.0.pieces.take()
    }

    fn counts(&self) -> Counts {
        self.0.hearing.borrow().counts
    }

    fn is_known(&self) -> bool {
        !self.0.talks.borrow().is_empty()
    }
}

fn told(piece: &Piece, bytes: Vec<u8>) -> (Side, usize, usize, Vec<u8>) {
    let (side, first) = if piece.side == 0 {
        (Side::Client, CLIENT)
    } else {
        (Side::Server, SERVER)
    };
    let offset = |number: u32| number.wrapping_sub(first) as usize;
    (side, offset(piece.turn_start), offset(piece.sequence), bytes)
}

const PLENTY: HearingLimits = HearingLimits::new(1_000_000, 1_000_000);

fn expected<const N: usize>(rows: [(Side, usize, usize, &[u8]); N]) -> Vec<(Side, usize, usize, Vec<u8>)> {
    rows.map(|(side, turn, at, bytes)| (side, turn, at, bytes.to_vec()))
        .to_vec()
}

#[test]
fn turns_begin_where_the_other_end_had_heard_all() {
    use Side::{Client, Server};
    let wire = Wire::open(PLENTY);
    wire.client(0, 0, b"GET / HT");
    wire.client(8, 0, b"TP/1.1\r\n\r\n");
    wire.server(0, 18, b"HTTP/1.1 200");
    wire.server(12, 18, b" OK\r\n\r\n");
    // The first segment of the second turn comes last, and one of the first turn comes again before it.
    wire.client(28, 19, b"second half");
    wire.client(8, 0, b"TP/1.1\r\n\r\n");
    wire.client(18, 19, b"first half");
    wire.server(19, 39, b"HTTP/1.1 404");
    assert_eq!(
        wire.handed_on(),
        expected([
            (Client, 0, 0, b"GET / HT"),
            (Client, 0, 8, b"TP/1.1\r\n\r\n"),
            (Server, 0, 0, b"HTTP/1.1 200"),
            (Server, 0, 12, b" OK\r\n\r\n"),
            (Client, 18, 28, b"second half"),
            (Client, 18, 18, b"first half"),
            (Server, 19, 19, b"HTTP/1.1 404"),
        ])
    );
    assert_eq!(wire.counts().turns, 2);
}

#[test]
fn what_comes_again_begins_no_turn() {
    let wire = Wire::open(PLENTY);
    wire.client(0, 0, b"one");
    wire.server(0, 3, b"answer");
    wire.handed_on();
    // A whole turn again, and a part of it with the beginning of the next.
    wire.client(0, 0, b"one");
    assert_eq!(
        (wire.handed_on(), wire.counts().turns),
        (expected([(Side::Client, 0, 0, b"one")]), 1)
    );
    wire.client(1, 6, b"ne two");
    assert_eq!(
        (wire.handed_on(), wire.counts().turns),
        (expected([(Side::Client, 3, 3, b" two")]), 2)
    );
    // The service says again what it said, before it answers.
    wire.server(0, 7, b"answer");
    wire.server(6, 7, b"more");
    let told = expected([(Side::Server, 0, 0, b"answer"), (Side::Server, 6, 6, b"more")]);
    assert_eq!((wire.handed_on(), wire.counts().turns), (told, 2));
}

#[test]
fn a_service_that_speaks_early_does_not_cut_a_turn() {
    let wire = Wire::open(PLENTY);
    wire.client(0, 0, b"POST");
    // It has not heard anything of it yet.
    wire.server(0, 0, b"hurry");
    wire.client(4, 0, b" / HTTP/1.0");
    assert_eq!(wire.counts().turns, 1);
    // Now it has heard a part, and the rest is a turn of its own.
    wire.server(5, 4, b"100 Continue");
    wire.client(15, 5, b"body");
    let client: Vec<_> = wire
        .handed_on()
        .into_iter()
        .filter(|told| told.0 == Side::Client)
        .collect();
    assert_eq!(
        client,
        expected([
            (Side::Client, 0, 0, b"POST"),
            (Side::Client, 0, 4, b" / HTTP/1.0"),
            (Side::Client, 4, 15, b"body")
        ])
    );
    assert_eq!(wire.counts().turns, 2);
}

#[test]
fn of_each_turn_the_first_bytes_come_in_pieces() {
    let wire = Wire::open(PLENTY);
    let body: Vec<u8> = (0..30_000_u32).map(|index| index as u8).collect();
    wire.client(0, 0, &body[..10_000]);
    wire.client(10_000, 0, &body[10_000..]);
    wire.client(16_384, 0, &body[16_384..]);
    let pieces = wire.pieces();
    let lens: Vec<_> = pieces
        .iter()
        .map(|(piece, bytes)| (piece.len, piece.payload_len, bytes.len()))
        .collect();
    assert_eq!(
        lens,
        [
            (4096, 4096, 4096),
            (4096, 4096, 4096),
            (1808, 1808, 1808),
            (4096, 4096, 4096),
            (2288, 15_904, 2288)
        ]
    );
    let said: Vec<u8> = pieces.into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert_eq!(said, body[..16_384]);
    wire.server(0, 30_000, &body[..200]);
    wire.server(200, 30_000, &body[200..400]);
    wire.server(400, 30_000, &body[400..]);
    let told = expected([
        (Side::Server, 0, 0, &body[..200]),
        (Side::Server, 0, 200, &body[200..256]),
    ]);
    assert_eq!(wire.handed_on(), told);
}

#[test]
fn of_tls_come_the_hellos_and_whether_the_client_goes_on() {
    // The first byte may come late, or not be handed on at all.
    for first in [&[0_usize, 3][..], &[3, 0]] {
        let wire = Wire::open(PLENTY);
        let hello = [22, 3, 1, 0, 2, 1, 0];
        for at in first {
            wire.client(*at, 0, &hello[*at..(at + 4).min(7)]);
        }
        wire.server(0, 7, &[22; 2000]);
        wire.client(7, 2000, &[20; 100]);
        wire.server(2000, 107, &[23; 100]);
        wire.client(107, 2100, &[23; 100]);
        wire.server(2100, 207, &[23; 100]);
        let told: Vec<_> = wire
            .handed_on()
            .into_iter()
            .map(|(side, turn, at, bytes)| (side, turn, at, bytes.len()))
            .collect();
        let hellos = first
            .iter()
            .map(|at| (Side::Client, 0, *at, (at + 4).min(7) - at));
        let rest = [(Side::Server, 0, 0, 256), (Side::Client, 7, 7, 16)];
        assert_eq!(told, hellos.chain(rest).collect::<Vec<_>>());
        assert_eq!(
            wire.counts(),
            Counts {
                turns: 1,
                pieces: 4,
                ..Counts::ZERO
            }
        );
        // Its end is told all the same.
        wire.say(Side::Client, FIN, 207, 2200, &[]);
        assert_eq!(
            wire.pieces()
                .iter()
                .map(|(piece, _)| piece.flags & Piece::LAST)
                .collect::<Vec<_>>(),
            [Piece::LAST]
        );
    }
}

#[test]
fn an_end_is_told_once_for_each_side() {
    for with_bytes in [false, true] {
        let wire = Wire::open(PLENTY);
        wire.client(0, 0, b"GET /");
        let said: &[u8] = if with_bytes { b"bye" } else { b"" };
        for _ in 0..2 {
            wire.say(Side::Server, FIN, 0, 5, said);
        }
        wire.say(Side::Client, FIN, 5, said.len(), &[]);
        let lasts: Vec<_> = wire
            .pieces()
            .into_iter()
            .filter(|(piece, _)| piece.flags & Piece::LAST != 0)
            .map(|(piece, bytes)| told(&piece, bytes))
            .collect();
        assert_eq!(
            lasts,
            expected([(Side::Server, 0, 0, said), (Side::Client, 0, 5, b"")])
        );
        assert!(!wire.is_known(), "both ends have said all");
    }
    // Of what was never handed on, no end is.
    let wire = Wire::open(PLENTY);
    wire.say(Side::Client, FIN, 0, 0, &[]);
    wire.say(Side::Server, TcpFlags::RST, 0, 1, &[]);
    assert_eq!(wire.handed_on(), []);
}

#[test]
fn a_reset_ends_all_if_it_can_be_one() {
    let wire = Wire::open(PLENTY);
    wire.client(0, 0, b"GET /");
    wire.handed_on();
    wire.put(Side::Client, TcpFlags::RST, CLIENT.wrapping_add(1 << 20), 0, &[]);
    assert_eq!((wire.handed_on(), wire.is_known()), (Vec::new(), true));
    wire.put(Side::Client, TcpFlags::RST, CLIENT.wrapping_add(5), 0, &[]);
    assert_eq!(wire.pieces()[0].0.flags, Piece::WHOLE | Piece::LAST);
    assert!(!wire.is_known());
    // The same ends begin anew.
    let wire = Wire::open(PLENTY);
    wire.client(0, 0, b"GET /");
    wire.put(Side::Server, SYN_ACK, 999, 5000, &[]);
    assert!(!wire.is_known());
    wire.put(Side::Client, ACK, 5000, 1000, b"x");
    let (piece, _) = wire.pieces().pop().unwrap();
    assert_eq!((piece.turn_start, piece.flags), (5000, Piece::WHOLE));
}
