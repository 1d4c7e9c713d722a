//! Countries, or autonomous systems, that send much of an attack as it passes, and hardly anything in times of peace. Since addresses may be
//! forged they are held at a rate and never blocked, and only few of them, where few connected sources are.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use netguard_common::Action;

use super::Withheld;
use crate::engine::{
    Account,
    places::{PeacePlaces, Place, Places},
    seen::Seen,
};

/// Packets of the attack that must be known by where they came from, and of one source that count.
const LEAST: usize = 64;
const OF_ONE: u32 = 4;
/// The part of the attack that a place must send, and so many times its part of ordinary packets.
const OF_ATTACK: f64 = 0.15;
const FACTOR: f64 = 10.0;
/// The part of ordinary packets, and of connected sources, that one place may have, and all that are held together, because of whatever
/// attacks.
const OF_PEACE: f64 = 0.02;
const OF_PEACE_TOGETHER: f64 = 0.05;
/// Places that are held at once because of one attack, and of all.
const MOST: usize = 8;
const MOST_TOGETHER: usize = 16;
/// Packets a second that each may send in any case, and so many times what it usually sends.
const FLOOR: f64 = 50.0;
const ROOM: f64 = 2.0;

/// What is held already.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    /// Because of the attack that is looked at.
    pub(super) by_it: &'a BTreeSet<Place>,
    /// Because of any.
    pub(super) by_all: &'a BTreeSet<Place>,
}

/// The places to hold for `attack`, packets of it, with the rate for each. `usual`: packets a second of all traffic that are seldom
/// exceeded.
///
/// # Errors
/// Why there is none.
pub(super) fn to_hold<'a>(
    attack: impl Iterator<Item = &'a Seen>,
    peace: &PeacePlaces,
    places: &dyn Places,
    good: &HashSet<Account>,
    usual: Option<f64>,
    held: Held<'_>,
) -> Result<Vec<(Place, u64)>, Withheld> {
    if let Some(unknown) = places.unknown() {
        return Err(Withheld::Places(unknown));
    }
    let (counts, of) = by_place(attack, places);
    if of < LEAST {
        return Err(Withheld::FewPackets { seen: of });
    }
    let good_of = by_good(good, places);
    let share = |place: Place| -> Result<(f64, f64), Withheld> {
        let in_peace = peace
            .share(place)
            .map_err(|known| Withheld::UnknownPeace { known })?;
        let connected = good_of.get(&place).copied().unwrap_or(0) as f64 / good.len().max(1) as f64;
        Ok((in_peace, connected))
    };
    let mut together = (0.0, 0.0);
    for place in held.by_all {
        let (in_peace, connected) = share(*place)?;
        together = (together.0 + in_peace, together.1 + connected);
    }
    let mut counts: Vec<(Place, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(place, count)| (std::cmp::Reverse(*count), *place));
    let mut found = Vec::new();
    let mut room = MOST_TOGETHER.saturating_sub(held.by_all.len());
    let mut hurts = false;
    let mut is_full = false;
    for (place, count) in counts {
        let part = count as f64 / of as f64;
        let (in_peace, connected) = share(place)?;
        let stands_out = part >= OF_ATTACK && part >= FACTOR * in_peace && in_peace <= OF_PEACE;
        if !stands_out || places.is_configured(place) || held.by_it.contains(&place) {
            continue;
        }
        if held.by_it.len() + found.len() >= MOST {
            break;
        }
        // One that another attack comes from, too, hurts nobody more.
        if !held.by_all.contains(&place) {
            let with = (together.0 + in_peace, together.1 + connected);
            if connected > OF_PEACE || with.0 > OF_PEACE_TOGETHER || with.1 > OF_PEACE_TOGETHER {
                hurts = true;
                continue;
            }
            if room == 0 {
                is_full = true;
                continue;
            }
            (together, room) = (with, room - 1);
        }
        let rate = FLOOR.max(ROOM * in_peace * usual.unwrap_or(0.0));
        found.push((place, rate as u64));
    }
    if !found.is_empty() {
        return Ok(found);
    }
    Err(match (hurts, is_full) {
        (true, _) => Withheld::Good,
        (false, true) => Withheld::Full { most: MOST_TOGETHER },
        (false, false) => Withheld::NoPlace,
    })
}

/// How many of the packets that pass come from each place, and how many were looked at.
fn by_place<'a>(
    attack: impl Iterator<Item = &'a Seen>,
    places: &dyn Places,
) -> (BTreeMap<Place, usize>, usize) {
    let mut counts = BTreeMap::new();
    let mut sources = BTreeMap::<Account, u32>::new();
    let mut of = 0;
    for seen in attack {
        let has_passed = seen.head.shadow != 0 || matches!(seen.verdict.action(), Action::Pass);
        let count = sources.entry(Account::of(seen.source)).or_default();
        *count += 1;
        if !has_passed || *count > OF_ONE {
            continue;
        }
        of += 1;
        if let Some(place) = places.place(seen.source) {
            *counts.entry(place).or_default() += 1;
        }
    }
    (counts, of)
}

