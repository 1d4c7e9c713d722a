//! Sanity stage: refuses packets that no honest host sends, whatever its configuration. Private source
//! addresses are ordinary; checksums are not looked at.

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict,
    packet::{Address, Family, TcpFlags, Transport, protocol},
};

/// Breaks with the reason why `packet` cannot be real.
#[inline(always)]
pub fn check(packet: &Packet) -> ControlFlow<Verdict> {
    if let Some(fault) = packet.fault() {
        return ControlFlow::Break(fault);
    }
    if packet.source == packet.destination {
        return ControlFlow::Break(Verdict::Land);
    }
    let martian = match packet.family() {
        Family::V4 => is_martian_v4(packet.source.octets_v4()) && !is_unconfigured_v4(packet),
        Family::V6 => is_martian_v6(packet.source, packet.protocol),
    };
    if martian {
        return ControlFlow::Break(Verdict::MartianSource);
    }
    // RFC 1122 section 3.2.1.7, RFC 8200 section 3.
    if packet.hop_limit == 0 {
        return ControlFlow::Break(Verdict::TtlZero);
    }
    match packet.transport() {
        Transport::Tcp {
            source_port,
            destination_port,
            flags,
        } => {
            tcp_flags(flags)?;
            port(source_port)?;
            port(destination_port)
        }
        // A datagram that wants no answer may come from port 0 (RFC 768).
        Transport::Udp { destination_port, .. } => port(destination_port),
        _ => ControlFlow::Continue(()),
    }
}

/// Whether every packet from `source` is refused for its address; from 0.0.0.0 and :: some pass.
pub fn is_martian(family: Family, source: Address) -> bool {
    match family {
        Family::V4 => is_martian_v4(source.octets_v4()) && source != Address::v4([0; 4]),
        Family::V6 => is_martian_v6(source, protocol::ICMPV6),
    }
}

/// Port 0 is reserved (RFC 6335 section 6).
#[inline(always)]
fn port(port: u16) -> ControlFlow<Verdict> {
    if port == 0 {
        return ControlFlow::Break(Verdict::PortZero);
    }
    ControlFlow::Continue(())
}

/// 0/8, 127/8 and 224/3 (RFC 6890, RFC 1122 section 3.2.1.3).
#[inline(always)]
const fn is_martian_v4([first, ..]: [u8; 4]) -> bool {
    first == 0 || first == 127 || first >= 224
}

/// A host without an address asks for one (DHCP, RFC 2131 section 4.1) and joins groups (IGMP, RFC 3376
/// section 4.2.13) from 0.0.0.0.
#[inline(always)]
fn is_unconfigured_v4(packet: &Packet) -> bool {
    const IGMP: u8 = 2;
    const DHCP_CLIENT: u16 = 68;
    const DHCP_SERVER: u16 = 67;
    let asks_for_address = matches!(
        packet.transport(),
        Transport::Udp {
            source_port: DHCP_CLIENT,
            destination_port: DHCP_SERVER
        }
    );
    packet.source == Address::v4([0; 4]) && (asks_for_address || packet.protocol == IGMP)
}

/// Multicast, ::1, and :: other than in ICMPv6 (duplicate address detection, RFC 4862 section 5.4.2;
/// multicast listener reports, RFC 3590).
#[inline(always)]
fn is_martian_v6(source: Address, protocol: u8) -> bool {
    const LOOPBACK: u64 = u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, 1]);
    if source.first_octet() == 0xff {
        return true;
    }
    source.high == 0 && (source.low == LOOPBACK || (source.low == 0 && protocol != protocol::ICMPV6))
}

/// The sets of flags that TCP stacks send are those of RFC 9293: SYN (with ACK or URG), RST (with ACK), and
/// ACK with or without FIN and URG; PSH and the ECN bits may stand beside any. One bit for each set, so that
/// the legal case is a single branch.
const LEGAL_FLAGS: u64 = {
    const SETS: [u8; 9] = [
        TcpFlags::SYN,
        TcpFlags::SYN | TcpFlags::ACK,
        TcpFlags::SYN | TcpFlags::URG,
        TcpFlags::RST,
        TcpFlags::RST | TcpFlags::ACK,
        TcpFlags::ACK,
        TcpFlags::ACK | TcpFlags::URG,
        TcpFlags::ACK | TcpFlags::FIN,
        TcpFlags::ACK | TcpFlags::FIN | TcpFlags::URG,
    ];
    let mut legal = 0;
    let mut i = 0;
    while i < SETS.len() {
        legal |= 1 << SETS[i] | 1 << (SETS[i] | TcpFlags::PSH);
        i += 1;
    }
    legal
};

