//! The answers to requests that change limits, the common ones and those of single services.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State as Shared},
};
use netguard_common::layout::Service;

use super::{
    super::{
        Changed, LimitChange, LimitName, RequestError, ServiceChange, change_limit, change_service, peer::By,
        reset_service, risk, server::Refusal, service_named, told,
    },
    changes::Asked,
};
use crate::{
    clock::wall_clock_s,
    config::ServicePort,
    daemon::{
        EventKind, State,
        unconfirmed::{self, Trial, Undo},
    },
};

pub(in crate::control) async fn limit(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path(class): Path<String>,
    Query(asked): Query<Asked>,
    Json(change): Json<LimitChange>,
) -> Result<Json<Changed<LimitChange>>, Refusal> {
    let name = LimitName::parse(&class)?;
    let is_same = |undo: &Undo| undo.limit_before(name).is_some();
    let (before, set, trial) = {
        let mut map = state.settings();
        let settings = map.read().map_err(RequestError::from)?;
        let standing = name.rate(&settings);
        let waiting = state.unconfirmed().before(|undo| undo.limit_before(name));
        let before = origin(standing, waiting);
        let risk = risk::of_limit(&settings, name, before, change);
        let trial = asked.trial(&state, risk, is_same)?;
        (before, change_limit(&mut map, name, change)?, trial)
    };
    unconfirmed::supersede(&state, &author, is_same);
    let event = told::limit_changed(name.to_string(), change);
    state.journal.record_by(author.clone(), event);
    let unconfirmed = trial.map(|trial| {
        let what = format!(
            "the limit {name} at {}/s instead of {}",
            change.rate_per_s,
            told::rate(before)
        );
        let undo = Undo::Limit { name, before, set };
        unconfirmed::begin(&state, what, author, trial, undo)
    });
    Ok(Json(Changed { change, unconfirmed }))
}

pub(in crate::control) async fn service(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path((protocol, port)): Path<(String, String)>,
    Query(asked): Query<Asked>,
    Json(change): Json<ServiceChange>,
) -> Result<Json<Changed<ServiceChange>>, Refusal> {
    let port = service_named(&format!("{protocol}/{port}"))?;
    let settings = state.settings().read().map_err(RequestError::from)?;
    // What usually comes to TCP services makes no difference.
    let usual = (!port.is_tcp()).then(|| usual(&state, port)).flatten();
    let held = state.responder().limits(&port.to_string());
    let is_same = |undo: &Undo| undo.service_before(port).is_some();
    let (before, set, trial) = {
        let mut services = state.services();
        let before = before(
            &state,
            port,
            services
                .of(port.protocol(), port.port())
                .map_err(RequestError::from)?,
        );
        let risk = change
            .rate_per_s
            .and_then(|rate_per_s| risk::of_service(&settings, port, usual, rate_per_s));
        let trial = refuse_held(asked.trial(&state, risk, is_same)?, held, port)?;
        (before, change_service(&mut services, port, change)?, trial)
    };
    let name = port.to_string();
    unconfirmed::supersede(&state, &author, is_same);
    for event in told::service_changed(name.clone(), change, set.as_ref()) {
        state.journal.record_by(author.clone(), event);
    }
    let unconfirmed = trial.map(|trial| {
        let what = match change.rate_per_s {
            Some(rate_per_s) => format!("{name} at {rate_per_s}/s"),
            None => format!("what becomes of TLS at {name}"),
        };
        let undo = Undo::Service { port, before, set };
        unconfirmed::begin(&state, what, author, trial, undo)
    });
    Ok(Json(Changed { change, unconfirmed }))
}

/// Answers whether the service had limits of its own.
pub(in crate::control) async fn reset(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path((protocol, port)): Path<(String, String)>,
) -> Result<Json<bool>, Refusal> {
    let port = service_named(&format!("{protocol}/{port}"))?;
    let was_set = reset_service(&mut state.services(), port)?;
    unconfirmed::supersede(&state, &author, |undo| undo.service_before(port).is_some());
    if was_set {
        let service = port.to_string();
        state
            .journal
            .record_by(author, EventKind::ServiceReset { service });
    }
    Ok(Json(was_set))
}

/// How many packets come to the service at `port` in half of all seconds.
fn usual(state: &State, port: ServicePort) -> Option<f64> {
    let normal = state.controller().normal(wall_clock_s());
    let service = normal.services.get(&port.to_string())?;
    Some(service.packets.median)
}

/// What held for the service at `port`, of which `standing` holds now, before any change that still waits.
fn before(state: &State, port: ServicePort, standing: Option<Service>) -> Option<Service> {
    let waiting = state.unconfirmed().before(|undo| undo.service_before(port));
    origin(standing, waiting)
}

/// What there was before all that waits, where what waits still stands; its `(before, set)`.
fn origin<T: PartialEq>(standing: T, waiting: Option<(T, T)>) -> T {
    match waiting {
        Some((before, set)) if set == standing => before,
        _ => standing,
    }
}

/// Refuses to have something confirmed that stands upon a measure: the measure's limits would come back, and nobody end them.
fn refuse_held(trial: Option<Trial>, held: bool, port: ServicePort) -> Result<Option<Trial>, RequestError> {
    if trial.is_some() && held {
        let what = port.to_string();
        return Err(RequestError::HeldService { what });
    }
    Ok(trial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_change_goes_back_to_what_was_before_both() {
        assert_eq!(origin(20, Some((200, 20))), 200);
        assert_eq!(
            origin(30, Some((200, 20))),
            30,
            "somebody else changed it meanwhile"
        );
        assert_eq!(origin(200, None), 200);
    }
}
