//! Strategies for UDP datagrams between this machine and reflectors, questions and answers, whole and in pieces. What becomes of
//! them is not known here.

use std::net::IpAddr;

use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    frames::{Frame, frame},
    generate::tags,
};

/// Ports that the tests call those of reflectors.
pub const REFLECTORS: [u16; 4] = [53, 123, 5353, 11_211];

/// Addresses of this machine, one of each family.
pub const OWN: [&str; 2] = ["198.51.100.1", "2001:db8:1::1"];

/// Addresses that this machine may ask, the first two IPv4.
pub const PEERS: [&str; 4] = ["192.0.2.53", "192.0.2.54", "2001:db8::53", "2001:db8::54"];

/// How datagrams begin: questions and answers of DNS and NTP, answers of memcached, and nearly so.
const BEGINNINGS: [&[u8]; 9] = [
    &[7, 7, 1, 0, 0, 1, 0, 0],
    &[7, 7, 0x81, 0x80, 0, 1, 0, 9],
    &[7, 7, 1, 0, 0, 2, 0, 0],
    &[7, 7, 1],
    &[0x23, 2, 0, 0, 0, 1],
    &[0x24, 2, 0x80, 0],
    &[0x17, 0, 3, 0x2a],
    &[0xd7, 0x80, 3, 0x2a],
    &[0, 0, 0, 0, 5, 0x78, 0, 0],
];

/// A datagram, or a piece of one.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of the protocols")]
pub struct Datagram {
    pub tags: Vec<(u16, u16)>,
    /// Whether its frame goes to a group of stations.
    pub group: bool,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ports: (u16, u16),
    pub ttl: u8,
    /// Offset in bytes, and whether more follow.
    pub fragment: Option<(u16, bool)>,
    pub data: Vec<u8>,
}

impl Datagram {
    /// A whole one without tags.
    #[must_use]
    pub fn new(source: (IpAddr, u16), destination: (IpAddr, u16), data: &[u8]) -> Self {
        Self {
            tags: Vec::new(),
            group: false,
            source: source.0,
            destination: destination.0,
            ports: (source.1, destination.1),
            ttl: 51,
            fragment: None,
            data: data.to_vec(),
        }
    }

    /// The bytes of the frame.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let to = [if self.group { 1 } else { 2 }, 0, 0, 0, 0, 2];
        let start = frame().macs([2, 0, 0, 0, 0, 1], to);
        let start = self
            .tags
            .iter()
            .fold(start, |frame, (tpid, id)| frame.tag(*tpid, *id));
        let (source, destination) = (self.source.to_string(), self.destination.to_string());
        let start = match self.source {
            IpAddr::V4(_) => start.ipv4(&source, &destination),
            IpAddr::V6(_) => start.ipv6(&source, &destination),
        };
        let start = start.ttl(self.ttl);
        let begun: Frame = match self.fragment {
            Some((offset @ 8.., more)) => {
                let later = start.fragment(offset, more).protocol(17);
                return later.data(&self.data).build();
            }
            Some((_, more)) => start.fragment(0, more),
            None => start,
        };
        begun.udp(self.ports.0, self.ports.1).data(&self.data).build()
    }
}

/// Any datagram that a peer sends to this machine or through it; where `forged` is false, the other way round.
pub fn datagram(forged: bool) -> impl Strategy<Value = Datagram> {
    let fragment = prop_oneof![6 => Just(None), 1 => Just(Some((0, true))), 2 => Just(Some((1480, true)))];
    let place = (select(PEERS.to_vec()), prop::bool::weighted(0.9), any::<bool>());
    let way = (select(vec![51_u8, 64, 255]), fragment, tags());
    (place, ports(), ports(), way, data()).prop_map(
        move |((peer, own, group), peer_port, own_port, (ttl, fragment, tags), data)| {
            let peer: IpAddr = peer.parse().expect("an address");
            let here = match (own, peer.is_ipv4()) {
                (true, true) => OWN[0],
                (true, false) => OWN[1],
                (false, true) => "198.51.100.2",
                (false, false) => "2001:db8:1::2",
            };
            let (theirs, ours) = ((peer, peer_port), (here.parse().expect("an address"), own_port));
            let (source, destination) = if forged { (theirs, ours) } else { (ours, theirs) };
            Datagram {
                tags,
                group: group && !forged,
                ttl,
                fragment,
                ..Datagram::new(source, destination, &data)
            }
        },
    )
}

fn ports() -> impl Strategy<Value = u16> {
    select([&REFLECTORS[..], &[443, 40_000, 41_000, 53 + 256]].concat())
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => select(BEGINNINGS.to_vec()).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..16),
    ]
}
