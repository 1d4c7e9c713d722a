//! Networks as they are compared: the autonomous system where somebody knows it, else an IPv4 /16 or an IPv6 /32; and where, and with what
//! programs, ordinary sources are. It judges nobody.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Look, Sources};
use crate::{
    engine::{Account, seen::Seen},
    prefix::Prefix,
};

/// Networks, and looks, that are kept of calm times; those met least give way.
const KEPT: usize = 4_096;
/// Packets from which on all counts are halved: what was ordinary long ago fades.
const FULL: u32 = 65_536;
/// Packets of calm times that must be known before anything is unusual.
const KNOWN: u32 = 128;
/// Sources of which networks tell something.
const TELLING: usize = 16;

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Network {
    Asn(u32),
    Prefix(Prefix),
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asn(number) => write!(out, "AS{number}"),
            Self::Prefix(prefix) => prefix.fmt(out),
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: &dyn fmt::Display| format!("{text:?} is neither a prefix nor like AS64496: {why}");
        match text.strip_prefix("AS") {
            Some(number) => number.parse().map(Self::Asn).map_err(|error| wrong(&error)),
            None => text.parse().map(Self::Prefix).map_err(|error| wrong(&error)),
        }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

/// The autonomous system of an account, where a database says.
pub type Asn<'a> = &'a dyn Fn(Account) -> Option<u32>;

/// The network of `account`.
pub fn network(account: Account, asn: Asn<'_>) -> Network {
    asn(account).map_or_else(|| Network::Prefix(account.prefix().within(16, 32)), Network::Asn)
}

/// How many of `sources` are in each network.
pub(super) fn networks(sources: &Sources, asn: Asn<'_>) -> BTreeMap<Network, u32> {
    let mut networks = BTreeMap::new();
    for account in sources.keys() {
        let count: &mut u32 = networks.entry(network(*account, asn)).or_default();
        *count = count.saturating_add(1);
    }
    networks
}

/// Which part of two spreads is the same, 0 to 1; `None` where one of them has too few sources to tell.
pub(super) fn alike(one: &BTreeMap<Network, u32>, other: &BTreeMap<Network, u32>) -> Option<f64> {
    let [ours, theirs] =
        [one, other].map(|networks| -> f64 { networks.values().map(|count| f64::from(*count)).sum() });
    let telling = TELLING as f64;
    (ours >= telling && theirs >= telling).then(|| {
        let common = one.iter().filter_map(|(network, count)| {
            let there = f64::from(*other.get(network)?) / theirs;
            Some((f64::from(*count) / ours).min(there))
        });
        common.sum()
    })
}

/// What sources are like in calm times, by the packets that were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ordinary {
    networks: Shares<Network>,
    looks: Shares<Look>,
}

impl Ordinary {
    /// Takes in a packet of a calm time that did not come to nothing.
    pub fn learn(&mut self, seen: &Seen, asn: Asn<'_>) {
        self.networks.count(network(Account::of(seen.source), asn));
        if seen.stratum.opening {
            self.looks.count(Look::of(seen));
        }
    }

    /// Whether it can have been learnt.
    pub fn is_sound(&self) -> bool {
        self.networks.is_sound() && self.looks.is_sound()
    }

    /// What an earlier daemon learnt. Networks that were told by prefix say nothing where autonomous systems are known, and the other way round.
    #[must_use]
    pub fn recalled(mut self, are_systems: bool) -> Self {
        let mut known = self.networks.counts.keys();
        if known.any(|network| matches!(network, Network::Asn(_))) != are_systems {
            self.networks = Shares::default();
        }
        self
    }

    /// The part of ordinary packets that come from those networks; `None` while too few are known to tell.
    pub fn of_networks<'a>(&self, networks: impl Iterator<Item = &'a Network>) -> Option<f64> {
        self.networks.part(networks)
    }

    /// The part of ordinary openings that look like this.
    pub fn of_look(&self, look: &Look) -> Option<f64> {
        self.looks.part([look].into_iter())
    }
}

/// Counts that are bounded in number and in size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(K, u32)>", into = "Vec<(K, u32)>")]
#[serde(bound(serialize = "K: Clone + Serialize", deserialize = "K: Ord + Deserialize<'de>"))]
struct Shares<K> {
    counts: BTreeMap<K, u32>,
    total: u32,
}

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self {
            counts: BTreeMap::new(),
            total: 0,
        }
    }
}

