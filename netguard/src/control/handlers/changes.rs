//! How changes are asked for that go back unless they are confirmed, and the answers to who confirms them or takes them back.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State as Shared},
};
use serde::Deserialize;

use super::super::{Failure, FailureKind, RequestError, peer::By, server::Refusal};
use crate::{
    bpf::List,
    clock::monotonic_ns,
    config::Confirm,
    daemon::{
        State, UnconfirmedChange,
        unconfirmed::{self, ChangeError, Trial, Undo},
    },
    engine::{Guard, GuardKind},
    prefix::Prefix,
};

/// The part of a request that is the same for all changes.
#[derive(Deserialize)]
pub(in crate::control) struct Asked {
    /// Seconds until the change goes back; 0: it stays. `None`: that depends on its risk.
    confirm_s: Option<u64>,
    /// The prefix holds an address from which whoever asks is logged in: the command line knows that at once.
    #[serde(default)]
    pub(super) own_session: bool,
}

impl Asked {
    /// The time in which a risky change must be confirmed, in s; 0: it need not.
    pub(super) fn within_s(&self, state: &State) -> u64 {
        self.confirm_s.unwrap_or_else(|| state.confirm.seconds())
    }

    /// Whether a change with this `risk` must be confirmed, which takes the place of those that wait and `is_replaced` says.
    pub(super) fn trial(
        &self,
        state: &State,
        risk: Option<String>,
        is_replaced: impl Fn(&Undo) -> bool,
    ) -> Result<Option<Trial>, RequestError> {
        // Where nothing is dropped nobody is locked out.
        let risk = risk.filter(|_| state.mode != "shadow");
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
        if !state.unconfirmed().has_room(is_replaced) {
            return Err(RequestError::TooManyUnconfirmed);
        }
        let within = Duration::from_secs(within_s);
        Ok(Some(Trial { within, why }))
    }
}

/// Refuses to add rules of `prefixes` to `list` where one that waits touches them: what would be put back is not what was before, and the
/// new ones may only be covered by what goes back.
pub(super) fn refuse_waiting(
    state: &State,
    list: List,
    prefixes: impl Iterator<Item = Prefix>,
) -> Result<(), RequestError> {
    let waiting = state.unconfirmed();
    // Nothing waits nearly always.
    if waiting.len() == 0 {
        return Ok(());
    }
    let about = Guard::new(prefixes.map(|prefix| (prefix, GuardKind::Configured)));
    let in_the_way =
        waiting.in_the_way(|undo| undo.is_of_rules(list, |prefix| about.objection(prefix).is_some()));
    let Some((id, what)) = in_the_way else {
        return Ok(());
    };
    let what = what.to_owned();
    Err(RequestError::Waits { id, what })
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
        let kind = match error {
            ChangeError::None(_) => FailureKind::Usage,
            _ => FailureKind::Failed,
        };
        Refusal(Failure::new(kind, error.to_string()))
    })
}
