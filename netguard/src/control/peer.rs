//! Who is at the other end of the control socket, by the kernel's word.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{ConnectInfo, FromRequestParts, connect_info::Connected},
    http::request::Parts,
    serve::IncomingStream,
};
use tokio::{net::UnixListener, task::spawn_blocking, time::timeout};

use crate::audit::{self, Author};

/// How long the name of a user may be looked for: a server that does not answer keeps nobody from blocking.
const PATIENCE: Duration = Duration::from_millis(500);

/// Who connected.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    pub(super) uid: Option<u32>,
    pid: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Self {
            uid: credentials.map(|credentials| credentials.uid()),
            // Of another process namespace: 0.
            pid: credentials
                .and_then(|credentials| credentials.pid())
                .and_then(|pid| u32::try_from(pid).ok())
                .filter(|pid| *pid != 0),
        }
    }
}

impl Peer {
    /// The person behind it, as far as that can be told in time.
    pub(super) async fn author(self) -> Author {
        let Self { uid, pid } = self;
        let named = timeout(PATIENCE, spawn_blocking(move || audit::operator(uid, pid))).await;
        named.ok().and_then(Result::ok).unwrap_or(Author::Operator {
            uid,
            user: None,
            login_uid: None,
            login: None,
            pid,
        })
    }
}

/// The person behind a request.
pub(super) struct By(pub(super) Author);

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>().map(|info| info.0);
        let unknown = Peer { uid: None, pid: None };
        Ok(Self(peer.unwrap_or(unknown).author().await))
    }
}
