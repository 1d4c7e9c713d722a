//! Hints: for every source a byte that says which rule tables can know it at all. Most sources are on no list, and one
//! look into a table of bytes tells that faster than any look-up.
//!
//! A hint promises nothing but this: where a bit is not set, its table has no rule for the source. A bit that is set
//! without need costs a look-up. [`BLOCKED`] alone is an answer.
//!
//! There are coarse hints and fine ones. A coarse one has a byte for each IPv4 /16, or for the hashed /32 of an IPv6 source: so
//! few that they stay in the cache, whoever sends. Only where such a byte has a bit of [`refined`], the fine one is
//! read, which misses the cache under a flood from many sources. IPv4 has a fine byte for each /24, IPv6 two places
//! in hashed arrays, one for the /48 and one for the /32 of the source; shorter prefixes are marked for each /32 in them, and
//! those shorter than a /16 for all of IPv6. Before the bytes of /48s, which are too many for the cache, stands a bit for each two of
//! them.

use crate::{
    Packet,
    packet::{Address, Family},
    tables::Tables,
};

/// The allowlist has a rule that touches the network.
pub const ALLOW: u8 = 1;
/// The blocklist has an address (or an IPv6 /64) in the network.
pub const ADDRESS: u8 = 1 << 1;
/// The blocklist has another prefix that touches the network, in a trie.
pub const PREFIX: u8 = 1 << 2;
/// IPv4 only: all of the network is blocked for good, whatever the packet.
pub const BLOCKED: u8 = 1 << 3;
/// A feed, a country or an autonomous system of the configuration has addresses in the network.
pub const RANGE: u8 = 1 << 4;

/// The network has an address of this machine.
pub const OWN: u8 = 1 << 5;

/// Hints for which the fine byte is asked: the look-up that it saves is dearer. That of exact addresses is not, nor the
/// first one into the ranges of IPv4.
pub const fn refined(family: Family) -> u8 {
    match family {
        Family::V4 => ALLOW | PREFIX | BLOCKED | OWN,
        Family::V6 => ALLOW | PREFIX | RANGE | OWN,
    }
}

const REFINED_V4: u8 = refined(Family::V4);
const REFINED_V6: u8 = refined(Family::V6);

/// Bytes in one entry of the map `HINTS`: a cache line.
pub const LINE: u32 = 64;
/// Fine bytes for IPv4.
pub const V4_BYTES: u32 = 1 << 24;
/// Fine bytes for IPv6 /48s; a power of two.
const V6_LONG_BYTES: u32 = 1 << 23;
/// Fine bytes for IPv6 /32s, apart from the others: so few that they stay in the cache; a power of two.
const V6_SHORT_BYTES: u32 = 1 << 18;
/// The first of the latter.
const V6_SHORT_AT: u32 = V4_BYTES + V6_LONG_BYTES;
/// Coarse bytes for IPv4.
const COARSE_V4: u32 = V6_SHORT_AT + V6_SHORT_BYTES;
/// Coarse bytes for IPv6.
const COARSE_V6: u32 = COARSE_V4 + COARSE_BYTES;
/// The byte of all IPv6 sources, for prefixes too short to be marked one by one.
pub const ALL_V6: u32 = COARSE_V6 + COARSE_BYTES;
/// Places for hints.
pub const SLOTS: u32 = (ALL_V6 / LINE + 1) * LINE;
/// Pairs of fine bytes of IPv6 /48s; behind all places lies a bit for each.
const PAIRS: u32 = V6_LONG_BYTES / 2;
/// Entries of the map `HINTS`.
pub const LINES: u32 = (SLOTS + PAIRS / 8) / LINE;

/// Coarse bytes of a family; a power of two.
const COARSE_BYTES: u32 = 1 << 16;
/// Lengths of the IPv6 networks that have bytes.
const V6_LONG: u8 = 48;
const V6_SHORT: u8 = 32;
/// Shorter IPv6 prefixes are marked for all sources.
const V6_SHORTEST: u8 = 16;

crate::shared! {
    /// One entry of the map `HINTS`.
    pub struct HintLine {
        pub bytes: [u8; 64],
    }
}

