//! Groups of sources that have something in common, among those that ask where nobody is. How many it takes is not its business.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    Account, Asn, Link, Look, Measure, Ordinary, Prober, Probing, Sources, Target, counted,
    kept::{Shared, most},
    usual::FACTOR,
};
use crate::engine::campaign::{LinkKind, Network, link::told, network::network};

/// Things that must be asked for: a service that is gone is missed by its clients, and a worm knows one.
const SERVICES: usize = 3;
/// Sources that must ask for each: so many, and this part of as many as it takes. Whoever else is there does not count, so that many who
/// do something else hide nobody.
const LEAST: usize = 4;
const PART: usize = 16;
/// Things that are held to be asked for by many, at the most.
const COMMON: usize = 64;
/// The part of all that was asked for that the two asked for most may be.
const TWO: f64 = 0.8;
/// Targets, and networks, that a group is told by.
const TOLD: usize = 16;
/// Networks that a group may be from to be from the same ones.
const NETWORKS: usize = 4;
/// The part of ordinary openings that look so, and that come from there, up to which it is odd.
const ODD_LOOK: f64 = 0.01;
const ODD_NETWORKS: f64 = 0.1;
/// The part of a group that must share what speaks for it.
const MOST: f64 = 0.6;

/// Sources of a group, with what is remembered of them.
type Members<'a> = BTreeMap<Account, &'a Prober>;

/// Sources that belong together, as they were when looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub members: Sources,
    /// When they began to come, and when the last of them came.
    pub begun_ns: u64,
    pub last_ns: u64,
    /// Attempts among the packets that were looked at, one in eight of all.
    pub attempts: u64,
    /// What most ask for, with how many sources do.
    pub targets: Vec<(Target, usize)>,
    /// The same of all targets together, also those that are not told.
    pub asked: usize,
    /// Where they are, with how many are there.
    pub networks: Vec<(Network, u32)>,
    pub links: Vec<Link>,
}

/// The largest group among the sources of `probing` that is large enough.
pub(super) fn found(
    probing: &Probing,
    measure: &Measure,
    ordinary: &Ordinary,
    asn: Asn<'_>,
) -> Option<Group> {
    let all = &probing.sources;
    let place = |account: &Account| network(*account, asn);
    let places: BTreeMap<Account, Network> = all.keys().map(|account| (*account, place(account))).collect();
    let mut targets = common_targets(&probing.targets, measure.least);
    let look = common_look(&probing.looks, ordinary);
    let networks = common_networks(&places, ordinary);
    let shares = |targets: &[Target], kind: LinkKind, account: &Account, prober: &Prober| match kind {
        LinkKind::Services => targets.iter().any(|target| prober.targets.has(target)),
        LinkKind::Signature => look.iter().any(|look| prober.looks.has(look)),
        _ => networks.contains(&places[account]),
    };
    let kinds = [LinkKind::Services, LinkKind::Signature, LinkKind::Network];
    let groups = kinds.map(|kind| {
        let sharing = all
            .iter()
            .filter(|(account, prober)| shares(&targets, kind, account, prober));
        let group = sharing.map(|(account, prober)| (*account, prober)).collect();
        let is_common = |target: &Target| kind != LinkKind::Services || targets.contains(target);
        beside_crowds(group, measure.least, is_common)
    });
    // Of groups as large the first, whose evidence is the plainest.
    let large = groups.into_iter().flatten();
    let (group, crowded) = large.min_by_key(|(group, _)| Reverse(counted(group.keys())))?;
    targets.retain(|target| !crowded.contains(target));
    let part = |kind| {
        let sharing = group
            .iter()
            .filter(|(account, prober)| shares(&targets, kind, account, prober));
        sharing.count() as f64 / group.len() as f64
    };
    let mut links = beginning(&group, counted(group.keys()), measure);
    for kind in kinds {
        let part = part(kind);
        if part >= MOST {
            let (weight, of) = match kind {
                LinkKind::Services => (30, named("ask for", &targets)),
                LinkKind::Signature => (40, named("look alike, and few others do:", &look)),
                _ => (
                    30,
                    named("are in networks that hardly anybody else is in:", &networks),
                ),
            };
            links.push(Link::new(kind, weight, format!("{:.0} % {of}", part * 100.0)));
        }
    }
    Some(told_as(&group, &places, links, measure))
}

/// That they come in the same minutes, and ask where nobody is: so does what is usual, and it takes more to join.
fn beginning(group: &Members<'_>, count: usize, measure: &Measure) -> Vec<Link> {
    let usual = measure
        .usual
        .map_or_else(String::new, |usual| format!("; usually up to {usual}"));
    vec![
        Link::new(
            LinkKind::Time,
            30,
            format!(
                "{count} sources in five minutes, of the packets that were looked at (threshold {}{usual})",
                measure.threshold
            ),
        ),
        Link::new(
            LinkKind::Behaviour,
            20,
            format!("all {} ask where nobody serves anything", group.len()),
        ),
    ]
}

