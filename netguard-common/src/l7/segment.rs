//! The TCP segment in a packet of which one end is a service that is listened to. Whatever else a packet is, is left alone as early as can be:
//! each is looked at.

use super::{Side, TalkKey};
use crate::{
    packet::{Address, TcpFlags, protocol},
    view::View,
};

/// What the kernel says of a packet beside its bytes, which begin at its network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// As the kernel numbers it, in the byte order of the machine: what comes first in a packet that arrived.
    pub ether_type: u16,
    /// This machine sends it.
    pub leaves: bool,
}

/// A segment that tells something: payload, or that the connection begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub key: TalkKey,
    pub side: Side,
    /// Of the first byte of its payload.
    pub sequence: u32,
    pub acknowledgement: u32,
    /// Where its payload begins in the packet, and how long that is.
    pub at: u32,
    pub len: u32,
    pub flags: TcpFlags,
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const QINQ: u16 = 0x88a8;
/// Tags behind the one that the kernel takes off.
const MAX_TAGS: u32 = 2;
const TAG_LEN: u32 = 4;

const IPV4_LEN: u32 = 20;
const IPV6_LEN: u32 = 40;
const TCP_LEN: u32 = 20;
/// Offset and more-flag of an IPv4 header.
const FRAGMENT: u32 = 0x3fff;
/// Extension headers that are followed.
const MAX_EXTENSIONS: u32 = 6;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT_HEADER: u8 = 44;
const DESTINATION: u8 = 60;

/// What the IP header says.
struct Ip {
    source: Address,
    destination: Address,
    /// Where the TCP header begins, and where the packet ends.
    tcp_at: u32,
    end: u32,
}

impl Segment {
    /// The segment in `view`, when it tells something and a service at a port that is `watched` is one end of it: what arrives is a client's,
    /// what leaves is the service's. What this machine asks of others is none of these, and a packet that is passed on is seen once only.
    #[inline(always)]
    pub fn of<V: View>(view: &V, link: Link, watched: impl Fn(u16) -> bool) -> Option<Self> {
        let at = network_at(view, link)?;
        // No segment of TCP is shorter, over IPv4 with both of its headers.
        let words: [u32; 10] = view.load(at)?;
        let (ip, tcp) = match words[0].to_ne_bytes()[0] >> 4 {
            4 => {
                let ip = ipv4(view, at, &words)?;
                let tcp = if ip.tcp_at == at + IPV4_LEN {
                    [words[5], words[6], words[7], words[8], words[9]]
                } else {
                    view.load(ip.tcp_at)?
                };
                (ip, tcp)
            }
            6 => {
                let ip = ipv6(view, at, &words)?;
                let tcp = view.load(ip.tcp_at)?;
                (ip, tcp)
            }
            _ => return None,
        };
        Self::within(&ip, &tcp, link.leaves, watched)
    }

    #[inline(always)]
    fn within(ip: &Ip, tcp: &[u32; 5], leaves: bool, watched: impl Fn(u16) -> bool) -> Option<Self> {
        let ports = u32::from_be(tcp[0]);
        let (source_port, destination_port) = ((ports >> 16) as u16, ports as u16);
        let side = if leaves { Side::Server } else { Side::Client };
        if !watched(if leaves { source_port } else { destination_port }) {
            return None;
        }
        let word = u32::from_be(tcp[3]);
        let flags = TcpFlags((word >> 16) as u8);
        let header_len = (word >> 28) * 4;
        let at = ip.tcp_at.wrapping_add(header_len);
        if header_len < TCP_LEN || at > ip.end {
            return None;
        }
        let len = ip.end - at;
        if len == 0 && flags.0 & (TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST) == 0 {
            return None;
        }
        let (client, server, client_port, server_port) = match side {
            Side::Client => (ip.source, ip.destination, source_port, destination_port),
            Side::Server => (ip.destination, ip.source, destination_port, source_port),
        };
        Some(Self {
            key: TalkKey {
                client,
                server,
                client_port,
                server_port,
                reserved: 0,
            },
            side,
            sequence: u32::from_be(tcp[1]),
            acknowledgement: u32::from_be(tcp[2]),
            at,
            len,
            flags,
        })
    }

