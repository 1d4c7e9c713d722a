//! What is told of a campaign wherever it was recognised, by the daemon or in a replay: all of it but times, and its attacks.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::engine::campaign::{Campaign, CampaignKind};

/// A campaign without times. In JSON these fields stand beside those of whoever tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignTold {
    pub id: u64,
    pub kind: CampaignKind,
    /// What its attacks were aimed at.
    pub services: Vec<String>,
    /// What its sources asked for where nobody is, with how many of them did when last looked.
    pub targets: Vec<CampaignTarget>,
    /// What its sources asked for and is served since: who asked for nothing else came early, and is none of them any more.
    #[serde(default)]
    pub served_since: Vec<String>,
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

impl CampaignTold {
    /// `campaign`, with so many of its sources, those that proved themselves before all others.
    pub(crate) fn of(campaign: &Campaign, sources: usize) -> Self {
        Self {
            id: campaign.id,
            kind: campaign.kind(),
            services: campaign.services.iter().cloned().collect(),
            targets: targets(campaign),
            served_since: campaign.withdrawn.iter().map(ToString::to_string).collect(),
            passed: campaign.share.passed,
            looked_at: campaign.share.looked_at,
            attempts: campaign.attempts,
            sources_seen: campaign.sources_seen,
            sources_proven: campaign.proven,
            sources: first(campaign, sources),
            networks_seen: campaign.networks_seen,
            networks: networks(campaign),
        }
    }
}

fn targets(campaign: &Campaign) -> Vec<CampaignTarget> {
    let targets = campaign.targets.iter();
    targets
        .map(|(target, sources)| CampaignTarget {
            service: target.to_string(),
            sources: *sources,
        })
        .collect()
}

fn first(campaign: &Campaign, count: usize) -> Vec<CampaignSource> {
    let mut sources: Vec<_> = campaign.sources().iter().collect();
    sources.sort_by_key(|(account, is_proven)| (Reverse(**is_proven), **account));
    let told = sources.into_iter().take(count);
    told.map(|(account, is_proven)| CampaignSource {
        source: account.to_string(),
        proven: *is_proven,
    })
    .collect()
}

fn networks(campaign: &Campaign) -> Vec<CampaignNetwork> {
    let networks = campaign.networks.iter();
    networks
        .map(|(network, sources)| CampaignNetwork {
            network: network.to_string(),
            sources: *sources,
        })
        .collect()
}
