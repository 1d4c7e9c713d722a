//! What a parser gathers from a feed: prefixes with their places, and tallies of what is left out. It knows no format.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use ipnet::{Ipv4Subnets, Ipv6Subnets};

use super::{Feed, ListError, Reading, Told, timed::Spell};
use crate::{
    config::{FeedAction, FeedFormat},
    lists::gates::{outside_special, within_special},
    prefix::{BlockPrefix, Prefix, PrefixError},
};

/// Of a hundred entries so many may be no prefixes.
const BAD_PER_CENT: usize = 1;
/// No list that fits the kernel's tables has more entries; a range may be many prefixes.
const MOST: usize = 1 << 23;

pub(super) struct Gathered<'a> {
    pub(super) name: &'a str,
    reading: &'a Reading,
    /// What places count: `line` or `entry`.
    unit: &'static str,
    /// What neither begins nor ends, with its places.
    rows: Vec<(Prefix, u32)>,
    timed: Vec<(Prefix, Spell)>,
    /// What the feed itself takes out again.
    except: Vec<Prefix>,
    entries: usize,
    feed: Feed,
}

impl<'a> Gathered<'a> {
    pub(super) fn new(name: &'a str, reading: &'a Reading) -> Self {
        Self {
            name,
            reading,
            unit: "line",
            rows: Vec::new(),
            timed: Vec::new(),
            except: Vec::new(),
            entries: 0,
            feed: Feed {
                refused: Told::up_to(reading.tell),
                trimmed: Told::up_to(reading.tell),
                ..Feed::default()
            },
        }
    }

    /// Places are entries instead of lines.
    pub(super) fn count_entries(&mut self) {
        self.unit = "entry";
    }

    /// How many entries there were that speak of addresses.
    pub(super) const fn entries(&self) -> usize {
        self.entries
    }

    /// An entry that speaks of something else.
    pub(super) const fn pass_over(&mut self) {
        self.feed.passed_over += 1;
    }

    /// When something ends that lasts for `duration` since the feed was written.
    pub(super) fn after(&self, duration: Duration) -> Option<SystemTime> {
        // What had ended already then stays so, whatever the clock says.
        if duration.is_zero() {
            return Some(SystemTime::UNIX_EPOCH);
        }
        self.reading
            .written
            .unwrap_or(self.reading.now)
            .checked_add(duration)
    }

    /// An address, a prefix, or a range of addresses at `place`.
    pub(super) fn add(&mut self, place: usize, text: &str) {
        self.add_between(place, text, None, None);
    }

    /// As [`Self::add`], for an entry that begins or ends.
    pub(super) fn add_between(
        &mut self,
        place: usize,
        text: &str,
        from: Option<SystemTime>,
        until: Option<SystemTime>,
    ) {
        self.entries += 1;
        let spell = Spell {
            place: u32::try_from(place).unwrap_or(u32::MAX),
            from,
            until,
        };
        match read_prefixes(text) {
            Ok(prefixes) => {
                let refused = prefixes.iter().find_map(|prefix| self.too_wide(prefix));
                match refused {
                    Some(why) => self.refuse(place, &why),
                    None => prefixes.into_iter().for_each(|prefix| self.put(prefix, spell)),
                }
            }
            Err(why) => self.refuse(place, &why),
        }
    }

    /// What the feed takes out of what it says elsewhere.
    pub(super) fn add_exception(&mut self, place: usize, text: &str) {
        match read_prefixes(text) {
            Ok(prefixes) => self.except.extend(prefixes),
            Err(why) => {
                self.entries += 1;
                self.refuse(place, &why);
            }
        }
    }

    /// An entry that cannot be used.
    pub(super) fn refuse(&mut self, place: usize, why: &str) {
        let name = self.name;
        let at = match self.unit {
            "line" => format!("{name}:{place}"),
            unit => format!("{name}: {unit} {place}"),
        };
        self.feed.refused.add(|| format!("{at}: {why}"));
    }

