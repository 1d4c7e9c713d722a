//! What packet filters and kernels write about a packet before it: NFLOG, pflog, PKTAP.

use super::{IPV4, IPV6, Skip, behind, length, long, raw};

/// The kind of a part of NFLOG that holds the packet (`NFULA_PAYLOAD`), and of any.
const PAYLOAD: u16 = 9;
const KIND: u16 = 0x7fff;
/// Kinds are so few that a greater one is in the other byte order.
const KINDS: u16 = 0x100;
/// What pflog says at least: length, family, action and reason.
const PFLOG: usize = 4;
/// A header of PKTAP has three numbers that are needed.
const PKTAP: usize = 12;

/// Family, version and group, then parts of length, kind and content, each filled up to four bytes, in the byte order of who captured it.
pub(super) fn nflog(bytes: &[u8]) -> Result<(u16, usize), Skip> {
    let mut at = 4;
    loop {
        let [a, b, c, d] = *bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .ok_or(Skip::Short)?;
        let little = u16::from_le_bytes([c, d]) & KIND < KINDS;
        let number = |of: [u8; 2]| match little {
            true => u16::from_le_bytes(of),
            false => u16::from_be_bytes(of),
        };
        let (len, kind) = (usize::from(number([a, b])), number([c, d]) & KIND);
        if len < 4 {
            return Err(Skip::NotIp);
        }
        if kind == PAYLOAD {
            return raw(bytes, at + 4);
        }
        at += len.next_multiple_of(4);
    }
}

/// Length without what fills it up to four bytes, and the family: `AF_INET6` is 24, 28 or 30.
pub(super) fn pflog(bytes: &[u8]) -> Result<(u16, usize), Skip> {
    let [len, family] = *bytes.first_chunk().ok_or(Skip::Short)?;
    let at = length(u32::from(len), PFLOG)?.next_multiple_of(4);
    match family {
        2 => Ok((IPV4, at)),
        24 | 28 | 30 => Ok((IPV6, at)),
        _ => Err(Skip::NotIp),
    }
}

/// Length, whether there is a packet, and its link type, little-endian; more follows that nobody here needs.
pub(super) fn pktap(bytes: &[u8]) -> Result<(u16, usize), Skip> {
    let [len, holds, link] = [long(bytes, 0)?, long(bytes, 4)?, long(bytes, 8)?];
    match holds {
        1 => behind(length(len, PKTAP)?, link, bytes),
        _ => Err(Skip::NotIp),
    }
}
