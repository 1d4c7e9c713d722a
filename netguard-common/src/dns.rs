//! DNS over a limit: a query that would be dropped is turned into the answer "truncated, ask again over TCP" (RFC 7766 section
//! 5). A resolver that is real does so by itself, and a connection proves its address; a forged source is sent
//! no more than was sent in its name.
//!
//! Only what is a plain query to one of the machine's own addresses, at a port where somebody listens, is answered, in place: the
//! question stays as it came, with the OPT record if there is one (RFC 6891 section 6.1.1), so the answer is exactly as long as the
//! query.

use crate::{
    Packet,
    apart::Part,
    layout::Settings,
    limit,
    packet::{Family, protocol},
    reflection::UdpSocket,
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
pub fn check<V: View, T: Tables>(view: &V, packet: &Packet, settings: &Settings, tables: &T) -> bool {
    is_dns(packet.destination_port, settings) && tables.apart(Part::Truncate, view, packet, settings) != 0
}

#[inline(always)]
pub(crate) fn truncate<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    settings: &Settings,
    tables: &T,
) -> bool {
    if packet.source_port == 0 || !packet.is_plain(protocol::UDP) {
        return false;
    }
    let Some(headers) = view.load::<[u32; 5]>(packet.transport_at()) else {
        return false;
    };
    if !is_query(view, packet, &headers) || !tables.is_own(packet.destination) {
        return false;
    }
    // Or a machine without a name server would send to whoever queries are forged in the name of.
    if matches!(tables.udp_socket(packet), UdpSocket::None) {
        return false;
    }
    let Some(mut answer) = tables.syn_ack() else {
        return false;
    };
    let taken = match packet.family() {
        Family::V4 => view
            .load::<[u32; 5]>(packet.network_at())
            .map(|header| answer.take(&header)),
        Family::V6 => view
            .load::<[u32; 10]>(packet.network_at())
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
fn is_query<V: View>(view: &V, packet: &Packet, headers: &[u32; 5]) -> bool {
    let [(udp_len, checksum), (_, flags)] = [halves(headers[1]), halves(headers[2])];
    let [(questions, answers), (authorities, others)] = [halves(headers[3]), halves(headers[4])];
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
fn turn(answer: &mut SynAck, family: Family, headers: &[u32; 5]) {
    let ((len, checksum), (id, asked)) = (halves(headers[1]), halves(headers[2]));
    let flags = RESPONSE | TRUNCATED | asked & REPEATED;
    let mut index = 0;
    while index < headers.len() {
        answer.headers[TCP_AT + index] = headers[index];
        index += 1;
    }
    answer.turn_ports();
    let checksum = match family {
        // None (RFC 768): it cannot be wrong then, even where a virtual card delivered the query with half of one.
        Family::V4 => 0,
        // What else changed place changed no sum.
        Family::V6 => replaced(checksum, asked, flags),
    };
    let len = u32::from(len);
    answer.put(TCP_AT + 1, len << 16 | u32::from(checksum));
    answer.put(TCP_AT + 2, u32::from(id) << 16 | u32::from(flags));
    match family {
        Family::V4 => answer.turn_v4(len, protocol::UDP),
        Family::V6 => answer.turn_v6(len, protocol::UDP),
    }
    answer.transport_len = HEADERS;
}

/// Both halves of a word as it lies in memory.
#[inline(always)]
const fn halves(word: u32) -> (u16, u16) {
    let word = u32::from_be(word);
    ((word >> 16) as u16, word as u16)
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

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use crate::{
        Verdict, decide,
        layout::Rate,
        limit::Class,
        memory::{Memory, headers},
        packet::Address,
        syn_ack::folded,
        view::SliceView,
    };

    const NAME: &[u8] = b"\x03www\x07example\0";

    /// A query for `name`, its DNS flags and counts as given.
    fn query(flags: u16, counts: [u16; 4], name: &[u8]) -> Vec<u8> {
        let mut message = [&[0x12, 0x34][..], &flags.to_be_bytes()].concat();
        message.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
        message.extend(name);
        message.extend([0, 1, 0, 1]);
        message
    }

    /// The sum of `bytes` as 16-bit words.
    fn sum(bytes: &[u8]) -> u32 {
        let words = bytes
            .chunks(2)
            .map(|word| u32::from(u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)])));
        words.sum()
    }

    fn datagram(addresses: &[u8], message: &[u8]) -> Vec<u8> {
        let len = 8 + message.len() as u16;
        let mut datagram = [&[0xab, 0xcd, 0, 53][..], &len.to_be_bytes(), &[0, 0], message].concat();
        let checksum = !folded(sum(addresses) + 17 + u32::from(len) + sum(&datagram));
        datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
        datagram
    }

    fn ipv4(message: &[u8]) -> Vec<u8> {
        let addresses = [192, 0, 2, 1, 198, 51, 100, 1];
        let datagram = datagram(&addresses, message);
        let total = 20 + datagram.len() as u16;
        let mut frame = [&[2; 6][..], &[4; 6], &[8, 0, 0x45, 0], &total.to_be_bytes()].concat();
        frame.extend([0, 9, 0, 0, 77, 17, 0, 0]);
        frame.extend(addresses);
        frame.extend(datagram);
        frame
    }

    fn ipv6(message: &[u8]) -> Vec<u8> {
        let addresses = [[0x20; 16], [0x26; 16]].concat();
        let datagram = datagram(&addresses, message);
        let len = datagram.len() as u16;
        let mut frame = [&[2; 6][..], &[4; 6], &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
        frame.extend(len.to_be_bytes());
        frame.extend([17, 77]);
        frame.extend(addresses);
        frame.extend(datagram);
        frame
    }

    /// Nobody may send anything, and queries are answered.
    fn memory() -> Memory {
        let mut memory = Memory::new(Memory::enforcing());
        // Less than a packet at once.
        memory.settings.limits[Class::Udp as usize] = Rate {
            interval_ns: 2,
            tolerance_ns: 1,
        };
        memory.settings.answers = Rate::new(1_000, 1_000);
        memory.settings.levels.dns_ports = [5353, 53, 0, 0];
        memory.udp_sockets.insert(53, None);
        for own in ["198.51.100.1", "2626:2626:2626:2626:2626:2626:2626:2626"] {
            memory
                .own
                .insert(Address::of(own.parse::<std::net::IpAddr>().unwrap()).1.octets());
        }
        memory
    }

    fn verdict(frame: &[u8]) -> Verdict {
        decide(&SliceView(frame), &memory()).verdict
    }

    #[test]
    fn the_answer_is_a_right_one() {
        let message = query(0x0130, [1, 0, 0, 0], NAME);
        for (frame, ip, ipv6) in [(ipv4(&message), 20, false), (ipv6(&message), 40, true)] {
            let memory = memory();
            assert_eq!(decide(&SliceView(&frame), &memory).verdict, Verdict::DnsTruncate);
            let answer = memory.syn_ack.borrow();
            let (header, answered) = headers(&answer, ip / 4);
            let asked = &frame[14 + ip..];
            assert_eq!(answer.transport_len, 20);
            assert_eq!(answer.rest_len as usize, asked.len() - 20);
            let datagram = [&answered, &asked[20..]].concat();
            assert_eq!(datagram[..4], [0, 53, 0xab, 0xcd]);
            assert_eq!(datagram[4..6], asked[4..6]);
            assert_eq!(datagram[8..10], [0x12, 0x34]);
            // Response, truncated, recursion desired, checking disabled.
            assert_eq!(datagram[10..12], [0x83, 0x10]);
            assert_eq!(datagram[12..20], [0, 1, 0, 0, 0, 0, 0, 0]);
            let addresses = if ipv6 { &header[8..] } else { &header[12..] };
            let (source, destination) = addresses.split_at(addresses.len() / 2);
            let were = if ipv6 { &frame[22..54] } else { &frame[26..34] };
            assert_eq!([destination, source].concat(), were);
            if ipv6 {
                let all = sum(addresses) + 17 + datagram.len() as u32 + sum(&datagram);
                assert_eq!(folded(all), 0xffff);
                assert_eq!(header[4..8], [0, datagram.len() as u8, 17, 64]);
            } else {
                assert_eq!(datagram[6..8], [0, 0]);
                assert_eq!(folded(sum(&header)), 0xffff);
                assert_eq!(header[2..4], frame[16..18]);
            }
        }
    }

    #[test]
    fn only_well_formed_queries_are_answered() {
        let long: Vec<u8> = [&[63; 64][..]; 4].concat();
        for (message, what) in [
            (query(0x8100, [1, 0, 0, 0], NAME), "a response"),
            (query(0x2900, [1, 0, 0, 0], NAME), "another operation"),
            (query(0x0300, [1, 0, 0, 0], NAME), "truncated already"),
            (query(0x0100, [0, 0, 0, 0], NAME), "no question"),
            (query(0x0100, [2, 0, 0, 0], NAME), "two questions"),
            (query(0x0100, [1, 1, 0, 0], NAME), "with an answer"),
            (query(0x0100, [1, 0, 0, 2], NAME), "signed"),
            (
                query(0x0100, [1, 0, 0, 0], b"\x03www\x07ex"),
                "a name that does not end",
            ),
            (query(0x0100, [1, 0, 0, 0], b"\xc0\x0c"), "compression"),
            (
                query(0x0100, [1, 0, 0, 0], &[&long[..], &[0]].concat()),
                "a name too long",
            ),
            (
                query(0x0100, [1, 0, 0, 0], &[&[1; 2][..]; 41].concat()),
                "too many labels",
            ),
        ] {
            assert_eq!(verdict(&ipv4(&message)), Verdict::LimitUdp, "{what}");
            assert_eq!(verdict(&ipv6(&message)), Verdict::LimitUdp, "{what}");
        }
        let reverse = [&[&[1, b'0'][..]; 34].concat()[..], &[0]].concat();
        let message = query(0x0100, [1, 0, 0, 1], &reverse);
        assert_eq!(verdict(&ipv6(&message)), Verdict::DnsTruncate);
    }

    #[test]
    fn nobody_else_is_answered_for() {
        let message = query(0x0100, [1, 0, 0, 0], NAME);
        let judged = |memory: &Memory, frame: &[u8]| decide(&SliceView(frame), memory);
        let mut forwarded = memory();
        forwarded.own.clear();
        assert_eq!(judged(&forwarded, &ipv4(&message)).verdict, Verdict::LimitUdp);
        let mut unserved = memory();
        unserved.udp_sockets.clear();
        assert_eq!(judged(&unserved, &ipv4(&message)).verdict, Verdict::LimitUdp);
        let mut off = memory();
        off.settings.levels.dns_ports = [5353, 0, 0, 0];
        assert_eq!(judged(&off, &ipv4(&message)).verdict, Verdict::LimitUdp);
        let mut spent = memory();
        spent.settings.answers = Rate::new(1, 1);
        let all = [judged(&spent, &ipv4(&message)), judged(&spent, &ipv4(&message))];
        assert_eq!(
            all.map(|judgement| judgement.verdict),
            [Verdict::DnsTruncate, Verdict::LimitUdp]
        );
        let mut shadow = memory();
        shadow.settings.limit = crate::layout::Mode::Shadow as u32;
        let judgement = judged(&shadow, &ipv4(&message));
        assert_eq!((judgement.verdict, judgement.shadow), (Verdict::LimitUdp, true));
        // Without a checksum, which IPv6 does not allow.
        let mut bare = ipv6(&message);
        bare[60..62].copy_from_slice(&[0, 0]);
        assert_eq!(verdict(&bare), Verdict::LimitUdp);
    }
}