/// What the tables can know about the source of `packet`.
#[inline(always)]
pub fn of<T: Tables>(packet: &Packet, seed: u64, tables: &T) -> u8 {
    match packet.family() {
        Family::V4 => of_v4(packet.source.word_v4(), |slot| tables.hint(slot)),
        Family::V6 => of_v6(packet.source, seed, |slot| tables.hint(slot)),
    }
}

#[inline(always)]
fn of_v4(source: u32, hint: impl Fn(u32) -> u8) -> u8 {
    let coarse = hint(coarse_v4(source));
    if coarse & REFINED_V4 == 0 {
        return coarse;
    }
    coarse & !REFINED_V4 | hint(slot_v4(source)) & REFINED_V4
}

#[inline(always)]
fn of_v6(source: Address, seed: u64, hint: impl Fn(u32) -> u8) -> u8 {
    let network = u64::from_be(source.high);
    let short = hash_v6(network >> (64 - V6_SHORT), V6_SHORT, seed);
    let all = hint(ALL_V6);
    let coarse = hint(coarse_v6(short));
    if coarse & REFINED_V6 == 0 {
        return coarse | all;
    }
    let long = hash_v6(network >> (64 - V6_LONG), V6_LONG, seed);
    let long = long_v6(long);
    let (byte, mask) = pair(long);
    let mut fine = hint(short_v6(short));
    if hint(byte) & mask != 0 {
        fine |= hint(long);
    }
    coarse & !REFINED_V6 | fine & REFINED_V6 | all
}

/// The byte, and its bit, that says whether there are hints in the fine byte `slot` of an IPv6 /48, or in the one beside it.
#[inline(always)]
const fn pair(slot: u32) -> (u32, u8) {
    let pair = (slot - V4_BYTES) / 2;
    (SLOTS + pair / 8, 1 << (pair % 8))
}

/// The byte, and its bit, that stands before the place `slot`, see the module; `None` where nothing does.
pub const fn before(slot: u32) -> Option<(u32, u8)> {
    if V4_BYTES <= slot && slot < V6_SHORT_AT {
        Some(pair(slot))
    } else {
        None
    }
}

/// Both places that the bit `bit` of byte `number` behind all places stands before.
pub const fn behind(number: u32, bit: u32) -> [u32; 2] {
    let first = V4_BYTES + (number * 8 + bit) * 2;
    [first, first + 1]
}

/// Where the fine byte of an IPv4 address lies; `source` is in network byte order.
#[inline(always)]
pub const fn slot_v4(source: u32) -> u32 {
    u32::from_be(source) >> 8
}

/// Where the coarse byte of an IPv4 address lies; `source` is in network byte order.
pub const fn coarse_v4(source: u32) -> u32 {
    COARSE_V4 + (u32::from_be(source) >> 16)
}

/// Where the fine bytes of a prefix of `bits` that begins at `address` lie: a run of them, or one for each of several hashed
/// networks. None for IPv6 prefixes that are marked for all sources.
pub fn fine(family: Family, address: Address, bits: u8, seed: u64) -> impl Iterator<Item = u32> {
    let networks = match (family, bits) {
        (Family::V4, _) => networks(family, address, bits, 24),
        (Family::V6, V6_LONG..) => networks(family, address, bits, V6_LONG),
        (Family::V6, V6_SHORTEST..) => networks(family, address, bits, V6_SHORT),
        (Family::V6, _) => 0..0,
    };
    let length = if bits < V6_LONG { V6_SHORT } else { V6_LONG };
    networks.map(move |network| match family {
        Family::V4 => network as u32,
        Family::V6 if length == V6_LONG => long_v6(hash_v6(network, length, seed)),
        Family::V6 => short_v6(hash_v6(network, length, seed)),
    })
}

