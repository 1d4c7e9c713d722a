//! What a feed has to pass before it is in force: space that is not the internet's is cut out, sudden growth or shrink is refused,
//! and what must never be blocked is told. It reads no files.

use std::{net::IpAddr, sync::LazyLock};

use super::{Feed, ListError};
use crate::prefix::Prefix;

/// Lists of no more entries may do as they like.
const SMALL: usize = 1_000;

/// Address space from which no packet comes over the internet, or that is everybody's own: of this network, private, shared,
/// loopback, link-local, multicast, reserved (IANA's registries of special-purpose addresses). What is for documents and for
/// benchmarks is not among it: nobody is there who could be hurt.
const SPECIAL: [&str; 13] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
    "::/127",
    "64:ff9b::/96",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

static SPECIAL_PREFIXES: LazyLock<Vec<Prefix>> =
    LazyLock::new(|| SPECIAL.iter().filter_map(|text| text.parse().ok()).collect());

/// Things that are counted, and the first of them told one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub count: usize,
    /// In sentences.
    pub first: Vec<String>,
}

impl Told {
    /// Things that are told one by one.
    pub(super) const ONE_BY_ONE: usize = 5;

    pub(super) fn add(&mut self, sentence: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < Self::ONE_BY_ONE {
            self.first.push(sentence());
        }
    }

    /// Both together.
    pub(crate) fn and(&mut self, other: &Self) {
        self.count += other.count;
        let room = Self::ONE_BY_ONE.saturating_sub(self.first.len());
        self.first.extend(other.first.iter().take(room).cloned());
    }
}

/// The special space that holds all of `prefix`.
pub(super) fn within_special(prefix: &Prefix) -> Option<Prefix> {
    SPECIAL_PREFIXES
        .iter()
        .find(|special| special.covers(prefix))
        .copied()
}

/// The parts of `prefix` outside of special space: it itself, as a rule.
pub(super) fn outside_special(prefix: Prefix) -> Vec<Prefix> {
    if within_special(&prefix).is_some() {
        return Vec::new();
    }
    if !SPECIAL_PREFIXES.iter().any(|special| prefix.covers(special)) {
        return vec![prefix];
    }
    prefix
        .halves()
        .into_iter()
        .flatten()
        .flat_map(outside_special)
        .collect()
}

/// Entries, those that have ended among them: that they end is no sudden shrink.
#[must_use]
pub const fn size(feed: &Feed) -> usize {
    feed.prefixes.len() + feed.ended
}

/// Refuses a list of `now` entries that had `before`.
///
/// # Errors
/// When it grew or shrank by more than these factors.
pub fn steady(
    file: &str,
    before: usize,
    now: usize,
    max_growth: u32,
    max_shrink: u32,
) -> Result<(), ListError> {
    let by = |factor: u32, number: usize| number.saturating_mul(factor as usize);
    let sudden = |what, factor| ListError::Sudden {
        file: file.to_owned(),
        what,
        before,
        now,
        factor,
    };
    if now > SMALL && before > 0 && now > by(max_growth, before) {
        return Err(sudden("grown", max_growth));
    }
    if before > SMALL && by(max_shrink, now) < before {
        return Err(sudden("shrunk", max_shrink));
    }
    Ok(())
}

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
    let mut told = Told::default();
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
    fn every_special_prefix_is_one() {
        assert_eq!(SPECIAL_PREFIXES.len(), SPECIAL.len());
    }

    #[test]
    fn long_lists_do_not_jump() {
        let jump = |before, now| steady("f", before, now, 10, 2).map_err(|error| error.to_string());
        for (before, now) in [
            (0, 500_000),
            (10, 1_000),
            (1_000, 1),
            (2_000, 1_000),
            (1_001, 501),
            (200, 2_000),
        ] {
            assert_eq!(jump(before, now), Ok(()), "{before} {now}");
        }
        for (before, now, told) in [
            (2_000, 999, "f has shrunk from 2000 entries to 999"),
            (100, 1_001, "f has grown from 100 entries to 1001"),
            (500_000, 10, "netguard feed accept"),
        ] {
            let error = jump(before, now).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

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
