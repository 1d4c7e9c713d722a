//! Laws of listening to conversations: however they are cut, in whatever order segments come and how often, the first bytes of every turn are handed on,
//! and nothing else; no packet stops it.

use std::collections::BTreeMap;

use netguard_common::{
    l7::{CLIENT_BYTES, HearingLimits, Piece, SERVER_BYTES, Talk, TalkKey},
    layout::Settings,
    memory::Overheard,
    packet::Address,
    shared::{Field as _, Shared as _},
};
use proptest::{collection::vec, prelude::*, sample::Index};

const PORT: u16 = 80;
const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 9], 40_000);
const SERVER: ([u8; 4], u16) = ([198, 51, 100, 1], PORT);

const ACK: u8 = 0x10;
const SYN_ACK: u8 = 0x12;

/// One end's sequence number and the other's that it has heard up to.
type Numbers = (u32, u32);

fn packet(leaves: bool, (sequence, acknowledgement): Numbers, flags: u8, said: &[u8]) -> Vec<u8> {
    let (from, to) = if leaves {
        (SERVER, CLIENT)
    } else {
        (CLIENT, SERVER)
    };
    let mut packet = vec![0x45, 0];
    packet.extend(u16::try_from(40 + said.len()).unwrap_or(0).to_be_bytes());
    packet.extend([0, 1, 0x40, 0, 64, 6, 0, 0]);
    packet.extend([from.0, to.0].concat());
    packet.extend([from.1.to_be_bytes(), to.1.to_be_bytes()].concat());
    packet.extend([sequence.to_be_bytes(), acknowledgement.to_be_bytes()].concat());
    packet.extend([0x50, flags, 1, 0, 0, 0, 0, 0]);
    packet.extend(said);
    packet
}

fn listener() -> Overheard {
    let settings = Settings {
        seed: 0x1234_5678_9abc_def0,
        l7: HearingLimits::new(10_000_000, 10_000_000),
        ..Settings::ZERO
    };
    Overheard::new(settings, &[PORT])
}

/// Byte number `offset` of what an end says: never one that a record of TLS begins with at a turn's start.
fn byte(leaves: bool, offset: usize) -> u8 {
    (offset % 199) as u8 | if leaves { 0x80 } else { 0x40 }
}

/// How a turn is sent: its length, where it is cut, in which order, and what comes again and how late.
#[derive(Clone, Debug)]
struct Turn {
    len: usize,
    cuts: Vec<Index>,
    order: Vec<Index>,
    again: Vec<(Index, Index)>,
}

fn turn(longest: usize) -> impl Strategy<Value = Turn> {
    let any = any::<Index>;
    (
        prop_oneof![3 => 1..400_usize, 1 => 1..longest],
        vec(any(), 0..12),
        vec(any(), 0..12),
        vec((any(), any()), 0..4),
    )
        .prop_map(|(len, cuts, order, again)| Turn {
            len,
            cuts,
            order,
            again,
        })
}

impl Turn {
    /// Its segments as they come, the first time each.
    fn segments(&self, is_ordered: bool) -> Vec<(usize, usize)> {
        let mut cuts: Vec<usize> = self.cuts.iter().map(|cut| cut.index(self.len)).collect();
        cuts.extend([0, self.len]);
        cuts.sort_unstable();
        cuts.dedup();
        let mut segments: Vec<_> = cuts.windows(2).map(|ends| (ends[0], ends[1])).collect();
        if !is_ordered {
            for (at, other) in self.order.iter().enumerate() {
                let (at, other) = (at % segments.len(), other.index(segments.len()));
                segments.swap(at, other);
            }
        }
        segments
    }
}

/// What was handed on, by side and where its turn begins, byte by byte; all offsets from the first byte of each side.
fn handed_on(listener: &Overheard, firsts: [u32; 2]) -> BTreeMap<(bool, usize), BTreeMap<usize, u8>> {
    let mut turns: BTreeMap<_, BTreeMap<usize, u8>> = BTreeMap::new();
    for (piece, bytes) in listener.pieces.take() {
        let leaves = piece.side != 0;
        let offset = |number: u32| number.wrapping_sub(firsts[usize::from(leaves)]) as usize;
        let said = turns.entry((leaves, offset(piece.turn_start))).or_default();
        said.extend((offset(piece.sequence)..).zip(bytes));
    }
    turns
}

