//! Overlap: which sources two attacks have in common, and whether that can be chance. Forged sources are as many as somebody likes: they count
//! a quarter of one that proved itself, and where both only fill the same small networks they count for nothing.

use std::collections::BTreeMap;

use crate::engine::Account;
use crate::prefix::Prefix;

/// Sources, and whether each proved itself: it had an established connection. Accounts are the same on every host.
pub type Sources = BTreeMap<Account, bool>;

/// What a proven source weighs beside one that may be forged.
const PROVEN: f64 = 4.0;
/// The part of the smaller side, so weighed, that must be common.
const LEAST_PART: f64 = 0.5;
/// Common sources from which on there is something to tell: that proved themselves, and of any kind.
const LEAST_PROVEN: usize = 3;
const LEAST: usize = 16;
/// So many times what chance makes common is no chance.
const BEYOND_CHANCE: f64 = 4.0;

/// What two sides have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overlap {
    /// Sources of both, and those of them that proved themselves on either side.
    pub common: usize,
    pub proven: usize,
    /// Sources of the side that has fewer.
    pub of: usize,
    /// How many would be common if either side had drawn its sources by chance from the networks that it has them in; 0 where too
    /// few are common to ask.
    pub by_chance: f64,
    /// The part of the smaller side that is common, by weight.
    part: f64,
}

impl Overlap {
    pub fn of(one: &Sources, other: &Sources) -> Self {
        let (mut common, mut proven, mut both) = (0, 0, 0.0);
        // Of each side: who proved itself with the other has done so for both.
        let mut weights = [weight(one), weight(other)];
        let mut theirs = other.iter().peekable();
        for (account, is_proven) in one {
            while theirs.next_if(|(there, _)| *there < account).is_some() {}
            if let Some((_, is_proven_there)) = theirs.next_if(|(there, _)| *there == account) {
                let is_either = *is_proven || *is_proven_there;
                common += 1;
                proven += usize::from(is_either);
                both += weight_of(is_either);
                weights[0] += weight_of(is_either) - weight_of(*is_proven);
                weights[1] += weight_of(is_either) - weight_of(*is_proven_there);
            }
        }
        let (few, many) = match (weights[0], one.len()) <= (weights[1], other.len()) {
            true => (one, other),
            false => (other, one),
        };
        let least = weights[0].min(weights[1]);
        let part = if least > 0.0 { both / least } else { 0.0 };
        let is_telling = common >= LEAST && part >= LEAST_PART;
        Self {
            common,
            proven,
            of: few.len(),
            by_chance: if is_telling { by_chance(few, many) } else { 0.0 },
            part,
        }
    }

    /// Whether it is the same sources, told by those that proved themselves.
    pub fn is_proven(&self) -> bool {
        self.proven >= LEAST_PROVEN && self.part >= LEAST_PART
    }

    /// Whether it is the same sources, whoever sent in their name.
    pub fn is_likely(&self) -> bool {
        self.common >= LEAST
            && self.part >= LEAST_PART
            && self.common as f64 >= BEYOND_CHANCE * self.by_chance
    }
}

fn weight(sources: &Sources) -> f64 {
    sources.values().map(|is_proven| weight_of(*is_proven)).sum()
}

const fn weight_of(is_proven: bool) -> f64 {
    if is_proven { PROVEN } else { 1.0 }
}

/// An IPv4 /24 has 256 accounts, an IPv6 /48 has 65,536.
fn by_chance(few: &Sources, many: &Sources) -> f64 {
    let [few, many] = [networks(few), networks(many)];
    let expected = few.iter().filter_map(|(network, count)| {
        let accounts = if network.address().is_ipv6() {
            65_536.0
        } else {
            256.0
        };
        Some(*count as f64 * *many.get(network)? as f64 / accounts)
    });
    expected.sum()
}

fn networks(sources: &Sources) -> BTreeMap<Prefix, usize> {
    let mut networks = BTreeMap::new();
    for network in sources.keys().filter_map(|account| account.network()) {
        *networks.entry(network).or_default() += 1;
    }
    networks
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Sources `from..to`, each in a network of its own if `apart`.
    fn sources(from: u32, to: u32, apart: bool, is_proven: bool) -> Sources {
        let address = |number: u32| Ipv4Addr::from(0x0b00_0000 + if apart { number * 256 } else { number });
        (from..to)
            .map(|number| (Account::of(address(number).into()), is_proven))
            .collect()
    }

    #[test]
    fn the_same_sources_are_told_from_those_of_others() {
        for (one, other, likely, proven) in [
            // A bot network that does two things.
            (
                sources(0, 300, true, false),
                sources(20, 400, true, false),
                true,
                false,
            ),
            // A few of it that are connected are enough.
            (sources(0, 5, true, true), sources(1, 5, true, false), false, true),
            // Two, or a small part, are not.
            (sources(0, 2, true, true), sources(0, 2, true, true), false, false),
            (
                sources(0, 300, true, false),
                sources(280, 600, true, false),
                false,
                false,
            ),
            (
                sources(0, 15, true, false),
                sources(0, 15, true, false),
                false,
                false,
            ),
            (Sources::new(), sources(0, 99, true, false), false, false),
        ] {
            let overlap = Overlap::of(&one, &other);
            assert_eq!(
                (overlap.is_likely(), overlap.is_proven()),
                (likely, proven),
                "{overlap:?}"
            );
            assert_eq!(Overlap::of(&other, &one), overlap, "the order says nothing");
        }
    }

    /// Found in review: which of the two was compared first decided whether they belong together.
    #[test]
    fn who_proved_itself_on_one_side_has_done_so_for_both() {
        let one = sources(0, 3, true, true);
        let other = sources(0, 12, true, false);
        let [overlap, back] = [Overlap::of(&one, &other), Overlap::of(&other, &one)];
        assert_eq!(overlap, back);
        assert_eq!((overlap.is_proven(), overlap.of), (true, 3));
        let other = sources(0, 300, true, false);
        assert_eq!(Overlap::of(&one, &other), Overlap::of(&other, &one));
    }

    #[test]
    fn floods_that_forge_within_the_same_small_networks_are_not_glued() {
        let all = sources(0, 1_024, false, false);
        let overlap = Overlap::of(&all, &all);
        assert_eq!((overlap.common, overlap.by_chance), (1_024, 1_024.0));
        assert!(!overlap.is_likely());
    }

    #[test]
    fn a_few_big_clients_that_suffer_in_two_floods_do_not_glue_them() {
        let mut one = sources(0, 2_000, true, false);
        let mut other = sources(3_000, 5_000, true, false);
        for side in [&mut one, &mut other] {
            side.extend(sources(9_000, 9_010, true, true));
        }
        let overlap = Overlap::of(&one, &other);
        assert_eq!((overlap.proven, overlap.common), (10, 10));
        assert!(!overlap.is_proven() && !overlap.is_likely());
    }
}
