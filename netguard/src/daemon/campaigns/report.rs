//! Campaigns as they are told over the control socket, with the wall clock.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::{
    clock::monotonic_ns,
    daemon::attacks::told,
    engine::{
        Tracker,
        campaign::{Campaign, CampaignKind, Campaigns, Joint, Link},
        detect::Class,
    },
};

/// Sources told of a campaign.
const SOURCES_TOLD: usize = 20;

/// Answer of `GET /v1/campaigns/{id}`, and an element of that of `GET /v1/campaigns`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignReport {
    pub id: u64,
    pub kind: CampaignKind,
    /// The kind in a sentence.
    pub what: String,
    /// When the first of it began, and when that was noticed; RFC 3339, UTC.
    pub began: String,
    pub noticed: String,
    /// `None` while it goes on.
    pub ended: Option<String>,
    pub lasted_s: u64,
    /// The attacks that are its parts, as far as they are remembered.
    pub attacks: Vec<CampaignAttack>,
    /// What its attacks were aimed at.
    pub services: Vec<String>,
    /// What its sources asked for where nobody is, with how many of them did when last looked.
    pub targets: Vec<CampaignTarget>,
    /// What its sources asked for and is served since: who asked for nothing else came early, and is none of them any more.
    #[serde(default)]
    pub served_since: Vec<String>,
    /// When all of its probing was taken back for that, RFC 3339.
    #[serde(default)]
    pub taken_back: Option<String>,
    /// Packets that passed this machine while it probed, and those of them that were looked at; nought where nobody probed.
    #[serde(default)]
    pub passed: u64,
    #[serde(default)]
    pub looked_at: u64,
    /// Packets that came to nothing among those that were looked at, of sources that came within five minutes.
    pub attempts: u64,
    pub sources_seen: usize,
    /// Those of them that proved themselves by a connection; all others may be forged.
    pub sources_proven: usize,
    /// Proven ones first.
    pub sources: Vec<CampaignSource>,
    pub networks_seen: usize,
    /// Autonomous systems where a database says, else IPv4 /16 and IPv6 /32; most sources first.
    pub networks: Vec<CampaignNetwork>,
    /// What speaks for each of its parts.
    pub joints: Vec<CampaignJoint>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignAttack {
    pub id: u64,
    pub class: Class,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignTarget {
    pub service: String,
    pub sources: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignSource {
    /// An IPv4 address or an IPv6 /64.
    pub source: String,
    pub proven: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignNetwork {
    /// Such as `AS64496`, or `192.0.0.0/16`.
    pub network: String,
    pub sources: u32,
}

/// That a part belongs to a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignJoint {
    /// `attack 3`, or `probing`.
    pub part: String,
    /// What it belongs together with; `None`: its own sources do.
    pub with: Option<String>,
    pub at: String,
    /// How much speaks for it, of 100.
    pub score: u32,
    pub evidence: Vec<Link>,
}

impl CampaignReport {
    /// All that are remembered, the newest first.
    pub fn all(campaigns: &Campaigns, tracker: &Tracker) -> Vec<Self> {
        let newest = campaigns.all().iter().rev();
        newest.map(|campaign| Self::of(campaign, tracker)).collect()
    }

    pub fn of(campaign: &Campaign, tracker: &Tracker) -> Self {
        let until_ns = campaign.ended_ns.unwrap_or_else(monotonic_ns);
        let attacks = campaign.attacks.iter().filter_map(|id| tracker.attack(*id));
        Self {
            id: campaign.id,
            kind: campaign.kind(),
            what: campaign.kind().describe().to_owned(),
            began: told(campaign.begun_ns),
            noticed: told(campaign.detected_ns),
            ended: campaign.ended_ns.map(told),
            lasted_s: until_ns.saturating_sub(campaign.begun_ns) / 1_000_000_000,
            attacks: attacks
                .map(|attack| CampaignAttack {
                    id: attack.id,
                    class: attack.class,
                })
                .collect(),
            services: campaign.services.iter().cloned().collect(),
            targets: CampaignTarget::all(campaign),
            served_since: campaign.withdrawn.iter().map(ToString::to_string).collect(),
            taken_back: campaign.taken_back_ns.map(told),
            passed: campaign.share.passed,
            looked_at: campaign.share.looked_at,
            attempts: campaign.attempts,
            sources_seen: campaign.sources_seen,
            sources_proven: campaign.proven,
            sources: CampaignSource::first(campaign, SOURCES_TOLD),
            networks_seen: campaign.networks_seen,
            networks: CampaignNetwork::all(campaign),
            joints: campaign.joints.iter().map(joint).collect(),
        }
    }

    /// What speaks for it, as sentences.
    pub fn evidence(&self) -> impl Iterator<Item = String> {
        let links = self.joints.iter().flat_map(|joint| &joint.evidence);
        links.map(|link| format!("{}: {}", link.kind.name(), link.what))
    }
}

impl CampaignTarget {
    pub(crate) fn all(campaign: &Campaign) -> Vec<Self> {
        let targets = campaign.targets.iter();
        targets
            .map(|(target, sources)| Self {
                service: target.to_string(),
                sources: *sources,
            })
            .collect()
    }
}

impl CampaignSource {
    /// The first so many, those that proved themselves before all others.
    pub(crate) fn first(campaign: &Campaign, count: usize) -> Vec<Self> {
        let mut sources: Vec<_> = campaign.sources().iter().collect();
        sources.sort_by_key(|(account, is_proven)| (Reverse(**is_proven), **account));
        let told = sources.into_iter().take(count);
        told.map(|(account, is_proven)| Self {
            source: account.to_string(),
            proven: *is_proven,
        })
        .collect()
    }
}

impl CampaignNetwork {
    pub(crate) fn all(campaign: &Campaign) -> Vec<Self> {
        let networks = campaign.networks.iter();
        networks
            .map(|(network, sources)| Self {
                network: network.to_string(),
                sources: *sources,
            })
            .collect()
    }
}

fn joint(joint: &Joint) -> CampaignJoint {
    CampaignJoint {
        part: joint.part.to_string(),
        with: joint.with.map(|part| part.to_string()),
        at: told(joint.at_ns),
        score: joint.score(),
        evidence: joint.links.clone(),
    }
}
