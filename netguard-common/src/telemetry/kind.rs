//! Kinds of packets, finer than the classes of limits: what a flood consists of.

use crate::{
    Packet,
    limit::Class,
    packet::{Fragment, TcpFlags, protocol},
};

/// What a packet is, as far as floods differ in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Opens a TCP connection: a new flow.
    Syn = 0,
    SynAck = 1,
    Ack = 2,
    Fin = 3,
    Rst = 4,
    /// TCP segments with none of these flags.
    TcpOther = 5,
    Udp = 6,
    Icmp = 7,
    /// Neighbour discovery and path-MTU messages.
    Control = 8,
    /// Fragments but the first of each packet.
    Fragment = 9,
    /// Other protocols, and packets whose headers cannot be followed.
    Other = 10,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Syn,
        Self::SynAck,
        Self::Ack,
        Self::Fin,
        Self::Rst,
        Self::TcpOther,
        Self::Udp,
        Self::Icmp,
        Self::Control,
        Self::Fragment,
        Self::Other,
    ];

    /// The word that the command line and JSON use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::SynAck => "syn-ack",
            Self::Ack => "ack",
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::TcpOther => "tcp-other",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Control => "control",
            Self::Fragment => "fragment",
            Self::Other => "other",
        }
    }

    /// The kind of `packet`.
    #[inline(always)]
    pub fn of(packet: &Packet) -> Self {
        match packet.header {
            protocol::TCP => Self::of_tcp(packet.tcp_flags()),
            protocol::UDP => Self::Udp,
            protocol::ICMP | protocol::ICMPV6 => match Class::of(packet) {
                Some(Class::Control) => Self::Control,
                _ => Self::Icmp,
            },
            _ if matches!(packet.fragment(), Fragment::Later) => Self::Fragment,
            _ => Self::Other,
        }
    }

    #[inline(always)]
    const fn of_tcp(flags: TcpFlags) -> Self {
        if flags.has(TcpFlags::RST) {
            Self::Rst
        } else if flags.has(TcpFlags::SYN | TcpFlags::ACK) {
            Self::SynAck
        } else if flags.has(TcpFlags::SYN) {
            Self::Syn
        } else if flags.has(TcpFlags::FIN) {
            Self::Fin
        } else if flags.has(TcpFlags::ACK) {
            Self::Ack
        } else {
            Self::TcpOther
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::tcp, *};
    use crate::packet::{Address, Family, Transport, tests::packet};

    #[test]
    fn kinds_are_told_apart() {
        use TcpFlags as F;
        for (flags, kind) in [
            (F::SYN, Kind::Syn),
            (F::SYN | F::ACK, Kind::SynAck),
            (F::ACK | F::PSH, Kind::Ack),
            (F::FIN | F::ACK, Kind::Fin),
            (F::RST | F::ACK, Kind::Rst),
            (F::PSH, Kind::TcpOther),
        ] {
            assert_eq!(Kind::of(&tcp(flags)), kind);
        }
        let of =
            |family, protocol, transport| Kind::of(&packet(family, Address::v4([1; 4]), protocol, transport));
        let too_big = Transport::Icmp6 { kind: 2, code: 0 };
        assert_eq!(of(Family::V6, protocol::ICMPV6, too_big), Kind::Control);
        let echo = Transport::Icmp { kind: 8, code: 0 };
        assert_eq!(of(Family::V4, protocol::ICMP, echo), Kind::Icmp);
        assert_eq!(of(Family::V4, 47, Transport::Other), Kind::Other);
    }
}
