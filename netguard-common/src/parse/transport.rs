//! TCP, UDP, ICMP and ICMPv6 headers. Checksums are never verified: offload makes them wrong on good frames.

use core::ops::ControlFlow;

use network_types::udp::UdpHdr;

use crate::{
    Verdict,
    packet::{Fragment, TcpFlags, Transport, protocol},
    view::View,
};

const TCP_MIN: u32 = 20;
const UDP_LEN: u32 = UdpHdr::LEN as u32;
const ICMP_MIN: u32 = 8;
const ICMPV6_MIN: u32 = 4;

/// The transport header `at` bytes into the frame, in an IP payload of `len` bytes which begins `offset` bytes into its
/// packet.
#[inline(always)]
pub(super) fn parse<V: View>(
    view: &V,
    at: u32,
    len: u32,
    protocol: u8,
    fragment: Fragment,
    offset: u32,
) -> ControlFlow<Verdict, Transport> {
    if matches!(fragment, Fragment::Later) {
        // A piece of the header, or over the one that was judged with the first fragment (RFC 1858, RFC 3128).
        if protocol == protocol::TCP && offset < TCP_MIN {
            return ControlFlow::Break(Verdict::TinyFragment);
        }
        return ControlFlow::Continue(Transport::Other);
    }
    let followed = match protocol {
        protocol::TCP => tcp(view, at, len, fragment),
        protocol::UDP => udp(view, at, len, fragment),
        protocol::ICMP => icmp(view, at, len, ICMP_MIN, |kind, code| Transport::Icmp {
            kind,
            code,
        }),
        protocol::ICMPV6 => icmp(view, at, len, ICMPV6_MIN, |kind, code| Transport::Icmp6 {
            kind,
            code,
        }),
        _ => ControlFlow::Continue(Transport::Other),
    };
    match (followed, fragment) {
        // The rest of the header comes with the next one.
        (ControlFlow::Break(Verdict::Truncated), Fragment::First) => {
            ControlFlow::Break(Verdict::TinyFragment)
        }
        (followed, _) => followed,
    }
}

/// RFC 9293 section 3.1.
#[inline(always)]
fn tcp<V: View>(view: &V, at: u32, len: u32, fragment: Fragment) -> ControlFlow<Verdict, Transport> {
    if len < TCP_MIN {
        return ControlFlow::Break(Verdict::Truncated);
    }
    // The first 14 bytes: ports, sequence numbers, data offset, flags.
    let Some(header) = view.load::<[u8; 14]>(at) else {
        return ControlFlow::Break(Verdict::Truncated);
    };
    let header_len = u32::from(header[12] >> 4) * 4;
    if header_len < TCP_MIN {
        return ControlFlow::Break(Verdict::TcpDataOffset);
    }
    if header_len > len {
        return ControlFlow::Break(match fragment {
            Fragment::First => Verdict::TinyFragment,
            _ => Verdict::TcpDataOffset,
        });
    }
    ControlFlow::Continue(Transport::Tcp {
        source_port: u16::from_be_bytes([header[0], header[1]]),
        destination_port: u16::from_be_bytes([header[2], header[3]]),
        flags: TcpFlags(header[13]),
    })
}

/// RFC 768. The length of a fragmented datagram covers fragments that are not here.
#[inline(always)]
fn udp<V: View>(view: &V, at: u32, len: u32, fragment: Fragment) -> ControlFlow<Verdict, Transport> {
    if len < UDP_LEN {
        return ControlFlow::Break(Verdict::Truncated);
    }
    let Some(header) = view.load::<UdpHdr>(at) else {
        return ControlFlow::Break(Verdict::Truncated);
    };
    let udp_len = u32::from(u16::from_be_bytes(header.len));
    if udp_len < UDP_LEN || (matches!(fragment, Fragment::Whole) && udp_len > len) {
        return ControlFlow::Break(Verdict::UdpLength);
    }
    ControlFlow::Continue(Transport::Udp {
        source_port: u16::from_be_bytes(header.src),
        destination_port: u16::from_be_bytes(header.dst),
    })
}

