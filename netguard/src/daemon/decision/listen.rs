//! The socket at which proxies ask, and their connections, which are kept: a check costs one request, not one connection.

use std::{
    convert::Infallible,
    fs, io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::unistd::{Group, chown};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tracing::debug;

use super::{Deciding, now};
use crate::{
    config::{Decision, DecisionAddress},
    decision::Peer,
};

/// How long a connection may be silent: longer than proxies keep one that they do not need.
const SILENT: Duration = Duration::from_secs(75);
/// Until an address is tried again that could not be had: it may come late.
const AGAIN: Duration = Duration::from_secs(5);
/// Bytes of a request's head: cookies and tokens of clients are in it.
const HEAD_BYTES: usize = 64 * 1024;
const HEADERS: usize = 128;

/// Listens for as long as the process lives.
pub(super) async fn run(deciding: &Arc<Deciding>, settings: &Decision) {
    let room = Arc::new(Semaphore::new(settings.connections.value() as usize));
    loop {
        let listener = match &deciding.address {
            DecisionAddress::Tcp(address) => TcpListener::bind(address).await.map(Listener::Tcp),
            DecisionAddress::Unix(path) => unix(path, settings.socket_group.as_deref()).map(Listener::Unix),
        };
        match listener {
            Ok(listener) => {
                deciding.tell(None);
                listener.serve(deciding, &room).await;
            }
            Err(error) => deciding.tell(Some(format!("{error}; it is tried again every 5 s"))),
        }
        sleep(AGAIN).await;
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn serve(self, deciding: &Arc<Deciding>, room: &Arc<Semaphore>) {
        loop {
            // Who finds no room waits in the kernel's queue, which is bounded.
            let Ok(place) = Arc::clone(room).acquire_owned().await else {
                return;
            };
            let taken = match &self {
                Self::Tcp(listener) => listener.accept().await.map(|(stream, from)| {
                    // An answer is one small segment that somebody waits for.
                    let _slower = stream.set_nodelay(true);
                    begin(deciding, stream, of(from), place);
                }),
                Self::Unix(listener) => listener
                    .accept()
                    .await
                    .map(|(stream, _)| begin(deciding, stream, Peer::Local, place)),
            };
            if let Err(error) = taken {
                debug!("a proxy's connection was not taken: {error}");
                // Without file descriptors the next one fails, too, at once.
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

fn of(from: SocketAddr) -> Peer {
    Peer::Address(from.ip().to_canonical())
}

/// Answers what comes over `stream`, for as long as it is kept.
fn begin<S>(deciding: &Arc<Deciding>, stream: S, peer: Peer, place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let deciding = Arc::clone(deciding);
    tokio::spawn(async move {
        deciding.connections.fetch_add(1, Ordering::Relaxed);
        let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
            let now = now();
            let (method, uri, headers) = (request.method(), request.uri(), request.headers());
            let reply = deciding.decider().answer(peer, method, uri, headers, now);
            std::future::ready(Ok::<_, Infallible>(reply))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(SILENT)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .auto_date_header(false)
            .pipeline_flush(true)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            debug!("a proxy's connection ended: {error}");
        }
        deciding.connections.fetch_sub(1, Ordering::Relaxed);
        drop(place);
    });
}

/// A socket at `path`, for this user and the members of `group`.
fn unix(path: &Path, group: Option<&str>) -> io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt as _;
    match fs::symlink_metadata(path) {
        // One that nobody listens at was left by a daemon that died; anything else is somebody else's.
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there"));
            }
            fs::remove_file(path)?;
        }
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a file of that name",
            ));
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    if let Some(name) = group {
        let group = Group::from_name(name)?
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no group {name}")))?;
        chown(path, None, Some(group.gid))?;
    }
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_of_a_dead_daemon_is_taken_over_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("decision.sock");
        let first = unix(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert_eq!(unix(&path, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(unix(&path, None).is_ok());
        assert!(unix(&path, Some("no-such-group-here")).is_err());
        let file = directory.path().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(
            unix(&file, None).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), "x");
    }
}
