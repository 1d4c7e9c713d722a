//! Hints: for every source a byte that says which rule tables can know it at all. Most sources are on no list, and one
//! look into a table of bytes tells that faster than any look-up.
//!
//! A hint promises nothing but this: where a bit is not set, its table has no rule for the source. A bit that is set
//! without need costs a look-up. [`BLOCKED`] alone is an answer.
//!
//! IPv4 has a byte for each /24. IPv6 has two places in a hashed array, one for the /48 and one for the /32 of the source;
//! shorter prefixes are marked for each /32 in them, and those shorter than a /16 for all of IPv6.

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

/// Bytes in one entry of the map `HINTS`: a cache line.
pub const LINE: u32 = 64;
/// Bytes for IPv4.
pub const V4_BYTES: u32 = 1 << 24;
/// Bytes for IPv6; a power of two.
pub const V6_BYTES: u32 = 1 << 22;
/// The byte of all IPv6 sources, for prefixes too short to be marked one by one.
pub const ALL_V6: u32 = V4_BYTES + V6_BYTES;
/// Entries of the map `HINTS`.
pub const LINES: u32 = (V4_BYTES + V6_BYTES) / LINE + 1;

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
        Family::V4 => tables.hint(slot_v4(packet.source.word_v4())),
        Family::V6 => {
            let [long, short] = slots_v6(packet.source, seed);
            tables.hint(long) | tables.hint(short) | tables.hint(ALL_V6)
        }
    }
}

/// Where the byte of an IPv4 address lies; `source` is in network byte order.
#[inline(always)]
pub const fn slot_v4(source: u32) -> u32 {
    u32::from_be(source) >> 8
}

/// Where the bytes of an IPv6 address lie: that of its /48, and that of its /32.
#[inline(always)]
pub const fn slots_v6(source: Address, seed: u64) -> [u32; 2] {
    let network = u64::from_be(source.high);
    [
        slot_v6(network >> (64 - V6_LONG), V6_LONG, seed),
        slot_v6(network >> (64 - V6_SHORT), V6_SHORT, seed),
    ]
}

/// Where the bytes of a prefix of `bits` that begins at `address` lie: a run of them, or one for each of several hashed
/// networks.
pub fn slots(family: Family, address: Address, bits: u8, seed: u64) -> impl Iterator<Item = u32> {
    let (first, count, bits) = match family {
        Family::V4 => (
            u64::from(slot_v4(address.word_v4())),
            1 << 24_u8.saturating_sub(bits),
            24,
        ),
        Family::V6 => {
            let network = u64::from_be(address.high);
            match bits {
                V6_LONG.. => (network >> (64 - V6_LONG), 1, V6_LONG),
                V6_SHORTEST.. => (
                    network >> (64 - V6_SHORT),
                    1 << V6_SHORT.saturating_sub(bits),
                    V6_SHORT,
                ),
                _ => (0, 1, 0),
            }
        }
    };
    (first..first + count).map(move |network| match (family, bits) {
        (Family::V4, _) => network as u32,
        (Family::V6, 0) => ALL_V6,
        (Family::V6, bits) => slot_v6(network, bits, seed),
    })
}

/// Where the byte of an IPv6 network lies, given its first `bits` as a number.
#[inline(always)]
const fn slot_v6(network: u64, bits: u8, seed: u64) -> u32 {
    V4_BYTES + (mix(network << 8 | bits as u64, seed) as u32 & (V6_BYTES - 1))
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
    use std::net::IpAddr;

    use super::*;

    fn address(text: &str) -> Address {
        Address::of(text.parse::<IpAddr>().unwrap()).1
    }

    #[test]
    fn an_ipv4_network_of_24_bits_has_a_byte() {
        let slot = |text| slot_v4(address(text).word_v4());
        assert_eq!(slot("0.0.0.0"), 0);
        assert_eq!(slot("192.0.2.1"), 0xc0_0002);
        assert_eq!(slot("192.0.2.255"), slot("192.0.2.0"));
        assert_eq!(slot("255.255.255.255"), V4_BYTES - 1);
    }

    #[test]
    fn ipv6_networks_share_bytes_by_their_first_bits() {
        let slots = |text| slots_v6(address(text), 7);
        assert_eq!(slots("2001:db8:1:2::3"), slots("2001:db8:1:ffff::"));
        let [long, short] = slots("2001:db8:1::");
        let [other, same] = slots("2001:db8:2::");
        assert!(long != other && short == same);
        assert!(slots("2001:db9:1::")[1] != short);
        for slot in slots("ff02::1") {
            assert!((V4_BYTES..V4_BYTES + V6_BYTES).contains(&slot));
        }
        assert_ne!(slots_v6(address("2001:db8::"), 8), slots("2001:db8::"));
    }

    #[test]
    fn every_source_of_a_prefix_is_marked() {
        let of = |text: &str, bits| {
            let (family, address) = Address::of(text.parse().unwrap());
            slots(family, address, bits, 7).collect::<std::vec::Vec<_>>()
        };
        assert_eq!(of("192.0.2.77", 32), [0xc0_0002]);
        assert_eq!(of("192.0.2.0", 23), [0xc0_0002, 0xc0_0003]);
        assert_eq!(of("10.0.0.0", 8).len(), 65_536);
        assert_eq!(of("0.0.0.0", 0).len(), 1 << 24);
        let [long, short] = slots_v6(address("2001:db8:1:2::3"), 7);
        for bits in [48, 64, 128] {
            assert_eq!(of("2001:db8:1:2::3", bits), [long]);
        }
        assert_eq!(of("2001:db8::", 32), [short]);
        assert_eq!(of("2001:db8::", 47), [short]);
        assert!(of("2001::", 16).contains(&short));
        assert_eq!(of("2000::", 3), [ALL_V6]);
        assert_eq!(of("::", 0), [ALL_V6]);
    }
}
