//! What parsing makes of a frame: addresses, fragment, transport. No bytes of the frame are kept.
//!
//! A packet is flat and made of integers, because in the kernel it lies in a map between parsing and judging: what
//! comes back from a map has no history, so the verifier follows the stages once and not once per way of parsing.

mod address;

use core::ops::ControlFlow;

use crate::{
    Verdict,
    limit::{source_hash, source_key},
    shared::Field,
    view::View,
};

pub use address::{Address, mapped};

crate::shared! {
    /// An IP packet whose headers were followed up to the transport header, or to what is wrong with them.
    pub struct Packet {
        pub source: Address,
        pub destination: Address,
        /// When it is judged, for the parts that run apart; 0 while no stage has read the clock.
        pub judged_at_ns: u64,
        /// Length of the frame, for these parts.
        pub frame_len: u64,
        /// Its [`source_key`], mixed: by this tables are spread, see [`Packet::hash_source`].
        source_hash: u64,
        /// By what it is chosen to stand for others, see [`crate::pace`]; 0 until it is counted.
        pub chance: u64,
        /// Number of the verdict on headers that could not be followed, [`NO_FAULT`] otherwise. A faulty packet has
        /// a source all the same, and rules about that source hold.
        fault: u32,
        /// The number of a fragmented packet, as it lies in the header; 0 of others.
        pub fragment_id: u32,
        /// 0 where the packet has no ports.
        pub source_port: u16,
        pub destination_port: u16,
        /// A [`Family`] as number.
        family: u8,
        /// A [`Fragment`] as number.
        fragment: u8,
        /// The transport header that was read: its protocol number, 0 for none.
        pub(crate) header: u8,
        /// IP protocol number of the transport header, read or not.
        pub protocol: u8,
        /// IPv4 TTL or IPv6 hop limit.
        pub hop_limit: u8,
        tcp_flags: u8,
        pub icmp_type: u8,
        pub icmp_code: u8,
        /// Where the IP header lies in the frame, and the transport header.
        network_at: u16,
        transport_at: u16,
        /// See [`crate::fragment::Piece`].
        pub(crate) piece: [u16; 2],
        pub(crate) piece_is_last: u32,
    }
}

/// The version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// Which part of an IP packet the frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    Whole,
    First,
    /// Without a transport header.
    Later,
}

/// The transport header, as far as verdicts need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp {
        source_port: u16,
        destination_port: u16,
        flags: TcpFlags,
    },
    Udp {
        source_port: u16,
        destination_port: u16,
    },
    Icmp {
        kind: u8,
        code: u8,
    },
    Icmp6 {
        kind: u8,
        code: u8,
    },
    /// Another protocol, or a fragment that does not start with the transport header.
    Other,
}

/// No verdict has this number.
const NO_FAULT: u32 = Verdict::COUNT;

impl Packet {
    /// Begins the packet of `family` anew; what parsing does not set is zero.
    #[inline(always)]
    pub(crate) fn begin<V: View>(&mut self, view: &V, family: Family, source: Address, destination: Address) {
        // Unknown to the compiler: zeros that it knows it would write by a call of memset, byte by byte.
        let zero = view.opaque(0);
        *self = Self {
            judged_at_ns: zero as u64,
            source_hash: zero as u64,
            chance: zero as u64,
            fragment_id: zero,
            source_port: zero as u16,
            fragment: zero as u8,
            source,
            destination,
            fault: NO_FAULT,
            family: family as u8,
            ..Self::ZERO
        };
    }

    /// Takes the transport header that was followed, or what was in the way.
    #[inline(always)]
    pub(crate) fn settle<V: View>(&mut self, view: &V, followed: ControlFlow<Verdict, Transport>) {
        let transport = match followed {
            ControlFlow::Continue(transport) => transport,
            ControlFlow::Break(fault) => {
                self.fault = view.opaque(fault.number());
                return;
            }
        };
        match transport {
            Transport::Tcp {
                source_port,
                destination_port,
                flags,
            } => {
                self.header = protocol::TCP;
                (self.source_port, self.destination_port) = (source_port, destination_port);
                self.tcp_flags = flags.0;
            }
            Transport::Udp {
                source_port,
                destination_port,
            } => {
                self.header = protocol::UDP;
                (self.source_port, self.destination_port) = (source_port, destination_port);
            }
            Transport::Icmp { kind, code } => {
                self.header = protocol::ICMP;
                (self.icmp_type, self.icmp_code) = (kind, code);
            }
            Transport::Icmp6 { kind, code } => {
                self.header = protocol::ICMPV6;
                (self.icmp_type, self.icmp_code) = (kind, code);
            }
            Transport::Other => {}
        }
    }

    #[inline(always)]
    pub(crate) fn set_network_at(&mut self, at: u32) {
        self.network_at = at as u16;
    }

    #[inline(always)]
    pub(crate) fn set_transport_at(&mut self, at: u32) {
        self.transport_at = at as u16;
    }

    /// Where the IP header lies in the frame.
    #[inline(always)]
    pub const fn network_at(&self) -> u32 {
        self.network_at as u32
    }

    /// Where the transport header lies in the frame, if one was read.
    #[inline(always)]
    pub const fn transport_at(&self) -> u32 {
        self.transport_at as u32
    }

    /// Mixes the source's key with the secret `seed`, once for all stages.
    #[inline(always)]
    pub(crate) fn hash_source(&mut self, seed: u64) {
        self.source_hash = self.source_hash(seed);
    }

