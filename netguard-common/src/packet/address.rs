//! Addresses of packets, of either family.

use core::net::{IpAddr, Ipv6Addr};

use super::Family;
use crate::shared::{Field, Visitor};

/// An address in network byte order, IPv4 as IPv4-mapped IPv6 (`::ffff:a.b.c.d`). The words are pieces of memory,
/// not numbers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub high: u64,
    pub low: u64,
}

impl Field for Address {
    const ZERO: Self = Self { high: 0, low: 0 };
    fn visit(&self, name: &'static str, visitor: &mut dyn Visitor) {
        visitor.bytes(name, &self.octets());
    }
}

impl Address {
    #[inline(always)]
    pub const fn v4([a, b, c, d]: [u8; 4]) -> Self {
        Self {
            high: 0,
            low: u64::from_ne_bytes([0, 0, 0xff, 0xff, a, b, c, d]),
        }
    }

    #[inline(always)]
    pub const fn v6(octets: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
        Self {
            high: u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            low: u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
        }
    }

    /// `address` as a packet of its family carries it.
    pub const fn of(address: IpAddr) -> (Family, Self) {
        match address {
            IpAddr::V4(address) => (Family::V4, Self::v4(address.octets())),
            IpAddr::V6(address) => (Family::V6, Self::v6(address.octets())),
        }
    }

    /// The IPv4 address, in network byte order.
    #[inline(always)]
    pub const fn octets_v4(&self) -> [u8; 4] {
        let [_, _, _, _, a, b, c, d] = self.low.to_ne_bytes();
        [a, b, c, d]
    }

    /// The IPv4 address as a map key: its four bytes as they lie in the header.
    #[inline(always)]
    pub const fn word_v4(&self) -> u32 {
        u32::from_ne_bytes(self.octets_v4())
    }

    pub const fn octets(&self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h] = self.high.to_ne_bytes();
        let [i, j, k, l, m, n, o, p] = self.low.to_ne_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// As people write it: the reverse of [`Address::of`].
    pub const fn ip(&self) -> IpAddr {
        Ipv6Addr::from_octets(self.octets()).to_canonical()
    }

    /// The first byte of an IPv6 address.
    #[inline(always)]
    pub const fn first_octet(&self) -> u8 {
        self.high.to_ne_bytes()[0]
    }
}

/// `address` as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2).
pub const fn mapped(address: [u8; 4]) -> [u8; 16] {
    Address::v4(address).octets()
}