proptest! {
    #[test]
    fn the_first_bytes_of_every_turn_are_handed_on(
        turns in vec((turn(40_000), turn(5_000)), 1..5),
        firsts in any::<[u32; 2]>(),
        late in any::<bool>(),
    ) {
        let listener = listener();
        let [client_first, server_first] = firsts;
        listener.hear(&packet(true, (server_first.wrapping_sub(1), client_first), SYN_ACK, &[]), true);
        let mut expected: BTreeMap<(bool, usize), BTreeMap<usize, u8>> = BTreeMap::new();
        // Where each side is in what it says.
        let mut at = [0_usize; 2];
        let mut late_ones: Vec<Vec<u8>> = Vec::new();
        for pair in &turns {
            for (leaves, turn) in [(false, &pair.0), (true, &pair.1)] {
                let (own, other) = (usize::from(leaves), usize::from(!leaves));
                let start = at[own];
                let heard = firsts[other].wrapping_add(at[other] as u32);
                let send = |(from, to): (usize, usize)| {
                    let said: Vec<u8> = (start + from..start + to).map(|offset| byte(leaves, offset)).collect();
                    packet(leaves, (firsts[own].wrapping_add((start + from) as u32), heard), ACK, &said)
                };
                let mut packets: Vec<Vec<u8>> = turn.segments(leaves).into_iter().map(send).collect();
                // A service's segments are seen as it sends them; what comes again, comes behind the first time.
                for (which, when) in &turn.again {
                    let which = which.index(packets.len());
                    let place = which + 1 + when.index(packets.len() - which);
                    packets.insert(place, packets[which].clone());
                }
                // What is late, comes in the next turn of the same side.
                let last = packets[0].clone();
                for (number, packet) in packets.iter().enumerate() {
                    listener.hear(packet, leaves);
                    if number == 0 && !leaves {
                        late_ones.drain(..).for_each(|packet| listener.hear(&packet, false));
                    }
                }
                if late && !leaves {
                    late_ones.push(last);
                }
                let limit = if leaves { SERVER_BYTES } else { CLIENT_BYTES } as usize;
                let bytes = start..start + turn.len.min(limit);
                expected.insert((leaves, start), bytes.map(|offset| (offset, byte(leaves, offset))).collect());
                at[own] += turn.len;
            }
        }
        let counts = listener.hearing.borrow().counts;
        prop_assert_eq!((counts.turns, counts.skipped, counts.broken, counts.lost), (turns.len() as u64, 0, 0, 0));
        prop_assert_eq!(handed_on(&listener, firsts), expected);
    }

    #[test]
    fn no_packet_stops_it_and_none_is_handed_on_that_was_not_said(
        talk in vec(any::<u8>(), size_of::<Talk>()),
        segments in vec((any::<bool>(), any::<Numbers>(), 0..64_u8, 0..70_000_usize), 1..12),
        limits in (0..40_u32, 0..40_u32),
    ) {
        let mut listener = listener();
        listener.settings.l7 = HearingLimits::new(limits.0, limits.1);
        let key = TalkKey {
            client: Address::v4(CLIENT.0),
            server: Address::v4(SERVER.0),
            client_port: CLIENT.1,
            server_port: SERVER.1,
            reserved: 0,
        };
        // From any state, as another CPU may write it meanwhile.
        let talk = Talk::from_bytes(&talk).expect("as long as one");
        listener.talks.borrow_mut().insert(key.as_bytes().to_vec(), talk.into());
        for (leaves, numbers, flags, len) in segments {
            let said: Vec<u8> = (0..len).map(|offset| byte(leaves, offset)).collect();
            listener.hear(&packet(leaves, numbers, flags, &said), leaves);
            let pieces = listener.pieces.take();
            prop_assert!(pieces.len() <= 6);
            let mut most = if leaves { SERVER_BYTES } else { CLIENT_BYTES };
            for (piece, bytes) in pieces {
                let offset = piece.sequence.wrapping_sub(numbers.0) as usize;
                prop_assert!(piece.weight > 0 || talk.weight == 0);
                prop_assert!(offset + bytes.len() <= len && bytes.len() <= piece.payload_len as usize);
                prop_assert_eq!(&bytes, &said[offset..offset + bytes.len()]);
                most = most.checked_sub(u32::from(piece.len)).expect("no more than of a turn");
                prop_assert!(piece.flags & !(Piece::WHOLE | Piece::LAST) == 0);
            }
        }
    }

    #[test]
    fn any_bytes_may_pass(bytes in vec(any::<u8>(), 0..200), first in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()], leaves in any::<bool>()) {
        let mut listener = listener();
        listener.ports.extend(0..=u16::MAX);
        let packet = [&[first], &bytes[..]].concat();
        listener.hear(&packet, leaves);
        for (_, said) in listener.pieces.take() {
            prop_assert!(packet.windows(said.len().max(1)).any(|window| window.starts_with(&said)));
        }
    }
}
