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
mod tests;
