//! Link: what speaks for two belonging together, each kind with its weight. It says what is alike and not who is behind it.
//!
//! A weight is how much one kind of evidence is worth, and what joins takes at least two kinds: attacks that begin in the same seconds, or come
//! from the same large networks, or have the look of a common system, are no campaign for that.

use serde::{Deserialize, Serialize};

use super::{
    Ordinary, Traits,
    network::alike,
    overlap::Overlap,
    rhythm::{Together, together},
};

/// What joins.
pub const JOINS: u32 = 70;

/// The part of their networks that two must have in common,
const COMMON_NETWORKS: f64 = 0.5;
/// and the part of ordinary packets that may come from there.
const ORDINARY_NETWORKS: f64 = 0.25;
/// Words of a list that are told.
const TOLD: usize = 6;

/// What two can have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// They begin, come back and end together; or all come within the same minutes.
    Time,
    /// The same sources.
    Sources,
    /// The same header fields.
    Signature,
    /// The same networks, and not those of everybody.
    Network,
    /// The same is done.
    Behaviour,
    /// The same is asked for.
    Services,
}

impl LinkKind {
    /// The word that the command line and JSON use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Sources => "sources",
            Self::Signature => "signature",
            Self::Network => "network",
            Self::Behaviour => "behaviour",
            Self::Services => "services",
        }
    }
}

/// A piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub kind: LinkKind,
    /// See [`JOINS`].
    pub weight: u32,
    /// A sentence.
    pub what: String,
}

impl Link {
    pub const fn new(kind: LinkKind, weight: u32, what: String) -> Self {
        Self { kind, weight, what }
    }
}

/// What all of `links` come to, 100 at the most.
pub fn score(links: &[Link]) -> u32 {
    links
        .iter()
        .fold(0, |sum: u32, link| sum.saturating_add(link.weight))
        .min(100)
}

