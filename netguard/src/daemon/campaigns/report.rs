//! Campaigns as they are told over the control socket, with the wall clock.

use serde::{Deserialize, Serialize};

use super::CampaignTold;
use crate::{
    clock::monotonic_ns,
    daemon::attacks::told,
    engine::{
        Tracker,
        campaign::{Campaign, Campaigns, Joint, Link},
        detect::Class,
    },
};

/// Sources told of a campaign.
const SOURCES_TOLD: usize = 20;

/// Answer of `GET /v1/campaigns/{id}`, and an element of that of `GET /v1/campaigns`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignReport {
    #[serde(flatten)]
    pub told: CampaignTold,
    /// The kind in a sentence.
    pub what: String,
    /// When the first of it began, and when that was noticed; RFC 3339, UTC.
    pub began: String,
    pub noticed: String,
    /// `None` while it goes on.
    pub ended: Option<String>,
    /// When all of its probing was taken back, since what it asked for is served.
    #[serde(default)]
    pub taken_back: Option<String>,
    pub lasted_s: u64,
    /// The attacks that are its parts, as far as they are remembered.
    pub attacks: Vec<CampaignAttack>,
    /// What speaks for each of its parts.
    pub joints: Vec<CampaignJoint>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignAttack {
    pub id: u64,
    pub class: Class,
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
            told: CampaignTold::of(campaign, SOURCES_TOLD),
            what: campaign.kind().describe().to_owned(),
            began: told(campaign.begun_ns),
            noticed: told(campaign.detected_ns),
            ended: campaign.ended_ns.map(told),
            taken_back: campaign.taken_back_ns.map(told),
            lasted_s: until_ns.saturating_sub(campaign.begun_ns) / 1_000_000_000,
            attacks: attacks
                .map(|attack| CampaignAttack {
                    id: attack.id,
                    class: attack.class,
                })
                .collect(),
            joints: campaign.joints.iter().map(joint).collect(),
        }
    }

    /// What speaks for it, as sentences.
    pub fn evidence(&self) -> impl Iterator<Item = String> {
        let links = self.joints.iter().flat_map(|joint| &joint.evidence);
        links.map(|link| format!("{}: {}", link.kind.name(), link.what))
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
