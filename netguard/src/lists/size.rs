//! How much a feed is and was: its entries, and how much of the internet's address space they cover. It judges nothing.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::{Feed, gates::within_special};

/// How much a feed is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Prefixes, each once.
    pub entries: usize,
    /// IPv4 addresses in them, each once, but for private and special ones.
    pub v4_addresses: u64,
    /// IPv6 networks of /64 that they touch, each once, in 2000::/3: nothing else was ever given out (RFC 4291 section 2.4).
    pub v6_networks: u64,
}

/// How much a feed was, before another list takes its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// What of it has not ended.
    pub left: Size,
    /// The most that it was since it was read: one whose entries ended while its server was gone comes back as it was.
    pub most: Size,
}

impl Before {
    /// How much `feed` was at `now`.
    #[must_use]
    pub fn of(feed: &Feed, now: SystemTime) -> Self {
        let left = if feed.holds_at(now) {
            feed.size
        } else {
            Size::at(feed, now)
        };
        Self {
            left,
            most: feed.most.or_more(&left),
        }
    }
}

/// A list that was no more nor less before.
impl From<Size> for Before {
    fn from(size: Size) -> Self {
        Self {
            left: size,
            most: size,
        }
    }
}

impl Size {
    /// Of what has not ended at `now`. What has not begun counts: nothing judges it later.
    #[must_use]
    pub fn at(feed: &Feed, now: SystemTime) -> Self {
        let (mut v4, mut v6) = (Count::default(), Count::default());
        let mut entries = 0;
        let mut before = None;
        for prefix in feed.not_ended(now) {
            if before.replace(prefix) == Some(prefix) {
                continue;
            }
            entries += 1;
            match (prefix.net().network(), prefix.net().broadcast()) {
                (IpAddr::V4(first), IpAddr::V4(last)) if within_special(prefix).is_none() => {
                    v4.add(u32::from(first).into(), u32::from(last).into());
                }
                (IpAddr::V6(first), IpAddr::V6(last)) if first.segments()[0] >> 13 == 1 => {
                    v6.add(network(first), network(last));
                }
                _ => {}
            }
        }
        Self {
            entries,
            v4_addresses: v4.total,
            v6_networks: v6.total,
        }
    }

    /// The larger of each number.
    pub(super) fn or_more(&self, other: &Self) -> Self {
        Self {
            entries: self.entries.max(other.entries),
            v4_addresses: self.v4_addresses.max(other.v4_addresses),
            v6_networks: self.v6_networks.max(other.v6_networks),
        }
    }

    /// Shares of all IPv4 addresses, and of all of 2000::/3, in percent.
    #[must_use]
    pub fn percent(&self) -> [(&'static str, f64); 2] {
        let share = |count: u64, bits: u32| count as f64 * 100.0 / (1_u64 << bits) as f64;
        [
            ("IPv4", share(self.v4_addresses, 32)),
            ("IPv6", share(self.v6_networks, 61)),
        ]
    }
}

/// The number of the /64 that `address` is in.
fn network(address: Ipv6Addr) -> u64 {
    (u128::from(address) >> 64) as u64
}

/// Counts the numbers in ranges that overlap, each once.
#[derive(Default)]
struct Count {
    total: u64,
    /// All below were counted, or are in no range.
    next: u64,
}

impl Count {
    /// Ranges come in the order of their first numbers. No `last` is the last number of all.
    const fn add(&mut self, first: u64, last: u64) {
        let first = if first < self.next { self.next } else { first };
        if first <= last {
            self.total += last - first + 1;
            self.next = last + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lists::{Reading, parse_feed};

    #[test]
    fn what_overlaps_counts_once() {
        let reading = Reading {
            keep_private: true,
            ..Reading::default()
        };
        for (text, expected) in [
            ("192.0.2.1\n192.0.2.1\n", (1, 1, 0)),
            ("198.51.0.0/16\n198.51.100.0/24\n198.52.0.0/32\n", (3, 65_537, 0)),
            // Ranges and what is within them, in any order.
            ("192.0.2.7\n192.0.2.0-192.0.2.9\n", (3, 10, 0)),
            ("2001:db8::/63\n2001:db8::1\n2001:db8:0:1::/64\n", (3, 0, 2)),
            ("2001:db8::1\n2001:db8::2\n2001:db8::2:0:0:0\n", (3, 0, 1)),
            // Nobody is there.
            ("10.0.0.0/8\n224.0.0.0/3\nfc00::/7\n192.0.2.1\n", (4, 1, 0)),
        ] {
            let feed = parse_feed("f", text.into(), &reading).unwrap();
            let size = feed.size;
            assert_eq!(
                (size.entries, size.v4_addresses, size.v6_networks),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn all_is_all() {
        let all: String = (0x2000..0x4000)
            .map(|number| format!("{number:x}::/16\n"))
            .collect();
        let feed = parse_feed("f", all.into(), &Reading::default()).unwrap();
        let [(_, v4), (_, v6)] = feed.size.percent();
        assert_eq!((v4, v6), (0.0, 100.0));
    }
}