/// Where the coarse bytes of such a prefix lie.
pub fn coarse(family: Family, address: Address, bits: u8, seed: u64) -> impl Iterator<Item = u32> {
    let networks = match (family, bits) {
        (Family::V4, _) => networks(family, address, bits, 16),
        (Family::V6, V6_SHORTEST..) => networks(family, address, bits, V6_SHORT),
        (Family::V6, _) => 0..1,
    };
    networks.map(move |network| match (family, bits) {
        (Family::V4, _) => COARSE_V4 + network as u32,
        (Family::V6, V6_SHORTEST..) => coarse_v6(hash_v6(network, V6_SHORT, seed)),
        (Family::V6, _) => ALL_V6,
    })
}

/// The numbers of the networks of `length` that have something of a prefix of `bits` that begins at `address`.
fn networks(family: Family, address: Address, bits: u8, length: u8) -> core::ops::Range<u64> {
    let (address, width) = match family {
        Family::V4 => (u64::from(u32::from_be(address.word_v4())), 32),
        Family::V6 => (u64::from_be(address.high), 64),
    };
    let first = address >> (width - length);
    first..first + (1 << length.saturating_sub(bits))
}

/// Spreads an IPv6 network, given its first `bits` as a number.
#[inline(always)]
const fn hash_v6(network: u64, bits: u8, seed: u64) -> u64 {
    mix(network << 8 | bits as u64, seed)
}

#[inline(always)]
const fn long_v6(hash: u64) -> u32 {
    V4_BYTES + (hash as u32 & (V6_LONG_BYTES - 1))
}

#[inline(always)]
const fn short_v6(hash: u64) -> u32 {
    V6_SHORT_AT + (hash as u32 & (V6_SHORT_BYTES - 1))
}

#[inline(always)]
const fn coarse_v6(hash: u64) -> u32 {
    COARSE_V6 + ((hash >> 32) as u32 & (COARSE_BYTES - 1))
}

