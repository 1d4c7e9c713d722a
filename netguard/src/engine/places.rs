//! Where traffic comes from in times of peace: the share that each country, or autonomous system, has of ordinary packets. Where an
//! address is a database says, which is not read here.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Account, seen::Seen};
pub use crate::config::Place;

/// So many seconds after it a second must have been calm: an attack begins before it is noticed.
const SETTLE_S: u64 = 5;
/// Packets of one source that count in a second: a client with an upload is no country.
const OF_ONE: u32 = 32;
/// Packets from which on a share says something.
const TELLING: u64 = 128;
/// Packets that are remembered: beyond, all count half, so that the share is that of the last hours.
const REMEMBERED: u64 = 100_000;

const SECOND_NS: u64 = 1_000_000_000;

/// Says where addresses are.
pub trait Places {
    /// Where `source` is, as far as the database knows.
    fn place(&self, source: IpAddr) -> Option<Place>;

    /// Whether the configuration says what becomes of that place.
    fn is_configured(&self, place: Place) -> bool;

    /// Why nobody can say where an address is, or may do anything about it, if so.
    fn unknown(&self) -> Option<Unknown>;
}

/// Why nothing is done about places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// There is none.
    NoDatabase,
    /// It is still being read.
    Unread,
    /// It cannot be: a sentence that names its file.
    Unreadable(Arc<str>),
    /// The configuration says what becomes of places that it does not name.
    Default,
}

/// Where there is no database.
pub struct Nowhere;

impl Places for Nowhere {
    fn place(&self, _source: IpAddr) -> Option<Place> {
        None
    }

    fn is_configured(&self, _place: Place) -> bool {
        false
    }

    fn unknown(&self) -> Option<Unknown> {
        Some(Unknown::NoDatabase)
    }
}

/// Ordinary packets by where they came from.
#[derive(Clone, Debug, Default)]
pub struct PeacePlaces {
    counts: BTreeMap<Option<Place>, u64>,
    /// Seconds that may still turn out not to have been calm, the oldest first.
    settling: VecDeque<Second>,
}

#[derive(Clone, Debug, Default)]
struct Second {
    number: u64,
    sources: BTreeMap<Account, u32>,
    counts: BTreeMap<Option<Place>, u64>,
}

impl PeacePlaces {
    /// Takes in a packet of a calm time.
    pub fn learn(&mut self, seen: &Seen, places: &dyn Places) {
        if places
            .unknown()
            .is_some_and(|unknown| unknown != Unknown::Default)
        {
            return;
        }
        let number = seen.head.at_ns / SECOND_NS;
        if self.settling.back().is_none_or(|second| second.number != number) {
            self.settling.push_back(Second {
                number,
                ..Second::default()
            });
            // A clock that jumps about must not make more of them.
            if self.settling.len() > SETTLE_S as usize + 2 {
                self.settling.pop_front();
            }
        }
        let Some(second) = self.settling.back_mut() else {
            return;
        };
        let count = second.sources.entry(Account::of(seen.source)).or_default();
        *count += 1;
        if *count <= OF_ONE {
            *second.counts.entry(places.place(seen.source)).or_default() += 1;
        }
    }

    /// Takes in that it is calm at `now_ns`: seconds that are long enough ago were ordinary.
    pub fn settle(&mut self, now_ns: u64) {
        while let Some(second) = self.settling.front()
            && second.number.saturating_add(SETTLE_S) < now_ns / SECOND_NS
        {
            let second = self.settling.pop_front().unwrap_or_default();
            for (place, count) in second.counts {
                *self.counts.entry(place).or_default() += count;
            }
        }
        if self.counts.values().sum::<u64>() > REMEMBERED {
            self.counts.values_mut().for_each(|count| *count /= 2);
            self.counts.retain(|_, count| *count > 0);
        }
    }

    /// Takes in that it is not: what came just before is not known to be ordinary.
    pub fn doubt(&mut self) {
        self.settling.clear();
    }

    /// What is known to be ordinary, without what may still turn out not to be.
    pub fn kept(&self) -> KeptPlaces {
        KeptPlaces(
            self.counts
                .iter()
                .map(|(place, count)| (*place, *count))
                .collect(),
        )
    }

    /// Takes up what was kept, in place of what is known; whether it could. Whoever is told by `are_countries` now, and was told by
    /// autonomous systems then, is unknown. That it is sound was seen to when it was read ([`super::Calm`]).
    pub fn recall(&mut self, kept: KeptPlaces, are_countries: bool) -> bool {
        let mut places = kept.0.iter().filter_map(|(place, _)| *place);
        let is_readable = places.all(|place| matches!(place, Place::Country(_)) == are_countries);
        if is_readable {
            self.counts = kept.0.into_iter().collect();
        }
        is_readable
    }

