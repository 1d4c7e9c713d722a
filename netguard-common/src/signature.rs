//! Signature stage: packets that look like those of an attack that is going on. A signature is a mask and a value over a
//! vector of header fields; a packet to a port that no signature is for pays one test of a bit.
//!
//! The vector is the same for IPv4 and IPv6, whatever tags, options and extension headers stand before: a signature over the
//! bytes of a frame would miss the same packet in another wrapping. Addresses are not part of it; for them there are rules.

use crate::{
    Packet,
    apart::Part,
    layout::{Mode, Settings},
    level,
    packet::{Family, Fragment, protocol},
    rule,
    shared::Field as _,
    tables::Tables,
    view::View,
};

/// Signatures at the most.
pub const SIGNATURES: u32 = 32;
/// Words of a vector.
pub const WORDS: usize = 8;
/// The first word of the payload.
pub const PAYLOAD_AT: usize = 4;
/// Bytes of the payload in a vector; zeros follow a shorter one.
pub const PAYLOAD_LEN: usize = (WORDS - PAYLOAD_AT) * 8;

crate::shared! {
    /// An entry of the map `SIGNATURES`: it fits the packets whose vector, under the mask, is the value.
    pub struct Signature {
        pub mask: [u64; 8],
        pub value: [u64; 8],
        /// When it ends, as that of a rule; 0: never.
        pub expires_at: u32,
        /// A [`Mode`] as number; `Off`: the entry is free.
        pub mode: u32,
        /// 1: packets of sources that have proven themselves, or that their UDP service knows, and of what this machine asked, are
        /// spared.
        pub spares: u32,
        pub reserved: u32,
    }

    /// The vector of the packet that a CPU is judging, in the map `FEATURES`.
    pub struct Features {
        pub words: [u64; 8],
        pub payload: [u8; 32],
    }
}

/// A field of the vector: which bits of which word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    pub name: &'static str,
    pub word: usize,
    pub shift: u32,
    pub bits: u32,
    pub help: &'static str,
}

macro_rules! fields {
    ($( $constant:ident $name:literal $word:literal $shift:literal $bits:literal $help:literal; )*) => {
        $( pub const $constant: FieldSpec = FieldSpec {
            name: $name,
            word: $word,
            shift: $shift,
            bits: $bits,
            help: $help,
        }; )*

        /// Every field but the payload.
        pub const FIELDS: &[FieldSpec] = &[$( $constant ),*];
    };
}

fields! {
    FAMILY           "family"          0 0  8  "4 or 6";
    PROTOCOL         "protocol"        0 8  8  "the IP protocol";
    TTL              "ttl"             0 16 8  "TTL or hop limit";
    FLAGS            "flags"           0 24 8  "TCP flags";
    ICMP_TYPE        "icmp-type"       0 32 8  "ICMP or ICMPv6 type";
    ICMP_CODE        "icmp-code"       0 40 8  "ICMP or ICMPv6 code";
    TOS              "tos"             0 48 8  "type of service or traffic class";
    DONT_FRAGMENT    "df"              0 56 1  "IPv4: not to be fragmented";
    IS_FRAGMENT      "fragment"        0 57 1  "a part of a packet";
    LENGTH           "length"          1 0  16 "the IP packet, in bytes";
    ID               "id"              1 16 16 "IPv4 identification";
    SOURCE_PORT      "source-port"     1 32 16 "TCP or UDP";
    PORT             "port"            1 48 16 "TCP or UDP, of the destination";
    WINDOW           "window"          2 0  16 "TCP window";
    PAYLOAD_LENGTH   "payload-length"  2 16 16 "bytes behind the TCP, UDP or ICMP header";
    SEQUENCE         "sequence"        2 32 32 "TCP sequence number";
    ACKNOWLEDGEMENT  "acknowledgement" 3 0  32 "TCP acknowledgement number";
    HEADER_LENGTH    "header-length"   3 32 8  "the TCP header, in bytes";
}

/// What the signatures make of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// One that is only counted.
    Shadow,
    Enforce,
}

/// The first signature in force that fits `packet`, or else one in shadow.
#[inline(always)]
pub fn check<V: View, T: Tables>(view: &V, packet: &Packet, settings: &Settings, tables: &T) -> Found {
    if !tables.is_flagged(packet.destination_port) || packet.fault().is_some() {
        return Found::Nothing;
    }
    match tables.apart(Part::Signature, view, packet, settings) {
        number if number == Found::Enforce as u32 => Found::Enforce,
        number if number == Found::Shadow as u32 => Found::Shadow,
        _ => Found::Nothing,
    }
}

