//! PPP, Frame Relay and LLC: what says by a number of its own which protocol follows.

use super::{IPV4, IPV6, Skip, word};

/// NLPID (ISO/IEC TR 9577): IP, IPv6, and SNAP.
const NLPID: [(u8, u16); 2] = [(0xcc, IPV4), (0x8e, IPV6)];
const SNAP: u8 = 0x80;
/// Unnumbered information, which all of these are.
const UI: u8 = 3;

/// RFC 1661 and 1662: address and control may be left out, and so may the first byte of the protocol.
pub(super) fn ppp(bytes: &[u8], mut at: usize) -> Result<(u16, usize), Skip> {
    if word(bytes, at)? == 0xff03 {
        at += 2;
    }
    let first = *bytes.get(at).ok_or(Skip::Short)?;
    let (protocol, at) = match first & 1 {
        1 => (u16::from(first), at + 1),
        _ => (word(bytes, at)?, at + 2),
    };
    match protocol {
        0x21 => Ok((IPV4, at)),
        0x57 => Ok((IPV6, at)),
        _ => Err(Skip::NotIp),
    }
}

/// RFC 2427: an address that ends with the first odd byte, then UI and NLPID, or as Cisco has it the number that Ethernet has.
pub(super) fn frame_relay(bytes: &[u8]) -> Result<(u16, usize), Skip> {
    let address = bytes.iter().take(4).position(|byte| byte & 1 == 1);
    let at = match address {
        Some(last @ 1..) => last + 1,
        // An address has two bytes at least.
        Some(0) => return Err(Skip::NotIp),
        None if bytes.len() < 4 => return Err(Skip::Short),
        None => return Err(Skip::NotIp),
    };
    match byte(bytes, at)? {
        // A byte of nothing may stand before it, for alignment.
        UI if byte(bytes, at + 1)? == 0 => nlpid(bytes, at + 2),
        UI => nlpid(bytes, at + 1),
        _ => Ok((word(bytes, at)?, at + 2)),
    }
}

/// IEEE 802.2 with SNAP, or as RFC 2684 section 5 has it with an NLPID.
pub(super) fn llc(bytes: &[u8], at: usize) -> Result<(u16, usize), Skip> {
    match (word(bytes, at)?, byte(bytes, at + 2)?) {
        (0xaaaa, UI) => snap(bytes, at + 3),
        (0xfefe, UI) => nlpid(bytes, at + 3),
        _ => Err(Skip::NotIp),
    }
}

fn nlpid(bytes: &[u8], at: usize) -> Result<(u16, usize), Skip> {
    let number = byte(bytes, at)?;
    if number == SNAP {
        return snap(bytes, at + 1);
    }
    let known = NLPID.iter().find(|(known, _)| *known == number);
    known
        .map(|(_, ether_type)| (*ether_type, at + 1))
        .ok_or(Skip::NotIp)
}

/// Whose number follows: that of Ethernet is nobody's.
fn snap(bytes: &[u8], at: usize) -> Result<(u16, usize), Skip> {
    match (word(bytes, at)?, byte(bytes, at + 2)?) {
        (0, 0) => Ok((word(bytes, at + 3)?, at + 5)),
        _ => Err(Skip::NotIp),
    }
}

fn byte(bytes: &[u8], at: usize) -> Result<u8, Skip> {
    bytes.get(at).copied().ok_or(Skip::Short)
}
