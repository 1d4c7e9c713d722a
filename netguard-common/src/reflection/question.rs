//! What this machine asks: questions are told from answers, and noted as they leave.

use crate::{
    Packet,
    layout::{Mode, Question, Settings},
    packet::Address,
    shared::Field as _,
    tables::Tables,
    view::View,
};

use super::{contains, is_reflector, is_udp};

const UDP_LEN: u32 = 8;
/// A question that was noted so shortly ago is not noted again, so its answers have that much longer.
pub(super) const FRESH_NS: u64 = 1_000_000_000;

/// Notes what the frame `packet` asks, which this machine is about to send.
#[inline(always)]
pub(crate) fn remember<V: View, T: Tables>(view: &V, packet: &Packet, settings: &Settings, tables: &T) {
    let reflection = &settings.reflection;
    if matches!(Mode::from_number(reflection.mode), Mode::Off)
        || !is_udp(packet)
        || !is_reflector(packet.destination_port, reflection)
        || contains(&reflection.services, packet.source_port)
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

#[inline(always)]
fn note<T: Tables>(question: &Question, now_ns: u64, tables: &T) {
    match tables.asked(question) {
        Some(asked_ns) if now_ns.saturating_sub(asked_ns) < FRESH_NS => {}
        _ => tables.remember(question, now_ns),
    }
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
        return view
            .load_payload::<[u8; 4]>(at)
            .is_some_and(|[_, _, flags, _]| flags < 0x80);
    }
    if ports[0] == NTP || ports[1] == NTP {
        return is_ntp_question(view, at);
    }
    true
}

/// Whether a datagram that arrives is a question to a service that is asked from reflectors' ports, too: name servers are by
/// old resolvers and by who changes ports at random, time servers by each other.
#[inline(always)]
pub(super) fn asks_a_service<V: View>(view: &V, packet: &Packet) -> bool {
    let at = packet.transport_at() + UDP_LEN;
    if speaks_dns(packet.destination_port) {
        let Some([_, _, flags, _, count_high, count_low, ..]) = view.load_payload::<[u8; 8]>(at) else {
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
    let Some([first, second]) = view.load_payload::<[u8; 2]>(at) else {
        return false;
    };
    match first & 7 {
        1 | 3 => true,
        6 => second < 0x80,
        7 => first < 0x80,
        _ => false,
    }
}
