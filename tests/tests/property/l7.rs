//! Laws of conversations: however the network cuts, mixes and repeats what was said, the same is observed; and no bytes make more of it than there is
//! room for.

use std::{collections::HashMap, hash::RandomState};

use netguard::l7::{Conversations, Ends, H2Frames, Limits, Observation, Protocol, Said, Segment, Side};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

const HEAD_BYTES: usize = 1_024;
const BUFFERED_BYTES: usize = 4_096;
const FIRST: [u32; 2] = [u32::MAX - 200, 77];

/// What a client says, and what its server answers.
type Exchange = (Vec<u8>, Vec<u8>);

fn request() -> impl Strategy<Value = Vec<u8>> {
    let line = select(vec![
        "GET / HTTP/1.1",
        "GET /user/17?a=b HTTP/1.1",
        "HEAD /x HTTP/1.0",
        "POST /p?q=%27+or+1%3D1 HTTP/1.1",
        "BREW /../pot HTTP/1.1",
        "GET /",
        "\0\u{1}",
    ]);
    let header = select(vec![
        "Host: a",
        "Content-Length: 3",
        "Content-Length: 30",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Folded: a\r\n b",
        "Odd : c",
        "Bare: a\rb",
        "Range: bytes=0-,0-,0-,0-",
        "Connection: Upgrade\r\nUpgrade: websocket",
    ]);
    let end = select(vec!["\r\n", "\r\n", "\n"]);
    let body = select(vec![
        "",
        "",
        "abc",
        "5\r\nhello\r\n0\r\n\r\n",
        "zz\r\n",
        "abc\r\n\r\n",
    ]);
    (line, vec(header, 0..4), end, body).prop_map(|(line, headers, end, body)| {
        let headers: String = headers.iter().map(|header| format!("{header}{end}")).collect();
        format!("{line}{end}{headers}{end}{body}").into_bytes()
    })
}

fn response() -> impl Strategy<Value = Vec<u8>> {
    select(vec![
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nuntil the end",
        "\u{16}\u{3}\u{3}\0\u{4}\u{2}\0\0\0",
        "none of it",
    ])
    .prop_map(|text| text.as_bytes().to_vec())
}

/// A hello in records of some bytes each, whole or not.
fn hello() -> impl Strategy<Value = Vec<u8>> {
    (1..90_usize, 0..300_usize).prop_map(|(size, length)| {
        let extensions = [0, 0, 0, 8, 0, 6, 0, 0, 3, b'a', b'b', b'c', 0, 43, 0, 3, 2, 3, 4];
        let body = [
            &[3, 3][..],
            &[7; 32],
            &[0, 0, 4, 0x13, 1, 0x1a, 0x1a, 1, 0, 0, 19],
            &extensions,
        ]
        .concat();
        let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
        let record = |part: &[u8]| [&[0x16, 3, 1, 0, part.len() as u8][..], part].concat();
        let mut records: Vec<u8> = message.chunks(size).flat_map(record).collect();
        if length < 200 {
            records.truncate(length.max(1));
        }
        records
    })
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = |kind: u8| vec![0, 0, 3, kind, 0, 0, 0, 0, 1, 9, 9, 9];
    (any::<bool>(), vec(0..11_u8, 0..20)).prop_map(move |(begins, kinds)| {
        let preface: &[u8] = if begins {
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        } else {
            b""
        };
        [preface.to_vec(), kinds.into_iter().flat_map(frame).collect()].concat()
    })
}

fn exchanges() -> impl Strategy<Value = Vec<Exchange>> {
    let said = prop_oneof![
        8 => vec(request(), 1..4).prop_map(|requests| requests.concat()),
        1 => request().prop_map(|request| request[..request.len() / 2 + 1].to_vec()),
        2 => hello(),
        2 => frames(),
        1 => vec(any::<u8>(), 1..40),
    ];
    let answers = vec(response(), 0..4).prop_map(|answers| answers.concat());
    vec((said, answers), 1..5)
}

fn segment(side: usize, sequence: u32, turn_start: u32, bytes: &[u8], port: u16) -> Segment<'_> {
    Segment {
        at_ns: 1_000_000_000,
        ends: Ends {
            client: ([192, 0, 2, 1], 40_000).into(),
            server: ([198, 51, 100, 1], port).into(),
        },
        from: [Side::Client, Side::Server][side],
        sequence,
        turn_start,
        bytes,
        payload_len: bytes.len() as u32,
        is_whole: true,
        is_last: false,
        weight: 1,
    }
}

