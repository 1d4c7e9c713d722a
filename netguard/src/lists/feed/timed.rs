//! What of a feed holds when: entries that begin or end are kept with their times, so that a clock that was wrong and comes back
//! brings them back. It asks no clock.

use std::time::SystemTime;

use super::Feed;
use crate::{lists::Size, prefix::Prefix};

/// Where an entry was read, and from when until when it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lists) struct Spell {
    pub(super) place: u32,
    pub(super) from: Option<SystemTime>,
    pub(super) until: Option<SystemTime>,
}

impl Feed {
    /// Whether all of it that holds at `now` is in `prefixes`, and nothing else.
    #[must_use]
    pub fn holds_at(&self, now: SystemTime) -> bool {
        self.since.is_none_or(|since| since <= now) && self.until.is_none_or(|until| now < until)
    }

    /// Puts it together of what holds at `now`.
    pub fn put_together(&mut self, now: SystemTime) {
        if self.timed.is_empty() {
            return;
        }
        let hold = self.timed.iter().filter(|(_, spell)| spell.holds(now));
        let mut hold: Vec<(Prefix, u32)> = hold.map(|(prefix, spell)| (*prefix, spell.place)).collect();
        hold.dedup_by_key(|(prefix, _)| *prefix);
        (self.prefixes, self.places) = hold.into_iter().unzip();
        let spells = || self.timed.iter().map(|(_, spell)| spell);
        self.ended = spells().filter(|spell| spell.has_ended(now)).count();
        self.waiting = spells().filter(|spell| spell.waits(now)).count();
        let turns = || spells().flat_map(|spell| [spell.from, spell.until]).flatten();
        self.since = turns().filter(|at| *at <= now).max();
        self.until = turns().filter(|at| *at > now).min();
        self.measure(now);
    }

    /// Fills it with entries that `last`, and such as have times, and puts it together at `now`.
    pub(super) fn fill(
        &mut self,
        mut last: Vec<(Prefix, u32)>,
        timed: Vec<(Prefix, Spell)>,
        now: SystemTime,
    ) {
        if timed.is_empty() {
            last.sort_unstable();
            last.dedup_by_key(|(prefix, _)| *prefix);
            (self.prefixes, self.places) = last.into_iter().unzip();
            self.measure(now);
            return;
        }
        let always = |(prefix, place)| (prefix, Spell::always(place));
        self.timed = last.into_iter().map(always).chain(timed).collect();
        self.timed.sort_unstable();
        self.put_together(now);
    }

    fn measure(&mut self, now: SystemTime) {
        self.size = Size::at(self, now);
        self.most = self.most.or_more(&self.size);
    }

    /// The prefixes that have not ended at `now`, whether they have begun or not: sorted, some perhaps more than once.
    pub(in crate::lists) fn not_ended(&self, now: SystemTime) -> impl Iterator<Item = &Prefix> {
        let last: &[Prefix] = if self.timed.is_empty() {
            &self.prefixes
        } else {
            &[]
        };
        let timed = self.timed.iter().filter(move |(_, spell)| !spell.has_ended(now));
        last.iter().chain(timed.map(|(prefix, _)| prefix))
    }
}

impl Spell {
    const fn always(place: u32) -> Self {
        Self {
            place,
            from: None,
            until: None,
        }
    }

    /// Whether it neither begins nor ends.
    pub(super) const fn is_always(&self) -> bool {
        self.from.is_none() && self.until.is_none()
    }

    fn holds(&self, now: SystemTime) -> bool {
        self.from.is_none_or(|from| from <= now) && !self.has_ended(now)
    }

    fn waits(&self, now: SystemTime) -> bool {
        !self.holds(now) && !self.has_ended(now)
    }

    fn has_ended(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{parse_feed, tests::reading, tests::shown};
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Found in review: a clock that jumped and came back left feeds without all entries that end.
    #[test]
    fn a_clock_that_comes_back_brings_entries_back() {
        let now = reading().now;
        let at = |time: SystemTime| humantime::format_rfc3339(time).to_string();
        let indicator = |address: &str, times: String| {
            format!("{{\"type\":\"indicator\",\"pattern\":\"[ipv4-addr:value = '{address}']\"{times}}}")
        };
        let list = [
            indicator("192.0.2.1", String::new()),
            indicator("192.0.2.2", format!(",\"valid_until\":\"{}\"", at(now + HOUR))),
            // The same address twice: it stays until both have ended.
            indicator(
                "192.0.2.2",
                format!(",\"valid_until\":\"{}\"", at(now + 2 * HOUR)),
            ),
            indicator("192.0.2.3", format!(",\"valid_from\":\"{}\"", at(now + HOUR))),
        ];
        let stix = format!("{{\"type\":\"bundle\",\"objects\":[{}]}}", list.join(","));
        let ipset =
            "create x hash:net\nadd x 192.0.2.0/30 timeout 3600\nadd x 192.0.2.2 nomatch\nadd x 192.0.2.9\n";
        let ban = |address: &str, duration: &str| {
            format!(
                "{{\"scope\":\"Ip\",\"value\":\"{address}\",\"type\":\"ban\",\"duration\":\"{duration}\"}}"
            )
        };
        // What had ended when it was written never comes back.
        let crowdsec = format!("[{},{}]", ban("192.0.2.1", "1h"), ban("192.0.2.2", "-1h"));
        for text in [stix, ipset.to_owned(), crowdsec] {
            let parsed = |time| {
                let reading = crate::lists::Reading {
                    now: time,
                    ..reading()
                };
                parse_feed("f", text.clone().into(), &reading).unwrap()
            };
            let mut feed = parsed(now);
            for hours in [0_u32, 1, 2, 90_000, 0, 3, 1, 0] {
                let time = now + hours * HOUR;
                let anew = parsed(time);
                assert_eq!(
                    feed.holds_at(time),
                    shown(&feed) == shown(&anew) && feed.ended == anew.ended,
                    "{text} {hours}"
                );
                feed.put_together(time);
                assert!(feed.holds_at(time));
                assert_eq!(shown(&feed), shown(&anew), "{text} {hours}");
                assert_eq!(
                    (&feed.places, feed.ended, feed.waiting, feed.size),
                    (&anew.places, anew.ended, anew.waiting, anew.size),
                    "{text} {hours}"
                );
            }
            // A clock that is late makes nothing come back that had ended by its own word.
            feed.put_together(now - 2 * HOUR);
            assert!(
                shown(&feed)
                    .iter()
                    .all(|prefix| text.contains("valid") || prefix != "192.0.2.2/32")
            );
        }
    }

    #[test]
    fn what_never_ends_always_holds() {
        let mut feed = super::super::tests::parse("192.0.2.1\n192.0.2.1\n").unwrap();
        for time in [SystemTime::UNIX_EPOCH, reading().now + 90_000 * HOUR] {
            assert!(feed.holds_at(time));
            feed.put_together(time);
            assert_eq!((shown(&feed).len(), feed.ended), (1, 0));
        }
    }
}