#[inline(always)]
fn tcp_flags(flags: TcpFlags) -> ControlFlow<Verdict> {
    let set = flags.0 & 0x3f;
    if LEGAL_FLAGS >> set & 1 != 0 {
        return ControlFlow::Continue(());
    }
    ControlFlow::Break(if set == 0 {
        Verdict::TcpNull
    } else if flags.has(TcpFlags::SYN | TcpFlags::FIN) {
        Verdict::TcpSynFin
    } else if flags.has(TcpFlags::SYN | TcpFlags::RST) {
        Verdict::TcpSynRst
    } else if flags.has(TcpFlags::FIN | TcpFlags::URG) && !flags.has(TcpFlags::ACK) {
        Verdict::TcpXmas
    } else {
        Verdict::TcpFlags
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::tests::packet as build;

    fn packet(source: [u8; 4], transport: Transport) -> Packet {
        build(Family::V4, Address::v4(source), protocol::UDP, transport)
    }

    fn packet_v6(source: [u8; 16], protocol: u8) -> Packet {
        build(Family::V6, Address::v6(source), protocol, Transport::Other)
    }

    #[test]
    fn ipv4_sources() {
        let verdict = |source| check(&packet(source, Transport::Other)).break_value();
        for ordinary in [
            [10, 0, 0, 1],
            [192, 168, 1, 1],
            [169, 254, 3, 4],
            [100, 64, 0, 1],
            [223, 255, 255, 255],
        ] {
            assert_eq!(verdict(ordinary), None, "{ordinary:?}");
        }
        for martian in [
            [0, 0, 0, 0],
            [0, 1, 2, 3],
            [127, 0, 0, 1],
            [224, 0, 0, 1],
            [240, 0, 0, 1],
            [255; 4],
        ] {
            assert_eq!(verdict(martian), Some(Verdict::MartianSource), "{martian:?}");
        }
        assert_eq!(verdict([198, 51, 100, 1]), Some(Verdict::Land));
    }

    #[test]
    fn a_host_without_an_address_may_ask_for_one() {
        let dhcp = Transport::Udp {
            source_port: 68,
            destination_port: 67,
        };
        let other = Transport::Udp {
            source_port: 68,
            destination_port: 53,
        };
        assert!(check(&packet([0; 4], dhcp)).is_continue());
        assert!(check(&packet([0; 4], other)).is_break());
        assert!(check(&packet([0, 0, 0, 1], dhcp)).is_break());
    }

    #[test]
    fn ipv6_sources() {
        let verdict = |source, protocol| check(&packet_v6(source, protocol)).break_value();
        let mut loopback = [0; 16];
        loopback[15] = 1;
        let mut multicast = [0; 16];
        multicast[0] = 0xff;
        let mut link_local = [0; 16];
        link_local[..2].copy_from_slice(&[0xfe, 0x80]);
        assert_eq!(verdict(loopback, 17), Some(Verdict::MartianSource));
        assert_eq!(verdict(multicast, 17), Some(Verdict::MartianSource));
        assert_eq!(verdict([0; 16], 17), Some(Verdict::MartianSource));
        assert_eq!(verdict([0; 16], protocol::ICMPV6), None);
        assert_eq!(verdict(link_local, 17), None);
        assert_eq!(verdict([0x20; 16], 17), Some(Verdict::Land));
    }

    #[test]
    fn hop_limits_and_ports() {
        let udp = |source_port, destination_port| Transport::Udp {
            source_port,
            destination_port,
        };
        let verdict = |transport| check(&packet([192, 0, 2, 1], transport)).break_value();
        assert_eq!(verdict(udp(1, 65_535)), None);
        assert_eq!(verdict(udp(0, 53)), None);
        let tcp = |source_port, destination_port| Transport::Tcp {
            source_port,
            destination_port,
            flags: TcpFlags(TcpFlags::SYN),
        };
        assert_eq!(verdict(tcp(1, 2)), None);
        assert_eq!(verdict(tcp(0, 2)), Some(Verdict::PortZero));
        assert_eq!(verdict(tcp(1, 0)), Some(Verdict::PortZero));
        assert_eq!(verdict(udp(53, 0)), Some(Verdict::PortZero));
        let mut spent = packet([192, 0, 2, 1], udp(53, 53));
        spent.hop_limit = 0;
        assert_eq!(check(&spent).break_value(), Some(Verdict::TtlZero));
    }

    #[test]
    fn tcp_flag_sets() {
        let verdict = |flags| tcp_flags(TcpFlags(flags)).break_value();
        for legal in [
            0x02, 0x12, 0x10, 0x18, 0x11, 0x19, 0x04, 0x14, 0x30, 0x31, 0xc2, 0x52, 0xd8, 0x0a,
        ] {
            assert_eq!(verdict(legal), None, "{legal:#x}");
        }
        assert_eq!(verdict(0x00), Some(Verdict::TcpNull));
        assert_eq!(verdict(0xc0), Some(Verdict::TcpNull));
        assert_eq!(verdict(0x03), Some(Verdict::TcpSynFin));
        assert_eq!(verdict(0x13), Some(Verdict::TcpSynFin));
        assert_eq!(verdict(0x06), Some(Verdict::TcpSynRst));
        assert_eq!(verdict(0x29), Some(Verdict::TcpXmas));
        for illegal in [0x01, 0x05, 0x08, 0x20, 0x24] {
            assert_eq!(verdict(illegal), Some(Verdict::TcpFlags), "{illegal:#x}");
        }
    }
}
