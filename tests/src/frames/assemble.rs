//! Puts the layers of a test frame together: order, checksums, edits, padding; header fields are in `layer`.

use super::layer::{Layer, low16};
use super::{At, Frame};

/// Layers become bytes from the innermost outwards, so that each knows its content; then edits, padding and
/// the cut.
pub(super) fn assemble(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut net_from_end, mut transport_from_end) = (None, None);
    for (index, layer) in frame.layers.iter().enumerate().rev() {
        let inner = frame.layers.get(index + 1);
        let mut header = match layer {
            Layer::Tag { id, .. } => [id.to_be_bytes(), ethertype_of(frame, inner).to_be_bytes()].concat(),
            Layer::Arp(body) | Layer::Data(body) => body.clone(),
            Layer::Ipv4(ip) => with_checksum(ip.header(inner, bytes.len()), 10, &[], &[]),
            Layer::Ipv6(ip) => ip.header(inner, bytes.len()),
            Layer::Ext(ext) => ext.header(inner),
            Layer::Tcp(tcp) => with_checksum(tcp.header(), 16, &bytes, &pseudo_header(frame, index, 6)),
            Layer::Udp(udp) => with_checksum(
                udp.header(bytes.len()),
                6,
                &bytes,
                &pseudo_header(frame, index, 17),
            ),
            Layer::Icmp(icmp) => {
                let pseudo = if icmp.protocol == 58 {
                    pseudo_header(frame, index, 58)
                } else {
                    Vec::new()
                };
                with_checksum(icmp.header(), 2, &bytes, &pseudo)
            }
        };
        header.append(&mut bytes);
        bytes = header;
        match layer {
            Layer::Arp(_) | Layer::Ipv4(_) | Layer::Ipv6(_) => net_from_end = Some(bytes.len()),
            Layer::Tcp(_) | Layer::Udp(_) | Layer::Icmp(_) => transport_from_end = Some(bytes.len()),
            _ => {}
        }
    }
    let ethertype = ethertype_of(frame, frame.layers.first());
    let mut frame_bytes = [
        &frame.dst_mac[..],
        &frame.src_mac,
        &ethertype.to_be_bytes(),
        &bytes,
    ]
    .concat();
    let len = frame_bytes.len();
    for (at, new) in &frame.edits {
        let start = match at {
            At::Frame(offset) => *offset,
            At::Net(offset) => len - from_end(net_from_end, at) + offset,
            At::Transport(offset) => len - from_end(transport_from_end, at) + offset,
        };
        frame_bytes[start..start + new.len()].copy_from_slice(new);
    }
    frame_bytes.resize(len.max(frame.pad), 0);
    frame_bytes.truncate(frame.truncate.unwrap_or(usize::MAX));
    frame_bytes
}

fn from_end(place: Option<usize>, at: &At) -> usize {
    place.unwrap_or_else(|| panic!("{at:?} cannot be changed: this frame has no such layer"))
}

fn ethertype_of(frame: &Frame, inner: Option<&Layer>) -> u16 {
    match inner {
        Some(Layer::Tag { tpid, .. }) => *tpid,
        _ if frame.ethertype.is_some() => frame.ethertype.unwrap_or_default(),
        Some(Layer::Ipv4(_)) => 0x0800,
        Some(Layer::Ipv6(_)) => 0x86dd,
        Some(Layer::Arp(_)) => 0x0806,
        _ => 0x88b5, // local experimental (IEEE 802)
    }
}

/// What the checksum of a transport covers beside itself (RFC 9293 section 3.1, RFC 8200 section 8.1); its
/// length field is added by `with_checksum`, which knows it.
fn pseudo_header(frame: &Frame, index: usize, protocol: u8) -> Vec<u8> {
    let addresses = frame.layers[..index].iter().rev().find_map(|layer| match layer {
        Layer::Ipv4(ip) => Some([ip.src, ip.dst].concat()),
        Layer::Ipv6(ip) => Some([ip.src, ip.dst].concat()),
        _ => None,
    });
    [addresses.unwrap_or_default(), vec![0, protocol]].concat()
}

