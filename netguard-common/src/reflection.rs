//! Reflection stage: what comes from a port that reflectors answer from passes only when this machine asked for it.
//!
//! [`remember`] sees what leaves the machine and notes its questions; [`check`] sees what arrives. Nothing that arrives is
//! remembered, so forged packets make no room for others, and an answer of a service is no question: it would let in
//! whoever forged the question to it.

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict,
    hint::mix,
    layout::{Mode, Question, Reflection, Settings},
    limit::{self, CELLS},
    packet::{Address, Fragment, Transport},
    parse::parse_into,
    shared::Field as _,
    tables::Tables,
    view::View,
};

/// What takes a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpSocket {
    None,
    /// A socket that takes datagrams from everybody: a service, or somebody who asks.
    Bound,
    /// A socket that is connected to the sender, and so has asked.
    Connected,
}

const UDP_LEN: u32 = 8;
/// A question that was noted so shortly ago needs no new note.
const FRESH_NS: u64 = 1_000_000_000;

/// Breaks when `packet`, which belongs to a datagram, is an answer to this machine that nobody here asked for.
#[inline(always)]
pub fn check<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    settings: &Settings,
    tables: &T,
) -> ControlFlow<Verdict> {
    let unasked = is_unasked(view, packet, settings, tables);
    if view.opaque(u32::from(unasked)) == 0 {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(Verdict::Reflection)
    }
}

#[inline(always)]
fn is_unasked<V: View, T: Tables>(view: &V, packet: &Packet, settings: &Settings, tables: &T) -> bool {
    let reflection = &settings.reflection;
    let later = matches!(packet.fragment(), Fragment::Later);
    let answers = later || (is_udp(packet) && is_reflector(packet.source_port, reflection));
    // What is forwarded is somebody else's; a broadcast or multicast comes from the link, reflectors are elsewhere.
    if view.opaque(u32::from(answers)) == 0 || !tables.is_own(packet.destination) {
        return false;
    }
    let mut question = Question {
        peer: packet.source,
        own: packet.destination,
        peer_port: packet.source_port,
        own_port: packet.destination_port,
        reserved: 0,
    };
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
            view.opaque(u32::from(contains(&reflection.services, packet.destination_port))) == 0
                && !asks_a_service(view, packet)
                && !may_have_asked(packet.destination_port, reflection, tables)
        }
    }
}