/// RFC 792 and RFC 4443 section 2.1.
#[inline(always)]
fn icmp<V: View>(
    view: &V,
    at: u32,
    len: u32,
    min: u32,
    transport: impl Fn(u8, u8) -> Transport,
) -> ControlFlow<Verdict, Transport> {
    match view.load::<[u8; 2]>(at) {
        Some([kind, code]) if len >= min => ControlFlow::Continue(transport(kind, code)),
        _ => ControlFlow::Break(Verdict::Truncated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::SliceView;

    fn outcome(protocol: u8, bytes: &[u8]) -> Result<Transport, Verdict> {
        match parse(
            &SliceView(bytes),
            0,
            bytes.len() as u32,
            protocol,
            Fragment::Whole,
            0,
        ) {
            ControlFlow::Continue(transport) => Ok(transport),
            ControlFlow::Break(verdict) => Err(verdict),
        }
    }

    #[test]
    fn tcp_lengths() {
        let mut segment = [0u8; 24];
        segment[..4].copy_from_slice(&[0x04, 0xd2, 0x00, 0x50]);
        segment[12] = 0x60;
        segment[13] = TcpFlags::SYN;
        let expected = Transport::Tcp {
            source_port: 1234,
            destination_port: 80,
            flags: TcpFlags(TcpFlags::SYN),
        };
        assert_eq!(outcome(protocol::TCP, &segment), Ok(expected));
        assert_eq!(outcome(protocol::TCP, &segment[..19]), Err(Verdict::Truncated));
        assert_eq!(
            outcome(protocol::TCP, &segment[..20]),
            Err(Verdict::TcpDataOffset)
        );
        segment[12] = 0x40;
        assert_eq!(outcome(protocol::TCP, &segment), Err(Verdict::TcpDataOffset));
    }

    #[test]
    fn udp_lengths() {
        let datagram = |len: u8| [0, 53, 0, 54, 0, len, 0, 0, 1, 2];
        let expected = Transport::Udp {
            source_port: 53,
            destination_port: 54,
        };
        assert_eq!(outcome(protocol::UDP, &datagram(8)), Ok(expected));
        assert_eq!(outcome(protocol::UDP, &datagram(10)), Ok(expected));
        assert_eq!(outcome(protocol::UDP, &datagram(7)), Err(Verdict::UdpLength));
        assert_eq!(outcome(protocol::UDP, &datagram(11)), Err(Verdict::UdpLength));
        assert_eq!(outcome(protocol::UDP, &datagram(8)[..7]), Err(Verdict::Truncated));
        let first = parse(
            &SliceView(&datagram(200)),
            0,
            10,
            protocol::UDP,
            Fragment::First,
            0,
        );
        assert_eq!(first, ControlFlow::Continue(expected));
    }

    #[test]
    fn fragments_do_not_split_headers() {
        let mut segment = [0u8; 24];
        segment[12] = 0x60;
        let fragment = |len: u32, fragment, offset, protocol| {
            parse(&SliceView(&segment), 0, len, protocol, fragment, offset).break_value()
        };
        for len in [8, 16, 20] {
            assert_eq!(
                fragment(len, Fragment::First, 0, protocol::TCP),
                Some(Verdict::TinyFragment)
            );
        }
        assert_eq!(fragment(24, Fragment::First, 0, protocol::TCP), None);
        assert_eq!(
            fragment(4, Fragment::First, 0, protocol::UDP),
            Some(Verdict::TinyFragment)
        );
        for offset in [8, 16] {
            assert_eq!(
                fragment(24, Fragment::Later, offset, protocol::TCP),
                Some(Verdict::TinyFragment)
            );
        }
        assert_eq!(fragment(24, Fragment::Later, 24, protocol::TCP), None);
        assert_eq!(fragment(24, Fragment::Later, 8, protocol::UDP), None);
    }

    #[test]
    fn icmp_lengths() {
        let echo = [8, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            outcome(protocol::ICMP, &echo),
            Ok(Transport::Icmp { kind: 8, code: 0 })
        );
        assert_eq!(outcome(protocol::ICMP, &echo[..7]), Err(Verdict::Truncated));
        assert_eq!(
            outcome(protocol::ICMPV6, &echo[..4]),
            Ok(Transport::Icmp6 { kind: 8, code: 0 })
        );
        assert_eq!(outcome(protocol::ICMPV6, &echo[..3]), Err(Verdict::Truncated));
    }
}
