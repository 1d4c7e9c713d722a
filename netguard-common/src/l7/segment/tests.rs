//! Packets with segments in them, and packets that are left alone.

use std::vec::Vec;

use super::*;
use crate::view::SliceView;

/// A TCP header with `options` words of them, from port 40000 to 80, and 5 bytes.
fn tcp(options: u8, flags: u8) -> Vec<u8> {
    let mut bytes = std::vec![
        0x9c,
        0x40,
        0,
        80,
        0,
        0,
        1,
        0,
        0,
        0,
        2,
        0,
        (5 + options) << 4,
        flags,
        1,
        0,
        0,
        0,
        0,
        0
    ];
    bytes.extend(std::vec![1; usize::from(options) * 4]);
    bytes.extend(b"hello");
    bytes
}

fn ipv4(options: u8, segment: &[u8]) -> Vec<u8> {
    let words = 5 + options;
    let total = u16::from(words) * 4 + segment.len() as u16;
    let mut bytes = std::vec![0x40 | words, 0];
    bytes.extend(total.to_be_bytes());
    bytes.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 9, 198, 51, 100, 1]);
    bytes.extend(std::vec![1; usize::from(options) * 4]);
    bytes.extend(segment);
    bytes
}

fn ipv6(first: u8, extensions: &[u8], segment: &[u8]) -> Vec<u8> {
    let mut bytes = std::vec![0x60, 0, 0, 0];
    bytes.extend(((extensions.len() + segment.len()) as u16).to_be_bytes());
    bytes.extend([first, 64]);
    bytes.extend([[0x20; 16], [0x21; 16]].concat());
    bytes.extend(extensions);
    bytes.extend(segment);
    bytes
}

fn of(bytes: &[u8], ether_type: u16, leaves: bool) -> Option<Segment> {
    Segment::of(&SliceView(bytes), Link { ether_type, leaves }, |port| port == 80)
}

/// Payload of what arrived, if it is looked at.
fn payload(bytes: &[u8], ether_type: u16) -> Option<&[u8]> {
    let segment = of(bytes, ether_type, false)?;
    bytes.get(segment.at as usize..(segment.at + segment.len) as usize)
}

const PSH_ACK: u8 = TcpFlags::PSH | TcpFlags::ACK;

#[test]
fn payload_is_found_behind_any_headers() {
    let hop_by_hop = [6, 0, 1, 4, 0, 0, 0, 0];
    let atomic = [6, 0, 0, 0, 0, 0, 0, 7];
    let three = [
        [60, 0, 0, 0, 0, 0, 0, 0],
        [43, 0, 0, 0, 0, 0, 0, 0],
        [6, 0, 4, 0, 0, 0, 0, 0],
    ]
    .concat();
    let tag = [0x40, 7, 8, 0];
    let tags = [[0x60, 7, 0x81, 0], [0x40, 8, 0x86, 0xdd]].concat();
    for options in [0, 3, 10] {
        let segment = tcp(options, PSH_ACK);
        for (bytes, ether_type) in [
            (ipv4(0, &segment), IPV4),
            (ipv4(2, &segment), IPV4),
            (ipv6(6, &[], &segment), IPV6),
            (ipv6(0, &hop_by_hop, &segment), IPV6),
            (ipv6(44, &atomic, &segment), IPV6),
            (ipv6(0, &three, &segment), IPV6),
            ([&tag[..], &ipv4(0, &segment)].concat(), VLAN),
            ([&tags[..], &ipv6(6, &[], &segment)].concat(), QINQ),
        ] {
            assert_eq!(payload(&bytes, ether_type), Some(&b"hello"[..]), "{bytes:x?}");
            // What fills a frame up is none.
            let filled = [&bytes[..], &[0; 9]].concat();
            assert_eq!(payload(&filled, ether_type), Some(&b"hello"[..]));
            for len in 0..bytes.len() {
                assert_eq!(payload(&bytes[..len], ether_type), None, "cut at {len}");
            }
        }
    }
}

