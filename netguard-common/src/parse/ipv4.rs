//! IPv4 header with options and fragment fields (RFC 791 section 3.1).

use core::ops::ControlFlow;

use network_types::ip::Ipv4Hdr;

use super::{MAX_IP_LEN, announced_len, transport};
use crate::{
    Packet, Verdict,
    packet::{Address, Family, Fragment, Transport},
    view::View,
};

const MIN_HEADER: u32 = Ipv4Hdr::LEN as u32;
const MAX_HEADER: u32 = 60;
/// As many as fit, each a single byte of padding.
const MAX_OPTIONS: u32 = MAX_HEADER - MIN_HEADER;
const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// The IPv4 packet that starts `at` bytes into the frame.
#[inline(always)]
pub(super) fn parse<V: View>(view: &V, at: u32, packet: &mut Packet) -> ControlFlow<Verdict> {
    let Some(header) = view.load::<Ipv4Hdr>(at) else {
        return ControlFlow::Break(Verdict::Truncated);
    };
    if header.vihl >> 4 != 4 {
        return ControlFlow::Break(Verdict::IpVersion);
    }
    packet.begin(
        view,
        Family::V4,
        Address::v4(header.src_addr),
        Address::v4(header.dst_addr),
    );
    packet.set_network_at(at);
    packet.hop_limit = header.ttl;
    packet.protocol = header.proto;
    let followed = follow(view, at, &header, packet);
    packet.settle(view, followed);
    ControlFlow::Continue(())
}

/// Follows the header to the transport header.
#[inline(always)]
fn follow<V: View>(
    view: &V,
    at: u32,
    header: &Ipv4Hdr,
    packet: &mut Packet,
) -> ControlFlow<Verdict, Transport> {
    let header_len = u32::from(header.vihl & 0x0f) * 4;
    if header_len < MIN_HEADER || header_len > view.len().saturating_sub(at) {
        return ControlFlow::Break(Verdict::IpHeaderLength);
    }
    let Some(total_len) = announced_len(view, at, header.tot_len).filter(|len| *len >= header_len) else {
        return ControlFlow::Break(Verdict::IpTotalLength);
    };
    if header_len > MIN_HEADER {
        options(view, at, header_len)?;
    }
    let fragment_field = u16::from_be_bytes(header.frags);
    let offset = u32::from(fragment_field & OFFSET_MASK) * 8;
    let payload_len = total_len - header_len;
    let fragment = match (offset, fragment_field & MORE_FRAGMENTS) {
        (0, 0) => Fragment::Whole,
        (0, _) => Fragment::First,
        _ => Fragment::Later,
    };
    packet.set_fragment(fragment);
    if !matches!(fragment, Fragment::Whole) {
        packet.fragment_id = u32::from(u16::from_ne_bytes(header.id));
        packet.set_piece(offset, payload_len, fragment_field & MORE_FRAGMENTS == 0);
    }
    if offset != 0 && offset + payload_len > MAX_IP_LEN - header_len {
        return ControlFlow::Break(Verdict::FragmentOverflow);
    }
    if fragment_field & MORE_FRAGMENTS != 0 && !payload_len.is_multiple_of(8) {
        return ControlFlow::Break(Verdict::FragmentLength);
    }
    packet.set_transport_at(at + header_len);
    transport::parse(view, at + header_len, payload_len, header.proto, fragment, offset)
}

/// Follows the options between the fixed header and `header_len` (RFC 791 section 3.1).
#[inline(always)]
fn options<V: View>(view: &V, at: u32, header_len: u32) -> ControlFlow<Verdict> {
    let mut next = MIN_HEADER;
    for _ in 0..MAX_OPTIONS {
        if next >= header_len {
            return ControlFlow::Continue(());
        }
        // With the byte before it: the kernel's verifier does not follow the bounds of a single one.
        let Some([_, kind]) = view.load::<[u8; 2]>(at + next - 1) else {
            return ControlFlow::Break(Verdict::Truncated);
        };
        let len = match kind {
            END_OF_OPTIONS => return ControlFlow::Continue(()),
            NO_OPERATION => 1,
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return ControlFlow::Break(Verdict::SourceRoute),
            _ => match view.load::<[u8; 2]>(at + next) {
                Some([_, len]) if len >= 2 => u32::from(len),
                _ => return ControlFlow::Break(Verdict::IpOptions),
            },
        };
        next = view.opaque(next + len);
        if next > header_len {
            return ControlFlow::Break(Verdict::IpOptions);
        }
        // For the verifier, which has just forgotten it.
        next = next.min(MAX_HEADER);
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::{shared::Field as _, view::SliceView};

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

    fn parsed(bytes: &[u8]) -> Packet {
        let mut packet = Packet::ZERO;
        assert!(parse(&SliceView(bytes), 0, &mut packet).is_continue());
        packet
    }

    fn verdict(bytes: &[u8]) -> Option<Verdict> {
        let mut packet = Packet::ZERO;
        let outcome = parse(&SliceView(bytes), 0, &mut packet);
        outcome.break_value().or(packet.fault())
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
        let fragment = |field| {
            let packet = parsed(&with(field));
            packet.fault().map_or(Ok(packet.fragment()), Err)
        };
        assert_eq!(fragment(0x4000), Ok(Fragment::Whole));
        assert_eq!(fragment(0x2000), Ok(Fragment::First));
        assert_eq!(fragment(0x0004), Ok(Fragment::Later));
        assert_eq!(fragment(0x1fff), Err(Verdict::FragmentOverflow));
        let mut odd = with(0x2000);
        odd.truncate(20 + 31);
        odd[2..4].copy_from_slice(&51u16.to_be_bytes());
        assert_eq!(verdict(&odd), Some(Verdict::FragmentLength));
        odd[6..8].copy_from_slice(&0x0004u16.to_be_bytes());
        assert_eq!(verdict(&odd), None);
    }

    #[test]
    fn options_are_followed() {
        let with = |options: &[u8]| {
            let mut bytes = packet(5 + options.len().div_ceil(4) as u8, 8);
            bytes[20..20 + options.len()].copy_from_slice(options);
            verdict(&bytes)
        };
        const ROUTER_ALERT: [u8; 4] = [148, 4, 0, 0];
        assert_eq!(with(&ROUTER_ALERT), None);
        assert_eq!(with(&[1; 40]), None);
        assert_eq!(with(&[&[1; 11][..], &[7, 5, 0, 0, 0]].concat()), None);
        assert_eq!(with(&[0, 131, 3, 4]), None);
        for kind in [131, 137] {
            assert_eq!(with(&[1, kind, 3, 4]), Some(Verdict::SourceRoute));
            assert_eq!(
                with(&[&ROUTER_ALERT[..], &[kind, 3, 4, 0]].concat()),
                Some(Verdict::SourceRoute)
            );
        }
        for broken in [[7, 0, 0, 0], [7, 1, 0, 0], [7, 5, 0, 0], [1, 1, 1, 7]] {
            assert_eq!(with(&broken), Some(Verdict::IpOptions), "{broken:?}");
        }
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let mut bytes = packet(5, 8);
        bytes[6..8].copy_from_slice(&1u16.to_be_bytes());
        bytes[9] = crate::packet::protocol::TCP;
        let parsed = parsed(&bytes);
        assert_eq!(parsed.transport(), Transport::Other);
        assert_eq!(parsed.protocol, crate::packet::protocol::TCP);
    }
}