    fn too_wide(&self, prefix: &Prefix) -> Option<String> {
        if within_special(prefix).is_some() {
            return None;
        }
        if let Err(error) = BlockPrefix::try_from(*prefix) {
            return Some(error.to_string());
        }
        let widest = if prefix.address().is_ipv4() {
            self.reading.widest_v4
        } else {
            self.reading.widest_v6
        };
        let bits = prefix.bits();
        (bits < widest).then(|| format!("{prefix} is wider than the /{widest} that this feed is believed"))
    }

    fn put(&mut self, prefix: Prefix, spell: Spell) {
        let keeps_all = self.reading.keep_private || self.reading.action == FeedAction::NeverBlock;
        let parts = if keeps_all {
            vec![prefix]
        } else {
            outside_special(prefix)
        };
        if parts.first() != Some(&prefix) {
            let (unit, place) = (self.unit, spell.place);
            let what = if parts.is_empty() { "is" } else { "holds" };
            let told = || format!("{unit} {place}: {prefix} {what} private or special address space");
            self.feed.trimmed.add(told);
        }
        let parts = parts.into_iter();
        if spell.is_always() {
            self.rows.extend(parts.map(|part| (part, spell.place)));
        } else {
            self.timed.extend(parts.map(|part| (part, spell)));
        }
    }

    pub(super) fn finish(mut self, format: FeedFormat) -> Result<Feed, ListError> {
        let file = || self.name.to_owned();
        let refused = &self.feed.refused;
        if refused.count * 100 > self.entries * BAD_PER_CENT && refused.count > Told::ONE_BY_ONE {
            return Err(ListError::NotAFeed {
                file: file(),
                bad: refused.count,
                unit: if self.unit == "line" { "lines" } else { "entries" },
                lines: self.entries,
                first: refused.first.first().cloned().unwrap_or_default(),
            });
        }
        if self.rows.len() + self.timed.len() > MOST {
            return Err(ListError::TooMany(file()));
        }
        // What has ended was there: that there is no more of it is no failure.
        if self.rows.is_empty() && self.timed.is_empty() {
            return Err(match self.feed.trimmed.count {
                0 => ListError::Empty(file()),
                _ => ListError::Private(file()),
            });
        }
        if !self.except.is_empty() {
            self.rows = without(self.rows, &self.except);
            self.timed = without(self.timed, &self.except);
        }
        let mut feed = Feed {
            format,
            unit: self.unit,
            ..self.feed
        };
        feed.fill(self.rows, self.timed, self.reading.now);
        Ok(feed)
    }
}

/// `rows` without `except`; few exceptions are the rule.
fn without<T: Copy>(rows: Vec<(Prefix, T)>, except: &[Prefix]) -> Vec<(Prefix, T)> {
    fn outside(prefix: Prefix, except: &[Prefix], parts: &mut Vec<Prefix>) {
        let touching: Vec<Prefix> = except
            .iter()
            .filter(|except| except.covers(&prefix) || prefix.covers(except))
            .copied()
            .collect();
        if touching.is_empty() {
            parts.push(prefix);
        } else if !touching.iter().any(|except| except.covers(&prefix)) {
            let halves = prefix.halves().into_iter().flatten();
            halves.for_each(|half| outside(half, &touching, parts));
        }
    }
    let parted = |(prefix, place): (Prefix, T)| {
        let mut parts = Vec::new();
        outside(prefix, except, &mut parts);
        parts.into_iter().map(move |part| (part, place))
    };
    rows.into_iter().flat_map(parted).collect()
}