    /// Behind its last byte.
    #[inline(always)]
    pub const fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.len)
    }
}

/// Where the IP header begins. Tags that the kernel has not taken off stand before it in what arrives, and are passed over in what leaves.
#[inline(always)]
fn network_at<V: View>(view: &V, link: Link) -> Option<u32> {
    let mut ether_type = link.ether_type;
    let mut at = 0;
    if !link.leaves {
        for _ in 0..MAX_TAGS {
            if !matches!(ether_type, VLAN | QINQ) {
                break;
            }
            let [_, _, high, low] = view.load::<[u8; 4]>(at)?;
            ether_type = u16::from_be_bytes([high, low]);
            at += TAG_LEN;
        }
    }
    let is_ip = matches!(ether_type, IPV4 | IPV6) || (link.leaves && matches!(ether_type, VLAN | QINQ));
    is_ip.then_some(at)
}

/// RFC 791 section 3.1. Fragments are not looked at: TCP makes none.
#[inline(always)]
fn ipv4<V: View>(view: &V, at: u32, words: &[u32; 10]) -> Option<Ip> {
    let [_, kind, ..] = words[2].to_ne_bytes();
    if kind != protocol::TCP || u32::from_be(words[1]) & FRAGMENT != 0 {
        return None;
    }
    let first = u32::from_be(words[0]);
    let header_len = (first >> 24 & 0x0f) * 4;
    if header_len < IPV4_LEN {
        return None;
    }
    Some(Ip {
        source: Address::v4(words[3].to_ne_bytes()),
        destination: Address::v4(words[4].to_ne_bytes()),
        tcp_at: at.wrapping_add(header_len),
        end: end(view, at, first & 0xffff)?,
    })
}

/// RFC 8200 section 3, with the extension headers that end systems send.
#[inline(always)]
fn ipv6<V: View>(view: &V, at: u32, words: &[u32; 10]) -> Option<Ip> {
    let [high, low, mut kind, _] = words[1].to_ne_bytes();
    let mut tcp_at = at.wrapping_add(IPV6_LEN);
    for _ in 0..MAX_EXTENSIONS {
        if kind == protocol::TCP {
            break;
        }
        if !matches!(kind, HOP_BY_HOP | ROUTING | FRAGMENT_HEADER | DESTINATION) {
            return None;
        }
        let [next, len, offset, more] = view.load::<[u8; 4]>(tcp_at)?;
        let extension_len = match kind {
            // One that holds all of its packet (RFC 6946).
            FRAGMENT_HEADER if offset == 0 && more & 0xf9 == 0 => 8,
            FRAGMENT_HEADER => return None,
            _ => (u32::from(len) + 1) * 8,
        };
        tcp_at = tcp_at.wrapping_add(extension_len);
        kind = next;
    }
    let payload_len = u32::from(u16::from_be_bytes([high, low]));
    let announced = if payload_len == 0 {
        0
    } else {
        payload_len + IPV6_LEN
    };
    (kind == protocol::TCP).then_some(Ip {
        source: address(words[2], words[3], words[4], words[5]),
        destination: address(words[6], words[7], words[8], words[9]),
        tcp_at,
        end: end(view, at, announced)?,
    })
}

/// Where the packet ends that announces a length, without what fills its frame up. Linux writes 0 when aggregation made it too long for the field.
#[inline(always)]
fn end<V: View>(view: &V, at: u32, announced: u32) -> Option<u32> {
    let len = view.len();
    if announced == 0 {
        return Some(len);
    }
    let end = at.wrapping_add(announced);
    (end <= len).then_some(end)
}

#[inline(always)]
const fn address(a: u32, b: u32, c: u32, d: u32) -> Address {
    const fn pair(first: u32, second: u32) -> u64 {
        let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    }
    Address {
        high: pair(a, b),
        low: pair(c, d),
    }
}

#[cfg(test)]
mod tests {
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
}
