//! Which campaign it is that sources probe in, and who of them is suspicious for it. Who probes, `probing` says.

use super::{
    Attempt, Campaigns, Early, Group, Joint, MEMORY_NS, Part, QUIET_NS, Scene, Turn, scene::is_flooded,
};
use crate::engine::Account;

impl Campaigns {
    /// Takes back what is served by now: who asked for it came a little early.
    pub(super) fn withdraw(&mut self, scene: &Scene<'_>, turns: &mut Vec<Turn>) {
        if scene.begun.is_empty() {
            return;
        }
        let early = self.probing.withdraw(scene.begun);
        for index in 0..self.campaigns.len() {
            let campaign = &mut self.campaigns[index];
            if !campaign.has(Part::Probing) || !campaign.withdraw(scene.begun, &early) {
                continue;
            }
            let id = campaign.id;
            let is_whole = !campaign.is_probed();
            let cleared = self.cleared_of(index, &early, is_whole);
            self.suspicion.forget(&cleared);
            turns.push(Turn::Withdrawn {
                id,
                sources: cleared.len(),
                is_whole,
            });
            let campaign = &mut self.campaigns[index];
            if !is_whole {
                campaign.clear(&cleared);
            } else if campaign.take_back(scene.now_ns) {
                turns.push(Turn::Ended(id));
            }
            if is_whole {
                // What is left is for the next look to find.
                self.group = None;
            }
            self.cleared.extend(cleared);
        }
    }

    /// Sources of the campaign at `index` that have nothing against them any more: all where it `is_whole`, and none that is one of another.
    fn cleared_of(&self, index: usize, early: &Early, is_whole: bool) -> Vec<Account> {
        let is_other = |account: &Account| {
            let campaigns = self.campaigns.iter().enumerate();
            let mut others = campaigns.filter(|(other, campaign)| *other != index && campaign.has_probing);
            others.any(|(_, campaign)| campaign.sources().contains_key(account))
        };
        let sources = self.campaigns[index].sources().keys();
        sources
            .filter(|account| is_whole || early.sources.contains(account))
            .filter(|account| !is_other(account))
            .copied()
            .collect()
    }

    /// What came to nothing; in calm times all else is ordinary.
    pub(super) fn attempts(&mut self, scene: &Scene<'_>) {
        self.shares.sum.passed = self.shares.sum.passed.saturating_add(scene.passed);
        for seen in scene.seen {
            self.shares.sum.look_at(seen.verdict);
            let is_proven = scene.connected.contains(&Account::of(seen.source));
            match Attempt::of(seen, (scene.is_served)(seen), is_proven) {
                // Of a flood everything comes to nothing, whoever's name it is in: that is told as what it is.
                Some(attempt) if !is_flooded(&attempt, seen.verdict, scene.attacks) => {
                    self.probing.take(&attempt)
                }
                None if scene.is_calm => self.ordinary.learn(seen, scene.asn),
                _ => {}
            }
        }
    }

    pub(super) fn look_at_probing(&mut self, scene: &Scene<'_>, turns: &mut Vec<Turn>) {
        let now_ns = scene.now_ns;
        self.group = self
            .probing
            .look(now_ns, &self.ordinary, scene.asn, scene.is_calm);
        let Some(group) = self.group.clone() else {
            // What comes later is another, unless the same sources come again.
            return;
        };
        let id = self.probe(&group, now_ns, turns);
        self.suspects = self.suspicion.look(id, group.members.keys(), now_ns);
    }

    /// Takes in that `group` probes, and which campaign that is.
    fn probe(&mut self, group: &Group, now_ns: u64, turns: &mut Vec<Turn>) -> u64 {
        let newest = self.campaigns.iter_mut().rev();
        let probing = newest.filter(|campaign| campaign.has_probing);
        let mut known = probing.filter(|campaign| {
            let quiet_ns = now_ns.saturating_sub(campaign.probed_ns);
            quiet_ns < QUIET_NS && campaign.is_going() || quiet_ns < MEMORY_NS && campaign.knows(group)
        });
        if let Some(campaign) = known.next() {
            campaign.take_group(group);
            // Of one that goes on again what came meanwhile is none of it.
            let told = campaign.share_before + campaign.share;
            let meanwhile = self.shares.at(group.begun_ns) - told;
            campaign.share_before = campaign.share_before + meanwhile;
            campaign.share = self.shares.sum - campaign.share_before;
            if campaign.ended_ns.take().is_some() {
                campaign.told = campaign.sources_seen;
                turns.push(Turn::Grown(campaign.id));
            }
            return campaign.id;
        }
        let joint = Joint {
            part: Part::Probing,
            with: None,
            at_ns: now_ns,
            links: group.links.clone(),
        };
        let before = self.shares.at(group.begun_ns);
        let share = self.shares.sum - before;
        let campaign = self.begin(group.begun_ns, now_ns, turns);
        (campaign.share, campaign.share_before) = (share, before);
        campaign.add(Part::Probing);
        campaign.join(joint);
        campaign.last_ns = group.last_ns;
        campaign.take_group(group);
        campaign.told = campaign.sources_seen;
        campaign.id
    }
}