/// The prefixes of an address, a prefix, or a range `a-b`.
fn read_prefixes(text: &str) -> Result<Vec<Prefix>, String> {
    let Some((first, last)) = text.split_once('-') else {
        return text
            .parse()
            .map(|prefix| vec![prefix])
            .map_err(|error: PrefixError| error.to_string());
    };
    let address = |text: &str| {
        text.trim()
            .parse::<IpAddr>()
            .map(|address| address.to_canonical())
    };
    let no_range = || {
        format!(
            "{:?} is no range: write its first and its last address",
            clipped(text)
        )
    };
    match (address(first), address(last)) {
        (Ok(IpAddr::V4(first)), Ok(IpAddr::V4(last))) if first <= last => {
            Ok(Ipv4Subnets::new(first, last, 0)
                .filter_map(|net| Prefix::truncated(net.addr().into(), net.prefix_len()))
                .collect())
        }
        (Ok(IpAddr::V6(first)), Ok(IpAddr::V6(last))) if first <= last => {
            Ok(Ipv6Subnets::new(first, last, 0)
                .filter_map(|net| Prefix::truncated(net.addr().into(), net.prefix_len()))
                .collect())
        }
        (Ok(_), Ok(_)) => Err(no_range()),
        _ => Err(text
            .parse::<Prefix>()
            .map_or_else(|error| error.to_string(), |_| no_range())),
    }
}

fn clipped(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{parse, reading, shown};
    use super::*;

    #[test]
    fn ranges_become_prefixes() {
        let feed =
            parse("192.0.2.0-192.0.2.130\n2001:db8::-2001:db8::3\n198.51.100.7-198.51.100.7\n").unwrap();
        assert_eq!(
            shown(&feed),
            [
                "192.0.2.0/25",
                "192.0.2.128/31",
                "192.0.2.130/32",
                "198.51.100.7/32",
                "2001:db8::/126"
            ]
        );
        let feed = parse("192.0.2.9\n192.0.2.2-192.0.2.1\n1.0.0.0-200.0.0.0\n::1-192.0.2.1\n").unwrap();
        assert_eq!(
            (shown(&feed), feed.refused.count),
            (vec!["192.0.2.9/32".to_owned()], 3)
        );
        assert!(feed.refused.first[0].contains("f:2: \"192.0.2.2-192.0.2.1\" is no range"));
        assert!(feed.refused.first[1].contains("f:3: ") && feed.refused.first[1].contains("too wide"));
    }

    #[test]
    fn private_space_is_trimmed_and_told() {
        let text = "10.0.0.0/8\n198.51.100.1\n192.0.0.0/8\nfc00::/7\n224.0.0.0/3\n2001:db8::/32\n";
        let feed = parse(text).unwrap();
        assert_eq!((feed.trimmed.count, feed.refused.count), (4, 0));
        assert_eq!(
            feed.trimmed.first[0],
            "line 1: 10.0.0.0/8 is private or special address space"
        );
        assert_eq!(
            feed.trimmed.first[1],
            "line 3: 192.0.0.0/8 holds private or special address space"
        );
        let holds = |text: &str| {
            feed.prefixes
                .iter()
                .any(|prefix| prefix.contains(text.parse().unwrap()))
        };
        assert!(
            !holds("192.168.3.4") && holds("192.167.255.255") && holds("192.169.0.0") && !holds("10.0.0.1")
        );
        let bogons = Reading {
            keep_private: true,
            ..reading()
        };
        assert_eq!(
            super::super::parse_feed("f", text.into(), &bogons)
                .unwrap()
                .prefixes
                .len(),
            6
        );
    }

    #[test]
    fn what_is_too_wide_for_the_feed_is_refused() {
        let narrow = Reading {
            widest_v4: 24,
            widest_v6: 48,
            ..reading()
        };
        let text = "198.51.100.0/24\n198.18.0.0/15\n2001:db8::/32\n2001:db8:1::/48\n";
        let feed = super::super::parse_feed("f", text.into(), &narrow).unwrap();
        assert_eq!(shown(&feed), ["198.51.100.0/24", "2001:db8:1::/48"]);
        assert!(
            feed.refused.first[0].contains("wider than the /24"),
            "{:?}",
            feed.refused
        );
    }
}
