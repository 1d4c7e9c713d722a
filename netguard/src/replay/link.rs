//! What a capture has around its IP packets: link layers of any kind become Ethernet, which is all that the filter reads. The
//! addresses of a made-up Ethernet header mean nothing.

use std::borrow::Cow;

/// An Ethernet header: two addresses of six bytes and what follows.
pub const ETHERNET: usize = 14;
/// Made up, and locally administered (IEEE 802): nobody's.
const MADE_UP: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// Why a frame cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// Frames of this kind carry no IP, or netguard does not know where.
    UnknownLink,
    /// It ends before the headers of its link layer do.
    Short,
    /// It is of the link layer itself: management, control, encrypted, or another protocol.
    NotIp,
    /// What was kept of it ends within headers that the filter reads.
    HeadersCut,
    /// Longer than the kernel takes.
    Long,
    /// It is not for the server.
    Elsewhere,
    /// From the server: what leaves is not filtered.
    Outgoing,
}

impl Skip {
    /// For answers of netguard.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownLink => "unknown-link-layer",
            Self::Short => "short-link-layer",
            Self::NotIp => "not-ip",
            Self::HeadersCut => "headers-cut",
            Self::Long => "too-long",
            Self::Elsewhere => "not-for-the-server",
            Self::Outgoing => "from-the-server",
        }
    }
}

/// The name of link layer `link` (`LINKTYPE_`), for people.
pub fn name(link: i32) -> Cow<'static, str> {
    Cow::Borrowed(match link {
        0 | 108 => "BSD loopback",
        1 => "Ethernet",
        9 | 50 => "PPP",
        51 => "PPPoE",
        104 => "Cisco HDLC",
        105 => "IEEE 802.11",
        127 => "IEEE 802.11 with radiotap",
        12 | 14 | 101 | 228 | 229 => "raw IP",
        109 => "OpenBSD enc",
        113 => "Linux cooked",
        242 => "IP over InfiniBand",
        276 => "Linux cooked v2",
        other => return Cow::Owned(format!("link type {other}")),
    })
}

/// Writes the frame that begins with `bytes` to the end of `frame`, as Ethernet; tells how much longer it became by that.
///
/// # Errors
/// Why it has no place there.
pub fn to_ethernet(link: i32, bytes: &[u8], frame: &mut Vec<u8>) -> Result<i64, Skip> {
    if link == 1 {
        if bytes.len() < ETHERNET {
            return Err(Skip::Short);
        }
        frame.extend_from_slice(bytes);
        return Ok(0);
    }
    let (ether_type, at) = inner(link, bytes)?;
    let inner = bytes.get(at..).ok_or(Skip::Short)?;
    frame.extend_from_slice(&MADE_UP);
    frame.extend_from_slice(&ether_type.to_be_bytes());
    frame.extend_from_slice(inner);
    Ok(ETHERNET as i64 - at as i64)
}

