//! Strategies for frames: right ones of every kind, damaged ones and noise. What they should be judged as is
//! not known here.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::frames::{Frame, frame};

/// Longest frame that is generated; one page holds it beside the kernel's head and tail room.
pub const MAX_LEN: usize = 3_000;

/// A frame described layer by layer; [`Shape::build`] gives its bytes.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Tag protocol and tag control field, outermost first.
    pub tags: Vec<(u16, u16)>,
    /// The network layer.
    pub net: Net,
    /// The number that its fragments share.
    pub id: u32,
    /// What the network layer carries.
    pub transport: Transport,
    /// Bytes after the transport header.
    pub payload: usize,
    /// Least length of the frame: zeros are appended until then.
    pub pad: usize,
}

/// The network layer of a [`Shape`].
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of the protocols")]
pub enum Net {
    V4 {
        source: Ipv4Addr,
        destination: Ipv4Addr,
        ttl: u8,
        options: Vec<u8>,
        fragment: Option<(u16, bool)>,
    },
    V6 {
        source: Ipv6Addr,
        destination: Ipv6Addr,
        hop_limit: u8,
        extensions: Vec<Extension>,
    },
    Arp,
    Other(u16),
}

/// An IPv6 extension header of a [`Shape`].
#[derive(Clone, Debug)]
pub enum Extension {
    /// Any kind but the fragment header: its number and body.
    Plain(u8, Vec<u8>),
    /// Offset in bytes, a multiple of 8, and whether more fragments follow.
    Fragment(u16, bool),
}

/// The transport layer of a [`Shape`].
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of the protocols")]
pub enum Transport {
    Tcp {
        source: u16,
        destination: u16,
        flags: u8,
        options: Vec<u8>,
    },
    Udp {
        source: u16,
        destination: u16,
        len: Option<u16>,
    },
    Icmp {
        kind: u8,
        code: u8,
    },
    Icmp6 {
        kind: u8,
        code: u8,
    },
    /// A protocol number and no header.
    Other(u8),
}

impl Shape {
    /// The bytes of the frame.
    pub fn build(&self) -> Vec<u8> {
        let tagged = self
            .tags
            .iter()
            .fold(frame(), |frame, (tpid, id)| frame.tag(*tpid, *id));
        let on_net = match &self.net {
            Net::V4 {
                source,
                destination,
                ttl,
                options,
                fragment,
            } => {
                let ip = tagged
                    .ipv4(&source.to_string(), &destination.to_string())
                    .ttl(*ttl)
                    .ip_options(options);
                fragment.iter().fold(ip, |ip, (offset, more)| {
                    ip.fragment(*offset, *more).fragment_id(self.id)
                })
            }
            Net::V6 {
                source,
                destination,
                hop_limit,
                extensions,
            } => {
                let ip = tagged
                    .ipv6(&source.to_string(), &destination.to_string())
                    .ttl(*hop_limit);
                extensions.iter().fold(ip, |ip, extension| match extension {
                    Extension::Plain(kind, body) => ip.extension(*kind, body),
                    Extension::Fragment(offset, more) => ip.fragment(*offset, *more).fragment_id(self.id),
                })
            }
            Net::Arp => return tagged.arp().pad(self.pad).build(),
            Net::Other(ether_type) => {
                return tagged
                    .ethertype(*ether_type)
                    .payload(self.payload)
                    .pad(self.pad)
                    .build();
            }
        };
        self.transport
            .onto(on_net)
            .payload(self.payload)
            .pad(self.pad)
            .truncate(MAX_LEN)
            .build()
    }
}

impl Transport {
    fn onto(&self, frame: Frame) -> Frame {
        match self {
            Self::Tcp {
                source,
                destination,
                flags,
                options,
            } => {
                let letters: String = "FSRPAUEC"
                    .chars()
                    .enumerate()
                    .filter(|(bit, _)| flags >> bit & 1 == 1)
                    .map(|(_, c)| c)
                    .collect();
                frame
                    .tcp(*source, *destination)
                    .flags(&letters)
                    .tcp_options(options)
            }
            Self::Udp {
                source,
                destination,
                len,
            } => len
                .iter()
                .fold(frame.udp(*source, *destination), |udp, len| udp.udp_len(*len)),
            Self::Icmp { kind, code } => frame.icmp(*kind, *code),
            Self::Icmp6 { kind, code } => frame.icmp6(*kind, *code),
            Self::Other(protocol) => frame.protocol(*protocol),
        }
    }
}

