//! Builds Ethernet frames for tests, right ones and wrong ones; it parses nothing and sends nothing.
//!
//! A frame is written outermost layer first. What a layer needs to know about the ones inside it (lengths,
//! next protocol, checksums) is filled in by [`Frame::build`], unless the fixture says otherwise:
//!
//! ```
//! use netguard_tests::frames::{At, frame};
//!
//! let syn = frame().vlan(10).ipv4("192.0.2.1", "198.51.100.1").tcp(1234, 80).flags("S").build();
//! let land = frame().ipv4("192.0.2.1", "192.0.2.1").tcp(80, 80).flags("S").build();
//! let lying = frame().ipv4("192.0.2.1", "198.51.100.1").udp(53, 53).udp_len(4).payload(10).build();
//! let late = frame().ipv6("2001:db8::1", "2001:db8::2").fragment(1448, false).protocol(17).payload(64).build();
//! let big = frame().ipv4("192.0.2.1", "198.51.100.1").icmp(3, 4).rest(1400).build();
//! let odd = frame().ipv6("::1", "::2").hop_by_hop().tcp(1, 2).set16(At::Transport(2), 0).truncate(70).build();
//! # let lengths = [syn.len(), land.len(), lying.len(), late.len(), big.len(), odd.len()];
//! # assert_eq!(lengths, [58, 54, 52, 126, 42, 70]);
//! ```
//!
//! | group | calls |
//! | --- | --- |
//! | link | `macs`, `vlan(id)`, `qinq(outer, inner)`, `tag(tpid, id)`, `ethertype(n)`, `arp()` |
//! | network | `ipv4(src, dst)`, `ipv6(src, dst)`; on the last of them `ttl`, `tos`, `version`, `ihl(words)`, `ip_options`, `total_len`, `protocol`, `fragment(offset, more)`, `fragment_id`, `dont_fragment` |
//! | IPv6 extensions | `hop_by_hop`, `dest_options`, `routing(type, left)`, `extension(kind, body)`, `ext_len(units)`, `fragment(offset, more)`, `fragment_id` |
//! | transport | `tcp(src, dst)` + `flags`, `seq`, `ack`, `doff(words)`, `tcp_options`; `udp(src, dst)` + `udp_len`; `icmp(type, code)`, `icmp6(type, code)` + `rest` |
//! | content | `payload(n)` counting bytes, `data(bytes)` |
//! | after checksums | `set8`, `set16`, `set32`, `set(at, bytes)`, `truncate(n)`, `pad(n)` |
//!
//! Layers may nest (`.ipv4(..).ipv4(..)` is IP in IP). A call on a layer that is not there panics: the
//! fixture is wrong.

mod assemble;
mod layer;

use std::net::{Ipv4Addr, Ipv6Addr};

use layer::{Ext, Icmp, Ipv4, Ipv6, Layer, Tcp, Udp};

/// A place in the finished frame, in bytes from the start of the frame or of the outermost network or
/// transport header.
#[derive(Debug, Clone, Copy)]
pub enum At {
    /// From the first byte of the Ethernet header; a bare number means this.
    Frame(usize),
    /// From the first byte of the outermost IP (or ARP) header.
    Net(usize),
    /// From the first byte of the outermost TCP, UDP or ICMP header.
    Transport(usize),
}

impl From<usize> for At {
    fn from(offset: usize) -> Self {
        At::Frame(offset)
    }
}

/// A frame being described; [`Frame::build`] gives its bytes.
#[derive(Debug, Clone)]
#[must_use]
pub struct Frame {
    dst_mac: [u8; 6],
    src_mac: [u8; 6],
    ethertype: Option<u16>,
    layers: Vec<Layer>,
    edits: Vec<(At, Vec<u8>)>,
    pad: usize,
    truncate: Option<usize>,
}

/// An empty Ethernet frame between two locally administered addresses.
pub fn frame() -> Frame {
    Frame {
        dst_mac: [0x02, 0, 0, 0, 0, 0x02],
        src_mac: [0x02, 0, 0, 0, 0, 0x01],
        ethertype: None,
        layers: Vec::new(),
        edits: Vec::new(),
        pad: 0,
        truncate: None,
    }
}

/// Applies a change to the innermost layer of one kind.
macro_rules! innermost {
    ($frame:ident, $what:literal, $($pattern:pat => $change:expr),+) => {{
        for layer in $frame.layers.iter_mut().rev() {
            match layer { $($pattern => { $change; return $frame; })+ _ => {} }
        }
        panic!(concat!("this frame has no ", $what, " layer yet: write it first"))
    }};
}

/// Link layer.
impl Frame {
    /// Source and destination address of the Ethernet header.
    pub fn macs(mut self, src: [u8; 6], dst: [u8; 6]) -> Self {
        (self.src_mac, self.dst_mac) = (src, dst);
        self
    }

    /// One 802.1Q tag (0x8100).
    pub fn vlan(self, id: u16) -> Self {
        self.tag(0x8100, id)
    }

    /// An 802.1ad service tag (0x88a8) around an 802.1Q tag.
    pub fn qinq(self, outer: u16, inner: u16) -> Self {
        self.tag(0x88a8, outer).tag(0x8100, inner)
    }

