//! How changes are asked for that go back unless they are confirmed, and the answers to who confirms them or takes them back.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State as Shared},
};
use serde::Deserialize;

use super::super::{Failure, FailureKind, RequestError, peer::By, server::Refusal};
use crate::{
    clock::monotonic_ns,
    config::Confirm,
    daemon::{
        State, UnconfirmedChange,
        unconfirmed::{self, ChangeError, Trial},
    },
};

/// The part of a request that is the same for all changes.
#[derive(Deserialize)]
pub(in crate::control) struct Asked {
    /// Seconds until the change goes back; 0: it stays. `None`: that depends on its risk.
    confirm_s: Option<u64>,
}

impl Asked {
    /// The time in which a risky change must be confirmed, in s; 0: it need not.
    pub(super) fn within_s(&self, state: &State) -> u64 {
        self.confirm_s.unwrap_or_else(|| state.confirm.seconds())
    }

    /// Whether a change with this `risk` must be confirmed.
    pub(super) fn trial(&self, state: &State, risk: Option<String>) -> Result<Option<Trial>, RequestError> {
        let (within_s, why) = match (self.confirm_s, risk) {
            (Some(0), _) | (None, None) => return Ok(None),
            (Some(within_s), _) if within_s > Confirm::LONGEST.as_secs() => {
                return Err(RequestError::Confirm(within_s));
            }
            (Some(within_s), _) => (within_s, None),
            (None, why) => (state.confirm.seconds(), why),
        };
        if within_s == 0 {
            return Ok(None);
        }
        if state.unconfirmed().is_full() {
            return Err(RequestError::TooManyUnconfirmed);
        }
        let within = Duration::from_secs(within_s);
        Ok(Some(Trial { within, why }))
    }
}

/// What waits for confirmation.
pub(in crate::control) async fn list(Shared(state): Shared<Arc<State>>) -> Json<Vec<UnconfirmedChange>> {
    Json(state.unconfirmed().report(monotonic_ns()))
}

pub(in crate::control) async fn confirm(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path(id): Path<u64>,
) -> Result<Json<UnconfirmedChange>, Refusal> {
    // A task of its own: what is begun is brought to its end, whether or not the client waits.
    finished(tokio::spawn(async move {
        unconfirmed::confirm(&state, id, author).await
    }))
    .await
}

pub(in crate::control) async fn undo(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path(id): Path<u64>,
) -> Result<Json<UnconfirmedChange>, Refusal> {
    const WHY: &str = "an operator says so";
    finished(tokio::spawn(async move {
        unconfirmed::take_back(&state, id, author, WHY).await
    }))
    .await
}

async fn finished(
    task: tokio::task::JoinHandle<Result<UnconfirmedChange, ChangeError>>,
) -> Result<Json<UnconfirmedChange>, Refusal> {
    let done = task.await.map_err(|error| Refusal::failed(error.to_string()))?;
    done.map(Json).map_err(|error| {
        Refusal(Failure {
            kind: match error {
                ChangeError::None(_) => FailureKind::Usage,
                _ => FailureKind::Failed,
            },
            message: error.to_string(),
            index: None,
        })
    })
}
