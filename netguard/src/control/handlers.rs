//! The answers to requests over the control socket.

pub(super) mod campaigns;
pub(super) mod changes;
pub(super) mod decision;
pub(super) mod limits;
pub(super) mod lists;
pub(super) mod reputation;
pub(super) mod rules;
pub(super) mod signatures;
pub(super) mod source;

use std::sync::Arc;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, Query, State as Shared},
    http::StatusCode,
};
use futures_util::stream;
use netguard_common::layout::Cookies;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;

use super::{DaemonStatus, Stats, peer::By, server::Refusal};
use crate::{
    bpf::BpfError,
    clock::{monotonic_ns, wall_clock_s},
    daemon::{
        AttackReport, Event, EventKind, HttpReport, PacketReport, State, Stop, TlsReport, decision_report,
        store_state,
    },
    engine::baseline::NormalTraffic,
};

pub(super) async fn status(Shared(state): Shared<Arc<State>>) -> Json<DaemonStatus> {
    let rates = *state.rates();
    let settings = state.settings().read().ok();
    // What is locked below stays so until the answer is made.
    let cookie_faults = state.cookie_faults();
    Json(DaemonStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_s: monotonic_ns().saturating_sub(state.started_ns) / 1_000_000_000,
        mode: state.mode.clone(),
        interfaces: state.interfaces().clone(),
        passed_per_s: rates.passed_per_s,
        dropped_per_s: rates.dropped_per_s,
        answered_per_s: rates.answered_per_s,
        rules_refused: state.rules_refused.load(std::sync::atomic::Ordering::Relaxed),
        cookies: *state.cookies(),
        cookie_options: settings
            .filter(|settings| !matches!(Cookies::from_number(settings.cookies), Cookies::Off))
            .map(|settings| (&settings.offer).into()),
        state: state.reach().clone(),
        spared: state.spared().clone(),
        reflection: *state.reflection(),
        tls: TlsReport::of(&state),
        own_left_out: state.own_left_out.load(std::sync::atomic::Ordering::Relaxed),
        cookie_faults,
        list_faults: state.list_faults(),
        audit: state.journal.audit(),
        normal: Some(state.normal().clone()),
        metrics: state.metrics().clone(),
        reputation: store_state(&state),
        unconfirmed: state.unconfirmed().report(monotonic_ns()),
        connections: state.connections().clone(),
        http: state.heard().standing(),
        decision: decision_report(&state),
    })
}

/// What services are asked for.
pub(super) async fn http(Shared(state): Shared<Arc<State>>) -> Json<HttpReport> {
    Json(state.heard().report())
}

/// Attacks, the newest first.
pub(super) async fn attacks(Shared(state): Shared<Arc<State>>) -> Json<Vec<AttackReport>> {
    let (controller, responder) = (state.controller(), state.responder());
    Json(AttackReport::all(&controller, &responder, &state.campaigns()))
}

/// One attack, or nothing.
pub(super) async fn attack(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<u64>,
) -> Json<Option<AttackReport>> {
    let (controller, responder) = (state.controller(), state.responder());
    let campaigns = state.campaigns();
    let attack = controller.tracker().attack(id);
    Json(attack.map(|attack| AttackReport::of(attack, &responder, &campaigns)))
}

/// Packets of an attack; nothing where it is not known.
pub(super) async fn attack_packets(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<u64>,
) -> Json<Option<Vec<PacketReport>>> {
    Json(state.responder().course(id).map(PacketReport::all))
}

#[derive(Deserialize)]
pub(super) struct ForgetQuery {
    service: Option<String>,
}

/// Forgets what is normal; answers whether anything was known.
pub(super) async fn forget(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Query(query): Query<ForgetQuery>,
) -> Json<bool> {
    Json(state.forget_normal(query.service, author))
}

/// What is normal.
pub(super) async fn normal(Shared(state): Shared<Arc<State>>) -> Json<NormalTraffic> {
    Json(state.controller().normal(wall_clock_s()))
}

pub(super) async fn stats(Shared(state): Shared<Arc<State>>) -> Result<Json<Stats>, Refusal> {
    let settings = state.settings().read();
    let settings = settings.map_err(|error| Refusal::failed(error.to_string()))?;
    let rates = *state.rates();
    Ok(Json(Stats {
        telemetry: settings.telemetry.on != 0,
        traffic: state.traffic().clone(),
        samples_sent: rates.samples_sent,
        samples_lost: rates.samples_lost,
    }))
}

#[derive(Deserialize)]
pub(super) struct EventQuery {
    #[serde(default = "EventQuery::limit")]
    limit: usize,
    #[serde(default)]
    follow: bool,
}

impl EventQuery {
    const fn limit() -> usize {
        100
    }
}

/// Events as JSON lines: those remembered, then, with `follow`, those to come.
pub(super) async fn events(Shared(state): Shared<Arc<State>>, Query(query): Query<EventQuery>) -> Body {
    let (recent, live) = state.journal.follow(query.limit);
    let recent: Vec<Result<Bytes, BpfError>> = recent.iter().map(|event| Ok(line(event))).collect();
    if !query.follow {
        return Body::from_stream(stream::iter(recent));
    }
    let live = stream::unfold((live, state), |(mut live, state)| async move {
        let event = match live.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(count)) => {
                state.figures.events_missed(count);
                Event::now(EventKind::Missed { count })
            }
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(line(&event)), (live, state)))
    });
    Body::from_stream(stream::StreamExt::chain(stream::iter(recent), live))
}

fn line(event: &Event) -> Bytes {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<Json<T>, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map(Json).map_err(|error| Refusal::failed(error.to_string()))
}

pub(super) async fn detach(Shared(state): Shared<Arc<State>>, By(author): By) -> StatusCode {
    state.stop(Stop::Detach, author);
    StatusCode::ACCEPTED
}
