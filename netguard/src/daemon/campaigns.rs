//! Campaigns in the daemon: each tick is shown to them, what changed is recorded, and sources that together probe become a little
//! suspicious, or are not any more. What belongs together, the engine says.

mod ground;
mod report;
mod told;

use std::collections::HashSet;

use tracing::info;

use super::{EventKind, State};
use crate::engine::{
    Account, Change,
    campaign::{CampaignKind, Scene, Turn},
    seen::Seen,
    window::Window,
};

pub(super) use ground::Ground;
pub use report::{CampaignAttack, CampaignJoint, CampaignReport};
pub use told::{CampaignNetwork, CampaignSource, CampaignTarget, CampaignTold};

/// Links that an event tells.
const LINKS_TOLD: usize = 8;

/// Takes in the tick that `window` is of.
pub(super) fn tick(
    state: &State,
    ground: &mut Ground,
    changes: &[Change],
    seen: &[Seen],
    good: &HashSet<Account>,
    window: &Window,
) {
    let (begun, now_ns) = (ground.begun(), window.at_ns);
    let (turns, suspects, cleared) = {
        let (controller, responder) = (state.controller(), state.responder());
        let mut campaigns = state.campaigns();
        let turns = campaigns.step(&Scene {
            now_ns,
            changes,
            attacks: controller.tracker().attacks(),
            responder: &responder,
            seen,
            passed: window.passed(),
            connected: good,
            is_calm: controller.is_calm(now_ns),
            is_served: &|seen| ground.is_served(seen),
            begun: &begun,
            asn: &|account| ground.asn(account),
        });
        (turns, campaigns.suspects().to_vec(), campaigns.cleared().to_vec())
    };
    if !suspects.is_empty() || !cleared.is_empty() {
        let mut reputation = state.reputation();
        for account in cleared {
            reputation.clear_of_campaigns(account, now_ns);
        }
        // Whoever else attacks has that against it as well.
        for account in suspects {
            reputation.campaigning(account, CampaignKind::Probing.name(), now_ns);
        }
    }
    for turn in turns {
        tell(state, turn);
    }
}

/// Records `turn`.
fn tell(state: &State, turn: Turn) {
    let (Turn::Begun(id)
    | Turn::Grown(id)
    | Turn::Ended(id)
    | Turn::Merged { into: id, .. }
    | Turn::Withdrawn { id, .. }) = turn;
    let told = {
        let (controller, campaigns) = (state.controller(), state.campaigns());
        let campaign = campaigns.turned(id);
        campaign.map(|campaign| CampaignReport::of(campaign, controller.tracker()))
    };
    let Some(report) = told else {
        return;
    };
    let kind = report.told.kind.name().to_owned();
    let attacks: Vec<u64> = report.attacks.iter().map(|attack| attack.id).collect();
    let (sources, networks) = (report.told.sources_seen, report.told.networks_seen);
    state.journal.record(match turn {
        Turn::Begun(_) => {
            state.figures.campaign_begun(report.told.kind);
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
        Turn::Withdrawn {
            sources, is_whole, ..
        } => {
            let services = report.told.served_since.join(" ");
            info!(
                id,
                sources, is_whole, services, "campaign: what was asked for is served since"
            );
            EventKind::CampaignWithdrawn {
                id,
                services: report.told.served_since,
                sources,
                whole: is_whole,
            }
        }
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
