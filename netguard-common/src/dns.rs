//! DNS over a limit: a query that would be dropped is turned into the answer "truncated, ask again over TCP" (RFC 7766 section
//! 5). A resolver that is real does so by itself, and a connection proves its address; a forged source is sent
//! no more than was sent in its name.
//!
//! Only what is a plain query to one of the machine's own addresses is answered, in place: the question stays as it came, with
//! the OPT record if there is one (RFC 6891 section 6.1.1), so the answer is exactly as long as the query.

use crate::{
    Packet,
    layout::Settings,
    limit,
    packet::{Family, protocol},
    syn_ack::{SynAck, TCP_AT},
    tables::Tables,
    view::View,
};

/// The headers of UDP and DNS together.
const HEADERS: u32 = 20;
/// Labels of a name that are followed; a reverse name of IPv6 has 34.
const MAX_LABELS: u32 = 40;
/// RFC 1035 section 2.3.4.
const MAX_LABEL: u32 = 63;
const MAX_NAME: u32 = 255;
/// Type and class behind the name.
const QUESTION_TAIL: u32 = 4;

/// Response, operation code, truncated, and the code of the result.
const NOT_OF_A_QUERY: u16 = 0xfa0f;
const RESPONSE: u16 = 0x8000;
const TRUNCATED: u16 = 0x0200;
/// Recursion desired and checking disabled are repeated (RFC 1035 section 4.1.1, RFC 4035 section 3.2.2).
const REPEATED: u16 = 0x0110;

/// Whether `packet`, which is over a limit, is a query that can be answered; then the answer lies in [`Tables::syn_ack`].
#[inline(always)]
pub fn truncate<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    settings: &Settings,
    tables: &T,
) -> bool {
    if !is_dns(packet.destination_port, settings)
        || packet.source_port == 0
        || !packet.is_plain(protocol::UDP)
    {
        return false;
    }
    let Some(headers) = view.load::<[u8; 20]>(packet.transport_at()) else {
        return false;
    };
    if !is_query(view, packet, &headers) || !tables.is_own(packet.destination) {
        return false;
    }
    let Some(mut answer) = tables.syn_ack() else {
        return false;
    };
    let taken = match packet.family() {
        Family::V4 => view
            .load::<[u8; 20]>(packet.network_at())
            .map(|header| answer.take(&header)),
        Family::V6 => view
            .load::<[u8; 40]>(packet.network_at())
            .map(|header| answer.take(&header)),
    };
    if taken.is_none() || !limit::grant(&settings.answers, &mut answer.due_ns, tables.now_ns()) {
        return false;
    }
    turn(&mut answer, packet.family(), &headers);
    answer.rest_len = view.len().saturating_sub(packet.transport_at() + HEADERS);
    true
}

#[inline(always)]
fn is_dns(port: u16, settings: &Settings) -> bool {
    let ports = &settings.levels.dns_ports;
    port != 0 && (ports[0] == port || ports[1] == port || ports[2] == port || ports[3] == port)
}

/// Whether a query with one well-formed question begins with `headers`.
#[inline(always)]
fn is_query<V: View>(view: &V, packet: &Packet, headers: &[u8; 20]) -> bool {
    let word = |at: usize| u16::from_be_bytes([headers[at], headers[at + 1]]);
    let (udp_len, checksum, flags) = (word(4), word(6), word(10));
    let [questions, answers, authorities, others] = [word(12), word(14), word(16), word(18)];
    if flags & NOT_OF_A_QUERY != 0 || questions != 1 || answers != 0 || authorities != 0 || others > 1 {
        return false;
    }
    // Without a checksum (RFC 8200 section 8.1) there is none to keep right.
    if matches!(packet.family(), Family::V6) && checksum == 0 {
        return false;
    }
    let end = packet.transport_at() + u32::from(udp_len);
    let name = packet.transport_at() + HEADERS;
    name_len(view, name).is_some_and(|len| name + len + QUESTION_TAIL <= end)
}

/// Length of the name that starts `at` bytes into the frame, without compression.
#[inline(always)]
fn name_len<V: View>(view: &V, at: u32) -> Option<u32> {
    let mut len = 0;
    for _ in 0..MAX_LABELS {
        // With the byte before it, as in IPv4 options.
        let [_, label] = view.load::<[u8; 2]>(at + len - 1)?;
        let label = u32::from(label);
        len = view.opaque(len + label + 1);
        if label == 0 {
            return (len <= MAX_NAME).then_some(len);
        }
        if label > MAX_LABEL || len > MAX_NAME {
            return None;
        }
    }
    None
}

/// Turns the headers of a query into those of the answer; the IP header lies in `answer` already.
#[inline(always)]
fn turn(answer: &mut SynAck, family: Family, headers: &[u8; 20]) {
    let word = |at: usize| u16::from_be_bytes([headers[at], headers[at + 1]]);
    let (asked, len) = (word(10), word(4));
    let flags = RESPONSE | TRUNCATED | asked & REPEATED;
    let mut index = 0;
    while index < headers.len() {
        answer.headers[TCP_AT + index] = headers[index];
        index += 1;
    }
    answer.swap::<2>(TCP_AT, TCP_AT + 2);
    answer.put(TCP_AT + 10, flags.to_be_bytes());
    let checksum = match family {
        // None (RFC 768): it cannot be wrong then, even where a virtual card delivered the query with half of one.
        Family::V4 => 0,
        // What else changed place changed no sum.
        Family::V6 => replaced(word(6), asked, flags),
    };
    answer.put(TCP_AT + 6, checksum.to_be_bytes());
    match family {
        Family::V4 => answer.turn_v4(len, protocol::UDP),
        Family::V6 => answer.turn_v6(len, protocol::UDP),
    }
    answer.transport_len = HEADERS;
}

/// `checksum` after the word `old` of its data became `new` (RFC 1624); never 0, which would mean none.
#[inline(always)]
const fn replaced(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = (!checksum) as u32 + (!old) as u32 + new as u32;
    match !crate::syn_ack::folded(sum) {
        0 => 0xffff,
        checksum => checksum,
    }
}
