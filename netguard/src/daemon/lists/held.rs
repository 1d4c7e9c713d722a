//! Places that are held because of attacks, behind the policies of the configuration. Each keeps its number while it is held, since
//! the datapath counts by it. Whether any is held the response says.

use std::{borrow::Cow, collections::HashMap};

use netguard_common::{
    layout::{Rate, Rule},
    ranges::{Policy, Subject},
};

use super::report::{ListMatch, ListReport};
use crate::{
    config::Place,
    prefix::Prefix,
    ranges::{Effect, Listing},
};

/// Places that can be held at once.
pub(super) const HELD: usize = 16;
/// How long one is held that nobody asks for again: a daemon that is killed asks for none.
const STANDS_NS: u64 = 900_000_000_000;

/// A place that is to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hold {
    pub place: Place,
    pub rate_per_s: u64,
    pub shadow: bool,
}

/// What is held.
#[derive(Clone, Default)]
pub(super) struct Held(Vec<Option<Entry>>);

#[derive(Clone)]
struct Entry {
    hold: Hold,
    prefixes: Vec<Prefix>,
    expires_at: u32,
    /// The counter of its number when it began.
    before: u64,
}

impl Held {
    /// The same with exactly `holds` in it, until a while after `now_ns`. `prefixes` has the addresses of those that are new; `counts` are
    /// the counters of the numbers that there is `room` for.
    ///
    /// # Errors
    /// A sentence, where there is no room or no address.
    pub(super) fn with(
        &self,
        holds: &[Hold],
        prefixes: &HashMap<Place, Vec<Prefix>>,
        counts: &[u64],
        room: usize,
        now_ns: u64,
    ) -> Result<Self, String> {
        let expires_at = Rule::expiry(now_ns, STANDS_NS);
        let mut entries = self.0.clone();
        for entry in &mut entries {
            let place = entry.as_ref().map(|entry| entry.hold.place);
            if !holds.iter().any(|hold| Some(hold.place) == place) {
                *entry = None;
            }
        }
        for hold in holds {
            let mut standing = entries.iter_mut().flatten();
            if let Some(entry) = standing.find(|entry| entry.hold.place == hold.place) {
                (entry.hold, entry.expires_at) = (*hold, expires_at);
                continue;
            }
            let free = entries.iter().position(Option::is_none).unwrap_or(entries.len());
            if free >= HELD {
                return Err(format!(
                    "{HELD} countries and autonomous systems are held already"
                ));
            }
            if free >= room {
                return Err(format!("beside the lists there is no room for more than {room}"));
            }
            let prefixes = prefixes.get(&hold.place).cloned().unwrap_or_default();
            if prefixes.is_empty() {
                return Err(format!("the database has no address of {}", hold.place));
            }
            if free == entries.len() {
                entries.push(None);
            }
            entries[free] = Some(Entry {
                hold: *hold,
                prefixes,
                expires_at,
                before: counts.get(free).copied().unwrap_or(0),
            });
        }
        while entries.last().is_some_and(Option::is_none) {
            entries.pop();
        }
        Ok(Self(entries))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn has(&self, place: Place) -> bool {
        self.0.iter().flatten().any(|entry| entry.hold.place == place)
    }

    /// What to compile, in the order of their numbers.
    pub(super) fn listings(&self) -> impl Iterator<Item = Listing<'_>> {
        self.0.iter().map(|entry| match entry {
            Some(entry) => Listing {
                effect: entry.effect(),
                prefixes: Cow::Borrowed(&entry.prefixes),
            },
            // A number that nobody has.
            None => Listing {
                effect: Effect::Spare,
                prefixes: Cow::Borrowed(&[]),
            },
        })
    }

    /// Packets that each place was held for, by the counters of their numbers.
    pub(super) fn packets<'a>(&'a self, counts: &'a [u64]) -> impl Iterator<Item = (Hold, u64)> + 'a {
        self.entries(counts).map(|(entry, packets)| (entry.hold, packets))
    }

