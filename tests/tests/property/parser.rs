//! The parser is total, and agrees with an independent one (etherparse).

use std::ops::ControlFlow;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use netguard_common::{
    Verdict, decide,
    packet::{Address, Family, Fragment, Packet, Transport},
    parse::parse,
    view::SliceView,
};
use netguard_tests::{
    generate::{self, Extension, Net, Shape, any_frame, shape},
    world::World,
};
use proptest::{collection::vec, prelude::*};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_bytes_get_one_verdict_and_are_counted_once(frame in any_frame()) {
        one_verdict(&frame)?;
    }

    #[test]
    fn noise_gets_one_verdict(frame in vec(any::<u8>(), 0..300)) {
        one_verdict(&frame)?;
    }

    /// Where both parsers accept a frame they read the same from it.
    #[test]
    fn what_both_accept_they_read_alike(frame in any_frame()) {
        let (ControlFlow::Continue(ours), Ok(theirs)) =
            (parse(&SliceView(&frame)), SlicedPacket::from_ethernet(&frame))
        else {
            return Ok(());
        };
        let Some(net) = theirs.net.as_ref().filter(|net| followed(net)) else { return Ok(()) };
        if ours.fault().is_some() {
            return Ok(());
        }
        prop_assert_eq!(Some((ours.family(), ours.source, ours.destination)), addresses(net));
        prop_assert_eq!(ours.fragment() != Fragment::Whole, is_fragment(net));
        if let Some(transport) = &theirs.transport {
            prop_assert!(same_transport(&ours, transport), "{ours:?} against {transport:?}");
        }
    }

    /// A whole packet whose lengths we call false is refused by the other parser, too. But a length of 0 in
    /// UDP and IPv6 it takes for "to the end" (as in jumbograms), which no stack does here.
    #[test]
    fn what_we_refuse_is_refused_by_others(frame in any_frame()) {
        let Some(verdict) = fault(&frame) else { return Ok(()) };
        let lengths = [
            Verdict::Truncated,
            Verdict::IpVersion,
            Verdict::IpHeaderLength,
            Verdict::IpTotalLength,
            Verdict::TcpDataOffset,
            Verdict::UdpLength,
        ];
        if !lengths.contains(&verdict) {
            return Ok(());
        }
        let theirs = SlicedPacket::from_ethernet(&frame);
        let short = theirs
            .as_ref()
            .is_ok_and(|packet| packet.net.as_ref().is_some_and(|net| is_fragment(net) || !followed(net)));
        let to_the_end = theirs.as_ref().is_ok_and(|packet| {
            matches!(&packet.transport, Some(TransportSlice::Udp(udp)) if udp.length() == 0)
                || matches!(&packet.net, Some(NetSlice::Ipv6(ip)) if ip.header().payload_length() == 0)
        });
        prop_assert!(theirs.is_err() || short || to_the_end, "we say {verdict:?}, they accept {theirs:?}");
    }

    /// Frames whose lengths are right are never called false.
    #[test]
    fn right_lengths_are_not_refused(mut shape in shape()) {
        shape.pad = 0;
        match &mut shape.transport {
            generate::Transport::Udp { len, .. } => *len = None,
            // Noise where a header should be.
            generate::Transport::Other(protocol) => *protocol = 59,
            _ => {}
        }
        let frame = shape.build();
        prop_assume!(frame.len() < generate::MAX_LEN && !has_short_authentication(&shape));
        let verdict = fault(&frame);
        let lies = [Verdict::IpVersion, Verdict::IpHeaderLength, Verdict::IpTotalLength, Verdict::UdpLength];
        prop_assert!(verdict.is_none_or(|verdict| !lies.contains(&verdict)), "{verdict:?} for {shape:?}");
    }
}

fn one_verdict(frame: &[u8]) -> Result<(), TestCaseError> {
    let memory = World::populated().memory(1 << 40);
    let judgement = decide(&SliceView(frame), &memory);
    let counters = memory.counters.borrow();
    let counted: Vec<_> = (0..)
        .zip(counters.iter())
        .filter(|(_, counter)| counter.packets + counter.bytes > 0)
        .collect();
    let expected = netguard_common::layout::Counter {
        packets: 1,
        bytes: frame.len() as u64,
    };
    prop_assert_eq!(counted, vec![(judgement.counter(), &expected)]);
    Ok(())
}

/// What is wrong with the headers of `frame`.
fn fault(frame: &[u8]) -> Option<Verdict> {
    match parse(&SliceView(frame)) {
        ControlFlow::Continue(packet) => packet.fault(),
        ControlFlow::Break(verdict) => Some(verdict),
    }
}

fn addresses(net: &NetSlice<'_>) -> Option<(Family, Address, Address)> {
    match net {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            Some((
                Family::V4,
                Address::v4(header.source()),
                Address::v4(header.destination()),
            ))
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            Some((
                Family::V6,
                Address::v6(header.source()),
                Address::v6(header.destination()),
            ))
        }
        NetSlice::Arp(_) => None,
    }
}

fn is_fragment(net: &NetSlice<'_>) -> bool {
    match net {
        NetSlice::Ipv4(ip) => ip.payload().fragmented,
        NetSlice::Ipv6(ip) => ip.payload().fragmented,
        NetSlice::Arp(_) => false,
    }
}

/// Whether the other parser went as far as ours and no further: it stops at mobility, HIP and shim6 headers, and
/// follows authentication headers in IPv4.
fn followed(net: &NetSlice<'_>) -> bool {
    match net {
        NetSlice::Ipv6(ip) => ![135, 139, 140].contains(&ip.payload().ip_number.0),
        NetSlice::Ipv4(ip) => ip.extensions().auth.is_none(),
        NetSlice::Arp(_) => true,
    }
}

/// An authentication header is at least 8 bytes long (RFC 4302 section 2); the builder makes shorter ones, whose
/// length field cannot be right.
fn has_short_authentication(shape: &Shape) -> bool {
    match &shape.net {
        Net::V6 { extensions, .. } => extensions
            .iter()
            .any(|extension| matches!(extension, Extension::Plain(51, body) if body.len() < 6)),
        _ => false,
    }
}

fn same_transport(ours: &Packet, theirs: &TransportSlice<'_>) -> bool {
    match (ours.transport(), theirs) {
        (
            Transport::Tcp {
                source_port,
                destination_port,
                flags,
            },
            TransportSlice::Tcp(tcp),
        ) => {
            let bits = [
                tcp.fin(),
                tcp.syn(),
                tcp.rst(),
                tcp.psh(),
                tcp.ack(),
                tcp.urg(),
                tcp.ece(),
                tcp.cwr(),
            ];
            let theirs = (0..)
                .zip(bits)
                .fold(0, |flags, (bit, set)| flags | u8::from(set) << bit);
            (source_port, destination_port, flags.0) == (tcp.source_port(), tcp.destination_port(), theirs)
        }
        (
            Transport::Udp {
                source_port,
                destination_port,
            },
            TransportSlice::Udp(udp),
        ) => (source_port, destination_port) == (udp.source_port(), udp.destination_port()),
        (Transport::Icmp { kind, code }, TransportSlice::Icmpv4(icmp)) => {
            (kind, code) == (icmp.type_u8(), icmp.code_u8())
        }
        (Transport::Icmp6 { kind, code }, TransportSlice::Icmpv6(icmp)) => {
            (kind, code) == (icmp.type_u8(), icmp.code_u8())
        }
        // Ours does not look into IGMP.
        (Transport::Other, TransportSlice::Igmp(_)) => true,
        _ => false,
    }
}