/// Notes what the frame asks, which this machine is about to send.
#[inline(always)]
pub fn remember<V: View, T: Tables>(view: &V, tables: &T) {
    let Some(settings) = tables.settings() else {
        return;
    };
    let reflection = &settings.reflection;
    if matches!(Mode::from_number(reflection.mode), Mode::Off) {
        return;
    }
    let Some(mut packet) = tables.packet() else {
        return;
    };
    if parse_into(view, &mut packet).is_break() {
        return;
    }
    let packet: &Packet = view.forget(&mut packet);
    if !is_udp(packet)
        || !is_reflector(packet.destination_port, reflection)
        || !tables.is_own(packet.source)
        || !is_question(view, packet)
    {
        return;
    }
    let now_ns = tables.now_ns();
    let mut question = Question {
        peer: packet.destination,
        own: packet.source,
        peer_port: packet.destination_port,
        own_port: packet.source_port,
        reserved: 0,
    };
    if is_to_a_group(view) {
        question.peer = Address::ZERO;
        return note(&question, now_ns, tables);
    }
    note(&question, now_ns, tables);
    (question.peer_port, question.own_port) = (0, 0);
    note(&question, now_ns, tables);
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
fn note<T: Tables>(question: &Question, now_ns: u64, tables: &T) {
    match tables.asked(question) {
        Some(asked_ns) if now_ns.saturating_sub(asked_ns) < FRESH_NS => {}
        _ => tables.remember(question, now_ns),
    }
}

#[inline(always)]
fn is_asked<T: Tables>(question: &Question, reflection: &Reflection, tables: &T) -> bool {
    match tables.asked(question) {
        Some(asked_ns) => tables.now_ns().saturating_sub(asked_ns) <= reflection.remember_ns,
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

/// Whether `port`, which is not 0, is one of `ports`.
#[inline(always)]
fn contains<const N: usize>(ports: &[u16; N], port: u16) -> bool {
    let mut index = 0;
    while index < N {
        if ports[index] == port {
            return port != 0;
        }
        index += 1;
    }
    false
}

/// Who answers a question that went to everybody on the link is on the link: no router has lowered the hop limit below one
/// of those that systems begin with. An answer from afar would need a start that none has.
#[inline(always)]
const fn is_from_the_link(packet: &Packet) -> bool {
    matches!(packet.hop_limit, 32 | 64 | 128 | 255)
}

/// The group bit of the Ethernet address, which multicast and broadcast have (IEEE 802).
#[inline(always)]
fn is_to_a_group<V: View>(view: &V) -> bool {
    view.load::<[u8; 2]>(0).is_some_and(|[first, _]| first & 1 == 1)
}

/// Whether a datagram that leaves is a question, where one of its ports says how to tell.
#[inline(always)]
fn is_question<V: View>(view: &V, packet: &Packet) -> bool {
    let ports = [packet.source_port, packet.destination_port];
    let at = packet.transport_at() + UDP_LEN;
    if speaks_dns(ports[0]) || speaks_dns(ports[1]) {
        // RFC 1035 section 4.1.1: the bit QR.
        return view.load::<[u8; 4]>(at).is_some_and(|[_, _, flags, _]| flags < 0x80);
    }
    if ports[0] == NTP || ports[1] == NTP {
        return is_ntp_question(view, at);
    }
    true
}

/// Whether a datagram that arrives is a question to a service that is asked from reflectors' ports, too: name servers are by
/// old resolvers and by who changes ports at random, time servers by each other.
#[inline(always)]
fn asks_a_service<V: View>(view: &V, packet: &Packet) -> bool {
    let at = packet.transport_at() + UDP_LEN;
    if speaks_dns(packet.destination_port) {
        let Some([_, _, flags, _, count_high, count_low, ..]) = view.load::<[u8; 8]>(at) else {
            return false;
        };
        // One question, as everybody asks; the headers of other protocols rarely look so.
        return flags < 0x80 && count_high == 0 && count_low == 1;
    }
    packet.destination_port == NTP && packet.source_port == NTP && is_ntp_question(view, at)
}

const NTP: u16 = 123;

/// DNS, and what has its header: names of NetBIOS (RFC 1002 section 4.2.1) and multicast DNS (RFC 6762 section 18).
#[inline(always)]
const fn speaks_dns(port: u16) -> bool {
    matches!(port, 53 | 137 | 5353)
}

/// Client, active peer (RFC 5905 section 7.3), or a command without its response bit (RFC 9327 section 2, and mode 7, which
/// ntpd defines).
#[inline(always)]
fn is_ntp_question<V: View>(view: &V, at: u32) -> bool {
    let Some([first, second]) = view.load::<[u8; 2]>(at) else {
        return false;
    };
    match first & 7 {
        1 | 3 => true,
        6 => second < 0x80,
        7 => first < 0x80,
        _ => false,
    }
}

/// Whether a question may have left through `port` before anybody remembered it. Services rarely have such ports.
#[inline(always)]
fn may_have_asked<T: Tables>(port: u16, reflection: &Reflection, tables: &T) -> bool {
    reflection.asking_first <= port
        && port <= reflection.asking_last
        && tables.now_ns() < reflection.grace_until_ns
}

/// Whether later fragments that nobody asked for are no more than their rate. Their cell is that of a service at port 0,
/// which there is not.
#[inline(always)]
fn within_rate<T: Tables>(settings: &Settings, tables: &T) -> bool {
    let rate = settings.reflection.fragments;
    if rate.interval_ns == 0 {
        return true;
    }
    let Some(cell) = tables.cell(limit::SERVICES_AT + (mix(0, settings.seed) as u32 & (CELLS - 1))) else {
        return true;
    };
    limit::admit(&rate, &cell, &cell, tables.now_ns())
}
