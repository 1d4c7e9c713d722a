//! Conversations under any bytes, cut, mixed and repeated in any way: they are read within their bounds, and nothing of them is left in the end.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use netguard::{
    engine::l7::{Offences, Settings},
    l7::{Conversations, Ends, Limits, Observation, Protocol, Segment, Side},
};

const SECOND_NS: u64 = 1_000_000_000;
const HEAD_BYTES: usize = 2_048;
const BUFFERED_BYTES: usize = 16_384;
const PORTS: [u16; 4] = [80, 443, 22, 8_080];

/// Each segment is told by six bytes: whose it is and of what kind, port and client, where it lies, whether there was more, and its length; and then the
/// bytes themselves.
fuzz_target!(|data: &[u8]| {
    let services = [(80, Protocol::Http), (443, Protocol::Tls), (22, Protocol::Other)];
    let mut conversations = Conversations::new(Limits {
        head_bytes: HEAD_BYTES,
        headers: 20,
        body_bytes: 1_000,
        conversations: 3,
        buffered_bytes: BUFFERED_BYTES,
        services: HashMap::from(services),
    });
    let mut offences = Offences::new(Settings::default());
    let (mut now_ns, mut rest) = (SECOND_NS, data);
    // The numbers of the next bytes and of the turns, of client and server, and who spoke last.
    let (mut next, mut turn, mut speaker) = ([u32::MAX - 100, 5], [u32::MAX - 100, 5], None);
    while let [kind, whom, shift, more, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (bytes, after) = tail.split_at(length);
        rest = after;
        let from = if kind & 1 == 0 { Side::Client } else { Side::Server };
        let side = usize::from(kind & 1);
        if speaker != Some(side) {
            turn[side] = next[side];
            speaker = Some(side);
        }
        let shifted = i32::from(shift.cast_signed());
        // Mostly in its place, sometimes a little before or behind it, sometimes anywhere.
        let sequence = match kind & 6 {
            0 | 2 => next[side],
            4 => next[side].wrapping_add_signed(shifted),
            _ => next[side].wrapping_add_signed(shifted << 24),
        };
        now_ns += u64::from(*more) * 1_000_000;
        let payload_len = length as u32 + if kind & 8 == 0 { 0 } else { u32::from(*more) };
        let segment = Segment {
            at_ns: now_ns,
            ends: Ends {
                client: ([192, 0, 2, whom >> 5], 40_000).into(),
                server: ([198, 51, 100, 1], PORTS[usize::from(whom & 3)]).into(),
            },
            from,
            sequence,
            turn_start: turn[side],
            bytes,
            payload_len,
            is_whole: kind & 16 == 0,
            is_last: kind & 32 != 0,
            weight: 1 + u32::from(kind >> 6),
        };
        next[side] = sequence.wrapping_add(payload_len);
        conversations.take(&segment, &mut |observation| judge(&mut offences, &observation));
        assert!(conversations.len() <= 3 && conversations.buffered() <= BUFFERED_BYTES);
        if kind & 7 == 7 {
            conversations.tick(now_ns, &mut |observation| judge(&mut offences, &observation));
        }
    }
    conversations.tick(now_ns + 10_000 * SECOND_NS, &mut |observation| {
        judge(&mut offences, &observation)
    });
    assert_eq!((conversations.len(), conversations.buffered()), (0, 0));
    for finding in offences.tick(now_ns + 10_000 * SECOND_NS) {
        assert!(finding.evidence.len() <= 96);
        // After so long the source may be forgotten.
        let _ = offences.of(finding.account);
    }
    assert!(offences.report(5).services.len() <= PORTS.len());
});

fn judge(offences: &mut Offences, observation: &Observation) {
    use netguard::l7::Said;
    match &observation.said {
        Said::Request(request) => {
            assert!(request.method.len() <= 32 && request.route.len() <= 128);
            assert!(request.head_bytes as usize <= HEAD_BYTES);
            assert!(request.flaws.is_sorted_by(|one, other| one < other));
            assert!(request.route.starts_with('/') && !request.route.contains(char::is_control));
        }
        Said::Response(response) => assert!((100..=999).contains(&response.status)),
        Said::Hello(hello) => assert_eq!(hello.ja4.len(), 36),
        _ => {}
    }
    offences.take(observation);
}