/// Any frame: whole, damaged, cut, or noise with and without an Ethernet type that fits.
pub fn any_frame() -> BoxedStrategy<Vec<u8>> {
    let whole = || shape().prop_map(|shape| shape.build());
    let cut = (whole(), any::<prop::sample::Index>())
        .prop_map(|(bytes, at)| bytes[..at.index(bytes.len() + 1)].to_vec());
    let noise_on = select(vec![0x0800u16, 0x86dd, 0x8100, 0x88a8, 0x0806]);
    let headed = (
        noise_on,
        select(vec![0x45u8, 0x46, 0x4f, 0x60, 0x00]),
        vec(any::<u8>(), 0..160),
    )
        .prop_map(|(ether_type, first, noise)| {
            [&[2u8; 12][..], &ether_type.to_be_bytes(), &[first], &noise].concat()
        });
    prop_oneof![
        6 => whole(),
        5 => damaged(),
        2 => cut,
        2 => headed,
        1 => vec(any::<u8>(), 0..200),
    ]
    .boxed()
}

/// A frame with one to five bytes overwritten, most of them in its headers.
fn damaged() -> BoxedStrategy<Vec<u8>> {
    let byte = prop_oneof![
        any::<u8>(),
        select(vec![
            0u8, 1, 0x40, 0x44, 0x45, 0x4f, 0x60, 0x7f, 0x80, 0xff, 6, 17, 44, 58
        ])
    ];
    (shape(), vec((0usize..110, byte), 1..6))
        .prop_map(|(shape, edits)| {
            let mut bytes = shape.build();
            for (at, byte) in edits {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            bytes
        })
        .boxed()
}

/// A frame whose lengths are right, though its content may be refused.
pub fn shape() -> BoxedStrategy<Shape> {
    let tag = (select(vec![0x8100u16, 0x88a8, 0x9100]), any::<u16>());
    let tags = prop_oneof![5 => Just(Vec::new()), 2 => vec(tag, 1..=4)];
    let net = prop_oneof![10 => net_v4(), 10 => net_v6(), 1 => Just(Net::Arp), 1 => any::<u16>().prop_map(Net::Other)];
    let pad = prop_oneof![Just(0usize), Just(60), Just(200)];
    (tags, net, any::<u32>(), transport(), payload(), pad)
        .prop_map(|(tags, net, id, transport, payload, pad)| Shape {
            tags,
            net,
            id,
            transport,
            payload,
            pad,
        })
        .boxed()
}

/// An IPv4 layer.
pub fn net_v4() -> BoxedStrategy<Net> {
    let fragment = prop_oneof![
        6 => Just(None),
        1 => fragment_field().prop_map(Some),
        1 => Just(Some((0, true)))
    ];
    let options = prop_oneof![4 => Just(Vec::new()), 1 => vec(any::<u8>(), 0..=40)];
    (source_v4(), source_v4(), any::<u8>(), options, fragment)
        .prop_map(|(source, destination, ttl, options, fragment)| Net::V4 {
            source,
            destination,
            ttl,
            options,
            fragment,
        })
        .boxed()
}

/// An IPv6 layer with up to ten extension headers.
pub fn net_v6() -> BoxedStrategy<Net> {
    let extensions =
        prop_oneof![4 => Just(Vec::new()), 4 => vec(extension(), 1..4), 1 => vec(extension(), 4..11)];
    let hop_limit = prop_oneof![Just(255u8), Just(64), any::<u8>()];
    (source_v6(), source_v6(), hop_limit, extensions)
        .prop_map(|(source, destination, hop_limit, extensions)| Net::V6 {
            source,
            destination,
            hop_limit,
            extensions,
        })
        .boxed()
}

/// A transport layer; the network layer need not suit it.
pub fn transport() -> BoxedStrategy<Transport> {
    let port = || prop_oneof![select(vec![53u16, 67, 68, 80, 443]), any::<u16>()];
    let flags = prop_oneof![2 => select(vec![0x02u8, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14]), 1 => any::<u8>()];
    let options = prop_oneof![3 => Just(Vec::new()), 1 => vec(any::<u8>(), 0..=40)];
    let kind = || {
        prop_oneof![
            select(vec![0u8, 2, 3, 8, 128, 133, 135, 136, 137, 138]),
            any::<u8>()
        ]
    };
    let code = || prop_oneof![Just(0u8), Just(4), any::<u8>()];
    prop_oneof![
        3 => (port(), port(), flags, options)
            .prop_map(|(source, destination, flags, options)| Transport::Tcp { source, destination, flags, options }),
        3 => (port(), port(), prop_oneof![5 => Just(None), 1 => any::<u16>().prop_map(Some), 1 => (0u16..12).prop_map(Some)])
            .prop_map(|(source, destination, len)| Transport::Udp { source, destination, len }),
        2 => (kind(), code()).prop_map(|(kind, code)| Transport::Icmp { kind, code }),
        2 => (kind(), code()).prop_map(|(kind, code)| Transport::Icmp6 { kind, code }),
        1 => select(vec![2u8, 4, 41, 47, 50, 51, 59, 132, 6, 17, 1, 58]).prop_map(Transport::Other),
        1 => any::<u8>().prop_map(Transport::Other),
    ]
        .boxed()
}

/// IPv4 addresses: those of [`crate::world::World::populated`], their neighbours, martians, and any.
pub fn source_v4() -> BoxedStrategy<Ipv4Addr> {
    let known = [
        "192.0.2.1",
        "192.0.2.7",
        "192.0.2.66",
        "192.0.2.67",
        "192.0.2.68",
        "198.18.5.5",
        "198.19.255.255",
        "198.20.0.0",
        "198.18.7.1",
        "203.0.113.9",
        "192.0.2.72",
        "192.0.2.73",
        "203.0.113.129",
        "203.0.113.130",
        "198.51.100.9",
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
    ];
    prop_oneof![3 => select(parsed(&known)), 1 => any::<u32>().prop_map(Ipv4Addr::from)].boxed()
}

/// IPv6 addresses: those of [`crate::world::World::populated`], their neighbours, martians, and any.
pub fn source_v6() -> BoxedStrategy<Ipv6Addr> {
    let known = [
        "2001:db8::1",
        "2001:db8::66",
        "2001:db8::68",
        "2001:db8:bad::1",
        "2001:db8:bad::7",
        "2001:db8:bad:1::1",
        "2001:db8:0:1::5",
        "2001:db8:f000::1",
        "2001:db8:f000:7::1",
        "2001:db8:e000::1",
        "2001:db8:0:3::1",
        "2001:db8:0:3::2",
        "2001:db8:0:4::1",
        "2001:db8:0:5::1",
        "fe80::1",
        "::",
        "::1",
        "ff02::1",
        "::2",
    ];
    prop_oneof![3 => select(parsed(&known)), 1 => any::<u128>().prop_map(Ipv6Addr::from)].boxed()
}

/// An extension header that netguard follows.
pub fn extension() -> BoxedStrategy<Extension> {
    let body = prop_oneof![4 => vec(any::<u8>(), 0..30), 1 => vec(any::<u8>(), 30..700)];
    prop_oneof![
        4 => (select(vec![0u8, 43, 51, 60, 135, 139, 140]), body).prop_map(|(kind, body)| Extension::Plain(kind, body)),
        1 => fragment_field().prop_map(|(offset, more)| Extension::Fragment(offset, more)),
        1 => any::<bool>().prop_map(|more| Extension::Fragment(0, more)),
    ]
        .boxed()
}

fn fragment_field() -> impl Strategy<Value = (u16, bool)> {
    let offset = prop_oneof![2 => 0u16..400, 1 => 8_000u16..8_192, 1 => 0u16..8_192];
    (offset, any::<bool>()).prop_map(|(offset, more)| (offset * 8, more))
}

fn payload() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0usize..40, 1 => 40usize..1_500, 1 => Just(0)]
}

/// An optional tag stack, for laws that say tags do not matter: at most as many as netguard follows.
pub fn tags() -> impl Strategy<Value = Vec<(u16, u16)>> {
    option::of(vec(
        (select(vec![0x8100u16, 0x88a8, 0x9100]), any::<u16>()),
        1..=3,
    ))
    .prop_map(Option::unwrap_or_default)
}

fn parsed<A: std::str::FromStr>(texts: &[&str]) -> Vec<A> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}