/// Puts the Internet checksum (RFC 1071) over pseudo header, header and content at `place`.
fn with_checksum(mut header: Vec<u8>, place: usize, content: &[u8], pseudo: &[u8]) -> Vec<u8> {
    let len = if pseudo.is_empty() {
        0
    } else {
        header.len() + content.len()
    };
    let mut sum = u64::from(low16(len));
    for part in [pseudo, &header, content] {
        sum += part
            .chunks(2)
            .map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)))
            .sum::<u64>();
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = match !low16(usize::try_from(sum).unwrap_or_default()) {
        0 if place == 6 => 0xffff, // in UDP zero means "none" (RFC 768)
        checksum => checksum,
    };
    header[place..place + 2].copy_from_slice(&checksum.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use crate::frames::{At, frame};
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    /// An independent parser reads back what was asked for, checksums included.
    #[test]
    fn agrees_with_an_independent_parser() {
        for base in [
            frame().ipv4("192.0.2.1", "198.51.100.1"),
            frame()
                .vlan(10)
                .ipv4("192.0.2.1", "198.51.100.1")
                .ip_options(&[1, 1, 1]),
            frame()
                .qinq(5, 7)
                .ipv6("2001:db8::1", "2001:db8::2")
                .hop_by_hop()
                .dest_options(),
        ] {
            for whole in [
                base.clone()
                    .tcp(1234, 80)
                    .flags("SA")
                    .tcp_options(&[2, 4, 5, 180])
                    .payload(9),
                base.clone().udp(5353, 53).payload(11),
            ] {
                let bytes = whole.build();
                let packet = SlicedPacket::from_ethernet(&bytes).unwrap();
                let net = packet.net.unwrap();
                let transport = packet.transport.unwrap();
                match (&net, transport) {
                    (NetSlice::Ipv4(ip), TransportSlice::Tcp(tcp)) => {
                        let header = tcp.to_header();
                        assert_eq!(
                            ip.header().to_header().header_checksum,
                            ip.header().to_header().calc_header_checksum()
                        );
                        assert_eq!(
                            header.checksum,
                            header
                                .calc_checksum_ipv4(&ip.header().to_header(), tcp.payload())
                                .unwrap()
                        );
                        assert!(header.syn && header.ack && !header.fin && tcp.payload().len() == 9);
                    }
                    (NetSlice::Ipv6(ip), TransportSlice::Tcp(tcp)) => {
                        let header = tcp.to_header();
                        assert_eq!(
                            header.checksum,
                            header
                                .calc_checksum_ipv6(&ip.header().to_header(), tcp.payload())
                                .unwrap()
                        );
                    }
                    (NetSlice::Ipv4(ip), TransportSlice::Udp(udp)) => {
                        let header = udp.to_header();
                        assert_eq!(
                            header.checksum,
                            header
                                .calc_checksum_ipv4(&ip.header().to_header(), udp.payload())
                                .unwrap()
                        );
                        assert_eq!(
                            (header.source_port, header.destination_port, header.length),
                            (5353, 53, 19)
                        );
                    }
                    (NetSlice::Ipv6(ip), TransportSlice::Udp(udp)) => {
                        let header = udp.to_header();
                        assert_eq!(
                            header.checksum,
                            header
                                .calc_checksum_ipv6(&ip.header().to_header(), udp.payload())
                                .unwrap()
                        );
                    }
                    other => panic!("unexpected layers: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn fragments_are_fragments() {
        let bytes = frame()
            .ipv6("2001:db8::1", "2001:db8::2")
            .fragment(1448, true)
            .protocol(17)
            .payload(64)
            .build();
        let packet = SlicedPacket::from_ethernet(&bytes).unwrap();
        assert!(packet.is_ip_payload_fragmented() && packet.transport.is_none());
        let bytes = frame()
            .ipv4("192.0.2.1", "198.51.100.1")
            .fragment(0, true)
            .udp(1, 2)
            .payload(8)
            .build();
        assert!(
            SlicedPacket::from_ethernet(&bytes)
                .unwrap()
                .is_ip_payload_fragmented()
        );
    }

    #[test]
    fn edits_come_last_and_count_from_their_layer() {
        let bytes = frame()
            .vlan(3)
            .ipv4("192.0.2.1", "198.51.100.1")
            .tcp(1, 2)
            .set8(At::Net(8), 0)
            .set16(At::Transport(2), 443)
            .build();
        assert_eq!((bytes[18 + 8], &bytes[38 + 2..38 + 4]), (0, &[1, 187][..]));
        assert_eq!(frame().arp().pad(60).build().len(), 60);
        assert_eq!(frame().arp().set16(12, 0x0800).truncate(14).build()[12..], [8, 0]);
        let nested = frame()
            .ipv4("192.0.2.1", "198.51.100.1")
            .ipv6("::1", "::2")
            .icmp6(135, 0)
            .ttl(255)
            .build();
        assert_eq!((nested[14 + 9], nested[34 + 7], nested[34 + 6]), (41, 255, 58));
    }
}