fn named<T: ToString>(what: &str, things: &[T]) -> String {
    let names: Vec<String> = things.iter().take(TOLD / 2).map(ToString::to_string).collect();
    format!("{what} {}", told(&names, things.len()))
}

/// When it began: as many as are usual come at any time, and some of them never cease.
fn begun_ns(group: &Members<'_>, measure: &Measure) -> u64 {
    let usual = (measure.threshold / FACTOR).max(measure.usual.unwrap_or(0));
    let mut first_ns: Vec<u64> = group.values().map(|prober| prober.first_ns).collect();
    first_ns.sort_unstable();
    let first = first_ns.get(usual).or(first_ns.last());
    first.copied().unwrap_or(0)
}

fn told_as(
    group: &Members<'_>,
    places: &BTreeMap<Account, Network>,
    links: Vec<Link>,
    measure: &Measure,
) -> Group {
    let networks = most(group.keys().map(|account| places[account]));
    let targets = most(group.values().flat_map(|prober| prober.targets.iter()));
    Group {
        members: group
            .iter()
            .map(|(account, prober)| (*account, prober.is_proven))
            .collect(),
        begun_ns: begun_ns(group, measure),
        last_ns: group.values().map(|prober| prober.last_ns).max().unwrap_or(0),
        attempts: group.values().map(|prober| u64::from(prober.attempts)).sum(),
        asked: sum(&targets) as usize,
        targets: targets
            .into_iter()
            .take(TOLD)
            .map(|(target, count)| (target, count as usize))
            .collect(),
        networks,
        links,
    }
}

/// What many of them ask for, where that is several things.
fn common_targets(asked: &Shared<Target>, least: usize) -> Vec<Target> {
    let least = LEAST.max(least / PART);
    let common = asked.most().into_iter();
    let common = common.take_while(|(_, count)| *count as usize >= least);
    let common: Vec<Target> = common.map(|(target, _)| target).take(COMMON).collect();
    if common.len() < SERVICES {
        Vec::new()
    } else {
        common
    }
}

/// What most of their packets look like, where hardly any ordinary one does. As a list, so that it can be nothing.
fn common_look(looks: &Shared<Look>, ordinary: &Ordinary) -> Vec<Look> {
    let is_odd = |look: &Look| ordinary.of_look(look).is_some_and(|part| part <= ODD_LOOK);
    let odd = looks.most().into_iter().map(|(look, _)| look);
    odd.filter(|look| look.is_learnt() && is_odd(look))
        .take(1)
        .collect()
}

/// The few networks that most of them are in, where hardly anybody else is.
fn common_networks(places: &BTreeMap<Account, Network>, ordinary: &Ordinary) -> Vec<Network> {
    let odd = most(places.values().copied()).into_iter().take(NETWORKS);
    let networks: Vec<Network> = odd.map(|(network, _)| network).collect();
    let part = ordinary.of_networks(networks.iter());
    match part.is_some_and(|part| part <= ODD_NETWORKS) {
        true => networks,
        false => Vec::new(),
    }
}

/// How many of `sources` ask for what no crowd asks for, where that is several things.
pub(super) fn varied(sources: &BTreeMap<Account, Prober>) -> usize {
    let all = sources.iter().map(|(account, prober)| (*account, prober));
    beside_crowds(all.collect(), 1, |_| true).map_or(0, |(group, _)| counted(group.keys()))
}

/// Those of `group` who ask for several things, and not nearly all for one or two; and what a crowd asks for beside them. That is taken out, the
/// most wanted first, with all who ask for nothing else that `is_common`: each two times at least four fifths of what is left, so a few times.
fn beside_crowds(
    mut group: Members<'_>,
    least: usize,
    is_common: impl Fn(&Target) -> bool,
) -> Option<(Members<'_>, Vec<Target>)> {
    let mut crowded = Vec::new();
    while counted(group.keys()) >= least {
        let asked = group.values().flat_map(|prober| prober.targets.iter());
        let asked = most(asked.filter(|target| !crowded.contains(target)));
        let common = asked.iter().filter(|(target, _)| is_common(target));
        if common.take(SERVICES).count() < SERVICES {
            return None;
        }
        if sum(&asked[..2]) <= TWO * sum(&asked) {
            return Some((group, crowded));
        }
        crowded.push(asked[0].0);
        group.retain(|_, prober| {
            let mut targets = prober.targets.iter();
            targets.any(|target| is_common(&target) && !crowded.contains(&target))
        });
    }
    None
}

fn sum(asked: &[(Target, u32)]) -> f64 {
    asked.iter().map(|(_, count)| f64::from(*count)).sum()
}

/// Whether `targets`, the most wanted first, of `asked` together can still be those of a probe: several, and not nearly all for one or two.
pub(in crate::engine::campaign) fn is_varied(targets: &[(Target, usize)], asked: usize) -> bool {
    let two: usize = targets.iter().take(2).map(|(_, count)| count).sum();
    targets.len() >= SERVICES && two as f64 <= TWO * asked as f64
}
