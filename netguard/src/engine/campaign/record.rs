//! What is remembered of a campaign, in bounded memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{
    Early, Link, Share, Sources, Target,
    network::Network,
    probing::{Group, is_varied},
    score,
    traits::Traits,
};
use crate::engine::{Account, detect::Class};

/// Sources remembered of a campaign; later ones are counted as long as there is room for all.
const SOURCES: usize = 8_192;
/// Attacks, services and networks that are remembered.
const ATTACKS: usize = 64;
const SERVICES: usize = 32;
const NETWORKS: usize = 16;

/// What a campaign is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The attack of this number.
    Attack(u64),
    /// Sources that ask where nobody is.
    Probing,
}

/// `attack 3`, or `probing`.
impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attack(id) => write!(out, "attack {id}"),
            Self::Probing => out.write_str("probing"),
        }
    }
}

/// That two parts belong together, or, where there is no other, the sources of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Joint {
    pub part: Part,
    pub with: Option<Part>,
    pub at_ns: u64,
    pub links: Vec<Link>,
}

impl Joint {
    /// How much speaks for it, 100 at the most.
    pub fn score(&self) -> u32 {
        score(&self.links)
    }
}

/// A campaign. Times are of the monotonic clock.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub id: u64,
    /// When the first of it began, and when that was noticed.
    pub begun_ns: u64,
    pub detected_ns: u64,
    pub last_ns: u64,
    /// When it was over; `None` while it goes on.
    pub ended_ns: Option<u64>,
    /// Numbers of its attacks, in ascending order.
    pub attacks: BTreeSet<u64>,
    /// Whether sources that ask where nobody is are a part of it, and how often they were seen to.
    pub has_probing: bool,
    /// When one of its sources was last seen to probe.
    pub(super) probed_ns: u64,
    pub attempts: u64,
    pub classes: BTreeSet<Class>,
    /// What its attacks were aimed at, and what its probing asks for, with how many sources did at the last look.
    pub services: BTreeSet<String>,
    pub targets: Vec<(Target, usize)>,
    /// As [`Group::asked`].
    pub(super) asked: usize,
    /// What its probing asked for and is served since: who asked for nothing else was an early client, and is none of its sources any more.
    pub withdrawn: BTreeSet<Target>,
    /// When too little was left of it for that reason: it was none.
    pub taken_back_ns: Option<u64>,
    /// How much was looked at of what passed while it probed, and how much before and in between.
    pub share: Share,
    pub(super) share_before: Share,
    pub joints: Vec<Joint>,
    /// How many sources there were, as far as they had room.
    pub sources_seen: usize,
    pub proven: usize,
    /// Where they are, most first.
    pub networks: Vec<(Network, u32)>,
    pub networks_seen: usize,
    /// Those of campaigns that are long over are forgotten.
    sources: Sources,
    /// How many were last told.
    pub(super) told: usize,
}

impl Campaign {
    pub(super) fn new(id: u64, begun_ns: u64, now_ns: u64) -> Self {
        Self {
            id,
            begun_ns,
            detected_ns: now_ns,
            last_ns: now_ns,
            ended_ns: None,
            attacks: BTreeSet::new(),
            has_probing: false,
            probed_ns: 0,
            attempts: 0,
            classes: BTreeSet::new(),
            services: BTreeSet::new(),
            targets: Vec::new(),
            asked: 0,
            withdrawn: BTreeSet::new(),
            taken_back_ns: None,
            share: Share::default(),
            share_before: Share::default(),
            joints: Vec::new(),
            sources_seen: 0,
            proven: 0,
            networks: Vec::new(),
            networks_seen: 0,
            sources: Sources::new(),
            told: 0,
        }
    }

    pub const fn is_going(&self) -> bool {
        self.ended_ns.is_none()
    }

    /// The word that the command line and JSON use: whether it is made of attacks, or of what no single source shows.
    pub fn kind(&self) -> CampaignKind {
        match (self.has_probing, self.attacks.is_empty()) {
            (true, true) => CampaignKind::Probing,
            (true, false) => CampaignKind::Both,
            (false, _) => CampaignKind::Attacks,
        }
    }

