//! The layers of a test frame and the bytes of each header; which layers a frame has is decided in `frames`.

#[derive(Debug, Clone)]
pub(super) enum Layer {
    Tag { tpid: u16, id: u16 },
    Arp(Vec<u8>),
    Ipv4(Ipv4),
    Ipv6(Ipv6),
    Ext(Ext),
    Tcp(Tcp),
    Udp(Udp),
    Icmp(Icmp),
    Data(Vec<u8>),
}

#[derive(Debug, Clone)]
pub(super) struct Ipv4 {
    pub(super) version: u8,
    pub(super) ihl: Option<u8>,
    pub(super) tos: u8,
    pub(super) total_len: Option<u16>,
    pub(super) id: u16,
    pub(super) fragment: u16,
    pub(super) ttl: u8,
    pub(super) protocol: Option<u8>,
    pub(super) src: [u8; 4],
    pub(super) dst: [u8; 4],
    pub(super) options: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(super) struct Ipv6 {
    pub(super) version: u8,
    pub(super) class: u8,
    pub(super) payload_len: Option<u16>,
    pub(super) next: Option<u8>,
    pub(super) hop_limit: u8,
    pub(super) src: [u8; 16],
    pub(super) dst: [u8; 16],
}

#[derive(Debug, Clone)]
pub(super) struct Ext {
    kind: u8,
    body: Vec<u8>,
    pub(super) len: Option<u8>,
    pub(super) next: Option<u8>,
}

#[derive(Debug, Clone)]
pub(super) struct Tcp {
    src: u16,
    dst: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) doff: Option<u8>,
    pub(super) flags: u8,
    pub(super) options: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(super) struct Udp {
    pub(super) src: u16,
    pub(super) dst: u16,
    pub(super) len: Option<u16>,
}

#[derive(Debug, Clone)]
pub(super) struct Icmp {
    pub(super) protocol: u8,
    pub(super) kind: u8,
    pub(super) code: u8,
    pub(super) rest: u32,
}

impl Ipv4 {
    pub(super) fn new(src: [u8; 4], dst: [u8; 4]) -> Self {
        let options = Vec::new();
        Self {
            version: 4,
            ihl: None,
            tos: 0,
            total_len: None,
            id: 1,
            fragment: 0,
            ttl: 64,
            protocol: None,
            src,
            dst,
            options,
        }
    }

    pub(super) fn header(&self, inner: Option<&Layer>, content: usize) -> Vec<u8> {
        let options = padded(&self.options, 4);
        let len = 20 + options.len();
        let mut header = vec![
            self.version << 4 | self.ihl.unwrap_or_else(|| low8(len / 4)) & 15,
            self.tos,
        ];
        header.extend(
            self.total_len
                .unwrap_or_else(|| low16(len + content))
                .to_be_bytes(),
        );
        header.extend(self.id.to_be_bytes());
        header.extend(self.fragment.to_be_bytes());
        header.extend([
            self.ttl,
            self.protocol.unwrap_or_else(|| protocol_of(inner, 253)),
            0,
            0,
        ]);
        header.extend(self.src.iter().chain(&self.dst).chain(&options));
        header
    }
}

impl Ipv6 {
    pub(super) fn new(src: [u8; 16], dst: [u8; 16]) -> Self {
        Self {
            version: 6,
            class: 0,
            payload_len: None,
            next: None,
            hop_limit: 64,
            src,
            dst,
        }
    }

    pub(super) fn header(&self, inner: Option<&Layer>, content: usize) -> Vec<u8> {
        let mut header = vec![self.version << 4 | self.class >> 4, self.class << 4, 0, 0];
        header.extend(self.payload_len.unwrap_or_else(|| low16(content)).to_be_bytes());
        header.extend([
            self.next.unwrap_or_else(|| protocol_of(inner, 59)),
            self.hop_limit,
        ]);
        header.extend(self.src.iter().chain(&self.dst));
        header
    }
}

impl Ext {
    pub(super) fn new(kind: u8, body: &[u8]) -> Self {
        Self {
            kind,
            body: body.to_vec(),
            len: None,
            next: None,
        }
    }

    /// The number of the packet, in a fragment header.
    pub(super) fn set_id(&mut self, id: u32) {
        self.body[2..].copy_from_slice(&id.to_be_bytes());
    }

    pub(super) fn header(&self, inner: Option<&Layer>) -> Vec<u8> {
        let next = self.next.unwrap_or_else(|| protocol_of(inner, 59));
        let unit = if self.kind == 51 { 4 } else { 8 };
        let mut header = padded(&[&[next, 0], &self.body[..]].concat(), unit);
        let true_len = match self.kind {
            44 => 0, // reserved field (RFC 8200 section 4.5)
            51 => (header.len() / 4).saturating_sub(2),
            _ => header.len() / 8 - 1,
        };
        header[1] = self.len.unwrap_or_else(|| low8(true_len));
        header
    }
}

impl Tcp {
    pub(super) fn new(src: u16, dst: u16) -> Self {
        Self {
            src,
            dst,
            seq: 1,
            ack: 0,
            doff: None,
            flags: 0,
            options: Vec::new(),
        }
    }

    pub(super) fn header(&self) -> Vec<u8> {
        let options = padded(&self.options, 4);
        let mut header = [self.src.to_be_bytes(), self.dst.to_be_bytes()].concat();
        header.extend(self.seq.to_be_bytes().iter().chain(&self.ack.to_be_bytes()));
        header.extend([
            self.doff.unwrap_or_else(|| low8(5 + options.len() / 4)) << 4,
            self.flags,
        ]);
        header.extend(64240u16.to_be_bytes());
        header.extend([0; 4]);
        header.extend(options);
        header
    }
}

impl Udp {
    pub(super) fn header(&self, content: usize) -> Vec<u8> {
        let len = self.len.unwrap_or_else(|| low16(8 + content));
        [
            self.src.to_be_bytes(),
            self.dst.to_be_bytes(),
            len.to_be_bytes(),
            [0, 0],
        ]
        .concat()
    }
}

impl Icmp {
    pub(super) fn header(&self) -> Vec<u8> {
        [&[self.kind, self.code, 0, 0], &self.rest.to_be_bytes()[..]].concat()
    }
}

/// The flags byte for letters out of `FSRPAUEC`; panics on others.
pub(super) fn tcp_flags(letters: &str) -> u8 {
    letters
        .chars()
        .fold(0, |flags, letter| match "FSRPAUEC".find(letter) {
            Some(bit) => flags | 1 << bit,
            None => panic!("{letter:?} is not a TCP flag: use letters of FSRPAUEC"),
        })
}

/// The protocol number that announces `inner`, or `none` if it has no number.
fn protocol_of(inner: Option<&Layer>, none: u8) -> u8 {
    match inner {
        Some(Layer::Ipv4(_)) => 4,
        Some(Layer::Ipv6(_)) => 41,
        Some(Layer::Ext(ext)) => ext.kind,
        Some(Layer::Tcp(_)) => 6,
        Some(Layer::Udp(_)) => 17,
        Some(Layer::Icmp(icmp)) => icmp.protocol,
        _ => none,
    }
}

fn padded(bytes: &[u8], unit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(unit), 0);
    bytes
}

pub(super) fn low8(value: usize) -> u8 {
    value.to_le_bytes()[0]
}

pub(super) fn low16(value: usize) -> u16 {
    let [low, high, ..] = value.to_le_bytes();
    u16::from_le_bytes([low, high])
}