fn by_good(good: &HashSet<Account>, places: &dyn Places) -> BTreeMap<Place, usize> {
    let mut counts = BTreeMap::new();
    for account in good {
        if let Some(place) = places.place(account.prefix().address()) {
            *counts.entry(place).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use netguard_common::Verdict;

    use super::*;
    use crate::engine::{
        peace::tests::seen_at,
        places::{
            Nowhere,
            tests::{LastByte, country},
        },
        seen::tests::syn,
    };

    /// So many packets, from sources with these last bytes in turn.
    fn packets(count: usize, sources: std::ops::Range<u8>) -> Vec<Seen> {
        let sources = sources.cycle().take(count);
        sources
            .map(|source| seen_at(100, &syn(source, 64, 512, 0)))
            .collect()
    }

    fn peace(sources: std::ops::Range<u8>) -> PeacePlaces {
        let mut peace = PeacePlaces::default();
        for second in 0..10 {
            for source in sources.clone().chain(sources.clone()) {
                peace.learn(&seen_at(second, &syn(source, 64, 512, 0)), &LastByte);
            }
        }
        peace.settle(u64::MAX);
        peace
    }

    const NONE: Held<'_> = Held {
        by_it: &BTreeSet::new(),
        by_all: &BTreeSet::new(),
    };

    fn held(attack: &[Seen], peace: &PeacePlaces, good: &[u8]) -> Result<Vec<(Place, u64)>, Withheld> {
        held_beside(attack, peace, good, NONE)
    }

    fn held_beside(
        attack: &[Seen],
        peace: &PeacePlaces,
        good: &[u8],
        held: Held<'_>,
    ) -> Result<Vec<(Place, u64)>, Withheld> {
        let good = good.iter().map(|last| Account::of([192, 0, 2, *last].into()));
        to_hold(
            attack.iter(),
            peace,
            &LastByte,
            &good.collect(),
            Some(400.0),
            held,
        )
    }

    #[test]
    fn who_sends_much_of_it_and_nothing_else_is_held() {
        let aq = vec![(country("AQ"), 50)];
        // Ordinary traffic among it changes nothing.
        let attack = [packets(200, 200..250), packets(60, 0..150)].concat();
        assert_eq!(held(&attack, &peace(0..150), &[1, 2, 3]), Ok(aq.clone()));
        // One percent of ordinary packets come from there.
        assert_eq!(held(&attack, &peace(50..201), &[1, 2, 3]), Ok(aq));
        let standing = BTreeSet::from([country("AQ")]);
        let again = Held {
            by_it: &standing,
            by_all: &standing,
        };
        let again = held_beside(&attack, &peace(0..150), &[], again);
        assert_eq!(again, Err(Withheld::NoPlace), "it is held already");
    }

    /// Found in review: each attack counted for itself, so those of six kinds held six times as much.
    #[test]
    fn what_other_attacks_hold_counts() {
        let (attack, calm) = (packets(200, 200..250), peace(50..201));
        let beside = |codes: &[&str], good: &[u8]| {
            let standing = codes.iter().map(|code| country(code)).collect();
            let held = Held {
                by_it: &BTreeSet::new(),
                by_all: &standing,
            };
            held_beside(&attack, &calm, good, held)
        };
        let aq = Ok(vec![(country("AQ"), 50)]);
        assert_eq!(beside(&["CL"], &[]), aq);
        // Two thirds of what is ordinary, or half of the connected, are held already.
        assert_eq!(beside(&["BV"], &[]), Err(Withheld::Good));
        assert_eq!(beside(&["HM"], &[1, 160]), Err(Withheld::Good));
        // It is held for another attack, so it hurts nobody more.
        assert_eq!(beside(&["AQ", "BV"], &[]), aq);
        let many: Vec<String> = (b'A'..=b'P')
            .map(|letter| format!("C{}", char::from(letter)))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(beside(&many[1..], &[]), aq);
        assert_eq!(beside(&many, &[]), Err(Withheld::Full { most: MOST_TOGETHER }));
    }

    #[test]
    fn where_honest_people_are_nobody_is_held() {
        let attack = packets(200, 200..250);
        // A third of ordinary packets come from there; or one of four connected sources.
        assert_eq!(held(&attack, &peace(150..225), &[]), Err(Withheld::NoPlace));
        assert_eq!(
            held(&attack, &peace(0..150), &[1, 2, 3, 220]),
            Err(Withheld::Good)
        );
        // Forged from everywhere, as ordinary packets are.
        assert_eq!(
            held(&packets(240, 0..150), &peace(0..150), &[]),
            Err(Withheld::NoPlace)
        );
    }

    #[test]
    fn an_operators_word_about_a_place_stands() {
        assert_eq!(
            held(&packets(200, 150..200), &peace(0..150), &[]),
            Err(Withheld::NoPlace)
        );
    }

    #[test]
    fn of_too_little_nothing_is_made() {
        let attack = packets(200, 200..250);
        assert_eq!(
            held(&attack[..63], &peace(0..150), &[]),
            Err(Withheld::FewPackets { seen: 63 })
        );
        assert_eq!(
            held(&packets(400, 200..210), &peace(0..150), &[]),
            Err(Withheld::FewPackets { seen: 40 }),
            "of one source four count"
        );
        let known = PeacePlaces::default();
        assert_eq!(
            held(&attack, &known, &[]),
            Err(Withheld::UnknownPeace { known: 0 })
        );
        let nowhere = to_hold(attack.iter(), &known, &Nowhere, &HashSet::new(), None, NONE);
        assert_eq!(
            nowhere,
            Err(Withheld::Places(crate::engine::places::Unknown::NoDatabase))
        );
        let refused: Vec<Seen> = attack
            .iter()
            .map(|seen| Seen {
                verdict: Verdict::LimitSyn,
                ..*seen
            })
            .collect();
        assert_eq!(
            held(&refused, &peace(0..150), &[]),
            Err(Withheld::FewPackets { seen: 0 })
        );
    }
}