    /// A tag with any protocol identifier; `id` is the whole tag control field (priority, DEI, identifier).
    pub fn tag(self, tpid: u16, id: u16) -> Self {
        self.push(Layer::Tag { tpid, id })
    }

    /// The type field before the network layer, instead of the one that fits.
    pub fn ethertype(mut self, ethertype: u16) -> Self {
        self.ethertype = Some(ethertype);
        self
    }

    /// "Who has 198.51.100.1? Tell 192.0.2.1."
    pub fn arp(self) -> Self {
        let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1];
        body.extend(self.src_mac);
        body.extend([192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 198, 51, 100, 1]);
        self.push(Layer::Arp(body))
    }
}

/// Network layer.
impl Frame {
    /// An IPv4 header; addresses in text. Panics if they are none.
    pub fn ipv4(self, src: &str, dst: &str) -> Self {
        let (src, dst) = (address::<Ipv4Addr>(src), address::<Ipv4Addr>(dst));
        self.push(Layer::Ipv4(Ipv4::new(src.octets(), dst.octets())))
    }

    /// An IPv6 header; addresses in text. Panics if they are none.
    pub fn ipv6(self, src: &str, dst: &str) -> Self {
        let (src, dst) = (address::<Ipv6Addr>(src), address::<Ipv6Addr>(dst));
        self.push(Layer::Ipv6(Ipv6::new(src.octets(), dst.octets())))
    }

    /// Time to live or hop limit (64 if not said).
    pub fn ttl(mut self, ttl: u8) -> Self {
        innermost!(self, "IP", Layer::Ipv4(ip) => ip.ttl = ttl, Layer::Ipv6(ip) => ip.hop_limit = ttl)
    }

    /// Type of service or traffic class.
    pub fn tos(mut self, tos: u8) -> Self {
        innermost!(self, "IP", Layer::Ipv4(ip) => ip.tos = tos, Layer::Ipv6(ip) => ip.class = tos)
    }

    /// The version nibble, instead of the true one.
    pub fn version(mut self, version: u8) -> Self {
        innermost!(self, "IP", Layer::Ipv4(ip) => ip.version = version, Layer::Ipv6(ip) => ip.version = version)
    }

    /// The IPv4 header length in 32-bit words, instead of the true one.
    pub fn ihl(mut self, words: u8) -> Self {
        innermost!(self, "IPv4", Layer::Ipv4(ip) => ip.ihl = Some(words))
    }

    /// IPv4 options, padded with zeros to a multiple of four bytes.
    pub fn ip_options(mut self, options: &[u8]) -> Self {
        innermost!(self, "IPv4", Layer::Ipv4(ip) => ip.options = options.to_vec())
    }

    /// IPv4 total length or IPv6 payload length in bytes, instead of the true one.
    pub fn total_len(mut self, len: u16) -> Self {
        innermost!(self, "IP", Layer::Ipv4(ip) => ip.total_len = Some(len), Layer::Ipv6(ip) => ip.payload_len = Some(len))
    }

    /// The next-protocol number of the last IP or extension header, instead of the one that fits.
    pub fn protocol(mut self, protocol: u8) -> Self {
        innermost!(self, "IP", Layer::Ipv4(ip) => ip.protocol = Some(protocol), Layer::Ipv6(ip) => ip.next = Some(protocol), Layer::Ext(ext) => ext.next = Some(protocol))
    }

    /// Makes this a fragment: `offset` in bytes (a multiple of 8) and whether more follow. IPv6 gets a
    /// fragment header.
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        assert!(
            offset.is_multiple_of(8),
            "a fragment starts at a multiple of 8 bytes, not at {offset}"
        );
        if matches!(self.layers.last(), Some(Layer::Ipv6(_) | Layer::Ext(_))) {
            let [high, low] = (offset | u16::from(more)).to_be_bytes();
            return self.extension(44, &[high, low, 0, 0, 0, 1]);
        }
        innermost!(self, "IPv4", Layer::Ipv4(ip) => ip.fragment = (offset / 8) | if more { 0x2000 } else { 0 })
    }

    /// The number that the fragments of a packet share (1 if not said): in IPv6 that of the fragment header.
    pub fn fragment_id(mut self, id: u32) -> Self {
        innermost!(self, "fragment", Layer::Ipv4(ip) => ip.id = layer::low16(id as usize), Layer::Ext(ext) => ext.set_id(id))
    }

    /// Sets the IPv4 "don't fragment" bit.
    pub fn dont_fragment(mut self) -> Self {
        innermost!(self, "IPv4", Layer::Ipv4(ip) => ip.fragment |= 0x4000)
    }

    /// A hop-by-hop options header that holds only padding.
    pub fn hop_by_hop(self) -> Self {
        self.extension(0, &[1, 4, 0, 0, 0, 0])
    }

    /// A destination options header that holds only padding.
    pub fn dest_options(self) -> Self {
        self.extension(60, &[1, 4, 0, 0, 0, 0])
    }

    /// A routing header without addresses.
    pub fn routing(self, kind: u8, segments_left: u8) -> Self {
        self.extension(43, &[kind, segments_left, 0, 0, 0, 0])
    }

    /// Any IPv6 extension header: `body` is what follows its two first bytes, padded to the header's unit
    /// (8 bytes; 4 for the authentication header, RFC 4302 section 2.2).
    pub fn extension(self, kind: u8, body: &[u8]) -> Self {
        self.push(Layer::Ext(Ext::new(kind, body)))
    }

    /// The length field of the last extension header, instead of the true one.
    pub fn ext_len(mut self, units: u8) -> Self {
        innermost!(self, "extension", Layer::Ext(ext) => ext.len = Some(units))
    }
}

