//! Reflection stage: what comes from a port that reflectors answer from passes only when this machine asked for it.
//!
//! `remember` sees what leaves the machine and notes its questions; [`check`] sees what arrives. Nothing that arrives is
//! remembered, so forged packets make no room for others, and an answer of a service is no question: it would let in
//! whoever forged the question to it.

mod question;

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict,
    apart::Part,
    known,
    layout::{Question, Reflection, Settings, contains},
    limit,
    packet::{Address, Fragment, Transport},
    shared::Field as _,
    tables::Tables,
    view::View,
};

pub(crate) use question::remember;
use question::{FRESH_NS, asks_a_service};

/// The cell that later fragments which nobody asked for share.
pub const FRAGMENTS_AT: u32 = known::NEWCOMERS_AT + 1;

/// What takes a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpSocket {
    None,
    /// A socket that takes datagrams from everybody: a service, or somebody who asks.
    Bound,
    /// A socket that is connected to the sender, and so has asked.
    Connected,
}

/// Breaks when `packet`, which belongs to a datagram, is an answer to this machine that nobody here asked for.
#[inline(always)]
pub fn check<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    settings: &Settings,
    tables: &T,
) -> ControlFlow<Verdict> {
    let reflection = &settings.reflection;
    let later = matches!(packet.fragment(), Fragment::Later);
    let answers = later || (is_udp(packet) && is_reflector(packet.source_port, reflection));
    if answers && tables.apart(Part::Reflection, view, packet, settings) != 0 {
        ControlFlow::Break(Verdict::Reflection)
    } else {
        ControlFlow::Continue(())
    }
}

/// Whether nobody asked for the answer `packet`.
#[inline(always)]
pub(crate) fn is_unasked<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    settings: &Settings,
    tables: &T,
) -> bool {
    let reflection = &settings.reflection;
    // What is forwarded is somebody else's; a broadcast or multicast comes from the link, reflectors are elsewhere. A service
    // that is asked from such ports may be one that no socket here shows, as those of containers are.
    if !tables.is_own(packet.destination) || is_to_a_service(view, packet, reflection) {
        return false;
    }
    let mut question = question_of(packet);
    if is_asked(&question, reflection, tables) {
        return false;
    }
    if matches!(packet.fragment(), Fragment::Later) {
        // Telephony and key exchange fragment their first words, so some pass.
        return !within_rate(settings, tables);
    }
    if is_from_the_link(packet) {
        question.peer = Address::ZERO;
        if is_asked(&question, reflection, tables) {
            return false;
        }
    }
    match tables.udp_socket(packet) {
        UdpSocket::None => true,
        UdpSocket::Connected => false,
        UdpSocket::Bound => {
            !asks_a_service(view, packet) && !may_have_asked(packet.destination_port, reflection, tables)
        }
    }
}

/// Whether `packet`, a datagram, answers what this machine asked: its question is remembered, or a socket that is
/// connected to its source takes it. Later fragments have no ports that would tell: anybody can send them in the name of a name server.
#[inline(always)]
pub(crate) fn is_asked_for<T: Tables>(packet: &Packet, settings: &Settings, tables: &T) -> bool {
    let reflection = &settings.reflection;
    if is_reflector(packet.source_port, reflection) && is_asked(&question_of(packet), reflection, tables) {
        return true;
    }
    // Below are services: their sockets take what anybody sends, and a flood of one is not worth a look for each packet.
    packet.destination_port >= reflection.asking_first
        && matches!(tables.udp_socket(packet), UdpSocket::Connected)
}

/// What `packet` would be an answer to.
#[inline(always)]
const fn question_of(packet: &Packet) -> Question {
    Question {
        peer: packet.source,
        own: packet.destination,
        peer_port: packet.source_port,
        own_port: packet.destination_port,
        reserved: 0,
    }
}

#[inline(always)]
fn is_to_a_service<V: View>(view: &V, packet: &Packet, reflection: &Reflection) -> bool {
    is_udp(packet) && view.opaque(u32::from(contains(&reflection.services, packet.destination_port))) != 0
}

/// The hints that belong to `ports`, see [`Reflection::hints`].
pub fn hints_of(ports: &[u16]) -> [u64; 4] {
    let mut hints = [0; 4];
    for port in ports.iter().filter(|port| **port != 0) {
        hints[usize::from(port % 256 / 64)] |= 1 << (port % 64);
    }
    hints
}

#[inline(always)]
fn is_asked<T: Tables>(question: &Question, reflection: &Reflection, tables: &T) -> bool {
    match tables.asked(question) {
        Some(asked_ns) => {
            tables.now_ns().saturating_sub(asked_ns) <= reflection.remember_ns.saturating_add(FRESH_NS)
        }
        None => false,
    }
}