    fn entries<'a>(&'a self, counts: &'a [u64]) -> impl Iterator<Item = (&'a Entry, u64)> + 'a {
        let numbered = self.0.iter().enumerate();
        numbered.filter_map(|(number, entry)| {
            let entry = entry.as_ref()?;
            let count = counts.get(number).copied().unwrap_or(entry.before);
            Some((entry, count.wrapping_sub(entry.before)))
        })
    }

    pub(super) fn reports<'a>(&'a self, counts: &'a [u64]) -> impl Iterator<Item = ListReport> + 'a {
        self.entries(counts).map(|(entry, packets)| ListReport {
            name: entry.hold.place.to_string(),
            kind: entry.kind().to_owned(),
            action: "limit".to_owned(),
            mode: if entry.hold.shadow { "shadow" } else { "enforce" }.to_owned(),
            prefixes: entry.prefixes.len(),
            packets,
            ..ListReport::default()
        })
    }

    /// Those that hold an address, and what they do.
    pub(super) fn matching(&self, holds: &dyn Fn(&[Prefix]) -> bool) -> (Vec<ListMatch>, Vec<Effect>) {
        let entries = self.0.iter().flatten().filter(|entry| holds(&entry.prefixes));
        entries
            .map(|entry| {
                let named = ListMatch {
                    name: entry.hold.place.to_string(),
                    kind: entry.kind().to_owned(),
                    shadow: entry.hold.shadow,
                };
                (named, entry.effect())
            })
            .unzip()
    }
}

impl Entry {
    const fn kind(&self) -> &'static str {
        match self.hold.place {
            Place::Country(_) => "held-country",
            Place::Asn(_) => "held-asn",
        }
    }

    fn effect(&self) -> Effect {
        let (rank, subject) = match self.hold.place {
            Place::Country(_) => (1, Subject::CountryLimit),
            Place::Asn(_) => (2, Subject::AsnLimit),
        };
        let rate = u32::try_from(self.hold.rate_per_s).unwrap_or(u32::MAX);
        Effect::Place {
            rank,
            policy: Some(Policy {
                subject,
                expires_at: self.expires_at,
                rate: Rate::new(rate, rate),
                spares: true,
            }),
            shadow: self.hold.shadow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(code: &str) -> Hold {
        Hold {
            place: Place::Country(code.parse().unwrap()),
            rate_per_s: 50,
            shadow: false,
        }
    }

    /// Addresses of all of them but ZZ.
    fn prefixes(holds: &[Hold]) -> HashMap<Place, Vec<Prefix>> {
        let places = holds.iter().map(|hold| hold.place);
        let named = places.filter(|place| place.to_string() != "ZZ");
        named
            .map(|place| (place, vec!["192.0.2.0/24".parse().unwrap()]))
            .collect()
    }

    /// What becomes of `held` when exactly `holds` are asked for, with these counters.
    fn with(held: &Held, holds: &[Hold], counts: &[u64]) -> Result<Held, String> {
        held.with(holds, &prefixes(holds), counts, HELD, 5)
    }

    #[test]
    fn a_place_keeps_its_number_while_it_is_held() {
        let (aq, bv) = (hold("AQ"), hold("BV"));
        let both = with(&Held::default(), &[aq, bv], &[100, 200, 300]).unwrap();
        let one = with(&both, &[bv], &[100, 200, 300]).unwrap();
        assert_eq!((both.len(), one.len()), (2, 2));
        assert_eq!(one.packets(&[100, 260]).collect::<Vec<_>>(), [(bv, 60)]);
        // Another takes the free number, and counts from there.
        let other = with(&one, &[bv, hold("HM")], &[140, 260]).unwrap();
        assert_eq!(
            other.packets(&[150, 270]).collect::<Vec<_>>(),
            [(hold("HM"), 10), (bv, 70)]
        );
        let none = with(&other, &[], &[]).unwrap();
        assert_eq!((none.len(), none.listings().count()), (0, 0));
    }

    #[test]
    fn what_is_held_spares_who_is_known_and_ends_by_itself() {
        let held = with(&Held::default(), &[hold("AQ")], &[]).unwrap();
        let effects: Vec<Effect> = held.listings().map(|listing| listing.effect).collect();
        let [
            Effect::Place {
                policy: Some(policy),
                shadow: false,
                rank: 1,
            },
        ] = effects[..]
        else {
            panic!("{effects:?}")
        };
        assert!(policy.spares && policy.expires_at != 0);
        assert_eq!(policy.subject, Subject::CountryLimit, "it never blocks");
    }

    #[test]
    fn too_many_and_those_without_addresses_are_refused() {
        let many: Vec<Hold> = (b'A'..=b'Q')
            .map(|letter| hold(&format!("A{}", char::from(letter))))
            .collect();
        let refused = |holds: &[Hold]| with(&Held::default(), holds, &[]).err();
        assert!(refused(&many).is_some_and(|why| why.contains("are held already")));
        assert!(refused(&many[1..]).is_none());
        assert!(refused(&[hold("ZZ")]).is_some_and(|why| why.contains("no address of ZZ")));
        // Beside as many lists as there can be.
        let full = Held::default()
            .with(&many[..3], &prefixes(&many), &[], 2, 5)
            .err();
        assert!(full.is_some_and(|why| why.contains("no room for more than 2")));
    }
}
