//! What a feed has to pass before it is in force: space that is not the internet's is cut out; too much of the internet, and sudden
//! growth or shrink, are refused. It reads no files.

use std::{sync::LazyLock, time::SystemTime};

use super::{Before, Feed, ListError, Size};
use crate::prefix::Prefix;

/// Lists of no more entries may do as they like.
const SMALL: u64 = 1_000;
/// A list may cover so many times the addresses that it covered before.
const COVERS_MORE: u32 = 2;
/// Lists may cover so many IPv4 addresses more as they like: a /8. All of Spamhaus DROP are a little less.
const LITTLE_V4: u64 = 1 << 24;
/// And so many IPv6 networks of /64: a /20, which is what a large provider has.
const LITTLE_V6: u64 = 1 << 44;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub count: usize,
    /// In sentences.
    pub first: Vec<String>,
    /// How many are told one by one.
    most: usize,
}

impl Default for Told {
    fn default() -> Self {
        Self::up_to(Self::ONE_BY_ONE)
    }
}

impl Told {
    /// Things that are told one by one, unless somebody asks for more.
    pub const ONE_BY_ONE: usize = 5;

    /// None yet; the first `most` will be told.
    pub(super) const fn up_to(most: usize) -> Self {
        Self {
            count: 0,
            first: Vec::new(),
            most,
        }
    }

    /// None yet; as many will be told as here.
    pub(super) const fn alike(&self) -> Self {
        Self::up_to(self.most)
    }

    pub(super) fn add(&mut self, sentence: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < self.most {
            self.first.push(sentence());
        }
    }

