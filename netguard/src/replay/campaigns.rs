//! Campaigns in a replay, as they are told: times are since the first frame. What belongs together, the engine says.

use serde::Serialize;

use super::clock::BEGIN_NS;
use crate::{
    daemon::CampaignTold,
    engine::campaign::{Campaign as Known, Link},
};

/// Sources that are told of each.
const SOURCES: usize = 10;

/// Attacks, or sources of which none stands out, that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Campaign {
    #[serde(flatten)]
    pub told: CampaignTold,
    pub began_ms: u64,
    pub noticed_ms: u64,
    /// `None` where the capture ends before.
    pub ended_ms: Option<u64>,
    /// When all of its probing was taken back, since what it asked for is served.
    pub taken_back_ms: Option<u64>,
    /// Numbers of its attacks.
    pub attacks: Vec<u64>,
    /// What speaks for each of its parts.
    pub joints: Vec<Joint>,
}

/// That a part belongs to a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Joint {
    /// `attack 3`, or `probing`.
    pub part: String,
    /// What it belongs together with; `None`: its own sources do.
    pub with: Option<String>,
    pub at_ms: u64,
    /// How much speaks for it, of 100.
    pub score: u32,
    pub evidence: Vec<Link>,
}

/// `campaign` as it is told.
pub(super) fn told(campaign: &Known) -> Campaign {
    let ms = |at_ns: u64| at_ns.saturating_sub(BEGIN_NS) / 1_000_000;
    Campaign {
        told: CampaignTold::of(campaign, SOURCES),
        began_ms: ms(campaign.begun_ns),
        noticed_ms: ms(campaign.detected_ns),
        ended_ms: campaign.ended_ns.map(ms),
        taken_back_ms: campaign.taken_back_ns.map(ms),
        attacks: campaign.attacks.iter().copied().collect(),
        joints: campaign
            .joints
            .iter()
            .map(|joint| Joint {
                part: joint.part.to_string(),
                with: joint.with.map(|part| part.to_string()),
                at_ms: ms(joint.at_ns),
                score: joint.score(),
                evidence: joint.links.clone(),
            })
            .collect(),
    }
}