    /// The part of ordinary packets that came from `place`.
    ///
    /// # Errors
    /// How many are known, where that is too few to tell.
    pub fn share(&self, place: Place) -> Result<f64, u64> {
        let of: u64 = self.counts.values().sum();
        if of < TELLING {
            return Err(of);
        }
        Ok(self.counts.get(&Some(place)).copied().unwrap_or(0) as f64 / of as f64)
    }
}

/// Ordinary packets by place, as one daemon leaves them to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPlaces(Vec<(Option<Place>, u64)>);

impl KeptPlaces {
    /// Whether it can have been learnt.
    pub fn is_sound(&self) -> bool {
        let sum = |sum: u64, (_, count): &(Option<Place>, u64)| sum.saturating_add(*count);
        self.0.iter().all(|(_, count)| *count > 0) && self.0.iter().fold(0, sum) <= REMEMBERED
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::{peace::tests::seen_at, seen::tests::syn};

    /// A database in which the last byte of an IPv4 address says where it is: from 200 on in AQ, below in BV; HM has a policy.
    pub(in crate::engine) struct LastByte;

    pub(in crate::engine) fn country(code: &str) -> Place {
        Place::Country(code.parse().expect("a code"))
    }

    impl Places for LastByte {
        fn place(&self, source: IpAddr) -> Option<Place> {
            let IpAddr::V4(source) = source else { return None };
            let [.., last] = source.octets();
            Some(country(match last {
                0..150 => "BV",
                150..200 => "HM",
                200.. => "AQ",
            }))
        }

        fn is_configured(&self, place: Place) -> bool {
            place == country("HM")
        }

        fn unknown(&self) -> Option<Unknown> {
            None
        }
    }

    #[test]
    fn shares_are_those_of_seconds_that_turned_out_to_be_calm() {
        let mut peace = PeacePlaces::default();
        for second in 1..=12 {
            for packet in 0..60_u8 {
                peace.learn(&seen_at(second, &syn(packet % 20, 64, 512, 0)), &LastByte);
            }
            peace.settle(second * SECOND_NS);
        }
        // From 1 to 6.
        assert_eq!(peace.counts.values().sum::<u64>(), 360);
        assert_eq!(peace.share(country("BV")), Ok(1.0));
        assert_eq!(peace.share(country("AQ")), Ok(0.0));
        peace.doubt();
        peace.settle(u64::MAX);
        assert_eq!(peace.counts.values().sum::<u64>(), 360, "the rest was none");
    }

    #[test]
    fn one_client_is_no_country_and_few_packets_say_nothing() {
        let mut peace = PeacePlaces::default();
        for _ in 0..1_000 {
            peace.learn(&seen_at(1, &syn(7, 64, 512, 0)), &LastByte);
        }
        peace.learn(&seen_at(1, &syn(7, 64, 512, 0)), &Nowhere);
        peace.settle(u64::MAX);
        assert_eq!(peace.share(country("BV")), Err(u64::from(OF_ONE)));
    }

    #[test]
    fn places_outlive_the_daemon_where_they_are_told_alike() {
        let mut peace = PeacePlaces::default();
        for source in 0..200 {
            peace.learn(&seen_at(1, &syn(source, 64, 512, 0)), &LastByte);
        }
        peace.settle(u64::MAX);
        let text = serde_json::to_string(&peace.kept()).expect("it is JSON");
        let kept: KeptPlaces = serde_json::from_str(&text).expect("the same");
        let mut other = PeacePlaces::default();
        assert!(!other.recall(kept.clone(), false), "they were countries");
        assert!(other.recall(kept, true));
        assert_eq!(other.share(country("BV")), peace.share(country("BV")));
        for wrong in [vec![(None, 0)], vec![(None, u64::MAX); 2]] {
            assert!(!KeptPlaces(wrong).is_sound());
        }
    }

    #[test]
    fn memory_is_bounded_and_old_times_fade() {
        let mut peace = PeacePlaces::default();
        for (seconds, source) in [(1..4_000, 1), (4_000..12_000, 210)] {
            for second in seconds {
                for _ in 0..OF_ONE {
                    peace.learn(&seen_at(second, &syn(source, 64, 512, 0)), &LastByte);
                }
                peace.settle(second * SECOND_NS);
            }
        }
        assert!(peace.counts.values().sum::<u64>() <= REMEMBERED);
        assert!(peace.share(country("AQ")).expect("it is known") > 0.8);
        // A clock that jumps back.
        peace.learn(&seen_at(0, &syn(1, 64, 512, 0)), &LastByte);
        assert!(peace.settling.len() <= SETTLE_S as usize + 2);
    }
}
