//! IPv6 header and a bounded walk along its extension headers (RFC 8200 sections 3 and 4).

use core::ops::ControlFlow;

use network_types::ip::Ipv6Hdr;

use super::{MAX_IP_LEN, announced_len, transport};
use crate::{
    Packet, Verdict,
    packet::{Address, Family, Fragment, Transport},
    view::View,
};

const HEADER: u32 = Ipv6Hdr::LEN as u32;
/// Extension headers that are followed. Real traffic has at most four.
const MAX_EXTENSIONS: u32 = 8;
/// Where the transport header must begin at the latest, counted from the end of the IPv6 header; keeps
/// offsets small enough for the verifier and for one page.
const MAX_CHAIN_LEN: u32 = 1024;

/// Offset and more-flag in the second 16-bit word of a fragment header.
const OFFSET_MASK: u32 = 0xfff8;
const MORE_FRAGMENTS: u32 = 1;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
/// RFC 5095 withdrew it.
const ROUTING_TYPE_0: u8 = 0;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// The IPv6 packet that starts `at` bytes into the frame.
#[inline(always)]
pub(super) fn parse<V: View>(view: &V, at: u32, packet: &mut Packet) -> ControlFlow<Verdict> {
    let Some(header) = view.load::<Ipv6Hdr>(at) else {
        return ControlFlow::Break(Verdict::Truncated);
    };
    if header.vcf[0] >> 4 != 6 {
        return ControlFlow::Break(Verdict::IpVersion);
    }
    packet.begin(
        view,
        Family::V6,
        Address::v6(header.src_addr),
        Address::v6(header.dst_addr),
    );
    packet.set_network_at(at);
    packet.hop_limit = header.hop_limit;
    packet.protocol = header.next_hdr;
    let followed = follow(view, at + HEADER, &header, packet);
    packet.settle(view, followed);
    ControlFlow::Continue(())
}

/// Follows the extension headers, the first of them at `at`, to the transport header.
#[inline(always)]
fn follow<V: View>(
    view: &V,
    at: u32,
    header: &Ipv6Hdr,
    packet: &mut Packet,
) -> ControlFlow<Verdict, Transport> {
    let Some(payload_len) = announced_len(view, at, header.payload_len) else {
        return ControlFlow::Break(Verdict::IpTotalLength);
    };
    let mut chain = Chain {
        len: 0,
        protocol: header.next_hdr,
        fragment_field: 0,
        fragment_at: 0,
        seen: 0,
    };
    if is_extension(header.next_hdr) {
        walk(view, at, payload_len, &mut chain)?;
        chain.len = view.opaque(chain.len).min(MAX_CHAIN_LEN).min(payload_len);
        chain.protocol = view.opaque(u32::from(chain.protocol)) as u8;
        chain.fragment_field = view.opaque(chain.fragment_field);
        chain.fragment_at = view.opaque(chain.fragment_at).min(MAX_CHAIN_LEN).min(payload_len);
        chain.seen = view.opaque(chain.seen);
    }
    let fragment = chain.fragment();
    packet.set_fragment(fragment);
    if !matches!(fragment, Fragment::Whole) {
        note_piece(view, at, payload_len, &chain, packet)?;
    }
    packet.protocol = chain.protocol;
    packet.set_transport_at(at + chain.len);
    transport::parse(
        view,
        at + chain.len,
        payload_len - chain.len,
        chain.protocol,
        fragment,
        chain.fragment_field & OFFSET_MASK,
    )
}

/// Tells `packet` its number and the part of it that follows the fragment header.
#[inline(always)]
fn note_piece<V: View>(
    view: &V,
    at: u32,
    payload_len: u32,
    chain: &Chain,
    packet: &mut Packet,
) -> ControlFlow<Verdict> {
    let Some(id) = view.load::<[u8; 4]>(at + chain.fragment_at + 4) else {
        return ControlFlow::Break(Verdict::Truncated);
    };
    packet.fragment_id = u32::from_ne_bytes(id);
    let len = payload_len.saturating_sub(chain.fragment_at + 8);
    packet.set_piece(
        chain.fragment_field & OFFSET_MASK,
        len,
        chain.fragment_field & MORE_FRAGMENTS == 0,
    );
    ControlFlow::Continue(())
}

/// What the extension headers led to. `len` is at most [`MAX_CHAIN_LEN`] and at most the payload length.
struct Chain {
    len: u32,
    protocol: u8,
    /// Offset and more-flag of the fragment headers, ored: a second one never makes a fragment whole again.
    fragment_field: u32,
    /// Where the fragment header lies behind the IPv6 header, if there is one.
    fragment_at: u32,
    /// Extension headers met so far, a bit for each kind.
    seen: u32,
}

