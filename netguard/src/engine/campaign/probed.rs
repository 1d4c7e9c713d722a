//! Which campaign it is that sources probe in, and who of them is suspicious for it. Who probes, `probing` says.

use std::collections::BTreeSet;

use super::{Attempt, Campaigns, Group, Joint, MEMORY_NS, Part, QUIET_NS, Scene, Turn, scene::is_flooded};
use crate::engine::Account;

/// Sources of which it is remembered that they were told to probe, beside those that do.
const SUSPECTED: usize = 16_384;

impl Campaigns {
    /// What came to nothing; in calm times all else is ordinary.
    pub(super) fn attempts(&mut self, scene: &Scene<'_>) {
        if !scene.begun.is_empty() {
            self.probing.withdraw(scene.begun);
        }
        for seen in scene.seen {
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
        if self.suspected.0 != id {
            self.suspected = (id, BTreeSet::new());
        }
        let (_, suspected) = &mut self.suspected;
        let members = group.members.keys().copied();
        self.suspects
            .extend(members.filter(|account| suspected.insert(*account)));
        // Whoever is forgotten as a source of it may be told once more.
        if suspected.len() > SUSPECTED {
            *suspected = group.members.keys().copied().collect();
        }
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
        let campaign = self.begin(group.begun_ns, now_ns, turns);
        campaign.add(Part::Probing);
        campaign.join(joint);
        campaign.last_ns = group.last_ns;
        campaign.take_group(group);
        campaign.told = campaign.sources_seen;
        campaign.id
    }
}
