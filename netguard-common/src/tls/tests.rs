//! Whole connections on the host: what leaves of them, under every policy.

use std::{cell::RefCell, vec::Vec};

use super::{
    hello::tests::{Said, record},
    *,
};
use crate::{egress::leave, memory::Memory, shared::Field as _, view::SliceView};

const FIRST: u32 = u32::MAX - 20;

/// A machine whose service at port 443 has this policy, and one connection with it.
fn memory(mode: Mode, minimum: u16) -> Memory {
    let mut memory = Memory::new(Memory::enforcing());
    memory.settings.suspicion.tls = Mode::Enforce as u32;
    let service = Service {
        port: 443,
        protocol: 6,
        tls: mode as u8,
        tls_minimum: minimum,
        ..Service::ZERO
    };
    memory.services.insert(443, service);
    memory.conversation = Some(RefCell::new(Conversation {
        first: FIRST,
        ..Conversation::ZERO
    }));
    memory
}

/// A segment that port 443 sends, with what it says from `offset` on.
fn segment(v6: bool, offset: usize, said: &[u8]) -> Vec<u8> {
    let mut frame = std::vec![2; 12];
    let tcp_len = 24 + said.len() as u16;
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(tcp_len.to_be_bytes());
        frame.extend([6, 64]);
        frame.extend([[0x20; 16], [0x21; 16]].concat());
    } else {
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((20 + tcp_len).to_be_bytes());
        frame.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 198, 51, 100, 1, 192, 0, 2, 9]);
    }
    frame.extend([1, 0xbb, 0x9c, 0x40]);
    frame.extend(FIRST.wrapping_add(offset as u32).to_be_bytes());
    frame.extend([0, 0, 0, 1, 0x60, 0x18, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
    frame.extend(said);
    frame
}

fn leaves(memory: &Memory, v6: bool, offset: usize, said: &[u8]) -> bool {
    leave(&SliceView(&segment(v6, offset, said)), memory)
}

/// Sends `said` in segments of `length`; what of it leaves.
fn sent(memory: &Memory, v6: bool, said: &[u8], length: usize) -> usize {
    let mut left = 0;
    for (index, piece) in said.chunks(length).enumerate() {
        let is_gone = leaves(memory, v6, index * length, piece);
        left += if is_gone { piece.len() } else { 0 };
    }
    left
}

fn counted(memory: &Memory, outcome: Outcome, shadow: bool) -> u64 {
    memory.tls.borrow()[counter(outcome, shadow) as usize]
}

/// A ServerHello of `version`, and what follows it.
fn conversation(version: u16, cipher: u16) -> (usize, Vec<u8>) {
    let hello = Said::of(version, cipher).record();
    (
        hello.len(),
        [hello, record(22, &[11; 700]), record(23, &[1; 300])].concat(),
    )
}

#[test]
fn an_old_handshake_never_ends_however_it_is_cut() {
    for (version, cipher) in [(0x0301, 0x002f), (0x0302, 0xc013), (0x0303, 0xc02f)] {
        let (hello, said) = conversation(version, cipher);
        for (length, v6) in (1..hello + 40).flat_map(|length| [(length, false), (length, true)]) {
            let memory = memory(Mode::Enforce, 0);
            let left = sent(&memory, v6, &said, length);
            assert!(
                left < hello && left + length >= hello,
                "{left} of {hello} by {length}"
            );
            assert_eq!(counted(&memory, Outcome::Version, false), 1);
            // Sent again, in other segments: nothing more leaves than did.
            for again in [1, 7, 100, 2000] {
                for (index, piece) in said.chunks(again).enumerate() {
                    let end = index * again + piece.len();
                    assert_eq!(leaves(&memory, v6, index * again, piece), end < hello, "{again}");
                }
            }
            assert_eq!(counted(&memory, Outcome::Version, false), 1);
            let handshakes = memory.handshakes.borrow();
            assert_eq!(handshakes.len(), 1, "it is told once");
            let told = &handshakes[0];
            assert_eq!((told.version, told.cipher, told.shadow), (version, cipher, 0));
            assert_eq!((told.server_port, told.client_port), (443, 40_000));
        }
    }
}

#[test]
fn what_the_policy_allows_leaves_whole() {
    for (minimum, version, cipher) in [
        (0, 0x0304, 0x1301),
        (TLS_1_2, 0x0304, 0x1303),
        (TLS_1_2, 0x0303, 0xc02f),
    ] {
        let (_, said) = conversation(version, cipher);
        for length in [1, 5, 64, 500, 2000] {
            let memory = memory(Mode::Enforce, minimum);
            assert_eq!(sent(&memory, false, &said, length), said.len());
            assert_eq!(counted(&memory, Outcome::Accepted, false), 1);
            assert!(memory.handshakes.borrow().is_empty());
        }
    }
}

#[test]
fn shadow_and_other_services_lose_nothing() {
    let (_, said) = conversation(0x0303, 0xc02f);
    let shadow = memory(Mode::Shadow, 0);
    let mut under_shadow = memory(Mode::Enforce, 0);
    under_shadow.settings.suspicion.tls = Mode::Shadow as u32;
    for memory in [&shadow, &under_shadow] {
        assert_eq!(sent(memory, true, &said, 50), said.len());
        assert_eq!(counted(memory, Outcome::Version, true), 1);
        assert_eq!(memory.handshakes.borrow()[0].shadow, 1);
    }
    let mut off = memory(Mode::Off, 0);
    assert_eq!(sent(&off, false, &said, 50), said.len());
    off.services.clear();
    assert_eq!(sent(&off, false, &said, 50), said.len());
    assert_eq!(*off.tls.borrow(), [0; COUNTERS]);
}

#[test]
fn a_segment_that_overlaps_what_was_read_is_read_on() {
    let (hello, said) = conversation(0x0303, 0xc02f);
    let memory = memory(Mode::Enforce, 0);
    assert!(leaves(&memory, false, 0, &said[..30]));
    assert!(leaves(&memory, false, 0, &said[..30]), "again");
    assert!(leaves(&memory, false, 10, &said[10..60]));
    assert!(leaves(&memory, false, 60, &[]), "an acknowledgement");
    assert!(!leaves(&memory, false, 20, &said[20..hello]));
    assert!(leaves(&memory, false, 20, &said[20..hello - 1]));
}

#[test]
fn nobody_loses_a_connection_that_was_there_before() {
    let (hello, said) = conversation(0x0303, 0xc02f);
    let before = memory(Mode::Enforce, 0);
    assert!(leaves(&before, false, 5_000, &said));
    assert!(leaves(&before, false, 5_000 + said.len(), &said));
    assert_eq!(counted(&before, Outcome::Unseen, false), 1);
    let mut forwarded = memory(Mode::Enforce, 0);
    forwarded.conversation = None;
    assert!(leaves(&forwarded, false, 0, &said));
    assert_eq!(counted(&forwarded, Outcome::Unseen, false), 1);
    // But nobody gets past by a gap in what was begun.
    let gap = memory(Mode::Enforce, 0);
    assert!(leaves(&gap, false, 0, &said[..9]));
    assert!(!leaves(&gap, false, 10, &said[10..hello]));
    assert_eq!(counted(&gap, Outcome::Broken, false), 1);
}

#[test]
fn what_is_no_handshake_leaves() {
    for said in [&b"220 mail.example.org ESMTP\r\n"[..], &record(23, &[3; 64])] {
        let memory = memory(Mode::Enforce, 0);
        assert_eq!(sent(&memory, false, said, 3), said.len());
        assert_eq!(counted(&memory, Outcome::Foreign, false), 1);
    }
    let alert = record(21, &[2, 70]);
    let memory = memory(Mode::Enforce, 0);
    assert_eq!(sent(&memory, false, &alert, 2), alert.len());
    assert_eq!(*memory.tls.borrow(), [0; COUNTERS]);
}

#[test]
fn what_could_not_be_told_is_told_when_it_comes_again() {
    let (hello, said) = conversation(0x0303, 0xc02f);
    let mut memory = memory(Mode::Enforce, 0);
    memory.samples_capacity = 0;
    assert!(!leaves(&memory, false, 0, &said[..hello]));
    assert!(!leaves(&memory, false, 0, &said[..hello]));
    assert_eq!(counted(&memory, Outcome::Untold, false), 2);
    memory.samples_capacity = 1;
    assert!(!leaves(&memory, false, 0, &said[..hello]));
    assert!(!leaves(&memory, false, 0, &said[..hello]));
    assert_eq!(memory.handshakes.borrow()[0].outcome, Outcome::Version as u16);
    assert_eq!(memory.handshakes.borrow().len(), 1);
}

/// A hello that has more fields than any would is not read for ever.
#[test]
fn endless_extensions_are_refused() {
    let mut said = Said::of(0x0304, 0x1301);
    let extensions = said.extensions.as_mut().expect("it has some");
    extensions.extend((0..400).map(|kind| (0x7000 + kind, Vec::new())));
    let bytes = said.record();
    let memory = memory(Mode::Enforce, 0);
    assert!(!leaves(&memory, false, 0, &bytes));
    assert_eq!(counted(&memory, Outcome::Broken, false), 1);
}