impl<K: Ord> From<Vec<(K, u32)>> for Shares<K> {
    fn from(counts: Vec<(K, u32)>) -> Self {
        let counts: BTreeMap<K, u32> = counts.into_iter().collect();
        let total = counts
            .values()
            .fold(0, |sum: u32, count| sum.saturating_add(*count));
        Self { counts, total }
    }
}

impl<K> From<Shares<K>> for Vec<(K, u32)> {
    fn from(shares: Shares<K>) -> Self {
        shares.counts.into_iter().collect()
    }
}

impl<K: Ord + Copy> Shares<K> {
    fn is_sound(&self) -> bool {
        self.counts.len() <= KEPT && self.total < FULL && self.counts.values().all(|count| *count > 0)
    }

    fn count(&mut self, key: K) {
        *self.counts.entry(key).or_default() += 1;
        self.total += 1;
        if self.total >= FULL || self.counts.len() > KEPT {
            self.counts.values_mut().for_each(|count| *count /= 2);
            self.counts.retain(|_, count| *count > 0);
            self.total = self.counts.values().sum();
        }
        // Each of them was met twice: then the first go, which are as good as any.
        while self.counts.len() > KEPT {
            let first = self.counts.pop_first();
            self.total -= first.map_or(0, |(_, count)| count);
        }
    }

    fn part<'a>(&self, keys: impl Iterator<Item = &'a K>) -> Option<f64>
    where
        K: 'a,
    {
        let met: u32 = keys.filter_map(|key| self.counts.get(key)).sum();
        (self.total >= KNOWN).then(|| f64::from(met) / f64::from(self.total))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn account(text: &str) -> Account {
        Account::of(text.parse::<IpAddr>().expect("an address"))
    }

    #[test]
    fn networks_are_wide_or_those_of_an_autonomous_system() {
        let nobody = |_: Account| None;
        let told = |text: &str, asn: Asn<'_>| network(account(text), asn).to_string();
        assert_eq!(told("192.0.2.7", &nobody), "192.0.0.0/16");
        assert_eq!(told("2001:db8:1:2::7", &nobody), "2001:db8::/32");
        assert_eq!(told("192.0.2.7", &|_| Some(64_496)), "AS64496");
    }

    #[test]
    fn spreads_are_compared_by_what_they_share() {
        let of = |counts: &[(u32, u32)]| -> BTreeMap<Network, u32> {
            counts
                .iter()
                .map(|(asn, count)| (Network::Asn(*asn), *count))
                .collect()
        };
        assert_eq!(
            alike(&of(&[(1, 10), (2, 10)]), &of(&[(1, 50), (3, 50)])),
            Some(0.5)
        );
        assert_eq!(alike(&of(&[(1, 16)]), &of(&[(2, 99)])), Some(0.0));
        assert_eq!(alike(&of(&[(1, 15)]), &of(&[(1, 99)])), None);
    }

    #[test]
    fn what_is_ordinary_outlives_the_daemon_where_networks_are_told_alike() {
        let mut ordinary = Ordinary::default();
        for network in [
            Network::Asn(64_496),
            Network::Prefix("192.0.0.0/16".parse().expect("a prefix")),
        ] {
            (0..200).for_each(|_| ordinary.networks.count(network));
        }
        let text = serde_json::to_string(&ordinary).expect("it is JSON");
        let back: Ordinary = serde_json::from_str(&text).expect("the same");
        assert!(back == ordinary && back.is_sound());
        let part = |ordinary: Ordinary| ordinary.of_networks([Network::Asn(64_496)].iter());
        assert_eq!(part(back.clone().recalled(true)), Some(0.5));
        assert_eq!(part(back.recalled(false)), None);
        assert!("AS-1".parse::<Network>().is_err() && "x".parse::<Network>().is_err());
        for wrong in [
            r#"{"networks":[["AS1",0]]}"#,
            r#"{"networks":[["AS1",4294967295],["AS2",9]]}"#,
        ] {
            assert!(
                !serde_json::from_str::<Ordinary>(wrong)
                    .expect("it is JSON")
                    .is_sound()
            );
        }
    }

    #[test]
    fn what_is_ordinary_is_bounded_and_fades() {
        let mut shares = Shares::default();
        for number in 0..3 * KEPT {
            shares.count(number);
            shares.count(number);
        }
        assert!(shares.counts.len() <= KEPT);
        for _ in 0..2 * FULL {
            shares.count(7);
        }
        assert!(shares.part([7].iter()) > Some(0.99));
        let few = Shares::<usize>::default();
        assert_eq!(few.part([7].iter()), None);
    }
}