impl Chain {
    /// Notes the header that comes now: hop-by-hop options stand first, every other at most once, destination options also
    /// before a routing header (RFC 8200 section 4.1).
    #[inline(always)]
    fn meet(&mut self) -> ControlFlow<Verdict> {
        const DESTINATION_SEEN: u32 = 1 << 4;
        const DESTINATION_AGAIN: u32 = 1 << 5;
        let bit = match self.protocol {
            HOP_BY_HOP if self.seen != 0 => return ControlFlow::Break(Verdict::ExtensionOrder),
            HOP_BY_HOP => 1,
            ROUTING => 1 << 1,
            FRAGMENT => 1 << 2,
            AUTHENTICATION => 1 << 3,
            DESTINATION if self.seen & DESTINATION_SEEN != 0 => DESTINATION_AGAIN,
            DESTINATION => DESTINATION_SEEN,
            MOBILITY => 1 << 6,
            HIP => 1 << 7,
            _ => 1 << 8,
        };
        if self.seen & bit != 0 {
            return ControlFlow::Break(Verdict::ExtensionOrder);
        }
        self.seen |= bit;
        ControlFlow::Continue(())
    }

    #[inline(always)]
    fn fragment(&self) -> Fragment {
        match (
            self.fragment_field & OFFSET_MASK,
            self.fragment_field & MORE_FRAGMENTS,
        ) {
            // An atomic fragment (RFC 6946) is a whole packet.
            (0, 0) => Fragment::Whole,
            (0, _) => Fragment::First,
            _ => Fragment::Later,
        }
    }
}

/// Follows extension headers from `at` on until `chain` holds the transport protocol.
#[inline(always)]
fn walk<V: View>(view: &V, at: u32, payload_len: u32, chain: &mut Chain) -> ControlFlow<Verdict> {
    for _ in 0..MAX_EXTENSIONS {
        let Some([next, len, high, low]) = view.load::<[u8; 4]>(at + chain.len) else {
            return ControlFlow::Break(Verdict::Truncated);
        };
        chain.meet()?;
        chain.seen = view.opaque(chain.seen);
        // `high` is the type of a routing header, `low` how many hops are left.
        if chain.protocol == ROUTING && high == ROUTING_TYPE_0 && low != 0 {
            return ControlFlow::Break(Verdict::RoutingHeader);
        }
        let extension_len = match chain.protocol {
            FRAGMENT => 8,
            AUTHENTICATION => (u32::from(len) + 2) * 4,
            _ => (u32::from(len) + 1) * 8,
        };
        if chain.protocol == FRAGMENT {
            let field = u32::from(u16::from_be_bytes([high, low]));
            check_fragment(field, payload_len - chain.len)?;
            chain.fragment_field |= field;
            chain.fragment_at = chain.len;
        }
        chain.fragment_field = view.opaque(chain.fragment_field);
        chain.fragment_at = view.opaque(chain.fragment_at);
        chain.len = view.opaque(chain.len + extension_len);
        chain.protocol = next;
        if chain.len > payload_len {
            return ControlFlow::Break(Verdict::Truncated);
        }
        if chain.len > MAX_CHAIN_LEN {
            return ControlFlow::Break(Verdict::Ipv6Chain);
        }
        if !is_extension(next) || matches!(chain.fragment(), Fragment::Later) {
            return ControlFlow::Continue(());
        }
        chain.protocol = view.opaque(u32::from(next)) as u8;
    }
    ControlFlow::Break(Verdict::Ipv6Chain)
}

/// Refuses a fragment that ends beyond the largest packet, or where the next cannot begin (RFC 8200 section 4.5);
/// `remaining` is the payload from its header on.
#[inline(always)]
fn check_fragment(field: u32, remaining: u32) -> ControlFlow<Verdict> {
    let offset = field & OFFSET_MASK;
    let len = remaining.saturating_sub(8);
    if offset != 0 && offset + len > MAX_IP_LEN {
        return ControlFlow::Break(Verdict::FragmentOverflow);
    }
    if field & MORE_FRAGMENTS != 0 && !len.is_multiple_of(8) {
        return ControlFlow::Break(Verdict::FragmentLength);
    }
    ControlFlow::Continue(())
}

