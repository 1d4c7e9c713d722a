//! Laws of the floor of TLS: no bytes stop the reader, no way to cut a conversation changes what becomes of it, and what is refused never leaves
//! whole.

use std::cell::RefCell;

use netguard_common::{
    egress::leave,
    layout::{Mode, Service},
    memory::Memory,
    shared::Field as _,
    tls::{COUNTERS, Conversation, Hello, RETRY_RANDOM, Reading, step},
    view::SliceView,
};
use proptest::{collection::vec, prelude::*, sample::select};

const FIRST: u32 = 0xffff_ff00;

/// A record of the handshake.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 3, 3];
    record.extend((content.len() as u16).to_be_bytes());
    record.extend(content);
    record
}

prop_compose! {
    /// A ServerHello, mostly of a version and suite that there are, sometimes damaged, in one record or two.
    fn hello()(
        version in select(vec![0x0301_u16, 0x0303, 0x0303, 0x7f1c]),
        random in select(vec![[7_u8; 32], RETRY_RANDOM]),
        session in select(vec![0_usize, 32, 33]),
        suite in select(vec![0x1301_u16, 0xc02f, 0x002f]),
        extensions in vec((select(vec![0x002b_u16, 0x0033, 0xff01, 0x0000]), select(vec![vec![3, 4], vec![3, 3], vec![], vec![9; 70]])), 0..4),
        damage in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) -> Vec<u8> {
        let mut body = [&version.to_be_bytes()[..], &random, &[session as u8], &vec![5; session]].concat();
        body.extend(suite.to_be_bytes());
        body.push(0);
        let mut bytes = Vec::new();
        for (kind, value) in &extensions {
            bytes.extend(kind.to_be_bytes());
            bytes.extend((value.len() as u16).to_be_bytes());
            bytes.extend(value);
        }
        if !bytes.is_empty() {
            body.extend((bytes.len() as u16).to_be_bytes());
            body.extend(bytes);
        }
        let mut message = ((2 << 24) | body.len() as u32).to_be_bytes().to_vec();
        message.extend(body);
        if let Some((at, byte)) = damage {
            let at = at.index(message.len());
            message[at] = byte;
        }
        match cut.map(|cut| message.split_at(cut.index(message.len()))) {
            Some((head, tail)) if !head.is_empty() => [record(22, head), record(22, tail)].concat(),
            _ => record(22, &message),
        }
    }
}

prop_compose! {
    /// What a server says: hellos, alerts, anything.
    fn said()(
        first in prop_oneof![4 => hello(), 1 => vec(any::<u8>(), 0..60), 1 => Just(record(21, &[1, 112]))],
        second in prop_oneof![2 => hello(), 1 => Just(record(20, &[1]))],
        rest in vec(any::<u8>(), 0..200),
    ) -> Vec<u8> {
        [first, second, rest].concat()
    }
}

fn segment(offset: usize, said: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((40 + said.len() as u16).to_be_bytes());
    frame.extend([
        0, 1, 0x40, 0, 64, 6, 0, 0, 198, 51, 100, 1, 192, 0, 2, 9, 1, 0xbb, 0x9c, 0x40,
    ]);
    frame.extend(FIRST.wrapping_add(offset as u32).to_be_bytes());
    frame.extend([0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    frame.extend(said);
    frame
}

fn machine() -> Memory {
    let mut memory = Memory::new(Memory::enforcing());
    memory.settings.suspicion.tls = Mode::Enforce as u32;
    let service = Service {
        port: 443,
        protocol: 6,
        tls: Mode::Enforce as u8,
        ..Service::ZERO
    };
    memory.services.insert(443, service);
    memory.conversation = Some(RefCell::new(Conversation {
        first: FIRST,
        ..Conversation::ZERO
    }));
    memory
}

fn send(memory: &Memory, offset: usize, said: &[u8]) -> bool {
    leave(&SliceView(&segment(offset, said)), memory)
}

/// Bytes from the beginning on that have left, when `said` is sent in segments of these lengths, in turn.
fn sent(memory: &Memory, said: &[u8], lengths: &[usize]) -> usize {
    let (mut at, mut left) = (0, 0);
    for length in lengths.iter().cycle() {
        if at >= said.len() {
            break;
        }
        let end = said.len().min(at + length);
        if send(memory, at, &said[at..end]) && left == at {
            left = end;
        }
        at = end;
    }
    left
}

fn outcomes(memory: &Memory) -> [u64; COUNTERS] {
    *memory.tls.borrow()
}

proptest! {
    #[test]
    fn no_bytes_stop_the_reader(bytes in vec(any::<u8>(), 0..300), hello in vec(any::<u8>(), size_of::<Hello>())) {
        use netguard_common::shared::Shared as _;
        // From any state, as what lies in memory could be anything.
        let hello = Hello::from_bytes(&hello).expect("as long as one");
        for hello in [Hello::ZERO, hello] {
            let mut reading = Reading { at: 0, end: bytes.len() as u32, hello };
            let mut steps = 0;
            while step(&SliceView(&bytes), &mut reading) {
                steps += 1;
                prop_assert!(steps <= bytes.len(), "each step reads something");
            }
            prop_assert!(reading.at <= reading.end);
        }
    }

    #[test]
    fn however_it_is_cut_the_same_becomes_of_it(said in said(), lengths in vec(1..90_usize, 1..6)) {
        let (whole, cut) = (machine(), machine());
        let all = sent(&whole, &said, &[said.len().max(1)]);
        let left = sent(&cut, &said, &lengths);
        prop_assert_eq!(outcomes(&whole), outcomes(&cut));
        prop_assert_eq!(all == said.len(), left == said.len());
        if left < said.len() {
            // What was refused is so in any other segments, too: no more leaves than one byte before it was known.
            let known = cut.conversation.as_ref().map_or(0, |conversation| conversation.borrow().read as usize);
            for length in [1, 13, said.len()] {
                prop_assert!(sent(&cut, &said, &[length]) <= known);
            }
            prop_assert_eq!(outcomes(&whole), outcomes(&cut));
            prop_assert_eq!(cut.handshakes.borrow().len(), 1);
        }
    }

    #[test]
    fn what_comes_again_changes_nothing(said in said(), lengths in vec(1..90_usize, 1..6), back in vec(0..60_usize, 1..6)) {
        let (once, again) = (machine(), machine());
        let left = sent(&once, &said, &lengths);
        let (mut at, mut turn) = (0, 0);
        while at < said.len() {
            let end = said.len().min(at + lengths[turn % lengths.len()]);
            let begin = at.saturating_sub(back[turn % back.len()]);
            send(&again, begin, &said[begin..end]);
            (at, turn) = (end, turn + 1);
        }
        prop_assert_eq!(outcomes(&once), outcomes(&again));
        prop_assert_eq!(sent(&again, &said, &lengths) == said.len(), left == said.len());
    }
}