/// What speaks for two belonging together. The order of the two says nothing.
pub fn links(one: &Traits, other: &Traits, ordinary: &Ordinary) -> Vec<Link> {
    let sources = sources(one, other);
    // The same sources are in the same networks: that is one reason, not two.
    let network = match sources {
        Some(_) => None,
        None => network(one, other, ordinary),
    };
    [
        time(one, other),
        sources,
        signature(one, other),
        network,
        behaviour(one, other),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Who begins with another may do so by chance; who comes and goes with it three times hardly, and needs little else.
fn time(one: &Traits, other: &Traits) -> Option<Link> {
    let (weight, what) = match together(&one.turns_ns, &other.turns_ns) {
        Together::Never => return None,
        Together::Once => (30, "they began within seconds of each other".to_owned()),
        Together::Again(times) => (
            50,
            format!("they began, came back or ended within seconds of each other {times} times"),
        ),
    };
    Some(Link::new(LinkKind::Time, weight, what))
}

/// Nobody can forge a source that proved itself, so with those any second reason joins. Others take the same moment, or the same look and deeds.
fn sources(one: &Traits, other: &Traits) -> Option<Link> {
    let overlap = Overlap::of(&one.sources, &other.sources);
    let (weight, how) = match (overlap.is_proven(), overlap.is_likely()) {
        (true, _) => (
            60,
            format!("{} of them proved themselves by a connection", overlap.proven),
        ),
        (false, true) => (
            40,
            format!(
                "none needs to be real, chance would make {:.0} common",
                overlap.by_chance
            ),
        ),
        (false, false) => return None,
    };
    let (common, of) = (overlap.common, overlap.of);
    let what = format!("{common} sources are the same, of {of} that the smaller one has; {how}");
    Some(Link::new(LinkKind::Sources, weight, what))
}

/// A signature fits at most one in a thousand ordinary packets: what it fits beside is of the same make. The look alone many have.
fn signature(one: &Traits, other: &Traits) -> Option<Link> {
    let (weight, what) = match (one.drafted_alike(other), one.looks_alike(other)) {
        (Some(conditions), _) => (
            50,
            format!(
                "a signature drafted against one fits the other: {}",
                conditions.join(" ")
            ),
        ),
        (None, Some(same)) => (20, format!("nearly all packets have {}", same.join(" "))),
        (None, None) => return None,
    };
    Some(Link::new(LinkKind::Signature, weight, what))
}

fn network(one: &Traits, other: &Traits, ordinary: &Ordinary) -> Option<Link> {
    let common = alike(&one.networks, &other.networks).filter(|part| *part >= COMMON_NETWORKS)?;
    let both: Vec<_> = one
        .networks
        .iter()
        .filter(|(network, _)| other.networks.contains_key(network))
        .collect();
    let usual = ordinary
        .of_networks(both.iter().map(|(network, _)| *network))
        .filter(|part| *part <= ORDINARY_NETWORKS)?;
    let mut most = both;
    most.sort_by_key(|(network, count)| (std::cmp::Reverse(**count), **network));
    let names: Vec<String> = most
        .iter()
        .take(TOLD)
        .map(|(network, _)| network.to_string())
        .collect();
    let what = format!(
        "{:.0} % of their sources are spread alike over {} networks that {:.0} % of ordinary packets come from: {}",
        common * 100.0,
        most.len(),
        usual * 100.0,
        told(&names, most.len())
    );
    Some(Link::new(LinkKind::Network, 30, what))
}

/// The same is done to something else: whoever does one thing everywhere often does. Whoever looks around before an attack knows why.
fn behaviour(one: &Traits, other: &Traits) -> Option<Link> {
    if one.class.is_some() != other.class.is_some() {
        let what = "some ask where nobody is, and some attack".to_owned();
        return Some(Link::new(LinkKind::Behaviour, 30, what));
    }
    let class = one.class.filter(|class| Some(*class) == other.class)?;
    let apart = one.services.is_disjoint(&other.services);
    let what = match apart && !one.services.is_empty() && !other.services.is_empty() {
        true => format!("{} against other services", class.name()),
        false => format!("{} again", class.name()),
    };
    Some(Link::new(LinkKind::Behaviour, 20, what))
}

/// `names`, and how many more there are of `all`.
pub(super) fn told(names: &[String], all: usize) -> String {
    let more = match all.saturating_sub(names.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use netguard_common::signature::{TTL, WINDOW};

    use super::*;
    use crate::engine::{
        Account,
        campaign::{
            Sources,
            network::networks,
            traits::tests::{packets, signature},
        },
        detect::Class,
        seen::{
            Seen,
            tests::{head, syn},
        },
    };

    const SECOND: u64 = 1_000_000_000;

    /// An attack of `class` that turned at these seconds, by `count` sources of networks from `network` on.
    fn attack(class: Class, turns: &[u64], network: u32, count: u32, is_proven: bool) -> Traits {
        let address = |number: u32| Ipv4Addr::from(0x1400_0000 + network * 65_536 + number * 4_096 * 7);
        let sources: Sources = (0..count)
            .map(|number| (Account::of(address(number).into()), is_proven))
            .collect();
        Traits {
            class: Some(class),
            turns_ns: turns.iter().map(|at_s| at_s * SECOND).collect(),
            networks: networks(&sources, &|_| None),
            sources,
            ..Traits::default()
        }
    }

    /// Calm times, in which everybody comes from 192.0.0.0/16.
    fn ordinary() -> Ordinary {
        let mut ordinary = Ordinary::default();
        let seen = Seen::of(&head(&syn(1, 60, 64_240, 5), netguard_common::Verdict::Pass)).expect("a packet");
        (0..500).for_each(|_| ordinary.learn(&seen, &|_| None));
        ordinary
    }

    fn kinds(one: &Traits, other: &Traits) -> (Vec<LinkKind>, bool) {
        let links = links(one, other, &ordinary());
        let back = super::links(other, one, &ordinary());
        assert_eq!(score(&links), score(&back), "{links:?} {back:?}");
        let joins = score(&links) >= JOINS;
        (links.into_iter().map(|link| link.kind).collect(), joins)
    }

    #[test]
    fn one_kind_alone_joins_nothing_and_two_do() {
        use Class::{SynFlood, UdpFlood};
        use LinkKind::{Behaviour, Network, Signature, Sources, Time};
        let (syn, udp) = (
            attack(SynFlood, &[100], 0, 300, false),
            attack(UdpFlood, &[102], 500, 300, false),
        );
        assert_eq!(kinds(&syn, &udp), (vec![Time], false), "the same moment");
        let again = attack(UdpFlood, &[900], 0, 300, false);
        assert_eq!(kinds(&syn, &again), (vec![Sources], false), "the same sources");
        let both = attack(UdpFlood, &[102], 0, 300, false);
        assert_eq!(kinds(&syn, &both), (vec![Time, Sources], true), "both of these");
        let proven = [
            attack(SynFlood, &[100], 0, 9, true),
            attack(UdpFlood, &[900], 0, 9, true),
        ];
        assert_eq!(kinds(&proven[0], &proven[1]), (vec![Sources], false));
        let later = attack(SynFlood, &[900], 0, 9, true);
        assert_eq!(
            kinds(&proven[0], &later),
            (vec![Sources, Behaviour], true),
            "it is back"
        );
        let pulses = [
            attack(SynFlood, &[100, 130, 160], 0, 2, false),
            attack(UdpFlood, &[101, 131, 161], 500, 2, false),
        ];
        assert_eq!(kinds(&pulses[0], &pulses[1]), (vec![Time], false));
        let fitting = Traits {
            packets: packets(40, 57, 512),
            ..attack(UdpFlood, &[101], 500, 2, false)
        };
        let drafted = Traits {
            signatures: vec![signature(&[(TTL, 57), (WINDOW, 512)])],
            ..attack(SynFlood, &[100], 0, 2, false)
        };
        assert_eq!(
            kinds(&drafted, &fitting),
            (vec![Time, Signature], true),
            "of one make"
        );
        // The look of a common system is worth little.
        let look = Traits {
            packets: packets(40, 57, 512),
            ..attack(SynFlood, &[100], 0, 2, false)
        };
        assert_eq!(kinds(&look, &fitting), (vec![Time, Signature], false));
        // Other hosts of the same networks.
        let mut neighbours = attack(UdpFlood, &[101, 131, 161], 0, 300, false);
        neighbours.sources = attack(UdpFlood, &[], 900, 300, false).sources;
        assert_eq!(kinds(&syn, &neighbours), (vec![Time, Network], false));
        let pulsing = attack(SynFlood, &[100, 130, 160], 0, 300, false);
        assert_eq!(kinds(&pulsing, &neighbours), (vec![Time, Network], true));
    }

    #[test]
    fn networks_of_everybody_tell_nothing() {
        let address = |number: u32| Ipv4Addr::from(0xc000_0000 + number * 97);
        let sources: Sources = (0..300)
            .map(|number| (Account::of(address(number).into()), false))
            .collect();
        let of = |class| Traits {
            class: Some(class),
            networks: networks(&sources, &|_| None),
            ..Traits::default()
        };
        let (one, other) = (of(Class::SynFlood), of(Class::UdpFlood));
        assert!(links(&one, &other, &ordinary()).is_empty());
        assert!(
            links(&one, &other, &Ordinary::default()).is_empty(),
            "nor while nobody knows who is ordinary"
        );
    }
}