fn conversations(keys: &RandomState) -> Conversations {
    let limits = Limits {
        head_bytes: HEAD_BYTES,
        buffered_bytes: BUFFERED_BYTES,
        services: HashMap::from([(80, Protocol::Http), (443, Protocol::Tls)]),
        ..Limits::default()
    };
    Conversations::with_keys(limits, keys.clone())
}

/// What is observed of it all, without times. `pieces`: for each turn, the pieces in which it comes, as bounds of its bytes.
fn observed(
    exchanges: &[Exchange],
    port: u16,
    keys: &RandomState,
    mut pieces: impl FnMut(usize) -> Vec<(usize, usize)>,
) -> (Vec<Said>, H2Frames) {
    let mut conversations = conversations(keys);
    let (mut said, mut frames) = (Vec::new(), H2Frames::default());
    let mut say = |observation: Observation| match observation.said {
        Said::H2(more) => {
            frames.headers += more.headers;
            frames.resets += more.resets;
            frames.settings += more.settings;
            frames.pings += more.pings;
            frames.continuations += more.continuations;
        }
        Said::Request(request) => said.push(Said::Request(netguard::l7::Request {
            head_ns: 0,
            ..request
        })),
        other => said.push(other),
    };
    let mut next = FIRST;
    for (client, server) in exchanges {
        for (side, bytes) in [client, server].into_iter().enumerate() {
            // Without bytes it would say that the rest does not come.
            for (from, to) in pieces(bytes.len()).into_iter().filter(|(from, to)| from < to) {
                let sequence = next[side].wrapping_add(from as u32);
                let segment = segment(side, sequence, next[side], &bytes[from..to], port);
                conversations.take(&segment, &mut say);
            }
            next[side] = next[side].wrapping_add(bytes.len() as u32);
        }
    }
    for side in [0, 1] {
        let last = Segment {
            is_last: true,
            ..segment(side, next[side], next[side], b"", port)
        };
        conversations.take(&last, &mut say);
    }
    conversations.tick(2_000_000_000, &mut say);
    conversations.tick(100_000_000_000, &mut say);
    assert_eq!((conversations.buffered(), conversations.len()), (0, 0));
    (said, frames)
}

proptest! {
    #[test]
    fn however_it_is_cut_mixed_and_repeated_the_same_is_observed(
        exchanges in exchanges(),
        port in select(vec![80_u16, 443, 8_080]),
        cuts in vec(any::<Index>(), 0..12),
        order in vec(any::<Index>(), 16),
    ) {
        let keys = RandomState::new();
        let whole = observed(&exchanges, port, &keys, |length| vec![(0, length)]);
        let bytewise = observed(&exchanges, port, &keys, |length| (0..length).map(|at| (at, at + 1)).collect());
        prop_assert_eq!(&bytewise, &whole);
        let mixed = observed(&exchanges, port, &keys, |length| {
            let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
            bounds.extend([0, length]);
            bounds.sort_unstable();
            let mut pieces: Vec<(usize, usize)> = bounds.windows(2).map(|pair| (pair[0], pair[1])).collect();
            // Again, and overlapping.
            let again: Vec<(usize, usize)> = order.iter().take(4).map(|index| {
                let (from, to) = pieces[index.index(pieces.len())];
                (from.saturating_sub(3), (to + 5).min(length))
            }).collect();
            pieces.extend(again);
            for (place, index) in order.iter().enumerate() {
                let (place, other) = (place % pieces.len(), index.index(pieces.len()));
                pieces.swap(place, other);
            }
            pieces
        });
        prop_assert_eq!(&mixed, &whole);
    }

    #[test]
    fn whatever_comes_there_is_room_for_it(
        parts in vec((0..4_u16, any::<bool>(), any::<u32>(), vec(any::<u8>(), 0..700), 0..900_u32, any::<[bool; 2]>()), 1..60),
    ) {
        let mut conversations = conversations(&RandomState::new());
        for (client, is_server, at, bytes, more, [is_whole, is_last]) in &parts {
            let side = usize::from(*is_server);
            // Mostly near each other.
            let sequence = FIRST[side].wrapping_add(if at % 8 == 0 { *at } else { at % 2_000 });
            let mut segment = segment(side, sequence, FIRST[side], bytes, [80, 443][usize::from(client % 2)]);
            segment.ends.client.set_port(*client);
            segment.payload_len += more;
            segment.is_whole = *is_whole;
            segment.is_last = *is_last;
            conversations.take(&segment, &mut |_| {});
            prop_assert!(conversations.buffered() <= BUFFERED_BYTES);
        }
        conversations.tick(5_000_000_000_000, &mut |_| {});
        prop_assert_eq!((conversations.buffered(), conversations.len()), (0, 0));
    }
}