#[inline(always)]
pub(crate) fn find<V: View, T: Tables>(view: &V, packet: &Packet, settings: &Settings, tables: &T) -> Found {
    let Some(mut features) = tables.features() else {
        return Found::Nothing;
    };
    features.take(view, packet);
    let features = view.forget(&mut *features);
    let mut found = Found::Nothing as u32;
    // The first of those that spare sources: whether they do, is asked once.
    let mut sparing = SIGNATURES;
    let used = tables.signatures_used();
    let mut slot = 0;
    while slot < SIGNATURES && used >> slot != 0 {
        if let Some(signature) = tables.signature(slot)
            && signature.fits(&features.words)
            && !signature.expired(tables)
        {
            if matches!(Mode::from_number(signature.mode), Mode::Shadow) {
                tables.count_signature(slot, view.len());
                found = Found::Shadow as u32;
            } else if signature.spares == 0 {
                tables.count_signature(slot, view.len());
                return Found::Enforce;
            } else {
                sparing = sparing.min(slot);
            }
        }
        found = view.opaque(found);
        sparing = view.opaque(sparing);
        slot += 1;
    }
    if sparing < SIGNATURES && !level::is_trusted(view, packet, settings, tables) {
        tables.count_signature(sparing, view.len());
        return Found::Enforce;
    }
    if found == Found::Shadow as u32 {
        Found::Shadow
    } else {
        Found::Nothing
    }
}

impl Signature {
    #[inline(always)]
    pub fn fits(&self, words: &[u64; WORDS]) -> bool {
        let mut differs = 0;
        let mut index = 0;
        while index < WORDS {
            differs |= words[index] & self.mask[index] ^ self.value[index];
            index += 1;
        }
        differs == 0 && self.mode != Mode::Off as u32
    }

    /// Reads the clock only for one that can end.
    #[inline(always)]
    fn expired<T: Tables>(&self, tables: &T) -> bool {
        self.expires_at != 0 && self.ended(tables.now_ns())
    }

    /// Whether it has ended at `now_ns` of the monotonic clock.
    #[inline(always)]
    pub const fn ended(&self, now_ns: u64) -> bool {
        rule::has_ended(self.expires_at, now_ns)
    }

    /// The port that it is for; `None` for every one.
    pub const fn port(&self) -> Option<u16> {
        const ALL: u64 = 0xffff;
        match PORT.of(&self.mask) {
            ALL => Some(PORT.of(&self.value) as u16),
            _ => None,
        }
    }
}

impl FieldSpec {
    /// The field's value in `words`.
    pub const fn of(&self, words: &[u64; WORDS]) -> u64 {
        words[self.word] >> self.shift & self.most()
    }

    /// The largest value.
    pub const fn most(&self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// `value`, where the field lies in its word.
    #[inline(always)]
    pub const fn placed(&self, value: u64) -> u64 {
        (value & self.most()) << self.shift
    }
}

/// The vector of `packet`, which lies in `view`.
pub fn vector<V: View>(view: &V, packet: &Packet) -> [u64; WORDS] {
    let mut features = Features::ZERO;
    features.take(view, packet);
    features.words
}

impl Features {
    /// Makes the vector of `packet`.
    #[inline(always)]
    fn take<V: View>(&mut self, view: &V, packet: &Packet) {
        let network = self.take_network(view, packet);
        let network = view.opaque(u32::from(network));
        let header = view.opaque(self.take_transport(view, packet));
        let before = packet.transport_at() - packet.network_at() + header;
        let payload = network.saturating_sub(before);
        self.words[2] |= PAYLOAD_LENGTH.placed(payload as u64);
        self.payload = [0; PAYLOAD_LEN];
        view.load_prefix(packet.transport_at() + header, payload, &mut self.payload);
        self.words[PAYLOAD_AT] = self.payload_word::<0>();
        self.words[PAYLOAD_AT + 1] = self.payload_word::<8>();
        self.words[PAYLOAD_AT + 2] = self.payload_word::<16>();
        self.words[PAYLOAD_AT + 3] = self.payload_word::<24>();
    }

    /// Eight bytes of the payload, the first of them highest.
    #[inline(always)]
    const fn payload_word<const AT: usize>(&self) -> u64 {
        u64::from_be_bytes([
            self.payload[AT],
            self.payload[AT + 1],
            self.payload[AT + 2],
            self.payload[AT + 3],
            self.payload[AT + 4],
            self.payload[AT + 5],
            self.payload[AT + 6],
            self.payload[AT + 7],
        ])
    }

