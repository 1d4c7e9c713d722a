//! Networks as they are compared: the autonomous system where somebody knows it, else an IPv4 /16 or an IPv6 /32; and where, and with what
//! programs, ordinary sources are. It judges nobody.

use std::{collections::BTreeMap, fmt};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
#[derive(Clone, Debug, Default)]
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
#[derive(Clone, Debug)]
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

impl<K: Ord + Copy> Shares<K> {
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
