//! The answers to requests that change the signatures.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State as Shared},
};
use netguard_common::signature::Signature;

use super::{
    super::{
        SignatureAddition, SignatureOutcome, add_signature, import::first_end, peer::By, remove_signature,
        risk, server::Refusal, signature, told,
    },
    changes::Asked,
};
use crate::{
    clock::monotonic_ns,
    daemon::{
        State,
        unconfirmed::{self, Undo},
    },
};

pub(in crate::control) async fn add(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Query(asked): Query<Asked>,
    Json(addition): Json<SignatureAddition>,
) -> Result<Json<SignatureOutcome>, Refusal> {
    let now_ns = monotonic_ns();
    let meant = signature(&addition, now_ns)?;
    let expires_at = meant.expires_at;
    let risk = risk::of_signature(&addition, asked.within_s(&state));
    let trial = asked.trial(&state, risk, |_| false)?;
    let ends_at = trial.as_ref().map(|trial| trial.expiry(now_ns, 1));
    let standing = Signature {
        expires_at: first_end(expires_at, ends_at),
        ..meant
    };
    let mut outcome = add_signature(&mut state.signatures(), standing, now_ns)?;
    let event = told::signature_added(&addition, &outcome);
    state.journal.record_by(author.clone(), event);
    if let Some(trial) = trial {
        let id = outcome.id;
        let what = format!("signature {id}, {}", addition.conditions.join(" "));
        let undo = Undo::Signature {
            id,
            standing,
            expires_at,
        };
        outcome.unconfirmed = Some(unconfirmed::begin(&state, what, author, trial, undo));
    }
    Ok(Json(outcome))
}

pub(in crate::control) async fn remove(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path(id): Path<u32>,
) -> Result<Json<SignatureOutcome>, Refusal> {
    let outcome = remove_signature(&mut state.signatures(), id)?;
    unconfirmed::supersede(&state, &author, |undo| undo.is_signature(id));
    if let Some(event) = told::signature_removed(&outcome) {
        state.journal.record_by(author, event);
    }
    Ok(Json(outcome))
}