#[inline(always)]
const fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION | MOBILITY | HIP | SHIM6
    )
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    use crate::{shared::Field as _, view::SliceView};

    fn packet(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = std::vec![0u8; 40];
        bytes[0] = 0x60;
        bytes[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
        bytes[6] = first;
        bytes[7] = 64;
        bytes.extend(payload);
        bytes
    }

    fn parsed(bytes: &[u8]) -> Packet {
        let mut packet = Packet::ZERO;
        assert!(parse(&SliceView(bytes), 0, &mut packet).is_continue());
        packet
    }

    fn outcome(first: u8, payload: &[u8]) -> Result<(u8, Fragment), Verdict> {
        let packet = parsed(&packet(first, payload));
        packet
            .fault()
            .map_or(Ok((packet.protocol, packet.fragment())), Err)
    }

    #[test]
    fn extension_headers_are_followed() {
        assert_eq!(outcome(59, &[]), Ok((59, Fragment::Whole)));
        let hop_then_none = [[59, 0, 0, 0], [0; 4]].concat();
        assert_eq!(outcome(HOP_BY_HOP, &hop_then_none), Ok((59, Fragment::Whole)));
        let mobility = [[59, 1, 0, 0], [0; 4], [0; 4], [0; 4]].concat();
        assert_eq!(outcome(MOBILITY, &mobility), Ok((59, Fragment::Whole)));
        let authentication = [[59, 1, 0, 0], [0; 4], [0; 4]].concat();
        assert_eq!(
            outcome(AUTHENTICATION, &authentication),
            Ok((59, Fragment::Whole))
        );
    }

    #[test]
    fn chains_are_bounded() {
        let chain = |headers: usize| {
            let mut bytes: Vec<u8> = (0..headers)
                .flat_map(|_| [DESTINATION, 0, 0, 0, 0, 0, 0, 0])
                .collect();
            let last = bytes.len() - 8;
            bytes[last] = 59;
            bytes
        };
        assert_eq!(outcome(DESTINATION, &chain(2)), Ok((59, Fragment::Whole)));
        assert_eq!(outcome(DESTINATION, &chain(3)), Err(Verdict::ExtensionOrder));
        let all = [
            [DESTINATION, 0, 0, 0],
            [ROUTING, 0, 0, 0],
            [FRAGMENT, 0, 4, 0],
            [AUTHENTICATION, 0, 0, 0],
            [DESTINATION, 0, 0, 0],
            [MOBILITY, 0, 0, 0],
            [HIP, 0, 0, 0],
            [SHIM6, 0, 0, 0],
            [59, 0, 0, 0],
        ];
        let all = |headers: usize| {
            let mut bytes: Vec<u8> = Vec::new();
            for header in &all[..headers] {
                bytes.extend(header);
                bytes.extend([0; 4]);
            }
            let last = bytes.len() - 8;
            bytes[last] = 59;
            bytes
        };
        assert_eq!(outcome(HOP_BY_HOP, &all(8)), Ok((59, Fragment::Whole)));
        assert_eq!(outcome(HOP_BY_HOP, &all(9)), Err(Verdict::Ipv6Chain));
        let mut long = std::vec![0u8; 2048];
        long[..2].copy_from_slice(&[59, 255]);
        assert_eq!(outcome(DESTINATION, &long), Err(Verdict::Ipv6Chain));
    }

    #[test]
    fn an_extension_beyond_the_payload_is_truncated() {
        assert_eq!(outcome(HOP_BY_HOP, &[59, 0]), Err(Verdict::Truncated));
        assert_eq!(
            outcome(HOP_BY_HOP, &[59, 1, 0, 0, 0, 0, 0, 0]),
            Err(Verdict::Truncated)
        );
    }

    #[test]
    fn fragments() {
        let with = |field: u16| [[59, 0].as_slice(), &field.to_be_bytes(), &[0; 4 + 16]].concat();
        assert_eq!(outcome(FRAGMENT, &with(0)), Ok((59, Fragment::Whole)));
        assert_eq!(outcome(FRAGMENT, &with(1)), Ok((59, Fragment::First)));
        assert_eq!(outcome(FRAGMENT, &with(0x0010)), Ok((59, Fragment::Later)));
        assert_eq!(outcome(FRAGMENT, &with(0xfff8)), Err(Verdict::FragmentOverflow));
    }

    /// Found by the property rung: the first of two fragment headers was forgotten.
    #[test]
    fn repeated_headers_are_refused() {
        for kind in [FRAGMENT, ROUTING, AUTHENTICATION, MOBILITY] {
            // A routing header of another type than 0; for a fragment these bytes are an offset.
            let third = if kind == FRAGMENT { 0 } else { 4 };
            let headers = [[kind, 0, third, 0, 0, 0, 0, 0], [59, 0, third, 0, 0, 0, 0, 0]].concat();
            assert_eq!(outcome(kind, &headers), Err(Verdict::ExtensionOrder), "{kind}");
        }
        let late = [[HOP_BY_HOP, 0, 0, 0, 0, 0, 0, 0], [59, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(outcome(DESTINATION, &late), Err(Verdict::ExtensionOrder));
        assert_eq!(outcome(HOP_BY_HOP, &late), Err(Verdict::ExtensionOrder));
    }

    #[test]
    fn only_routing_type_0_is_refused() {
        let routing = |kind, left| outcome(ROUTING, &[59, 0, kind, left, 0, 0, 0, 0]);
        assert_eq!(routing(0, 1), Err(Verdict::RoutingHeader));
        for (kind, left) in [(0, 0), (2, 1), (3, 1), (4, 1)] {
            assert_eq!(routing(kind, left), Ok((59, Fragment::Whole)), "{kind}");
        }
    }

    #[test]
    fn a_payload_length_beyond_the_frame_is_refused() {
        let mut bytes = packet(59, &[0; 8]);
        bytes[5] = 9;
        assert_eq!(parsed(&bytes).fault(), Some(Verdict::IpTotalLength));
    }
}
