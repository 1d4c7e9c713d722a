//! IPv4 header with options and fragment fields (RFC 791 section 3.1).

use core::ops::ControlFlow;

use network_types::ip::Ipv4Hdr;

use super::{MAX_IP_LEN, transport};
use crate::{
    Packet, Verdict,
    packet::{Addresses, Fragment},
    view::View,
};

const MIN_HEADER: u32 = Ipv4Hdr::LEN as u32;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// The IPv4 packet that starts `at` bytes into the frame.
#[inline(always)]
pub(super) fn parse<V: View>(view: &V, at: u32) -> ControlFlow<Verdict, Packet> {
    let Some(header) = view.load::<Ipv4Hdr>(at) else {
        return ControlFlow::Break(Verdict::Truncated);
    };
    if header.vihl >> 4 != 4 {
        return ControlFlow::Break(Verdict::IpVersion);
    }
    let header_len = u32::from(header.vihl & 0x0f) * 4;
    let available = view.len().saturating_sub(at);
    if header_len < MIN_HEADER || header_len > available {
        return ControlFlow::Break(Verdict::IpHeaderLength);
    }
    let total_len = match u32::from(u16::from_be_bytes(header.tot_len)) {
        // Linux writes 0 when aggregation made the packet too long for the field ("BIG TCP").
        0 if available > MAX_IP_LEN => available,
        total_len => total_len,
    };
    if total_len < header_len || total_len > available {
        return ControlFlow::Break(Verdict::IpTotalLength);
    }
    let fragment_field = u16::from_be_bytes(header.frags);
    let offset = u32::from(fragment_field & OFFSET_MASK) * 8;
    let payload_len = total_len - header_len;
    if offset != 0 && offset + payload_len > MAX_IP_LEN - header_len {
        return ControlFlow::Break(Verdict::FragmentOverflow);
    }
    let fragment = match (offset, fragment_field & MORE_FRAGMENTS) {
        (0, 0) => Fragment::Whole,
        (0, _) => Fragment::First,
        _ => Fragment::Later,
    };
    let transport = transport::parse(view, at + header_len, payload_len, header.proto, fragment)?;
    ControlFlow::Continue(Packet {
        addresses: Addresses::V4 {
            source: header.src_addr,
            destination: header.dst_addr,
        },
        hop_limit: header.ttl,
        protocol: header.proto,
        fragment,
        transport,
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::{packet::Transport, view::SliceView};

    /// A header of `words` 32-bit words followed by `payload` bytes of an unknown protocol.
    fn packet(words: u8, payload: usize) -> Vec<u8> {
        let header_len = usize::from(words) * 4;
        let mut bytes = std::vec![0u8; header_len.max(20) + payload];
        bytes[0] = 0x40 | words;
        let total = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes[8] = 64;
        bytes[9] = 47;
        bytes
    }

    fn verdict(bytes: &[u8]) -> Option<Verdict> {
        parse(&SliceView(bytes), 0).break_value()
    }

    #[test]
    fn lengths() {
        assert_eq!(verdict(&packet(5, 0)), None);
        assert_eq!(verdict(&packet(15, 8)), None);
        assert_eq!(verdict(&packet(4, 8)), Some(Verdict::IpHeaderLength));
        assert_eq!(verdict(&packet(15, 8)[..40]), Some(Verdict::IpHeaderLength));
        assert_eq!(verdict(&packet(5, 8)[..27]), Some(Verdict::IpTotalLength));
        let mut zero = packet(5, 8);
        zero[2..4].copy_from_slice(&[0, 0]);
        assert_eq!(verdict(&zero), Some(Verdict::IpTotalLength));
        let mut version = packet(5, 0);
        version[0] = 0x65;
        assert_eq!(verdict(&version), Some(Verdict::IpVersion));
    }

    #[test]
    fn fragments() {
        let with = |field: u16| {
            let mut bytes = packet(5, 32);
            bytes[6..8].copy_from_slice(&field.to_be_bytes());
            bytes
        };
        let fragment = |field| match parse(&SliceView(&with(field)), 0) {
            ControlFlow::Continue(packet) => Ok(packet.fragment),
            ControlFlow::Break(verdict) => Err(verdict),
        };
        assert_eq!(fragment(0x4000), Ok(Fragment::Whole));
        assert_eq!(fragment(0x2000), Ok(Fragment::First));
        assert_eq!(fragment(0x0004), Ok(Fragment::Later));
        assert_eq!(fragment(0x1fff), Err(Verdict::FragmentOverflow));
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let mut bytes = packet(5, 8);
        bytes[6..8].copy_from_slice(&1u16.to_be_bytes());
        bytes[9] = crate::packet::protocol::TCP;
        let parsed = parse(&SliceView(&bytes), 0).continue_value().unwrap();
        assert_eq!(parsed.transport, Transport::Other);
        assert_eq!(parsed.protocol, crate::packet::protocol::TCP);
    }
}
