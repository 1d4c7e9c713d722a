//! Campaigns in the daemon: each tick is shown to them, what changed is recorded, and sources of which none stands out become a little
//! suspicious. What belongs together, the engine says.

mod ground;
mod report;

use std::collections::HashSet;

use tracing::info;

use super::{EventKind, State};
use crate::{
    clock::monotonic_ns,
    engine::{
        Account, Change,
        campaign::{Scene, Turn},
        seen::Seen,
    },
};

pub(super) use ground::Ground;
pub use report::{
    CampaignAttack, CampaignJoint, CampaignNetwork, CampaignReport, CampaignSource, CampaignTarget,
};

/// Links that an event tells.
const LINKS_TOLD: usize = 8;

/// Takes in the tick that ended at `now_ns`.
pub(super) fn tick(
    state: &State,
    ground: &Ground,
    changes: &[Change],
    seen: &[Seen],
    good: &HashSet<Account>,
    now_ns: u64,
) {
    let turns = {
        let (controller, responder) = (state.controller(), state.responder());
        let mut campaigns = state.campaigns();
        campaigns.step(&Scene {
            now_ns,
            changes,
            attacks: controller.tracker().attacks(),
            responder: &responder,
            seen,
            connected: good,
            is_calm: controller.is_calm(now_ns),
            is_served: &|seen| ground.is_served(seen),
            asn: &|account| ground.asn(account),
        })
    };
    for turn in turns {
        tell(state, turn);
    }
}

/// Records `turn`.
fn tell(state: &State, turn: Turn) {
    let (Turn::Begun(id) | Turn::Grown(id) | Turn::Ended(id) | Turn::Merged { into: id, .. }) = turn;
    let told = {
        let (controller, campaigns) = (state.controller(), state.campaigns());
        let campaign = campaigns.campaign(id);
        campaign.map(|campaign| {
            let report = CampaignReport::of(campaign, controller.tracker());
            // Who is met in an attack has that against it already.
            let suspects: Vec<Account> = match campaign.attacks.is_empty() {
                true => campaign.sources().keys().copied().collect(),
                false => Vec::new(),
            };
            (report, suspects)
        })
    };
    let Some((report, suspects)) = told else {
        return;
    };
    let kind = report.kind.name().to_owned();
    let attacks: Vec<u64> = report.attacks.iter().map(|attack| attack.id).collect();
    let (sources, networks) = (report.sources_seen, report.networks_seen);
    if matches!(turn, Turn::Begun(_) | Turn::Grown(_)) {
        let mut reputation = state.reputation();
        let now_ns = monotonic_ns();
        for account in suspects {
            reputation.campaigning(account, report.kind.name(), now_ns);
        }
    }
    state.journal.record(match turn {
        Turn::Begun(_) => {
            state.figures.campaign_begun(report.kind);
            info!(id, kind, sources, "campaign: {}", report.what);
            EventKind::CampaignBegun {
                id,
                kind,
                attacks,
                sources,
                networks,
                evidence: report.evidence().take(LINKS_TOLD).collect(),
            }
        }
        Turn::Grown(_) => EventKind::CampaignGrown {
            id,
            kind,
            attacks,
            sources,
            networks,
        },
        Turn::Merged { id: merged, into } => EventKind::CampaignMerged { id: merged, into },
        Turn::Ended(_) => {
            info!(id, kind, sources, "campaign is over");
            EventKind::CampaignEnded {
                id,
                kind,
                attacks,
                sources,
                networks,
                lasted_s: report.lasted_s,
            }
        }
    });
}
