//! The daemon's end of the control socket.

use std::{fs, future::Future, os::unix::fs::PermissionsExt as _, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{
        ConnectInfo, DefaultBodyLimit, Path, Query, Request, State as Shared, connect_info::Connected,
    },
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
    serve::IncomingStream,
};
use futures_util::stream;
use serde::Deserialize;
use tokio::net::{UnixListener, unix::UCred};
use tokio::sync::broadcast::error::RecvError;

use super::{
    DaemonStatus, FailedAt, Failure, FailureKind, Import, LimitChange, RequestError, RuleAddition,
    RuleOutcome, RuleRemoval, SourceReport, change_limit, remove_rule, socket_path,
};
use crate::{
    bpf::{BpfError, InstanceName, List},
    clock::monotonic_ns,
    daemon::{DaemonError, Event, EventKind, State, Stop},
    host,
    prefix::Prefix,
};

/// A list of two million prefixes has room.
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// Additions up to this many are events one by one; longer lists are one event.
const TOLD_ONE_BY_ONE: usize = 16;

/// Opens the control socket; the future serves it until it is dropped.
///
/// # Errors
/// When the socket cannot be made.
pub fn serve(state: &Arc<State>) -> Result<impl Future<Output = ()> + Send + 'static, DaemonError> {
    let path = socket_path(&state.instance);
    let failed = |source| DaemonError::Runtime {
        path: socket_path(&state.instance),
        source,
    };
    // We hold the lock of the instance: a socket that lies here belongs to a dead daemon.
    remove_socket(&state.instance);
    let listener = UnixListener::bind(&path).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let service = router(Arc::clone(state)).into_make_service_with_connect_info::<Peer>();
    Ok(async move {
        if let Err(error) = axum::serve(listener, service).await {
            tracing::error!("the control socket failed: {error}");
        }
    })
}

/// Removes the socket of `instance`, if there is one.
pub fn remove_socket(instance: &InstanceName) {
    let path = socket_path(instance);
    if let Err(error) = fs::remove_file(&path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!("{}: {error}", path.display());
    }
}

fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/events", get(events))
        .route("/v1/rules/{list}", post(add).delete(remove))
        .route("/v1/limits/{class}", put(limit))
        .route("/v1/sources/{address}", get(source))
        .route("/v1/detach", post(detach))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(refuse_in_json))
        .layer(middleware::from_fn(authorise))
        .with_state(state)
}

/// Who is at the other end.
#[derive(Clone, Copy)]
struct Peer(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(
            stream
                .io()
                .peer_cred()
                .ok()
                .map(|credentials: UCred| credentials.uid()),
        )
    }
}

/// Lets root and the daemon's own user in.
async fn authorise(ConnectInfo(Peer(uid)): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    let own = nix::unistd::geteuid().as_raw();
    if uid.is_some_and(|uid| uid == 0 || uid == own) {
        return next.run(request).await;
    }
    let message = "only root and the user that runs the daemon may use its control socket".to_owned();
    (
        StatusCode::FORBIDDEN,
        Json(Failure {
            kind: FailureKind::Failed,
            message,
            index: None,
        }),
    )
        .into_response()
}

/// Refusals of the framework (a path that does not exist, a body that does not parse) as the JSON that ours are.
async fn refuse_in_json(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = to_bytes(response.into_body(), MAX_REFUSAL_BYTES)
        .await
        .unwrap_or_default();
    let message = match String::from_utf8_lossy(&text).trim() {
        "" => status.to_string(),
        text => text.to_owned(),
    };
    let kind = if status.is_server_error() {
        FailureKind::Failed
    } else {
        FailureKind::Usage
    };
    let failure = Failure {
        kind,
        message,
        index: None,
    };
    (status, Json(failure)).into_response()
}

async fn status(Shared(state): Shared<Arc<State>>) -> Json<DaemonStatus> {
    let rates = *state.rates();
    Json(DaemonStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_s: monotonic_ns().saturating_sub(state.started_ns) / 1_000_000_000,
        mode: state.mode.clone(),
        interfaces: state.interfaces().clone(),
        passed_per_s: rates.passed_per_s,
        dropped_per_s: rates.dropped_per_s,
        rules_refused: state.rules_refused.load(std::sync::atomic::Ordering::Relaxed),
        spared: state.spared().clone(),
    })
}

#[derive(Deserialize)]
struct EventQuery {
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
async fn events(Shared(state): Shared<Arc<State>>, Query(query): Query<EventQuery>) -> Body {
    let live = state.journal.subscribe();
    let recent: Vec<Result<Bytes, BpfError>> = state
        .journal
        .recent(query.limit)
        .iter()
        .map(|event| Ok(line(event)))
        .collect();
    if !query.follow {
        return Body::from_stream(stream::iter(recent));
    }
    let live = stream::unfold(live, |mut live| async move {
        let event = match live.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(count)) => Event::now(EventKind::Missed { count }),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(line(&event)), live))
    });
    Body::from_stream(stream::StreamExt::chain(stream::iter(recent), live))
}

