//! What is left alone of a list, because the machine needs it or somebody said never to block it. It cuts nothing out.

use std::net::IpAddr;

use super::{Feed, Told};
use crate::prefix::Prefix;

/// Prefixes that a list must leave alone, and why.
#[derive(Debug)]
pub struct Protected {
    why: String,
    /// First and last addresses, sorted, none within or touching another of its family.
    ranges: Vec<(IpAddr, IpAddr)>,
}

impl Protected {
    /// `why` completes "192.0.2.1/32 is ...".
    #[must_use]
    pub fn new(why: String, prefixes: &[Prefix]) -> Self {
        let mut all: Vec<(IpAddr, IpAddr)> = prefixes
            .iter()
            .map(|prefix| (prefix.net().network(), prefix.net().broadcast()))
            .collect();
        all.sort_unstable();
        let mut ranges: Vec<(IpAddr, IpAddr)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match ranges.last_mut() {
                // All IPv4 addresses are before all of IPv6.
                Some((_, end)) if first <= *end => *end = last.max(*end),
                _ => ranges.push((first, last)),
            }
        }
        Self { why, ranges }
    }

    /// Whether an address of `prefix` is among them.
    fn touches(&self, prefix: &Prefix) -> bool {
        let (first, last) = (prefix.net().network(), prefix.net().broadcast());
        let next = self.ranges.partition_point(|(_, end)| *end < first);
        self.ranges.get(next).is_some_and(|(start, _)| *start <= last)
    }
}

/// What of `feed` is left alone because it is among what is `protected`.
#[must_use]
pub fn spared(feed: &Feed, protected: &[Protected]) -> Told {
    let mut told = feed.refused.alike();
    for (prefix, place) in feed.prefixes.iter().zip(&feed.places) {
        if let Some(by) = protected.iter().find(|protected| protected.touches(prefix)) {
            told.add(|| format!("{} {place}: {prefix} is or holds {}", feed.unit, by.why));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_protected_is_told() {
        let prefixes =
            |texts: &[&str]| -> Vec<Prefix> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let listed = prefixes(&[
            "192.0.2.0/24",
            "198.51.100.7",
            "198.51.100.9",
            "2001:db8::/32",
            "2001:db9::1",
        ]);
        let feed = Feed {
            places: vec![3, 4, 5, 6, 7],
            unit: "line",
            prefixes: listed,
            ..Feed::default()
        };
        let protected = [
            Protected::new(
                "a gateway".to_owned(),
                &prefixes(&["192.0.2.1", "192.0.0.0/16", "2001:db8:7::1"]),
            ),
            Protected::new(
                "on good".to_owned(),
                &prefixes(&["198.51.100.8/31", "198.51.100.0/29"]),
            ),
        ];
        let told = spared(&feed, &protected);
        assert_eq!(told.count, 4);
        assert_eq!(told.first[0], "line 3: 192.0.2.0/24 is or holds a gateway");
        assert_eq!(told.first[1], "line 4: 198.51.100.7/32 is or holds on good");
        assert_eq!(told.first[3], "line 6: 2001:db8::/32 is or holds a gateway");
    }
}
