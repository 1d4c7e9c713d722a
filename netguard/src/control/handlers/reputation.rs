//! The answers about reputation, and forgetting it.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, State as Shared},
};
use serde::Deserialize;

use crate::{
    control::{peer::By, told},
    daemon::{Forgotten, ReputationReport, State, forget_reputation, reputation_report},
};

/// Sources told at the most: each comes with its reasons.
const MOST: usize = 1_000;

#[derive(Deserialize)]
pub(in crate::control) struct TopQuery {
    #[serde(default = "TopQuery::usual")]
    top: usize,
}

impl TopQuery {
    const fn usual() -> usize {
        20
    }
}

/// What is remembered, with the highest scores.
pub(in crate::control) async fn list(
    Shared(state): Shared<Arc<State>>,
    Query(query): Query<TopQuery>,
) -> Json<ReputationReport> {
    Json(reputation_report(&state, query.top.min(MOST)))
}

pub(in crate::control) async fn forget(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path(address): Path<IpAddr>,
) -> Json<Forgotten> {
    let forgotten = forget_reputation(&state, Some(address)).await;
    if let Some(event) = told::forgotten(&forgotten) {
        state.journal.record_by(author, event);
    }
    Json(forgotten)
}

pub(in crate::control) async fn forget_all(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
) -> Json<Forgotten> {
    let forgotten = forget_reputation(&state, None).await;
    if let Some(event) = told::forgotten(&forgotten) {
        state.journal.record_by(author, event);
    }
    Json(forgotten)
}
