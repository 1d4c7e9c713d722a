//! What belongs together, as it is asked for. It decides nothing.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State as Shared},
};

use crate::daemon::{CampaignReport, State};

/// Campaigns, the newest first.
pub(in crate::control) async fn list(Shared(state): Shared<Arc<State>>) -> Json<Vec<CampaignReport>> {
    let (controller, campaigns) = (state.controller(), state.campaigns());
    Json(CampaignReport::all(&campaigns, controller.tracker()))
}

/// One campaign, or nothing.
pub(in crate::control) async fn one(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<u64>,
) -> Json<Option<CampaignReport>> {
    let (controller, campaigns) = (state.controller(), state.campaigns());
    let campaign = campaigns.campaign(id);
    Json(campaign.map(|campaign| CampaignReport::of(campaign, controller.tracker())))
}