/// What is in a frame, as Ethernet numbers it, and where it begins.
fn inner(link: i32, bytes: &[u8]) -> Result<(u16, usize), Skip> {
    match link {
        12 | 14 | 101 | 228 | 229 => raw(bytes, 0),
        // The family of the address in the byte order of whoever captured it, or (108) in that of the network.
        0 | 108 => family(bytes, 0).map(|ether_type| (ether_type, 4)),
        109 => family(bytes, 0).map(|ether_type| (ether_type, 12)),
        9 | 50 => ppp(bytes, 0),
        51 => ppp(bytes, 6),
        104 => Ok((word(bytes, 2)?, 4)),
        105 => wireless(bytes, 0),
        // Its own length, little-endian, in bytes 2 and 3.
        127 => wireless(bytes, usize::from(word(bytes, 2)?.swap_bytes())),
        113 => Ok((word(bytes, 14)?, 16)),
        242 => Ok((word(bytes, 40)?, 44)),
        276 => Ok((word(bytes, 0)?, 20)),
        _ => Err(Skip::UnknownLink),
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u16, Skip> {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>());
    word.map(|word| u16::from_be_bytes(*word)).ok_or(Skip::Short)
}

/// A packet without anything before it: its version says what it is.
fn raw(bytes: &[u8], at: usize) -> Result<(u16, usize), Skip> {
    match bytes.get(at).ok_or(Skip::Short)? >> 4 {
        4 => Ok((IPV4, at)),
        6 => Ok((IPV6, at)),
        _ => Err(Skip::NotIp),
    }
}

/// `AF_INET` is 2 everywhere; `AF_INET6` is 10 on Linux, 24, 28 and 30 on BSDs and macOS.
fn family(bytes: &[u8], at: usize) -> Result<u16, Skip> {
    let number = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    let number = u32::from_le_bytes(*number.ok_or(Skip::Short)?);
    match number.min(number.swap_bytes()) {
        2 => Ok(IPV4),
        10 | 24 | 28 | 30 => Ok(IPV6),
        _ => Err(Skip::NotIp),
    }
}

/// RFC 1661 and 1662: address and control may be left out, and so may the first byte of the protocol.
fn ppp(bytes: &[u8], mut at: usize) -> Result<(u16, usize), Skip> {
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

/// IEEE 802.11 section 9.2: data that is not encrypted, behind LLC and SNAP.
fn wireless(bytes: &[u8], at: usize) -> Result<(u16, usize), Skip> {
    let control = word(bytes, at)?;
    let (kind, flags) = (control >> 8, control & 0xff);
    let is_data = kind & 0b1100 == 0b1000;
    let has_content = kind & 0b0100_0000 == 0;
    let is_encrypted = flags & 0x40 != 0;
    if !is_data || !has_content || is_encrypted {
        return Err(Skip::NotIp);
    }
    let has_quality = kind & 0b1000_0000 != 0;
    let between_stations = flags & 0b11 == 0b11;
    let mut at = at + 24;
    at += if between_stations { 6 } else { 0 };
    at += if has_quality { 2 } else { 0 };
    // High throughput control.
    at += if has_quality && flags & 0x80 != 0 { 4 } else { 0 };
    let llc = bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk::<8>())
        .ok_or(Skip::Short)?;
    match *llc {
        [0xaa, 0xaa, 3, 0, 0, 0, high, low] => Ok((u16::from_be_bytes([high, low]), at + 8)),
        _ => Err(Skip::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IP packet of one byte, in a frame of each kind.
    #[test]
    fn every_link_layer_becomes_ethernet() {
        let with = |header: &[u8], first: u8| [header, &[first, 9]].concat();
        let radiotap = [&[0, 0, 8, 0, 1, 2, 3, 4][..], &[8, 2]].concat();
        let llc = [0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd];
        let zeros = [0; 64];
        for (link, header, ether_type) in [
            (101, vec![], IPV4),
            (12, vec![], IPV6),
            (14, vec![], IPV4),
            (228, vec![], IPV4),
            (229, vec![], IPV6),
            (0, vec![2, 0, 0, 0], IPV4),
            (0, vec![0, 0, 0, 30], IPV6),
            (108, vec![0, 0, 0, 24], IPV6),
            (109, [&[2, 0, 0, 0][..], &zeros[..8]].concat(), IPV4),
            (9, vec![0xff, 3, 0, 0x21], IPV4),
            (9, vec![0x57], IPV6),
            (50, vec![0xff, 3, 0, 0x57], IPV6),
            (51, vec![0x11, 0, 0, 1, 0, 4, 0, 0x21], IPV4),
            (104, vec![0x0f, 0, 8, 0], IPV4),
            (105, [&[8, 1][..], &zeros[..22], &llc].concat(), IPV6),
            (105, [&[0x88, 3][..], &zeros[..30], &llc].concat(), IPV6),
            (127, [&radiotap[..], &zeros[..22], &llc].concat(), IPV6),
            (113, [&zeros[..14], &[8, 0]].concat(), IPV4),
            (242, [&zeros[..40], &[0x86, 0xdd, 0, 0]].concat(), IPV6),
            (276, [&[0x86, 0xdd][..], &zeros[..18]].concat(), IPV6),
        ] {
            let first = if ether_type == IPV4 { 0x45 } else { 0x60 };
            let mut frame = vec![7];
            let bytes = with(&header, first);
            let longer = to_ethernet(link, &bytes, &mut frame);
            assert_eq!(longer, Ok(14 - header.len() as i64), "{link}");
            assert_eq!(frame[1..13], MADE_UP, "{link}");
            assert_eq!(
                frame[13..],
                [&ether_type.to_be_bytes()[..], &[first, 9]].concat(),
                "{link}"
            );
            assert!(!name(link).starts_with("link type"), "{link}");
            // Cut anywhere it is no fault of the program.
            for len in 0..header.len() {
                let mut frame = Vec::new();
                let short = to_ethernet(link, &bytes[..len], &mut frame);
                assert!(short.is_err(), "{link} of {len} bytes: {short:?}");
            }
        }
    }

    #[test]
    fn what_has_no_place_is_told_by_reason() {
        let skip = |link, bytes: &[u8]| to_ethernet(link, bytes, &mut Vec::new());
        assert_eq!(skip(1, &[0; 13]), Err(Skip::Short));
        assert_eq!(skip(1, &[0; 14]), Ok(0));
        assert_eq!(skip(147, &[0; 99]), Err(Skip::UnknownLink));
        assert_eq!(skip(101, &[0x50]), Err(Skip::NotIp));
        assert_eq!(skip(105, &[0x80, 0, 0, 0]), Err(Skip::NotIp), "a beacon");
        assert_eq!(
            skip(105, &[&[8, 0x41][..], &[0; 40]].concat()),
            Err(Skip::NotIp),
            "encrypted"
        );
        assert_eq!(skip(0, &[7, 0, 0, 0, 9]), Err(Skip::NotIp));
        assert_eq!(skip(9, &[0xc0, 0x21, 1]), Err(Skip::NotIp), "LCP");
    }
}
