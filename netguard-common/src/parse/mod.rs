//! Parse stage: follows Ethernet, VLAN tags, IPv4 or IPv6 down to the transport header. It judges lengths
//! only: what cannot be followed is malformed, whether what was read can be real is the sanity stage's work.

mod ipv4;
mod ipv6;
mod transport;

use core::ops::ControlFlow;

use network_types::eth::{EthHdr, EtherType};

use crate::{Packet, Verdict, shared::Field as _, view::View};

/// VLAN tags that are followed: QinQ plus one. A deeper stack is not IP to us.
const VLAN_TAGS: u32 = 3;
const VLAN_TAG_LEN: u32 = 4;
/// Length of an Ethernet header.
pub const ETHERNET_LEN: u32 = EthHdr::LEN as u32;
/// Largest IP packet that fits a 16-bit length field; longer ones are made by segment aggregation only.
pub(crate) const MAX_IP_LEN: u32 = 65_535;

const IPV4: u16 = EtherType::Ipv4 as u16;
const IPV6: u16 = EtherType::Ipv6 as u16;
const ARP: u16 = EtherType::Arp as u16;
const VLAN: u16 = EtherType::Ieee8021q as u16;
const QINQ: u16 = EtherType::Ieee8021ad as u16;
/// The pre-standard QinQ tag, still sent by switches.
const QINQ_OLD: u16 = 0x9100u16.to_be();

/// The packet in the frame, or the verdict on a frame that holds none.
pub fn parse<V: View>(view: &V) -> ControlFlow<Verdict, Packet> {
    let mut packet = Packet::ZERO;
    parse_into(view, &mut packet)?;
    ControlFlow::Continue(packet)
}

/// [`parse`] into memory that the caller lends.
#[inline(always)]
pub fn parse_into<V: View>(view: &V, packet: &mut Packet) -> ControlFlow<Verdict> {
    let Some(ethernet) = view.load::<EthHdr>(0) else {
        return ControlFlow::Break(Verdict::Truncated);
    };
    let mut ether_type = { ethernet.ether_type };
    let mut at = ETHERNET_LEN;
    for _ in 0..VLAN_TAGS {
        if !matches!(ether_type, VLAN | QINQ | QINQ_OLD) {
            break;
        }
        let Some([_, _, high, low]) = view.load::<[u8; 4]>(at) else {
            return ControlFlow::Break(Verdict::Truncated);
        };
        ether_type = u16::from_ne_bytes([high, low]);
        at += VLAN_TAG_LEN;
    }
    if at != ETHERNET_LEN {
        at = view.opaque(at).min(ETHERNET_LEN + VLAN_TAGS * VLAN_TAG_LEN);
    }
    match ether_type {
        IPV4 => ipv4::parse(view, at, packet),
        IPV6 => ipv6::parse(view, at, packet),
        ARP => ControlFlow::Break(Verdict::PassArp),
        _ => ControlFlow::Break(Verdict::PassNonIp),
    }
}

/// The length, from `at` bytes into the frame on, that a big-endian field of an IP header announces; `None` if the frame is
/// shorter. Linux writes 0 when aggregation made the packet too long for the field ("BIG TCP"): then all that there is belongs
/// to it.
#[inline(always)]
fn announced_len<V: View>(view: &V, at: u32, field: [u8; 2]) -> Option<u32> {
    let announced = u32::from(u16::from_be_bytes(field));
    let mut available = view.len().saturating_sub(at);
    if announced == 0 || announced > available {
        available = view.measure().saturating_sub(at);
    }
    match announced {
        0 if available > MAX_IP_LEN => Some(available),
        len => (len <= available).then_some(len),
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::view::SliceView;

    fn frame(ether_types: &[[u8; 2]], rest: &[u8]) -> Vec<u8> {
        let mut frame = std::vec![0u8; 12];
        for (index, ether_type) in ether_types.iter().enumerate() {
            if index > 0 {
                frame.extend([0, 7]);
            }
            frame.extend(ether_type);
        }
        frame.extend(rest);
        frame
    }

    fn verdict(frame: &[u8]) -> Option<Verdict> {
        parse(&SliceView(frame)).break_value()
    }

    #[test]
    fn ethernet_types() {
        assert_eq!(verdict(&[0; 13]), Some(Verdict::Truncated));
        assert_eq!(verdict(&frame(&[[0x08, 0x06]], &[])), Some(Verdict::PassArp));
        assert_eq!(verdict(&frame(&[[0x88, 0xcc]], &[])), Some(Verdict::PassNonIp));
        assert_eq!(
            verdict(&frame(&[[0x08, 0x00]], &[0x45])),
            Some(Verdict::Truncated)
        );
    }

    #[test]
    fn vlan_tags_are_followed_three_deep() {
        let tags = [[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00]];
        assert_eq!(
            verdict(&frame(&[tags[0], [0x08, 0x06]], &[])),
            Some(Verdict::PassArp)
        );
        assert_eq!(
            verdict(&frame(&[tags[1], tags[0], [0x08, 0x06]], &[])),
            Some(Verdict::PassArp)
        );
        assert_eq!(
            verdict(&frame(&[tags[2], tags[1], tags[0], [0x08, 0x06]], &[])),
            Some(Verdict::PassArp)
        );
        assert_eq!(
            verdict(&frame(&[tags[0], tags[0], tags[0], tags[0], [0x08, 0x06]], &[])),
            Some(Verdict::PassNonIp)
        );
        assert_eq!(verdict(&frame(&tags, &[])), Some(Verdict::Truncated));
    }
}
