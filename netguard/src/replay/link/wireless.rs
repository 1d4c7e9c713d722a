//! IEEE 802.11, and what cards put before it.

use super::{Skip, behind, length, llc, long, word};

/// The header of Prism cards has one length only.
const PRISM: usize = 144;
/// What a header of AVS begins with, both versions; some drivers call it Prism.
const AVS: [u32; 2] = [0x8021_1001, 0x8021_1002];

/// IEEE 802.11 section 9.2: data that is not encrypted, behind LLC and SNAP.
pub(super) fn wireless(bytes: &[u8], at: usize) -> Result<(u16, usize), Skip> {
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
    llc(bytes, at)
}

pub(super) fn prism(bytes: &[u8]) -> Result<(u16, usize), Skip> {
    if AVS.contains(&long(bytes, 0)?.swap_bytes()) {
        return avs(bytes);
    }
    wireless(bytes, PRISM)
}

/// Version and length, big-endian; the shorter version has 64 bytes.
pub(super) fn avs(bytes: &[u8]) -> Result<(u16, usize), Skip> {
    let len = length(long(bytes, 4)?.swap_bytes(), 8)?;
    wireless(bytes, len)
}

/// Version, flags, length and link type, little-endian, then fields that nobody here needs.
pub(super) fn ppi(bytes: &[u8]) -> Result<(u16, usize), Skip> {
    let len = length(u32::from(word(bytes, 2)?.swap_bytes()), 8)?;
    behind(len, long(bytes, 4)?, bytes)
}