/// The finaliser of MurmurHash3 (public domain), seeded: each output bit depends on each input bit.
#[inline(always)]
pub(crate) const fn mix(key: u64, seed: u64) -> u64 {
    let mut hash = key ^ seed;
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, net::IpAddr, vec, vec::Vec};

    use super::*;

    fn address(text: &str) -> Address {
        Address::of(text.parse::<IpAddr>().unwrap()).1
    }

    fn slots(text: &str, bits: u8) -> [Vec<u32>; 2] {
        let (family, address) = Address::of(text.parse().unwrap());
        [
            fine(family, address, bits, 7).collect(),
            coarse(family, address, bits, 7).collect(),
        ]
    }

    #[test]
    fn an_ipv4_network_of_24_bits_has_a_byte() {
        let slot = |text| slot_v4(address(text).word_v4());
        assert_eq!(slot("0.0.0.0"), 0);
        assert_eq!(slot("192.0.2.1"), 0xc0_0002);
        assert_eq!(slot("192.0.2.255"), slot("192.0.2.0"));
        assert_eq!(slot("255.255.255.255"), V4_BYTES - 1);
        assert_eq!(coarse_v4(address("192.0.2.1").word_v4()), COARSE_V4 + 0xc000);
    }

    #[test]
    fn ipv6_networks_share_bytes_by_their_first_bits() {
        assert_eq!(slots("2001:db8:1:2::3", 128), slots("2001:db8:1:ffff::", 64));
        let [[one, _], [other, _]] = ["2001:db8:1::", "2001:db8:2::"].map(|text| slots(text, 48));
        assert_ne!(one, other);
        assert!((V4_BYTES..COARSE_V4).contains(&one[0]));
    }

    #[test]
    fn a_bit_stands_before_each_two_places_of_48s() {
        assert_eq!(before(V4_BYTES - 1), None);
        assert_eq!(before(V6_SHORT_AT), None);
        assert_eq!(before(V4_BYTES), Some((SLOTS, 1)));
        assert_eq!(before(V4_BYTES + 1), Some((SLOTS, 1)));
        assert_eq!(before(V6_SHORT_AT - 1), Some((LINES * LINE - 1, 0x80)));
        for slot in [V4_BYTES, V4_BYTES + 17, V6_SHORT_AT - 1] {
            let (byte, mask) = before(slot).unwrap();
            assert!(behind(byte - SLOTS, mask.trailing_zeros()).contains(&slot));
        }
    }

    #[test]
    fn every_source_of_a_prefix_is_marked() {
        let coarse = |network: u32| COARSE_V4 + network;
        assert_eq!(slots("192.0.2.77", 32), [vec![0xc0_0002], vec![coarse(0xc000)]]);
        assert_eq!(
            slots("192.0.2.0", 23),
            [vec![0xc0_0002, 0xc0_0003], vec![coarse(0xc000)]]
        );
        assert_eq!(slots("10.0.0.0", 15)[1], [coarse(0xa00), coarse(0xa01)]);
        assert_eq!(slots("10.0.0.0", 8).map(|slots| slots.len()), [65_536, 256]);
        assert_eq!(slots("0.0.0.0", 0).map(|slots| slots.len()), [1 << 24, 1 << 16]);
        let host = slots("2001:db8:1:2::3", 128);
        assert_eq!(host, slots("2001:db8:1::", 48));
        let short = slots("2001:db8::", 32);
        assert_ne!(host[0], short[0]);
        assert_eq!(host[1], short[1]);
        assert_eq!(slots("2001:db8::", 47), short);
        for (all, one) in slots("2001::", 16).iter().zip(&short) {
            assert!(all.len() == 65_536 && all.contains(&one[0]));
        }
        assert_eq!(slots("2000::", 3), [vec![], vec![ALL_V6]]);
        assert_eq!(slots("::", 0), [vec![], vec![ALL_V6]]);
    }

    /// Hints that lie in slots, and which slots were asked.
    fn hints(set: &[(&str, u8, u8)], source: &str) -> (u8, usize) {
        let mut bytes = HashMap::<u32, u8>::new();
        for (prefix, bits, hint) in set {
            for slot in slots(prefix, *bits).concat() {
                *bytes.entry(slot).or_default() |= hint;
                if let Some((byte, mask)) = before(slot) {
                    *bytes.entry(byte).or_default() |= mask;
                }
            }
        }
        let asked = core::cell::Cell::new(0);
        let (family, address) = Address::of(source.parse().unwrap());
        let look = |slot: u32| {
            asked.set(asked.get() + usize::from(slot < COARSE_V4));
            bytes.get(&slot).copied().unwrap_or(0)
        };
        let found = match family {
            Family::V4 => of_v4(address.word_v4(), look),
            Family::V6 => of_v6(address, 7, look),
        };
        (found, asked.get())
    }

    #[test]
    fn a_source_has_the_hints_of_its_network() {
        let rules = [
            ("192.0.2.0", 25, ALLOW),
            ("192.0.9.0", 24, BLOCKED),
            ("10.0.0.0", 8, BLOCKED),
            ("2001:db8:1:2::", 64, PREFIX),
            ("2001:db9::", 32, RANGE),
        ];
        for (source, wanted, asked) in [
            ("192.0.2.200", ALLOW, 1),
            ("192.0.9.1", BLOCKED, 1),
            ("192.0.3.1", 0, 1),
            ("192.1.2.1", 0, 0),
            ("10.255.255.255", BLOCKED, 1),
            ("2001:db8:1:ffff::1", PREFIX, 2),
            ("2001:db8:2::1", 0, 1),
            ("2001:db9:7::1", RANGE, 1),
            ("2001:dba::1", 0, 0),
        ] {
            assert_eq!(hints(&rules, source), (wanted, asked), "{source}");
        }
    }

    #[test]
    fn the_fine_bytes_are_not_asked_for_addresses() {
        let rules = [
            ("192.0.2.1", 32, ADDRESS),
            ("2001:db8:1:2::", 64, ADDRESS),
            ("2000::", 3, RANGE),
            ("198.51.100.0", 24, RANGE),
        ];
        for (source, wanted) in [
            ("198.51.1.1", RANGE),
            ("192.0.2.1", ADDRESS),
            ("192.0.3.1", ADDRESS),
            ("192.1.2.1", 0),
            ("2001:db8:1:2::3", ADDRESS | RANGE),
            ("2001:dba::1", RANGE),
        ] {
            assert_eq!(hints(&rules, source), (wanted, 0), "{source}");
        }
    }
}
