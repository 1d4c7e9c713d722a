//! Campaigns in a replay, as they are told: times are since the first frame. What belongs together, the engine says.

use serde::Serialize;

use super::clock::BEGIN_NS;
use crate::{
    daemon::{CampaignNetwork, CampaignSource, CampaignTarget},
    engine::campaign::{Campaign as Known, CampaignKind, Link},
};

/// Sources that are told of each.
const SOURCES: usize = 10;

/// Attacks, or sources of which none stands out, that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Campaign {
    pub id: u64,
    pub kind: CampaignKind,
    pub began_ms: u64,
    pub noticed_ms: u64,
    /// `None` where the capture ends before.
    pub ended_ms: Option<u64>,
    /// Numbers of its attacks.
    pub attacks: Vec<u64>,
    /// What its attacks were aimed at.
    pub services: Vec<String>,
    /// What its sources asked for where nobody is, with how many of them did when last looked.
    pub targets: Vec<CampaignTarget>,
    /// What its sources asked for and is served since: who asked for nothing else is none of them any more.
    pub served_since: Vec<String>,
    /// When all of its probing was taken back for that.
    pub taken_back_ms: Option<u64>,
    /// Packets that passed while it probed, and those of them that were looked at.
    pub passed: u64,
    pub looked_at: u64,
    /// Packets that came to nothing among those that were looked at, of sources that came within five minutes.
    pub attempts: u64,
    pub sources_seen: usize,
    /// Those of them that proved themselves by a connection.
    pub sources_proven: usize,
    pub sources: Vec<CampaignSource>,
    pub networks_seen: usize,
    pub networks: Vec<CampaignNetwork>,
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
        id: campaign.id,
        kind: campaign.kind(),
        began_ms: ms(campaign.begun_ns),
        noticed_ms: ms(campaign.detected_ns),
        ended_ms: campaign.ended_ns.map(ms),
        attacks: campaign.attacks.iter().copied().collect(),
        services: campaign.services.iter().cloned().collect(),
        targets: CampaignTarget::all(campaign),
        served_since: campaign.withdrawn.iter().map(ToString::to_string).collect(),
        taken_back_ms: campaign.taken_back_ns.map(ms),
        passed: campaign.share.passed,
        looked_at: campaign.share.looked_at,
        attempts: campaign.attempts,
        sources_seen: campaign.sources_seen,
        sources_proven: campaign.proven,
        sources: CampaignSource::first(campaign, SOURCES),
        networks_seen: campaign.networks_seen,
        networks: CampaignNetwork::all(campaign),
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
