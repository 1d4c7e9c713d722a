//! The lists that the benchmark loads, the same in each run: a feed of a million IPv4 prefixes, one of 250,000 IPv6 prefixes, and
//! a table that says of every address in which country it is.

use std::net::Ipv4Addr;

use fastrand::Rng;
use netguard::{
    prefix::Prefix,
    ranges::{Effect, Listing},
};
use netguard_common::{
    layout::Rate,
    packet::Family,
    ranges::{Policy, Subject},
};

use super::cases::address;

const FEED_V4: u32 = 1_000_000;
const FEED_V6: u32 = 250_000;

/// How many of a thousand prefixes have which length. Feeds: mostly addresses, as lists of abusers have them.
const LENGTHS_V4: [(u8, u32); 4] = [(32, 900), (24, 92), (22, 6), (20, 2)];
const LENGTHS_V6: [(u8, u32); 4] = [(128, 300), (64, 500), (56, 100), (48, 100)];
/// Registries give networks away by halves: one of a /16 down to a /23 is divided with this probability.
const DIVIDED: f64 = 0.63;

const COUNTRIES: usize = 250;
/// The /16s of public addresses.
const PUBLIC: std::ops::Range<u32> = 0x0100..0xe000;

/// Limits that are counted, and that no packet exceeds.
pub(super) const NEVER: Rate = Rate::new(100_000_000, 100_000_000);

/// Prefix `n` covers source `n`.
pub(super) fn feed(family: Family) -> Vec<Prefix> {
    let (count, lengths) = match family {
        Family::V4 => (FEED_V4, &LENGTHS_V4),
        Family::V6 => (FEED_V6, &LENGTHS_V6),
    };
    (0..count)
        .filter_map(|number| Prefix::truncated(address(family, number), length(lengths, number % 1000)))
        .collect()
}

/// A limit of its own for each country, which is never reached: every source is in one of them.
pub(super) fn countries() -> Vec<Listing<'static>> {
    let mut rng = Rng::with_seed(7);
    let mut countries = vec![Vec::new(); COUNTRIES];
    let mut undivided: Vec<(u32, u8)> = PUBLIC.map(|network| (network << 16, 16)).collect();
    while let Some((first, bits)) = undivided.pop() {
        if bits < 24 && rng.f64() < DIVIDED {
            undivided.extend([(first, bits + 1), (first | 1 << (31 - bits), bits + 1)]);
        } else if let Some(prefix) = Prefix::truncated(Ipv4Addr::from(first).into(), bits) {
            countries[rng.usize(0..COUNTRIES)].push(prefix);
        }
    }
    let effect = Effect::Place {
        rank: 1,
        policy: Some(Policy {
            subject: Subject::CountryLimit,
            expires_at: 0,
            rate: NEVER,
            spares: false,
        }),
        shadow: false,
    };
    countries
        .into_iter()
        .map(|prefixes| Listing {
            effect,
            prefixes: prefixes.into(),
        })
        .collect()
}

fn length(lengths: &[(u8, u32)], mut rank: u32) -> u8 {
    for &(bits, share) in lengths {
        if rank < share {
            return bits;
        }
        rank -= share;
    }
    32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_countries_is_full() {
        let countries = countries();
        let prefixes: usize = countries.iter().map(|country| country.prefixes.len()).sum();
        assert!((700_000..900_000).contains(&prefixes), "{prefixes}");
        let covered: u64 = countries
            .iter()
            .flat_map(|country| country.prefixes.iter())
            .map(|prefix| 1_u64 << (32 - prefix.bits()))
            .sum();
        assert_eq!(covered, u64::from(PUBLIC.end - PUBLIC.start) << 16);
    }
}
