//! The daemon's end of the control socket.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{ConnectInfo, DefaultBodyLimit, Request, State as Shared},
    http::{Method, StatusCode, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use tokio::net::UnixListener;

use super::{FailedAt, Failure, FailureKind, RequestError, handlers, peer::Peer, socket_path};
use crate::{
    bpf::InstanceName,
    daemon::{DaemonError, EventKind, State},
};

/// A list of two million prefixes has room.
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// Characters of a refusal that the journal keeps.
const MAX_TOLD: usize = 400;

/// Opens the control socket; who connects waits until it is served.
///
/// # Errors
/// When the socket cannot be made.
pub fn listen(instance: &InstanceName) -> Result<UnixListener, DaemonError> {
    let path = socket_path(instance);
    let failed = |source| DaemonError::Runtime {
        path: socket_path(instance),
        source,
    };
    // We hold the lock of the instance: a socket that lies here belongs to a dead daemon.
    remove_socket(instance);
    let listener = UnixListener::bind(&path).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Serves the control socket until the future is dropped.
pub async fn serve(listener: UnixListener, state: Arc<State>) {
    let service = router(state).into_make_service_with_connect_info::<Peer>();
    if let Err(error) = axum::serve(listener, service).await {
        tracing::error!("the control socket failed: {error}");
    }
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
        .route("/v1/status", get(handlers::status))
        .route("/v1/stats", get(handlers::stats))
        .route("/v1/events", get(handlers::events))
        .route("/v1/attacks", get(handlers::attacks))
        .route("/v1/attacks/{id}", get(handlers::attack))
        .route("/v1/attacks/{id}/packets", get(handlers::attack_packets))
        .route("/v1/campaigns", get(handlers::campaigns::list))
        .route("/v1/campaigns/{id}", get(handlers::campaigns::one))
        .route("/v1/normal", get(handlers::normal).delete(handlers::forget))
        .route(
            "/v1/rules/{list}",
            post(handlers::rules::add).delete(handlers::rules::remove),
        )
        .route("/v1/changes", get(handlers::changes::list))
        .route(
            "/v1/changes/{id}",
            post(handlers::changes::confirm).delete(handlers::changes::undo),
        )
        .route("/v1/limits/{class}", put(handlers::limits::limit))
        .route(
            "/v1/lists",
            get(handlers::lists::lists).post(handlers::lists::sync_lists),
        )
        .route("/v1/feeds/{name}", post(handlers::lists::sync_feed))
        .route("/v1/signatures", post(handlers::signatures::add))
        .route("/v1/signatures/{id}", delete(handlers::signatures::remove))
        .route(
            "/v1/services/{protocol}/{port}",
            put(handlers::limits::service).delete(handlers::limits::reset),
        )
        .route("/v1/sources/{address}", get(handlers::source::source))
        .route(
            "/v1/reputation",
            get(handlers::reputation::list).delete(handlers::reputation::forget_all),
        )
        .route("/v1/reputation/{address}", delete(handlers::reputation::forget))
        .route("/v1/decision", get(handlers::decision::show))
        .route("/v1/http", get(handlers::http))
        .route("/v1/detach", post(handlers::detach))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(refuse_in_json))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), record_refusal))
        .layer(middleware::from_fn(authorise))
        .with_state(state)
}

/// Lets root and the daemon's own user in.
async fn authorise(ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    let own = nix::unistd::geteuid().as_raw();
    if peer.uid.is_some_and(|uid| uid == 0 || uid == own) {
        return next.run(request).await;
    }
    let message = "only root and the user that runs the daemon may use its control socket".to_owned();
    (
        StatusCode::FORBIDDEN,
        Json(Failure::new(FailureKind::Failed, message)),
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
    (status, Json(Failure::new(kind, message))).into_response()
}

/// Who asks for a change and is refused stands in the journal, too.
async fn record_refusal(
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let asked = format!("{} {}", request.method(), request.uri().path());
    let changes = request.method() != Method::GET;
    let response = next.run(request).await;
    if !changes || response.status().is_success() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, MAX_REFUSAL_BYTES).await.unwrap_or_default();
    let why = serde_json::from_slice(&body).map_or_else(
        |_| parts.status.to_string(),
        |failure: Failure| failure.message.chars().take(MAX_TOLD).collect(),
    );
    let request = asked.chars().take(MAX_TOLD).collect();
    state
        .journal
        .record_by(peer.author().await, EventKind::Refused { request, why });
    Response::from_parts(parts, body.into())
}

/// A failure as an HTTP answer.
pub(super) struct Refusal(pub(super) Failure);

impl Refusal {
    pub(super) fn failed(message: String) -> Self {
        Self(Failure::new(FailureKind::Failed, message))
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