    /// Fills the words of the IP header; tells the length of the IP packet.
    #[inline(always)]
    fn take_network<V: View>(&mut self, view: &V, packet: &Packet) -> u16 {
        const DF: u8 = 0x40;
        // Both headers have eight bytes.
        let [first, second, c, d, e, f, g, _] = view.load::<[u8; 8]>(packet.network_at()).unwrap_or_default();
        let (family, tos, length, id, df) = match packet.family() {
            Family::V4 => {
                let id = u16::from_be_bytes([e, f]);
                (4, second, u16::from_be_bytes([c, d]), id, g & DF != 0)
            }
            Family::V6 => {
                let tos = first << 4 | second >> 4;
                (6, tos, u16::from_be_bytes([e, f]).saturating_add(40), 0, false)
            }
        };
        let is_fragment = !matches!(packet.fragment(), Fragment::Whole);
        self.words[0] = FAMILY.placed(family)
            | PROTOCOL.placed(packet.protocol as u64)
            | TTL.placed(packet.hop_limit as u64)
            | FLAGS.placed(packet.tcp_flags().0 as u64)
            | ICMP_TYPE.placed(packet.icmp_type as u64)
            | ICMP_CODE.placed(packet.icmp_code as u64)
            | TOS.placed(tos as u64)
            | DONT_FRAGMENT.placed(df as u64)
            | IS_FRAGMENT.placed(is_fragment as u64);
        self.words[1] = LENGTH.placed(length as u64)
            | ID.placed(id as u64)
            | SOURCE_PORT.placed(packet.source_port as u64)
            | PORT.placed(packet.destination_port as u64);
        length
    }

    /// Fills the words of the transport header; tells its length.
    #[inline(always)]
    fn take_transport<V: View>(&mut self, view: &V, packet: &Packet) -> u32 {
        (self.words[2], self.words[3]) = (0, 0);
        match packet.header {
            protocol::TCP => {
                let [_, _, _, _, seq @ .., offset, _, high, low] =
                    view.load::<[u8; 16]>(packet.transport_at()).unwrap_or_default();
                let [a, b, c, d, e, f, g, h] = seq;
                let length = u32::from(offset >> 4) * 4;
                self.words[2] = WINDOW.placed(u16::from_be_bytes([high, low]) as u64)
                    | SEQUENCE.placed(u32::from_be_bytes([a, b, c, d]) as u64);
                self.words[3] = ACKNOWLEDGEMENT.placed(u32::from_be_bytes([e, f, g, h]) as u64)
                    | HEADER_LENGTH.placed(length as u64);
                length
            }
            protocol::UDP | protocol::ICMP | protocol::ICMPV6 => 8,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Verdict, decide, limit::source_key, memory::Memory, packet::Address, view::SliceView};

    #[test]
    fn fields_do_not_overlap_and_leave_room_for_the_payload() {
        let mut taken = [0_u64; WORDS];
        for field in FIELDS {
            let bits = field.placed(u64::MAX);
            assert_eq!(bits.count_ones(), field.bits, "{}", field.name);
            assert_eq!(taken[field.word] & bits, 0, "{}", field.name);
            assert!(field.word < PAYLOAD_AT);
            taken[field.word] |= bits;
        }
    }

    #[test]
    fn a_signature_is_for_its_port() {
        let mut signature = Signature::ZERO;
        assert_eq!(signature.port(), None);
        signature.mask[PORT.word] = PORT.placed(u64::MAX);
        signature.value[PORT.word] = PORT.placed(53);
        assert_eq!(signature.port(), Some(53));
    }

    #[test]
    fn a_free_entry_fits_nothing() {
        assert!(!Signature::ZERO.fits(&[7; WORDS]));
        let anything = Signature {
            mode: Mode::Enforce as u32,
            ..Signature::ZERO
        };
        assert!(anything.fits(&[7; WORDS]));
    }

    /// A datagram from 192.0.2.1 to 198.51.100.1, port 9.
    const DATAGRAM: [u8; 42] = [
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1,
        198, 51, 100, 1, 16, 0, 0, 9, 0, 8, 0, 0,
    ];

    fn judged(memory: &Memory) -> (Verdict, u64) {
        let verdict = decide(&SliceView(&DATAGRAM), memory).verdict;
        let hits = memory
            .signature_hits
            .borrow()
            .iter()
            .map(|hits| hits.packets)
            .sum();
        (verdict, hits)
    }

    #[test]
    fn one_that_spares_drops_strangers_only() {
        let mut memory = Memory::new(Memory::enforcing());
        memory.settings.suspicion.signatures = Mode::Enforce as u32;
        memory.now_ns.set(5_000_000_000);
        let anything = Signature {
            mode: Mode::Enforce as u32,
            ..Signature::ZERO
        };
        memory.signatures[3] = Signature {
            spares: 1,
            ..anything
        };
        assert_eq!(judged(&memory), (Verdict::Signature, 1));
        let source = Address::v4([192, 0, 2, 1]);
        memory
            .proven
            .insert(source_key(Family::V4, source), 6_000_000_000);
        assert_eq!(judged(&memory), (Verdict::Pass, 1));
        // That was long ago.
        memory.now_ns.set(7_000_000_000);
        assert_eq!(judged(&memory), (Verdict::Signature, 2));
        memory.now_ns.set(5_500_000_000);
        assert_eq!(judged(&memory), (Verdict::Pass, 2));
        // Another that spares nobody.
        memory.signatures[9] = anything;
        assert_eq!(judged(&memory), (Verdict::Signature, 3));
    }
}
