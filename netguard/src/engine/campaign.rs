//! Campaign: attacks, and sources of which none stands out, that belong together, each link with what speaks for it. It is told and raises
//! suspicion; it blocks nobody and says nothing of who is behind it.
//!
//! What is compared ([`Traits`]) is the same on every host but for times, so that nodes can hold theirs against each other.

mod attempt;
mod link;
mod network;
mod overlap;
mod probed;
mod probing;
mod record;
mod rhythm;
mod scene;
mod share;
mod suspicion;
mod traits;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
};

use super::{Account, Attack, Change};
pub use attempt::{Attempt, Look, Target};
pub use link::{JOINS, Link, LinkKind, links, score};
pub use network::{Asn, Network, Ordinary, network};
pub use overlap::{Overlap, Sources};
pub use probing::{Early, Group, Probing, Usual};
pub use record::{Campaign, CampaignKind, Joint, Part};
pub use rhythm::{Together, together};
pub use scene::{Scene, Turn};
pub use share::Share;
use share::Shares;
use suspicion::Suspicion;
pub use traits::Traits;

const SECOND_NS: u64 = 1_000_000_000;
/// How long after it was over an attack is compared with new ones.
const MEMORY_NS: u64 = 3_600 * SECOND_NS;
/// How long after its last attack, or the last packet of its probing that was looked at, a campaign is over.
const QUIET_NS: u64 = 60 * SECOND_NS;
/// Attacks that are compared with one, the newest; and turns of each that are remembered.
const COMPARED: usize = 32;
/// Attacks that are compared with all others in one second.
const AT_ONCE: usize = 2;
const TURNS: usize = 32;
/// Campaigns that are remembered, and those of them that keep their sources.
const REMEMBERED: usize = 128;
const WITH_SOURCES: usize = 16;

/// Follows campaigns. Numbers begin with 1.
#[derive(Debug, Default)]
pub struct Campaigns {
    campaigns: Vec<Campaign>,
    begun: u64,
    attacks: BTreeMap<u64, Followed>,
    /// Those that are compared, as they were when they were last.
    known: BTreeMap<u64, Traits>,
    probing: Probing,
    group: Option<Group>,
    ordinary: Ordinary,
    looked_ns: Option<u64>,
    /// Those that turned out to be the same as others in the second that was looked at last, as they were then.
    absorbed: Vec<Campaign>,
    /// Of whom it is to be said since then that they probe, and of whom it is to be taken back.
    suspects: Vec<Account>,
    cleared: Vec<Account>,
    suspicion: Suspicion,
    shares: Shares,
}

/// What is remembered of an attack beside what its own record has.
#[derive(Clone, Debug, Default)]
struct Followed {
    turns_ns: VecDeque<u64>,
    /// Sources of it that were connected meanwhile.
    proven: BTreeSet<Account>,
    /// When it is compared next: ever more rarely, since it changes less and less.
    next_ns: u64,
}

impl Campaigns {
    /// Takes in a moment: which campaigns began, grew and ended.
    pub fn step(&mut self, scene: &Scene<'_>) -> Vec<Turn> {
        self.absorbed.clear();
        self.suspects.clear();
        self.cleared.clear();
        self.turn(scene);
        let mut turns = Vec::new();
        self.withdraw(scene, &mut turns);
        self.attempts(scene);
        let before_ns = self.looked_ns.filter(|before_ns| *before_ns <= scene.now_ns);
        if before_ns.is_some_and(|before_ns| scene.now_ns - before_ns < SECOND_NS) {
            return turns;
        }
        self.looked_ns = Some(scene.now_ns);
        self.shares.mark(scene.now_ns);
        self.look_at_probing(scene, &mut turns);
        self.look_at_attacks(scene, &mut turns);
        self.end(scene, &mut turns);
        turns
    }

    /// What sources are like in calm times.
    pub const fn ordinary(&self) -> &Ordinary {
        &self.ordinary
    }

    /// How many ask in vain in calm times.
    pub const fn usual(&self) -> &Usual {
        self.probing.usual()
    }

    /// Takes up what was learnt of both, or forgets it.
    pub fn recall(&mut self, ordinary: Ordinary, usual: Usual) {
        self.ordinary = ordinary;
        self.probing.recall(usual);
    }

    /// Campaigns, the oldest first.
    pub fn all(&self) -> &[Campaign] {
        &self.campaigns
    }

    pub fn campaign(&self, id: u64) -> Option<&Campaign> {
        self.campaigns.iter().find(|campaign| campaign.id == id)
    }

    /// The campaign that a turn of the last step is about: also one that became part of another in the same step.
    pub fn turned(&self, id: u64) -> Option<&Campaign> {
        let mut absorbed = self.absorbed.iter();
        self.campaign(id)
            .or_else(|| absorbed.find(|campaign| campaign.id == id))
    }

    /// Of whom it is to be said since the last step that they probe: some time after they were found to, and now and then while they do.
    pub fn suspects(&self) -> &[Account] {
        &self.suspects
    }