fn line(event: &Event) -> Bytes {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

async fn add(
    Shared(state): Shared<Arc<State>>,
    Path(list): Path<String>,
    Json(additions): Json<Vec<RuleAddition>>,
) -> Result<Json<Vec<RuleOutcome>>, Refusal> {
    let list = named(&list)?;
    // A task of its own: an import begun is brought to its end, whether or not the client waits.
    let outcomes = tokio::spawn(import(state, list, additions)).await;
    outcomes
        .map_err(|error| Refusal::failed(error.to_string()))?
        .map(Json)
}

/// Adds rules, letting go of the tables now and then.
async fn import(
    state: Arc<State>,
    list: List,
    additions: Vec<RuleAddition>,
) -> Result<Vec<RuleOutcome>, Refusal> {
    let mut import = Import::new(&state.guard(), list, additions.clone(), monotonic_ns())?;
    let result = loop {
        let step = import.step(&mut state.rules());
        match step.transpose() {
            Some(result) => break result,
            None => tokio::task::yield_now().await,
        }
    };
    let outcomes = import.end(&mut state.rules(), result).inspect_err(|failed| {
        let at = failed.index.and_then(|index| additions.get(index));
        if let (RequestError::Bpf(error), Some(addition)) = (&failed.error, at) {
            state.rule_refused(addition.prefix.to_string(), error.to_string());
        }
    })?;
    tell_added(&state, list, &additions, &outcomes);
    Ok(outcomes)
}

fn tell_added(state: &State, list: List, additions: &[RuleAddition], outcomes: &[RuleOutcome]) {
    let added = outcomes.iter().filter(|outcome| outcome.covered_by.is_none());
    if additions.len() > TOLD_ONE_BY_ONE {
        state.journal.record(EventKind::RulesAdded {
            list: list.name().to_owned(),
            count: added.count(),
        });
        return;
    }
    for outcome in added {
        let addition = additions
            .iter()
            .find(|addition| addition.prefix == outcome.prefix);
        state.journal.record(EventKind::RuleAdded {
            list: list.name().to_owned(),
            prefix: outcome.prefix.to_string(),
            for_s: addition.and_then(|addition| addition.ttl_s),
            note: addition.and_then(|addition| addition.note.clone()),
        });
    }
}

async fn remove(
    Shared(state): Shared<Arc<State>>,
    Path(list): Path<String>,
    Json(removal): Json<RuleRemoval>,
) -> Result<Json<RuleOutcome>, Refusal> {
    let list = named(&list)?;
    let outcome = remove_rule(&mut state.rules(), list, &removal)?;
    if outcome.outcome == "removed" {
        let prefix = removal.prefix.to_string();
        state.journal.record(EventKind::RuleRemoved {
            list: list.name().to_owned(),
            prefix,
        });
    }
    Ok(Json(outcome))
}

async fn limit(
    Shared(state): Shared<Arc<State>>,
    Path(class): Path<String>,
    Json(change): Json<LimitChange>,
) -> Result<Json<LimitChange>, Refusal> {
    change_limit(&mut state.settings(), &class, change)?;
    let LimitChange { rate_per_s, burst } = change;
    state.journal.record(EventKind::LimitChanged {
        class,
        rate_per_s,
        burst,
    });
    Ok(Json(change))
}

/// What the journal says about a source.
async fn source(
    Shared(state): Shared<Arc<State>>,
    Path(address): Path<std::net::IpAddr>,
) -> Json<SourceReport> {
    let about = |text: &str| {
        text.parse::<Prefix>()
            .is_ok_and(|prefix| prefix.contains(address))
    };
    let evidence = state.journal.recent(usize::MAX).into_iter().filter_map(|event| {
        let sentence = match event.kind {
            EventKind::Blocked {
                prefix,
                for_s,
                verdict,
                dropped,
                over_for_ms,
            } if about(&prefix) => format!(
                "blocked for {for_s} s: {verdict} dropped about {dropped} packets in {over_for_ms} ms"
            ),
            EventKind::Withheld {
                source,
                why,
                verdict,
                dropped,
            } if about(&source) => {
                format!("not blocked although {verdict} dropped about {dropped} packets: {why}")
            }
            EventKind::Dropped {
                verdict,
                action,
                packets_per_s,
                top_source: Some(source),
            } if about(&source) => {
                format!("top source of {verdict} ({action}), {packets_per_s} packets/s over all sources")
            }
            EventKind::RuleExpired { list, prefix } if about(&prefix) => {
                format!("the {list} rule for {prefix} ended")
            }
            _ => return None,
        };
        Some(format!("{} {sentence}", event.at))
    });
    let guarded = state
        .guard()
        .objection(&Prefix::from(address))
        .map(|(prefix, kind)| format!("no detector may block it: {prefix} is {}", kind.describe()));
    let evidence = evidence.collect();
    let peers = tokio::task::spawn_blocking(host::established_peers).await;
    let connections = match peers {
        Ok(Ok(peers)) => Some(peers.get(&address.to_canonical()).copied().unwrap_or(0)),
        _ => None,
    };
    Json(SourceReport {
        evidence,
        connections,
        guarded,
    })
}

async fn detach(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.stop(Stop::Detach);
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

/// A failure as an HTTP answer.
struct Refusal(Failure);

impl Refusal {
    fn failed(message: String) -> Self {
        Self(Failure {
            kind: FailureKind::Failed,
            message,
            index: None,
        })
    }
}

impl From<FailedAt> for Refusal {
    fn from(failed: FailedAt) -> Self {
        Self(failed.failure())
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        Self(error.failure())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.0.kind {
            FailureKind::Usage => StatusCode::UNPROCESSABLE_ENTITY,
            FailureKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(self.0)).into_response()
    }
}