/// Whether its ports are known.
#[inline(always)]
const fn is_udp(packet: &Packet) -> bool {
    matches!(packet.transport(), Transport::Udp { .. })
}

#[inline(always)]
fn is_reflector(port: u16, reflection: &Reflection) -> bool {
    let hints = reflection.hints[usize::from(port % 256 / 64)];
    hints >> (port % 64) & 1 == 1 && contains(&reflection.ports, port)
}

/// Who answers a question that went to everybody on the link is on the link: no router has lowered the hop limit below one
/// of those that systems begin with. An answer from afar would need a start that none has.
#[inline(always)]
const fn is_from_the_link(packet: &Packet) -> bool {
    matches!(packet.hop_limit, 32 | 64 | 128 | 255)
}

/// Whether a question may have left through `port` before anybody remembered it. Services rarely have such ports.
#[inline(always)]
fn may_have_asked<T: Tables>(port: u16, reflection: &Reflection, tables: &T) -> bool {
    reflection.asking_first <= port
        && port <= reflection.asking_last
        && tables.now_ns() < reflection.grace_until_ns
}

/// Whether later fragments that nobody asked for are no more than their rate.
#[inline(always)]
fn within_rate<T: Tables>(settings: &Settings, tables: &T) -> bool {
    let rate = settings.reflection.fragments;
    if rate.interval_ns == 0 {
        return true;
    }
    let Some(cell) = tables.cell(FRAGMENTS_AT) else {
        return true;
    };
    limit::admit(&rate, &cell, 1, tables.now_ns())
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::{
        decide,
        egress::leave,
        layout::{Mode, Rate},
        memory::Memory,
        view::SliceView,
    };

    const OWN: [u8; 4] = [198, 51, 100, 1];
    const PEER: [u8; 4] = [192, 0, 2, 53];
    const SECOND: u64 = 1_000_000_000;
    /// How answers and questions of DNS begin.
    const ANSWER: &[u8] = &[1, 2, 0x81, 0x80, 0, 1, 0, 1];
    const QUESTION: &[u8] = &[1, 2, 1, 0, 0, 1, 0, 0];

    fn memory() -> Memory {
        let ports = [53, 123, 11_211];
        let mut memory = Memory::new(Settings {
            reflection: Reflection {
                mode: Mode::Enforce as u32,
                asking_first: 32_768,
                asking_last: 60_999,
                hints: hints_of(&ports),
                remember_ns: 30 * SECOND,
                fragments: Rate::new(1, 2),
                ..Reflection::ZERO
            },
            ..Memory::enforcing()
        });
        memory.settings.reflection.ports[..3].copy_from_slice(&ports);
        memory.own.insert(Address::v4(OWN).octets());
        memory.now_ns.set(100 * SECOND);
        memory
    }

    /// A datagram, or with an offset in units of eight bytes a later fragment of one.
    fn frame(from: ([u8; 4], u16), to: ([u8; 4], u16), offset: u8, data: &[u8]) -> Vec<u8> {
        let udp_len = 8 + data.len() as u8;
        let ip = [0x45, 0, 0, 20 + udp_len, 0, 9, 0, offset, 57, 17, 0, 0];
        let mut frame = [&[2; 12][..], &[8, 0], &ip, &from.0, &to.0].concat();
        frame.extend([from.1.to_be_bytes(), to.1.to_be_bytes(), [0, udp_len], [0, 0]].concat());
        frame.extend(data);
        frame
    }

    fn arrives(memory: &Memory, from: u16, to: u16, data: &[u8]) -> bool {
        let frame = frame((PEER, from), (OWN, to), 0, data);
        decide(&SliceView(&frame), memory).verdict == Verdict::Pass
    }

    fn leaves(memory: &Memory, from: u16, to: u16, data: &[u8]) {
        leave(&SliceView(&frame((OWN, from), (PEER, to), 0, data)), memory);
    }

    #[test]
    fn an_answer_passes_while_its_question_is_remembered() {
        let memory = memory();
        assert!(!arrives(&memory, 53, 40_000, ANSWER));
        leaves(&memory, 40_000, 53, QUESTION);
        assert!(arrives(&memory, 53, 40_000, ANSWER));
        assert!(!arrives(&memory, 53, 40_001, ANSWER), "to another port");
        assert!(!arrives(&memory, 123, 40_000, ANSWER), "from another port");
        memory.now_ns.set(131 * SECOND);
        assert!(arrives(&memory, 53, 40_000, ANSWER));
        memory.now_ns.set(132 * SECOND);
        assert!(!arrives(&memory, 53, 40_000, ANSWER), "too late");
    }

    #[test]
    fn other_ports_and_addresses_are_left_alone() {
        let memory = memory();
        assert!(arrives(&memory, 54, 40_000, ANSWER));
        assert!(arrives(&memory, 53 + 256, 40_000, ANSWER), "the same hint");
        let forwarded = frame((PEER, 53), ([10, 0, 0, 1], 40_000), 0, ANSWER);
        assert_eq!(decide(&SliceView(&forwarded), &memory).verdict, Verdict::Pass);
    }

    /// Found in review: published by address translation it has no socket here, and its answers took the room of questions.
    #[test]
    fn a_configured_service_needs_no_socket_and_asks_nobody() {
        let mut memory = memory();
        memory.settings.reflection.services[3] = 27_960;
        assert!(arrives(&memory, 11_211, 27_960, ANSWER));
        leaves(&memory, 27_960, 11_211, ANSWER);
        assert!(memory.questions.borrow().is_empty());
        assert!(!arrives(&memory, 11_211, 27_961, ANSWER));
    }

    #[test]
    fn an_answer_of_a_service_is_no_question() {
        let mut memory = memory();
        for (port, question, answer) in [(53, QUESTION, ANSWER), (123, &[0x23; 48], &[0x24; 48])] {
            assert!(!arrives(&memory, port, port, question), "nobody serves");
            memory.udp_sockets.insert(port, None);
            assert!(arrives(&memory, port, port, question));
            leaves(&memory, port, port, answer);
            assert!(!arrives(&memory, port, port, answer));
        }
        assert!(arrives(&memory, 11_211, 53, QUESTION), "a random port");
        leaves(&memory, 53, 11_211, ANSWER);
        assert!(!arrives(&memory, 11_211, 53, ANSWER));
        assert!(!arrives(&memory, 11_211, 123, &[0x23; 48]), "made to look so");
    }

    #[test]
    fn sockets_speak_for_their_answers() {
        let mut memory = memory();
        memory
            .udp_sockets
            .insert(40_000, Some((Address::v4(PEER).octets(), 53)));
        assert!(arrives(&memory, 53, 40_000, ANSWER));
        assert!(!arrives(&memory, 11_211, 40_000, ANSWER), "connected to another");
        for port in [443, 40_001] {
            memory.udp_sockets.insert(port, None);
            assert!(!arrives(&memory, 11_211, port, ANSWER));
        }
        memory.settings.reflection.grace_until_ns = 105 * SECOND;
        assert!(arrives(&memory, 11_211, 40_001, ANSWER), "asked before the start");
        assert!(!arrives(&memory, 11_211, 443, ANSWER), "nobody asks from there");
        memory.now_ns.set(105 * SECOND);
        assert!(!arrives(&memory, 11_211, 40_001, ANSWER));
        memory.settings.reflection.services[3] = 443;
        assert!(arrives(&memory, 11_211, 443, ANSWER));
    }

    #[test]
    fn later_fragments_belong_to_who_was_asked() {
        let memory = memory();
        let later = |host: u8| {
            let frame = frame(([192, 0, 2, host], 0), (OWN, 0), 185, ANSWER);
            decide(&SliceView(&frame), &memory).verdict == Verdict::Pass
        };
        assert_eq!(
            [later(1), later(2), later(3), later(4)],
            [true, true, false, false]
        );
        assert!(!later(PEER[3]));
        leaves(&memory, 40_000, 53, QUESTION);
        assert!(later(PEER[3]) && later(PEER[3]));
        assert!(!later(5));
    }

    #[test]
    fn a_question_to_everybody_is_answered_from_the_link() {
        let memory = memory();
        let mut question = frame((OWN, 40_000), ([224, 0, 0, 251], 53), 0, QUESTION);
        question[0] = 1;
        leave(&SliceView(&question), &memory);
        assert!(!arrives(&memory, 53, 40_000, ANSWER), "its hop limit was lowered");
        let mut near = frame((PEER, 53), (OWN, 40_000), 0, ANSWER);
        near[22] = 255;
        assert_eq!(decide(&SliceView(&near), &memory).verdict, Verdict::Pass);
    }

    #[test]
    fn only_what_is_own_and_asks_is_remembered() {
        let mut memory = memory();
        let forwarded = frame(([10, 0, 0, 1], 40_000), (PEER, 53), 0, QUESTION);
        leave(&SliceView(&forwarded), &memory);
        leaves(&memory, 40_000, 54, QUESTION);
        leaves(&memory, 40_000, 53, &[]);
        memory.settings.reflection.mode = Mode::Off as u32;
        leaves(&memory, 40_000, 53, QUESTION);
        assert!(memory.questions.borrow().is_empty());
    }
}
