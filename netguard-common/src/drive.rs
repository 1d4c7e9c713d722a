//! What the benchmark's driver and its floods send: one frame, from one of many sources at a time. The kernel's programs and user
//! space agree here on which address source number `n` has; the datapath knows nothing of this.

use crate::{
    hint::mix,
    packet::{Address, Family},
};

/// Longest frame that is sent.
pub const FRAME_LEN: usize = 128;

/// Where an IPv4 header without tags has its identification and its source, and an IPv6 header its source.
pub const IDENTIFICATION_AT: usize = 18;
pub const SOURCE_V4_AT: usize = 26;
pub const SOURCE_V6_AT: usize = 22;

/// Sources of IPv4 packets lie in 32.0.0.0 to 95.255.255.255, where nobody's own or special addresses are.
const V4_FIRST_BITS: u32 = 0x2000_0000;
const V4_SPREAD: u32 = (1 << 30) - 1;
/// Sources of IPv6 packets lie in 2a00::/8.
const V6_FIRST_OCTET: u8 = 0x2a;

crate::shared! {
    /// What is sent; one entry of the map `DRIVE`.
    pub struct Drive {
        /// The frame. A flood wants it with source, identification and ballast zero, and its checksums right.
        pub frame: [u8; 128],
        pub frame_len: u32,
        /// 1: an IPv6 packet, 0: IPv4.
        pub ipv6: u32,
        /// State of the generator that picks sources.
        pub state: u32,
        /// Number of the first source.
        pub first: u32,
        /// Number of sources less one; all bits up to the highest are set.
        pub mask: u32,
        /// 1: the frame is put back before each run, for programs that change it; 0: only its source changes.
        pub restore: u32,
        /// Which program of the map `PROGRAMS` runs.
        pub program: u32,
        /// Floods: the interface to leave by.
        pub interface: u32,
        /// Floods: where a 16-bit word lies that may have any value (at an even place); it keeps the checksums right, whatever the source.
        pub ballast_at: u32,
        /// Floods: packets that may still leave at once.
        pub burst_left: u32,
        /// Floods: ns between two packets on average; 0 means no pause.
        pub gap_ns: u64,
        /// Floods: when the next burst is due.
        pub due_ns: u64,
        /// Floods: packets sent.
        pub sent: u64,
    }
}

impl Drive {
    /// The number of the next source.
    #[inline(always)]
    pub const fn next(&mut self) -> u32 {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // The low bits of such a generator have short periods.
        self.first.wrapping_add((self.state >> 12) & self.mask)
    }
}

/// The address of source `number`. No two IPv4 sources below 2^30 are alike.
#[inline(always)]
pub const fn source(family: Family, number: u32) -> Address {
    match family {
        Family::V4 => Address::v4((V4_FIRST_BITS + spread(number)).to_be_bytes()),
        Family::V6 => {
            let high = (mix(number as u64, 1) >> 8) | (V6_FIRST_OCTET as u64) << 56;
            Address {
                high: high.to_be(),
                low: mix(number as u64, 2),
            }
        }
    }
}

/// Whether `address` can be one of those that [`source`] makes.
#[inline(always)]
pub const fn is_source(family: Family, address: Address) -> bool {
    match family {
        Family::V4 => matches!(address.octets_v4()[0], 32..=95),
        Family::V6 => address.first_octet() == V6_FIRST_OCTET,
    }
}

/// What a zero word of a checksummed header has to become when a zero source there becomes `source`: their sum stays zero in
/// one's complement (RFC 1071).
#[inline(always)]
pub const fn ballast(family: Family, source: Address) -> u16 {
    let (high, low) = match family {
        Family::V4 => (0, source.word_v4() as u64),
        Family::V6 => (source.high, source.low),
    };
    let sum = halves(high) + halves(low);
    let sum = (sum & 0xffff) + (sum >> 16);
    !(((sum & 0xffff) + (sum >> 16)) as u16)
}

#[inline(always)]
const fn halves(word: u64) -> u64 {
    (word & 0xffff) + (word >> 16 & 0xffff) + (word >> 32 & 0xffff) + (word >> 48)
}

/// Exchanges the numbers below 2^30 so that neighbours come to lie far apart. Each step can be undone.
#[inline(always)]
const fn spread(number: u32) -> u32 {
    let mut x = number & V4_SPREAD;
    x = (x ^ (x >> 15)).wrapping_mul(0x2c1b_3c6d) & V4_SPREAD;
    x = (x ^ (x >> 12)).wrapping_mul(0x297a_2d39) & V4_SPREAD;
    x ^ (x >> 15)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, vec::Vec};

    use super::*;
    use crate::shared::Field as _;

    #[test]
    fn sources_differ_and_are_nobodys() {
        for family in [Family::V4, Family::V6] {
            let sources: HashSet<_> = (0..300_000)
                .map(|number| {
                    let source = source(family, number);
                    assert!(is_source(family, source));
                    source.octets()
                })
                .collect();
            assert_eq!(sources.len(), 300_000);
        }
        let networks: HashSet<_> = (0..65_536)
            .map(|number| source(Family::V4, number).word_v4() & u32::from_be_bytes([255, 255, 255, 0]))
            .collect();
        assert!(networks.len() > 60_000, "{} networks", networks.len());
    }

    #[test]
    fn every_source_comes_by() {
        let mut drive = Drive {
            first: 7,
            mask: 0xffff,
            ..Drive::ZERO
        };
        let met: HashSet<_> = (0..1_000_000).map(|_| drive.next()).collect();
        assert_eq!(met.len(), 65_536);
        assert!(met.iter().all(|number| (7..7 + 65_536).contains(number)));
    }

    #[test]
    fn the_ballast_keeps_the_sum() {
        for family in [Family::V4, Family::V6] {
            for number in 0..1000 {
                let source = source(family, number);
                let octets = match family {
                    Family::V4 => source.octets_v4().to_vec(),
                    Family::V6 => source.octets().to_vec(),
                };
                let words: Vec<u32> = octets
                    .chunks(2)
                    .chain([&ballast(family, source).to_ne_bytes()[..]])
                    .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
                    .collect();
                let sum: u32 = words.iter().sum();
                assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "{octets:?}");
            }
        }
    }
}