    /// The mixed key of the source.
    #[inline(always)]
    pub const fn source_hash(&self, seed: u64) -> u64 {
        if self.source_hash != 0 {
            return self.source_hash;
        }
        source_hash(source_key(self.family(), self.source), seed)
    }

    /// Whether it is a whole segment of `protocol` right behind an IP header without options or extensions.
    #[inline(always)]
    pub const fn is_plain(&self, protocol: u8) -> bool {
        let header = match self.family() {
            Family::V4 => 20,
            Family::V6 => 40,
        };
        self.header == protocol
            && self.fragment == Fragment::Whole as u8
            && self.transport_at() == self.network_at() + header
    }

    #[inline(always)]
    pub(crate) fn set_fragment(&mut self, fragment: Fragment) {
        self.fragment = fragment as u8;
    }

    /// Why the headers behind the addresses could not be followed: then the transport is [`Transport::Other`].
    #[inline(always)]
    pub const fn fault(&self) -> Option<Verdict> {
        Verdict::from_number(self.fault)
    }

    #[inline(always)]
    pub const fn family(&self) -> Family {
        if self.family == Family::V4 as u8 {
            Family::V4
        } else {
            Family::V6
        }
    }

    #[inline(always)]
    pub const fn fragment(&self) -> Fragment {
        match self.fragment {
            0 => Fragment::Whole,
            1 => Fragment::First,
            _ => Fragment::Later,
        }
    }

    /// Whether it has a transport header of `protocol`, which was followed.
    #[inline(always)]
    pub const fn is_of(&self, protocol: u8) -> bool {
        self.header == protocol
    }

    /// The flags of a TCP header that was read; none otherwise.
    #[inline(always)]
    pub const fn tcp_flags(&self) -> TcpFlags {
        TcpFlags(self.tcp_flags)
    }

    /// Whether the packet is (part of) a TCP segment of a connection that exists or pretends to: it opens nothing. What a
    /// later fragment belongs to was judged with the first.
    #[inline(always)]
    pub const fn continues_tcp(&self) -> bool {
        let later = self.protocol == protocol::TCP && self.fragment == Fragment::Later as u8;
        later || (self.header == protocol::TCP && !self.tcp_flags().opens())
    }

    #[inline(always)]
    pub const fn transport(&self) -> Transport {
        let (source_port, destination_port) = (self.source_port, self.destination_port);
        let (kind, code) = (self.icmp_type, self.icmp_code);
        match self.header {
            protocol::TCP => Transport::Tcp {
                source_port,
                destination_port,
                flags: self.tcp_flags(),
            },
            protocol::UDP => Transport::Udp {
                source_port,
                destination_port,
            },
            protocol::ICMP => Transport::Icmp { kind, code },
            protocol::ICMPV6 => Transport::Icmp6 { kind, code },
            _ => Transport::Other,
        }
    }
}

/// The flag byte of a TCP header (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const ECE: u8 = 0x40;
    pub const CWR: u8 = 0x80;

    /// Whether all bits of `mask` are set.
    pub const fn has(self, mask: u8) -> bool {
        self.0 & mask == mask
    }

    /// The first segment of a handshake.
    pub const fn opens(self) -> bool {
        self.0 & (Self::SYN | Self::ACK) == Self::SYN
    }
}

/// Protocol numbers that the datapath looks into.
pub mod protocol {
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ICMPV6: u8 = 58;
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::view::SliceView;

    /// A packet with this transport header, for the tests of stages.
    pub(crate) fn packet(family: Family, source: Address, protocol: u8, transport: Transport) -> Packet {
        let mut packet = Packet::ZERO;
        let destination = match family {
            Family::V4 => Address::v4([198, 51, 100, 1]),
            Family::V6 => Address::v6([0x20; 16]),
        };
        packet.begin(&SliceView(&[]), family, source, destination);
        packet.protocol = protocol;
        packet.hop_limit = 64;
        packet.settle(&SliceView(&[]), ControlFlow::Continue(transport));
        packet
    }

    #[test]
    fn what_was_settled_comes_back() {
        let tcp = Transport::Tcp {
            source_port: 1,
            destination_port: 2,
            flags: TcpFlags(3),
        };
        let udp = Transport::Udp {
            source_port: 1,
            destination_port: 2,
        };
        let icmp = Transport::Icmp { kind: 3, code: 4 };
        let icmp6 = Transport::Icmp6 { kind: 3, code: 4 };
        for transport in [tcp, udp, icmp, icmp6, Transport::Other] {
            let packet = packet(Family::V4, Address::v4([192, 0, 2, 1]), 7, transport);
            assert_eq!(packet.transport(), transport);
            assert_eq!((packet.fault(), packet.family()), (None, Family::V4));
            assert_eq!(packet.source.octets_v4(), [192, 0, 2, 1]);
        }
    }

    #[test]
    fn a_fault_leaves_the_source() {
        let mut packet = Packet::ZERO;
        packet.begin(&SliceView(&[]), Family::V6, Address::v6([7; 16]), Address::ZERO);
        packet.settle(&SliceView(&[]), ControlFlow::Break(Verdict::UdpLength));
        assert_eq!(packet.fault(), Some(Verdict::UdpLength));
        assert_eq!(packet.source.octets(), [7; 16]);
        assert_eq!(packet.transport(), Transport::Other);
    }
}