    /// Of whom that is to be taken back: what they asked for is served since the last step.
    pub fn cleared(&self) -> &[Account] {
        &self.cleared
    }

    /// The campaign that the attack of this number is part of.
    pub fn of_attack(&self, id: u64) -> Option<&Campaign> {
        let mut campaigns = self.campaigns.iter().rev();
        campaigns.find(|campaign| campaign.attacks.contains(&id))
    }

    /// Those that `account` is a source of, the newest first.
    pub fn of_source(&self, account: Account) -> impl Iterator<Item = &Campaign> {
        let newest = self.campaigns.iter().rev();
        newest.filter(move |campaign| campaign.sources().contains_key(&account))
    }

    fn turn(&mut self, scene: &Scene<'_>) {
        for change in scene.changes {
            let (Change::Begun(id) | Change::Resumed(id) | Change::Ended(id)) = *change;
            let Some(attack) = scene.attacks.iter().find(|attack| attack.id == id) else {
                continue;
            };
            let followed = self.attacks.entry(id).or_default();
            let at_ns = match change {
                Change::Begun(_) => attack.begun_ns,
                Change::Resumed(_) => scene.now_ns,
                Change::Ended(_) => attack.last_ns,
            };
            // Of one that comes and goes for hours the first turn stays: it is when it began.
            if followed.turns_ns.len() >= TURNS {
                followed.turns_ns.remove(1);
            }
            followed.turns_ns.push_back(at_ns);
            followed.next_ns = scene.now_ns;
        }
        let known: BTreeSet<u64> = scene.attacks.iter().map(|attack| attack.id).collect();
        self.attacks.retain(|id, _| known.contains(id));
    }

    fn look_at_attacks(&mut self, scene: &Scene<'_>, turns: &mut Vec<Turn>) {
        let now_ns = scene.now_ns;
        let recent = |attack: &&Attack| {
            attack.class.is_attack()
                && (attack.is_going() || now_ns.saturating_sub(attack.last_ns) < MEMORY_NS)
        };
        let attacks: Vec<&Attack> = scene.attacks.iter().filter(recent).collect();
        for attack in &attacks {
            let followed = self.attacks.entry(attack.id).or_default();
            if attack.is_going() {
                let connected = attack.met().filter(|account| scene.connected.contains(account));
                followed.proven.extend(connected);
            }
        }
        let newest = &attacks[attacks.len().saturating_sub(COMPARED)..];
        let due = self.due(newest, now_ns);
        if due.is_empty() {
            return;
        }
        let mut known = mem::take(&mut self.known);
        known.retain(|id, _| newest.iter().any(|attack| attack.id == *id));
        for attack in &due {
            known.insert(attack.id, self.traits(attack, scene));
        }
        let group = self.group.as_ref().map(of_group);
        for attack in due {
            let (part, Some(traits)) = (Part::Attack(attack.id), known.get(&attack.id)) else {
                continue;
            };
            let others = known.iter().map(|(id, theirs)| (Part::Attack(*id), theirs));
            let others = others.chain(group.iter().map(|theirs| (Part::Probing, theirs)));
            for (other, theirs) in others.filter(|(other, _)| *other != part) {
                let links = links(traits, theirs, &self.ordinary);
                if score(&links) >= JOINS {
                    self.join([(part, traits), (other, theirs)], links, now_ns, turns);
                }
            }
            let mut campaigns = self.campaigns.iter_mut();
            if let Some(campaign) = campaigns.find(|campaign| campaign.has(part)) {
                campaign.take(traits);
            }
        }
        self.known = known;
    }