#[test]
fn ends_and_numbers_are_those_of_client_and_service() {
    let bytes = ipv4(0, &tcp(0, PSH_ACK));
    let arrived = of(&bytes, IPV4, false).unwrap();
    assert_eq!(
        (arrived.side, arrived.sequence, arrived.acknowledgement),
        (Side::Client, 256, 512)
    );
    assert_eq!((arrived.key.client_port, arrived.key.server_port), (40_000, 80));
    assert_eq!(arrived.key.client.octets_v4(), [192, 0, 2, 9]);
    // The other way round it asks a service elsewhere.
    assert_eq!(of(&bytes, IPV4, true), None);
    let mut answer = bytes.clone();
    answer[20..24].copy_from_slice(&[0, 80, 0x9c, 0x40]);
    // A tag that it leaves with stands before all of this.
    for ether_type in [IPV4, VLAN] {
        let left = of(&answer, ether_type, true).unwrap();
        assert_eq!(left.side, Side::Server);
        assert_eq!((left.key.client_port, left.key.server_port), (40_000, 80));
        assert_eq!(left.key.client.octets_v4(), [198, 51, 100, 1]);
    }
    assert_eq!(of(&answer, IPV4, false), None);
    let v6 = of(&ipv6(6, &[], &tcp(0, PSH_ACK)), IPV6, false).unwrap();
    assert_eq!(
        (v6.key.client.octets(), v6.key.server.octets()),
        ([0x20; 16], [0x21; 16])
    );
}

#[test]
fn what_tells_nothing_is_left_alone() {
    let silent = |flags| ipv4(0, &tcp(0, flags)[..20]);
    assert_eq!(of(&silent(TcpFlags::ACK), IPV4, false), None);
    for flags in [TcpFlags::SYN, TcpFlags::FIN, TcpFlags::RST] {
        let segment = of(&silent(flags | TcpFlags::ACK), IPV4, false);
        assert_eq!(segment.map(|segment| segment.len), Some(0));
    }
    let changed = |at: usize, byte: u8| {
        let mut bytes = ipv4(0, &tcp(0, PSH_ACK));
        bytes[at] = byte;
        of(&bytes, IPV4, false)
    };
    assert!(changed(0, 0x45).is_some());
    // Version, header length, fragments, protocol, port, offset of the payload.
    for (at, byte) in [
        (0, 0x75),
        (0, 0x44),
        (6, 0x20),
        (7, 1),
        (9, 17),
        (23, 81),
        (32, 0x40),
        (32, 0xf0),
    ] {
        assert_eq!(changed(at, byte), None, "byte {at} is {byte}");
    }
    let segment = tcp(0, PSH_ACK);
    for (first, extensions) in [
        (17, &[][..]),
        (44, &[6, 0, 0, 1, 0, 0, 0, 7]),
        (51, &[6, 1, 0, 0, 0, 0, 0, 0]),
    ] {
        assert_eq!(of(&ipv6(first, extensions, &segment), IPV6, false), None);
    }
    assert_eq!(
        of(
            &ipv6(60, &[60, 0, 0, 0, 0, 0, 0, 0].repeat(7), &segment),
            IPV6,
            false
        ),
        None
    );
    assert_eq!(of(&ipv4(0, &segment), 0x0806, false), None);
}

#[test]
fn packets_too_long_for_their_length_field_are_as_long_as_they_are() {
    let segment = [&tcp(0, PSH_ACK)[..20], &[b'x'; 70_000]].concat();
    let mut v4 = ipv4(0, &segment);
    v4[2..4].copy_from_slice(&[0, 0]);
    let mut v6 = ipv6(6, &[], &segment);
    v6[4..6].copy_from_slice(&[0, 0]);
    assert_eq!(payload(&v4, IPV4).map(<[u8]>::len), Some(70_000));
    assert_eq!(payload(&v6, IPV6).map(<[u8]>::len), Some(70_000));
}