    /// Its sources, and whether each proved itself; empty once they are forgotten.
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }

    pub(super) fn has(&self, part: Part) -> bool {
        match part {
            Part::Attack(id) => self.attacks.contains(&id),
            Part::Probing => self.has_probing && self.is_going(),
        }
    }

    pub(super) fn add(&mut self, part: Part) {
        match part {
            Part::Attack(id) => {
                self.attacks.insert(id);
                if self.attacks.len() > ATTACKS {
                    self.attacks.pop_first();
                }
            }
            Part::Probing => {
                self.has_probing = true;
                self.taken_back_ns = None;
            }
        }
    }

    pub(super) fn join(&mut self, joint: Joint) {
        if self.joints.len() < ATTACKS {
            self.joints.push(joint);
        }
    }

    /// Takes in what an attack of it is like by now.
    pub(super) fn take(&mut self, traits: &Traits) {
        self.classes.extend(traits.class);
        self.services.extend(traits.services.iter().cloned());
        while self.services.len() > SERVICES {
            self.services.pop_last();
        }
        self.take_sources(&traits.sources);
        self.merge_networks(traits.networks.iter().map(|(network, count)| (*network, *count)));
    }

    /// Whether most of `group` are sources of it.
    pub(super) fn knows(&self, group: &Group) -> bool {
        let members = group.members.keys();
        let known = members.filter(|account| self.sources.contains_key(account));
        2 * known.count() > group.members.len()
    }

    /// Takes in what its probing is like by now.
    pub(super) fn take_group(&mut self, group: &Group) {
        self.attempts = self.attempts.max(group.attempts);
        self.probed_ns = group.last_ns;
        self.last_ns = self.last_ns.max(group.last_ns);
        (self.targets, self.asked) = (group.targets.clone(), group.asked);
        self.take_sources(&group.members);
        self.merge_networks(group.networks.iter().copied());
    }

    /// Takes back what it asked for of services that have `begun` since; whether it did ask for any.
    pub(super) fn withdraw(&mut self, begun: &BTreeSet<Target>, early: &Early) -> bool {
        let asked = |target: &&Target| self.targets.iter().any(|(known, _)| known == *target);
        let mut withdrawn: BTreeSet<Target> = begun.iter().filter(asked).copied().collect();
        if early
            .sources
            .iter()
            .any(|account| self.sources.contains_key(account))
        {
            withdrawn.extend(&early.targets);
        }
        self.targets.retain(|(target, count)| {
            let stays = !withdrawn.contains(target);
            self.asked -= if stays { 0 } else { *count };
            stays
        });
        let is_any = !withdrawn.is_empty();
        self.withdrawn.extend(withdrawn);
        while self.withdrawn.len() > SERVICES {
            self.withdrawn.pop_first();
        }
        is_any
    }

    /// Whether what is left of its targets is still a probe.
    pub(super) fn is_probed(&self) -> bool {
        is_varied(&self.targets, self.asked)
    }

    /// Forgets that those are its sources, unless they may be those of its attacks.
    pub(super) fn clear(&mut self, cleared: &[Account]) {
        if !self.attacks.is_empty() {
            return;
        }
        let before = self.sources.len();
        for account in cleared {
            self.sources.remove(account);
        }
        self.sources_seen = self.sources_seen.saturating_sub(before - self.sources.len());
        self.proven = self.sources.values().filter(|is_proven| **is_proven).count();
    }

    /// Nothing of its probing is left: whether nothing else is, so that it is over.
    pub(super) fn take_back(&mut self, now_ns: u64) -> bool {
        self.taken_back_ns = Some(now_ns);
        self.targets.clear();
        let is_all = self.attacks.is_empty();
        if is_all {
            self.ended_ns = Some(now_ns);
            self.forget_sources();
        } else {
            self.has_probing = false;
        }
        is_all
    }

    fn take_sources(&mut self, sources: &Sources) {
        for (account, is_proven) in sources {
            if self.sources.len() < SOURCES || self.sources.contains_key(account) {
                *self.sources.entry(*account).or_default() |= is_proven;
            }
        }
        self.sources_seen = self.sources_seen.max(self.sources.len());
        let proven = self.sources.values().filter(|is_proven| **is_proven).count();
        self.proven = self.proven.max(proven);
    }

    /// Of each network the most that were there at once.
    fn merge_networks(&mut self, more: impl Iterator<Item = (Network, u32)>) {
        let mut all: BTreeMap<Network, u32> = self.networks.iter().copied().collect();
        for (network, count) in more {
            let most = all.entry(network).or_default();
            *most = count.max(*most);
        }
        self.networks_seen = self.networks_seen.max(all.len());
        self.networks = all.into_iter().collect();
        self.networks
            .sort_by_key(|(network, count)| (std::cmp::Reverse(*count), *network));
        self.networks.truncate(NETWORKS);
    }

    /// Takes another campaign in, that turned out to be the same.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.begun_ns = self.begun_ns.min(other.begun_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
        self.attempts = self.attempts.max(other.attempts);
        self.has_probing |= other.has_probing;
        self.probed_ns = self.probed_ns.max(other.probed_ns);
        other.attacks.iter().for_each(|id| self.add(Part::Attack(*id)));
        self.classes.extend(&other.classes);
        self.services.extend(other.services.iter().cloned());
        if self.targets.is_empty() {
            self.targets.clone_from(&other.targets);
            self.asked = other.asked;
        }
        self.withdrawn.extend(&other.withdrawn);
        if self.share == Share::default() {
            (self.share, self.share_before) = (other.share, other.share_before);
        }
        self.take_sources(&other.sources);
        self.merge_networks(other.networks.iter().copied());
        other.joints.iter().for_each(|joint| self.join(joint.clone()));
    }

    pub(super) fn forget_sources(&mut self) {
        self.sources = Sources::new();
    }
}

/// What a campaign is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CampaignKind {
    /// Attacks that belong together.
    Attacks,
    /// Sources that each do hardly anything, and together the same odd thing.
    Probing,
    /// Both.
    Both,
}

impl CampaignKind {
    pub const ALL: [Self; 3] = [Self::Attacks, Self::Probing, Self::Both];

    /// The word that the command line and JSON use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attacks => "attacks",
            Self::Probing => "probing",
            Self::Both => "both",
        }
    }

    /// In a sentence.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Attacks => "attacks that belong together",
            Self::Probing => "many sources ask where nobody is, each so little that none stands out",
            Self::Both => "attacks, and sources that ask where nobody is, that belong together",
        }
    }
}
