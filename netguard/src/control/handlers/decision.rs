//! How the decision endpoint stands.

use std::sync::Arc;

use axum::{Json, extract::State as Shared};

use crate::{
    daemon::{State, decision_report},
    decision::DecisionReport,
};

/// The endpoint, or nothing.
pub(in crate::control) async fn show(Shared(state): Shared<Arc<State>>) -> Json<Option<DecisionReport>> {
    Json(decision_report(&state))
}
