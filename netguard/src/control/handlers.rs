//! The answers to requests over the control socket.

pub(super) mod campaigns;
pub(super) mod lists;
pub(super) mod reputation;
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

use super::{
    DaemonStatus, Failure, FailureKind, Import, LimitChange, RequestError, RuleAddition, RuleOutcome,
    RuleRemoval, ServiceChange, SignatureAddition, SignatureOutcome, Stats, change_limit, change_service,
    listed::refuse_listed, peer::By, remove_rule, reset_service, server::Refusal, told,
};
use crate::{
    audit::Author,
    bpf::{BpfError, List},
    clock::{monotonic_ns, wall_clock_s},
    daemon::{AttackReport, Event, EventKind, PacketReport, State, Stop, block_removed, store_state},
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
        own_left_out: state.own_left_out.load(std::sync::atomic::Ordering::Relaxed),
        cookie_faults,
        list_faults: state.list_faults(),
        audit: state.journal.audit(),
        normal: Some(state.normal().clone()),
        metrics: state.metrics().clone(),
        reputation: store_state(&state),
    })
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

pub(super) async fn add(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path(list): Path<String>,
    Json(additions): Json<Vec<RuleAddition>>,
) -> Result<Json<Vec<RuleOutcome>>, Refusal> {
    let list = named(&list)?;
    // A task of its own: an import begun is brought to its end, whether or not the client waits.
    let outcomes = tokio::spawn(import(state, author, list, additions)).await;
    outcomes
        .map_err(|error| Refusal::failed(error.to_string()))?
        .map(Json)
}

/// Adds rules, letting go of the tables now and then.
async fn import(
    state: Arc<State>,
    author: Author,
    list: List,
    additions: Vec<RuleAddition>,
) -> Result<Vec<RuleOutcome>, Refusal> {
    let _writing = state.write().await;
    refuse_listed(&state, list, &additions)?;
    let mut import = Import::new(&state.guard(), list, additions.clone(), monotonic_ns())?;
    let result = loop {
        let step = import.step(&mut state.rules());
        match step {
            Some(result) => break result,
            None => tokio::task::yield_now().await,
        }
    };
    let outcomes = result.inspect_err(|failed| {
        let at = failed.index.and_then(|index| additions.get(index));
        if let (RequestError::Bpf(error), Some(addition)) = (&failed.error, at) {
            state.rule_refused(addition.prefix.to_string(), error.to_string());
        }
    })?;
    // To name a million prefixes takes a tenth of a second: not on this thread.
    let told = tokio::task::spawn_blocking(move || (told::added(list, &additions, &outcomes), outcomes));
    let (events, outcomes) = told.await.map_err(|error| Refusal::failed(error.to_string()))?;
    for event in events {
        state.journal.record_by(author.clone(), event);
    }
    Ok(outcomes)
}

pub(super) async fn remove(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path(list): Path<String>,
    Json(removal): Json<RuleRemoval>,
) -> Result<Json<RuleOutcome>, Refusal> {
    let list = named(&list)?;
    let _writing = state.write().await;
    let outcome = remove_rule(&mut state.rules(), list, &removal)?;
    if let Some(event) = told::removed(list, &outcome) {
        state.journal.record_by(author, event);
        if list == List::Block {
            block_removed(&state, &outcome.prefix);
        }
    }
    Ok(Json(outcome))
}

pub(super) async fn limit(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path(class): Path<String>,
    Json(change): Json<LimitChange>,
) -> Result<Json<LimitChange>, Refusal> {
    change_limit(&mut state.settings(), &class, change)?;
    state
        .journal
        .record_by(author, told::limit_changed(class, change));
    Ok(Json(change))
}

pub(super) async fn service(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path((protocol, port)): Path<(String, String)>,
    Json(change): Json<ServiceChange>,
) -> Result<Json<ServiceChange>, Refusal> {
    let service = format!("{protocol}/{port}");
    change_service(&mut state.services(), &service, change)?;
    state
        .journal
        .record_by(author, told::service_changed(service, change));
    Ok(Json(change))
}

/// Answers whether the service had limits of its own.
pub(super) async fn reset(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path((protocol, port)): Path<(String, String)>,
) -> Result<Json<bool>, Refusal> {
    let service = format!("{protocol}/{port}");
    let was_set = reset_service(&mut state.services(), &service)?;
    if was_set {
        state
            .journal
            .record_by(author, EventKind::ServiceReset { service });
    }
    Ok(Json(was_set))
}

pub(super) async fn add_signature(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Json(addition): Json<SignatureAddition>,
) -> Result<Json<SignatureOutcome>, Refusal> {
    let outcome = super::add_signature(&mut state.signatures(), &addition, monotonic_ns())?;
    state
        .journal
        .record_by(author, told::signature_added(&addition, &outcome));
    Ok(Json(outcome))
}

pub(super) async fn remove_signature(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path(id): Path<u32>,
) -> Result<Json<SignatureOutcome>, Refusal> {
    let outcome = super::remove_signature(&mut state.signatures(), id)?;
    if let Some(event) = told::signature_removed(&outcome) {
        state.journal.record_by(author, event);
    }
    Ok(Json(outcome))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<Json<T>, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map(Json).map_err(|error| Refusal::failed(error.to_string()))
}

pub(super) async fn detach(Shared(state): Shared<Arc<State>>, By(author): By) -> StatusCode {
    state.stop(Stop::Detach, author);
    StatusCode::ACCEPTED
}

fn named(list: &str) -> Result<List, Refusal> {
    [List::Allow, List::Block]
        .into_iter()
        .find(|known| known.name() == list)
        .ok_or_else(|| {
            Refusal(Failure {
                kind: FailureKind::Usage,
                message: format!("there is no list {list:?}: the lists are allow and block"),
                index: None,
            })
        })
}
