//! The command line's end of the control socket.

use std::{io, path::PathBuf, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    header::CONTENT_TYPE,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time::timeout};

use super::{Failure, FailureKind, socket_path};
use crate::bpf::InstanceName;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No daemon listens: not an error for commands that can do without.
    #[error("no daemon is running for this instance: start it with `netguard run`")]
    NotRunning,
    #[error("{path}: {source}")]
    Socket { path: PathBuf, source: io::Error },
    #[error("the daemon's answer was cut off: {0}")]
    Broken(String),
    #[error(
        "the daemon does not answer within {0:?}: it hangs; end it, and its filter stays until `netguard detach`"
    )]
    Hangs(Duration),
    #[error("{}", .0.message)]
    Refused(Failure),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(failure) => failure,
            other => Self::new(FailureKind::Failed, other.to_string()),
        }
    }
}

/// How long an answer may take to begin; the longest, to an import of a million prefixes, takes some seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to a daemon.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects to the daemon of `instance`.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] when none listens.
    pub async fn connect(instance: &InstanceName) -> Result<Self, ClientError> {
        let path = socket_path(instance);
        let stream = UnixStream::connect(&path)
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning,
                _ => ClientError::Socket { path, source },
            })?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Sends `body` and reads the whole answer.
    ///
    /// # Errors
    /// When the daemon refuses, or dies meanwhile.
    pub async fn request<B: Serialize, A: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<A, ClientError> {
        let answer = self.send(method, path, body).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.map_err(broken)?.to_bytes();
        if status.is_success() {
            // A bare "accepted" has no body: it reads as null.
            let bytes = if bytes.is_empty() {
                Bytes::from_static(b"null")
            } else {
                bytes
            };
            return serde_json::from_slice(&bytes).map_err(broken);
        }
        Err(ClientError::Refused(
            serde_json::from_slice(&bytes).unwrap_or_else(|_| {
                let said = String::from_utf8_lossy(&bytes);
                Failure::new(
                    FailureKind::Failed,
                    format!("the daemon answered {status}: {said}"),
                )
            }),
        ))
    }

    /// Reads the answer line by line and hands each to `each` until that, or the daemon, ends it.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn lines(
        &mut self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ClientError> {
        let mut body = self.send(Method::GET, path, None::<&()>).await?.into_body();
        let mut pending = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(broken)?.into_data() else {
                continue;
            };
            pending.extend_from_slice(&data);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                if each(&line[..end]).is_err() {
                    // Whoever read the output is gone, as in `netguard events --follow | head`.
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn send<B: Serialize>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<Response<Incoming>, ClientError> {
        let bytes = match body {
            Some(body) => serde_json::to_vec(body).map_err(broken)?.into(),
            None => Bytes::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, "application/json")
            .header("host", "netguard")
            .body(Full::new(bytes))
            .map_err(broken)?;
        match timeout(PATIENCE, self.sender.send_request(request)).await {
            Ok(answer) => answer.map_err(broken),
            Err(_) => Err(ClientError::Hangs(PATIENCE)),
        }
    }
}

fn broken(error: impl std::fmt::Display) -> ClientError {
    ClientError::Broken(error.to_string())
}