    /// Those of `attacks` that are to be compared again, a few at once: the tick waits for it. The next time is twice as far off.
    fn due<'a>(&mut self, attacks: &[&'a Attack], now_ns: u64) -> Vec<&'a Attack> {
        let next_ns = |attack: &Attack| {
            self.attacks
                .get(&attack.id)
                .map_or(0, |followed| followed.next_ns)
        };
        let mut due: Vec<&Attack> = attacks
            .iter()
            .copied()
            .filter(|attack| next_ns(attack) <= now_ns)
            .collect();
        // The newest first; older ones are due ever more rarely.
        due.sort_by_key(|attack| Reverse((attack.begun_ns, attack.id)));
        due.truncate(AT_ONCE);
        for attack in &due {
            let age_ns = now_ns.saturating_sub(attack.begun_ns).max(SECOND_NS);
            // Of one that is over nothing changes any more.
            self.attacks.entry(attack.id).or_default().next_ns = match attack.is_going() {
                true => now_ns.saturating_add(age_ns),
                false => u64::MAX,
            };
        }
        due
    }

    fn traits(&self, attack: &Attack, scene: &Scene<'_>) -> Traits {
        let nothing = Followed::default();
        let followed = self.attacks.get(&attack.id).unwrap_or(&nothing);
        let mut turns_ns: Vec<u64> = followed.turns_ns.iter().copied().collect();
        turns_ns.sort_unstable();
        if turns_ns.is_empty() {
            turns_ns.push(attack.begun_ns);
        }
        let course = scene.responder.course(attack.id);
        Traits::of(attack, course, turns_ns, &followed.proven, scene.asn)
    }

    /// Has two parts belong together.
    fn join(&mut self, parts: [(Part, &Traits); 2], links: Vec<Link>, now_ns: u64, turns: &mut Vec<Turn>) {
        let [one, other] = parts.map(|(part, _)| self.place(part));
        let joint = Joint {
            part: parts[0].0,
            with: Some(parts[1].0),
            at_ns: now_ns,
            links,
        };
        let index = match (one, other) {
            (Some(one), Some(other)) if one == other => return,
            (Some(one), Some(other)) => {
                let (older, newer) = (one.min(other), one.max(other));
                let absorbed = self.campaigns.remove(newer);
                turns.push(Turn::Merged {
                    id: absorbed.id,
                    into: self.campaigns[older].id,
                });
                self.campaigns[older].absorb(&absorbed);
                self.absorbed.push(absorbed);
                older
            }
            (Some(index), None) | (None, Some(index)) => index,
            (None, None) => {
                let first_ns = parts.iter().filter_map(|(_, traits)| traits.turns_ns.first());
                let begun_ns = first_ns.min().copied().unwrap_or(now_ns);
                let campaign = self.begin(begun_ns, now_ns, turns);
                for (part, traits) in parts {
                    campaign.add(part);
                    campaign.take(traits);
                }
                campaign.join(joint);
                campaign.told = campaign.sources_seen;
                return;
            }
        };
        let campaign = &mut self.campaigns[index];
        for (part, traits) in parts {
            campaign.add(part);
            campaign.take(traits);
        }
        campaign.join(joint);
        campaign.ended_ns = None;
        campaign.last_ns = now_ns;
        campaign.told = campaign.sources_seen;
        turns.push(Turn::Grown(campaign.id));
    }

    /// The campaign that has this part: of those that probed, which did so last.
    fn place(&self, part: Part) -> Option<usize> {
        let campaigns = self.campaigns.iter().enumerate();
        let having = campaigns.filter(|(_, campaign)| campaign.has(part));
        let last = having.max_by_key(|(_, campaign)| match part {
            Part::Attack(_) => 0,
            Part::Probing => campaign.probed_ns,
        });
        last.map(|(place, _)| place)
    }

    fn begin(&mut self, begun_ns: u64, now_ns: u64, turns: &mut Vec<Turn>) -> &mut Campaign {
        self.begun += 1;
        turns.push(Turn::Begun(self.begun));
        if self.campaigns.len() >= REMEMBERED {
            let oldest = self.campaigns.iter().position(|campaign| !campaign.is_going());
            self.campaigns.remove(oldest.unwrap_or(0));
        }
        let newest = (self.campaigns.len() + 1).saturating_sub(WITH_SOURCES);
        self.campaigns[..newest]
            .iter_mut()
            .for_each(Campaign::forget_sources);
        let index = self.campaigns.len();
        self.campaigns.push(Campaign::new(self.begun, begun_ns, now_ns));
        &mut self.campaigns[index]
    }

    /// Ends campaigns of which nothing has gone on for a while, and tells those that have become large.
    fn end(&mut self, scene: &Scene<'_>, turns: &mut Vec<Turn>) {
        let now_ns = scene.now_ns;
        let going: BTreeSet<u64> = scene
            .attacks
            .iter()
            .filter(|attack| attack.is_going())
            .map(|attack| attack.id)
            .collect();
        for campaign in &mut self.campaigns {
            let is_attacked = !campaign.attacks.is_disjoint(&going);
            if is_attacked {
                campaign.last_ns = now_ns;
            }
            if !campaign.is_going() {
                if is_attacked {
                    campaign.ended_ns = None;
                    turns.push(Turn::Grown(campaign.id));
                }
                continue;
            }
            // A clock that jumped back must not keep it for ever.
            let quiet_ns = match campaign.last_ns <= now_ns {
                true => now_ns - campaign.last_ns,
                false => QUIET_NS,
            };
            if !is_attacked && quiet_ns >= QUIET_NS {
                campaign.ended_ns = Some(campaign.last_ns.min(now_ns));
                turns.push(Turn::Ended(campaign.id));
            } else if campaign.sources_seen >= campaign.told.saturating_mul(2).max(1) {
                campaign.told = campaign.sources_seen;
                turns.push(Turn::Grown(campaign.id));
            }
        }
    }
}

/// What is compared of sources that ask where nobody is.
fn of_group(group: &Group) -> Traits {
    Traits {
        class: None,
        turns_ns: vec![group.begun_ns],
        sources: group.members.clone(),
        networks: group.networks.iter().copied().collect(),
        services: group
            .targets
            .iter()
            .map(|(target, _)| target.to_string())
            .collect(),
        ..Traits::default()
    }
}

#[cfg(test)]
mod tests;