    /// Both together.
    pub(crate) fn and(&mut self, other: &Self) {
        self.count += other.count;
        let room = self.most.saturating_sub(self.first.len());
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

/// Refuses a list that covers more than `max_percent` of the addresses of a family.
///
/// # Errors
/// When it does.
pub fn bounded(file: &str, feed: &Feed, max_percent: u32) -> Result<(), ListError> {
    // What has ended counts: a clock that was wrong brings it back, and nothing judges it then.
    let shares = Size::at(feed, SystemTime::UNIX_EPOCH).percent();
    let too_much = shares
        .into_iter()
        .find(|(_, percent)| *percent > f64::from(max_percent));
    too_much.map_or(Ok(()), |(family, percent)| {
        Err(ListError::TooMuch {
            file: file.to_owned(),
            family,
            percent,
            max_percent,
        })
    })
}

/// Refuses a list that is as much as `now` and was as much as `before`, both by the same clock.
///
/// # Errors
/// When it grew or shrank by more than these factors, or covers many more addresses.
pub fn steady(
    file: &str,
    before: &Before,
    now: &Size,
    max_growth: u32,
    max_shrink: u32,
) -> Result<(), ListError> {
    let sudden = |what, unit, before, now, factor| {
        Err(ListError::Sudden {
            file: file.to_owned(),
            what,
            unit,
            before,
            now,
            factor,
        })
    };
    let by = |factor: u32, number: u64| number.saturating_mul(u64::from(factor));
    let Before { left, most } = before;
    let [left, had, has] = [left, most, now].map(|size| size.entries as u64);
    if has > SMALL && had > 0 && has > by(max_growth, had) {
        return sudden("grown", "entries", had, has, max_growth);
    }
    // That entries ended is no shrink.
    if left > SMALL && by(max_shrink, has) < left {
        return sudden("shrunk", "entries", left, has, max_shrink);
    }
    for (unit, had, has, little) in [
        ("IPv4 addresses", most.v4_addresses, now.v4_addresses, LITTLE_V4),
        (
            "IPv6 networks of /64",
            most.v6_networks,
            now.v6_networks,
            LITTLE_V6,
        ),
    ] {
        if has > by(COVERS_MORE, had) && has - had > little {
            return sudden("grown", unit, had, has, COVERS_MORE);
        }
    }
    Ok(())
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
        let of = |entries| Size {
            entries,
            ..Size::default()
        };
        let jump =
            |before, now| steady("f", &of(before).into(), &of(now), 10, 2).map_err(|error| error.to_string());
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

    fn list(prefixes: impl Iterator<Item = String>) -> Feed {
        let text: String = prefixes.map(|prefix| prefix + "\n").collect();
        crate::lists::parse_feed("f", text.into(), &crate::lists::Reading::default()).unwrap()
    }

    /// Found in review: 223 lines took all of the internet, since lists are small that have few of them.
    #[test]
    fn no_list_covers_the_internet() {
        let covers = |prefixes: Vec<String>, percent| {
            bounded("f", &list(prefixes.into_iter()), percent).map_err(|error| error.to_string())
        };
        let eights =
            |count: u32| -> Vec<String> { (1..=count).map(|number| format!("{number}.0.0.0/8")).collect() };
        let nines = || -> Vec<String> {
            (1..224)
                .flat_map(|number| [0, 128].map(|half| format!("{number}.{half}.0.0/9")))
                .collect()
        };
        let sixteens = |count: u32| -> Vec<String> {
            (0x2000..0x2000 + count)
                .map(|number| format!("{number:x}::/16"))
                .collect()
        };
        // 10.0.0.0/8 is none of the internet's, and the same counts once.
        for good in [eights(26), [eights(26), eights(26)].concat(), sixteens(819)] {
            assert_eq!(covers(good, 10), Ok(()));
        }
        for (bad, told) in [
            (eights(223), "f covers 86."),
            (eights(27), "10.16 % of all IPv4 addresses, and 10 %"),
            (nines(), "f covers 86."),
            (sixteens(1_024), "12.50 % of all IPv6 addresses"),
            (sixteens(8_192), "`max_share_percent`"),
        ] {
            let error = covers(bad, 10).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        assert_eq!(covers(eights(223), 100), Ok(()));
        assert_eq!(covers(sixteens(8_192), 100), Ok(()));
    }

    #[test]
    fn what_has_ended_and_may_come_back_counts_as_covered() {
        let ban = |number: u32, duration: &str| {
            format!(
                "{{\"scope\":\"Range\",\"value\":\"{number}.0.0.0/8\",\"type\":\"ban\",\"duration\":\"{duration}\"}}"
            )
        };
        let covers = |duration: &str| {
            let list: Vec<String> = (20..80).map(|number| ban(number, duration)).collect();
            let reading = crate::lists::Reading {
                written: Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1)),
                ..Default::default()
            };
            let feed =
                crate::lists::parse_feed("f", format!("[{}]", list.join(",")).into(), &reading).unwrap();
            assert_eq!((feed.prefixes.len(), feed.size.entries, feed.ended), (0, 0, 60));
            bounded("f", &feed, 10).is_err()
        };
        assert_eq!((covers("1h"), covers("-1h")), (true, false));
    }

    /// Found in review: only entries were counted, so a few wide ones grew from nobody to everybody.
    #[test]
    fn lists_do_not_suddenly_cover_much_more() {
        let (eight, twenty) = (LITTLE_V4, LITTLE_V6);
        let jump = |before: (u64, u64), now: (u64, u64)| {
            let of = |(v4_addresses, v6_networks)| Size {
                entries: 9,
                v4_addresses,
                v6_networks,
            };
            steady("f", &of(before).into(), &of(now), 10, 2).map_err(|error| error.to_string())
        };
        for (before, now) in [
            ((1, 1), (eight, twenty)),
            ((eight, twenty), (2 * eight, 2 * twenty)),
            ((5 * eight, 0), (9 * eight, 0)),
            ((9 * eight, 9 * twenty), (0, 0)),
        ] {
            assert_eq!(jump(before, now), Ok(()), "{before:?} {now:?}");
        }
        for (before, now, told) in [
            (
                (1, 0),
                (eight + 2, 0),
                "f has grown from 1 IPv4 addresses to 16777218",
            ),
            ((2 * eight, 0), (4 * eight + 1, 0), "netguard feed accept"),
            ((0, twenty), (0, 3 * twenty), "IPv6 networks of /64 to"),
        ] {
            let error = jump(before, now).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_list_may_grow_to_what_it_was_and_shrink_to_what_is_left() {
        let of = |entries| Size {
            entries,
            ..Size::default()
        };
        let before = Before {
            left: of(1_200),
            most: of(50_000),
        };
        let judged = |entries| steady("f", &before, &of(entries), 10, 2).map_err(|error| error.to_string());
        for entries in [600, 50_000, 500_000] {
            assert_eq!(judged(entries), Ok(()), "{entries}");
        }
        assert!(judged(599).unwrap_err().contains("from 1200 entries to 599"));
        assert!(judged(500_001).unwrap_err().contains("from 50000 entries"));
    }
}
