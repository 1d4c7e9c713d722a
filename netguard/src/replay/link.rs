//! What a capture has around its IP packets: link layers of any kind become Ethernet, which is all that the filter reads. The
//! addresses of a made-up Ethernet header mean nothing.

mod logged;
mod serial;
#[cfg(test)]
mod tests;
mod wireless;

use std::borrow::Cow;

use logged::{nflog, pflog, pktap};
use serial::{frame_relay, llc, ppp};
use wireless::{avs, ppi, prism, wireless};

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
        12 | 14 | 101 | 228 | 229 => "raw IP",
        51 => "PPPoE",
        100 => "ATM (RFC 1483)",
        104 => "Cisco HDLC",
        105 => "IEEE 802.11",
        107 => "Frame Relay",
        109 => "OpenBSD enc",
        113 => "Linux cooked",
        117 => "BSD pflog",
        119 => "IEEE 802.11 with Prism",
        122 => "IP over Fibre Channel",
        127 => "IEEE 802.11 with radiotap",
        138 => "Apple IP over IEEE 1394",
        163 => "IEEE 802.11 with AVS",
        192 => "PPI",
        204 => "PPP with direction",
        239 => "NFLOG",
        242 => "IP over InfiniBand",
        258 => "Apple PKTAP",
        276 => "Linux cooked v2",
        other => return Cow::Owned(format!("link type {other}")),
    })
}

/// What to do about those of `links` whose frames nobody here can read; `None`: there are none.
pub(super) fn unknown(links: impl Iterator<Item = i32>) -> Option<String> {
    let unknown = links.map(name).filter(|name| matches!(name, Cow::Owned(_)));
    let named = unknown.map(Cow::into_owned).collect::<Vec<_>>().join(", ");
    (!named.is_empty()).then(|| {
        format!(
            "frames of {named} were left out, for it is not known where IP begins in them: capture at the interface itself, or have them \
             written as Ethernet or raw IP (tcpdump -y EN10MB, or -y RAW)"
        )
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

/// The same of a frame that has another header of `header` bytes before it, which says what kind it is.
fn behind(header: usize, link: u32, bytes: &[u8]) -> Result<(u16, usize), Skip> {
    let rest = bytes.get(header..).ok_or(Skip::Short)?;
    let (ether_type, at) = match link {
        1 => (word(rest, ETHERNET - 2)?, ETHERNET),
        // One within another could go on for ever.
        192 | 258 => return Err(Skip::UnknownLink),
        link => inner(i32::try_from(link).unwrap_or(-1), rest)?,
    };
    Ok((ether_type, header + at))
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
        100 => llc(bytes, 0),
        104 => Ok((word(bytes, 2)?, 4)),
        105 => wireless(bytes, 0),
        107 => frame_relay(bytes),
        // Its own length, little-endian, in bytes 2 and 3.
        127 => wireless(bytes, usize::from(word(bytes, 2)?.swap_bytes())),
        113 => Ok((word(bytes, 14)?, 16)),
        117 => pflog(bytes),
        119 => prism(bytes),
        // RFC 2625 section 3.1: two addresses of eight bytes before LLC.
        122 => llc(bytes, 16),
        // Two addresses of eight bytes (RFC 2734) and what follows.
        138 => Ok((word(bytes, 16)?, 18)),
        163 => avs(bytes),
        192 => ppi(bytes),
        // Whether it was sent or received.
        204 => ppp(bytes, 1),
        239 => nflog(bytes),
        242 => Ok((word(bytes, 40)?, 44)),
        258 => pktap(bytes),
        276 => Ok((word(bytes, 0)?, 20)),
        _ => Err(Skip::UnknownLink),
    }
}

/// Four bytes, little-endian.
fn long(bytes: &[u8], at: usize) -> Result<u32, Skip> {
    let long = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    long.map(|long| u32::from_le_bytes(*long)).ok_or(Skip::Short)
}

/// A length that a header says of itself: at least `least`.
fn length(long: u32, least: usize) -> Result<usize, Skip> {
    let length = usize::try_from(long).ok();
    length.filter(|length| *length >= least).ok_or(Skip::NotIp)
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
    let number = long(bytes, at)?;
    match number.min(number.swap_bytes()) {
        2 => Ok(IPV4),
        10 | 24 | 28 | 30 => Ok(IPV6),
        _ => Err(Skip::NotIp),
    }
}