/// Transport layer and content.
impl Frame {
    /// A TCP header without flags.
    pub fn tcp(self, src: u16, dst: u16) -> Self {
        self.push(Layer::Tcp(Tcp::new(src, dst)))
    }

    /// TCP flags by their letters: `F S R P A U E C`.
    pub fn flags(mut self, letters: &str) -> Self {
        let flags = layer::tcp_flags(letters);
        innermost!(self, "TCP", Layer::Tcp(tcp) => tcp.flags = flags)
    }

    /// TCP sequence number.
    pub fn seq(mut self, seq: u32) -> Self {
        innermost!(self, "TCP", Layer::Tcp(tcp) => tcp.seq = seq)
    }

    /// TCP acknowledgement number (the flag is set by `flags`).
    pub fn ack(mut self, ack: u32) -> Self {
        innermost!(self, "TCP", Layer::Tcp(tcp) => tcp.ack = ack)
    }

    /// The TCP data offset in 32-bit words, instead of the true one.
    pub fn doff(mut self, words: u8) -> Self {
        innermost!(self, "TCP", Layer::Tcp(tcp) => tcp.doff = Some(words))
    }

    /// TCP options, padded with zeros to a multiple of four bytes.
    pub fn tcp_options(mut self, options: &[u8]) -> Self {
        innermost!(self, "TCP", Layer::Tcp(tcp) => tcp.options = options.to_vec())
    }

    /// A UDP header.
    pub fn udp(self, src: u16, dst: u16) -> Self {
        self.push(Layer::Udp(Udp { src, dst, len: None }))
    }

    /// The UDP length in bytes, instead of the true one.
    pub fn udp_len(mut self, len: u16) -> Self {
        innermost!(self, "UDP", Layer::Udp(udp) => udp.len = Some(len))
    }

    /// An ICMP message (IPv4).
    pub fn icmp(self, kind: u8, code: u8) -> Self {
        self.push(Layer::Icmp(Icmp {
            protocol: 1,
            kind,
            code,
            rest: 0,
        }))
    }

    /// An ICMPv6 message.
    pub fn icmp6(self, kind: u8, code: u8) -> Self {
        self.push(Layer::Icmp(Icmp {
            protocol: 58,
            kind,
            code,
            rest: 0,
        }))
    }

    /// Bytes 4 to 7 of the ICMP message: identifier and sequence, or the MTU.
    pub fn rest(mut self, rest: u32) -> Self {
        innermost!(self, "ICMP", Layer::Icmp(icmp) => icmp.rest = rest)
    }

    /// `len` bytes 0, 1, 2, ... as content.
    pub fn payload(self, len: usize) -> Self {
        self.push(Layer::Data((0..len).map(|i| i.to_le_bytes()[0]).collect()))
    }

    /// These bytes as content.
    pub fn data(self, bytes: &[u8]) -> Self {
        self.push(Layer::Data(bytes.to_vec()))
    }
}

/// Changes to the finished bytes, made after lengths and checksums are in place.
impl Frame {
    /// Overwrites bytes; the place must be inside the frame.
    pub fn set(mut self, at: impl Into<At>, bytes: &[u8]) -> Self {
        self.edits.push((at.into(), bytes.to_vec()));
        self
    }

    /// Overwrites one byte.
    pub fn set8(self, at: impl Into<At>, value: u8) -> Self {
        self.set(at, &[value])
    }

    /// Overwrites two bytes, network order.
    pub fn set16(self, at: impl Into<At>, value: u16) -> Self {
        self.set(at, &value.to_be_bytes())
    }

    /// Overwrites four bytes, network order.
    pub fn set32(self, at: impl Into<At>, value: u32) -> Self {
        self.set(at, &value.to_be_bytes())
    }

    /// Appends zeros until the frame has `len` bytes (60 is what a card sends at least).
    pub fn pad(mut self, len: usize) -> Self {
        self.pad = len;
        self
    }

    /// Keeps the first `len` bytes only; the last thing to happen.
    pub fn truncate(mut self, len: usize) -> Self {
        self.truncate = Some(len);
        self
    }

    /// The bytes of the frame, from the Ethernet header on, without a frame check sequence.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        assemble::assemble(self)
    }

    fn push(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }
}

fn address<A: std::str::FromStr>(text: &str) -> A {
    text.parse()
        .unwrap_or_else(|_| panic!("{text:?} is not an address of this family"))
}
