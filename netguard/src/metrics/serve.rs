//! Serves the figures over HTTP, on a thread of its own: who asks, however often and however slowly, costs the tick nothing, and this thread no
//! more than a page a second.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore},
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

use super::{Family, Format, MetricsState, gather::Gathering, page};
use crate::{clock::monotonic_ns, daemon::State};

const PATH: &str = "/metrics";
/// Who asks again sooner gets what was gathered last.
const FRESH_NS: u64 = 500_000_000;
/// Connections at once; each is for one request and for no longer than that.
const CONNECTIONS: usize = 256;
const HEADERS: Duration = Duration::from_secs(1);
const WHOLE: Duration = Duration::from_secs(10);
/// Between two connections: no more than two hundred are taken a second, and so many that say nothing find room for as long as they may.
const PAUSE: Duration = Duration::from_millis(5);
/// Until an address is tried again that could not be had: it may come late.
const AGAIN: Duration = Duration::from_secs(5);

/// Begins to serve the figures of `state` at `address`. What goes wrong is told there and in the log: a filter without figures is better
/// than none.
pub(crate) fn serve(address: SocketAddr, state: Arc<State>, digest: String) {
    *state.metrics() = Some(MetricsState {
        url: format!("http://{address}{PATH}"),
        fault: None,
    });
    let told = Arc::clone(&state);
    let served = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(run(address, &state, digest)),
            Err(error) => fault(&state, address, &error),
        }
    };
    // It ends with the process.
    let begun = thread::Builder::new().name("metrics".to_owned()).spawn(served);
    if let Err(error) = begun {
        fault(&told, address, &error);
    }
}

async fn run(address: SocketAddr, state: &Arc<State>, digest: String) {
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => fault(state, address, &error),
        }
        sleep(AGAIN).await;
    };
    if let Some(metrics) = state.metrics().as_mut() {
        metrics.fault = None;
    }
    info!("figures for Prometheus at http://{address}{PATH}");
    let page = Arc::new(Page {
        state: Arc::clone(state),
        gathered: Mutex::new(Gathered {
            gathering: Gathering::new(Arc::clone(state), digest),
            at_ns: None,
            families: Vec::new(),
        }),
    });
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Who finds no room waits in the kernel's queue, which is bounded.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = Arc::clone(&page);
                tokio::spawn(async move {
                    answer(stream, page).await;
                    drop(place);
                });
            }
            Err(error) => debug!("a connection for metrics was not taken: {error}"),
        }
        sleep(PAUSE).await;
    }
}

/// Tells why nothing is served: in the log once, in `netguard status` for as long as it is so.
fn fault(state: &State, address: SocketAddr, error: &io::Error) {
    let fault = format!(
        "`metrics.listen` {address}: {error}; is the address this machine's, and the port free? It is tried again every 5 s"
    );
    let mut metrics = state.metrics();
    let known = metrics.as_ref().and_then(|metrics| metrics.fault.as_ref());
    if known != Some(&fault) {
        warn!("figures for Prometheus are NOT served: {fault}");
    }
    if let Some(metrics) = metrics.as_mut() {
        metrics.fault = Some(fault);
    }
}

/// One request, and the end of the connection.
async fn answer(stream: TcpStream, page: Arc<Page>) {
    let service = service_fn(move |request| {
        let page = Arc::clone(&page);
        async move { Ok::<_, Infallible>(page.of(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .keep_alive(false)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(WHOLE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!("a request for metrics failed: {error}"),
        Err(_) => debug!("a request for metrics took too long"),
    }
}

/// What is served.
struct Page {
    state: Arc<State>,
    gathered: Mutex<Gathered>,
}

struct Gathered {
    gathering: Gathering,
    /// When, monotonic.
    at_ns: Option<u64>,
    families: Vec<Family>,
}

impl Page {
    async fn of(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() != PATH {
            return refusal(StatusCode::NOT_FOUND, "there is only /metrics here\n");
        }
        if request.method() != Method::GET {
            let mut refusal = refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "figures can only be fetched (GET)\n",
            );
            refusal
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET"));
            return refusal;
        }
        let accept = request
            .headers()
            .get(ACCEPT)
            .and_then(|accept| accept.to_str().ok());
        let format = Format::accepted(accept);
        let families = self.families().await;
        match page(families, &self.state.figures, format) {
            Ok(text) => response(StatusCode::OK, format.content_type(), text),
            Err(error) => {
                warn!("metrics cannot be written: {error}");
                refusal(StatusCode::INTERNAL_SERVER_ERROR, "figures cannot be written\n")
            }
        }
    }

    /// As they were gathered just now, or are gathered.
    async fn families(&self) -> Vec<Family> {
        let mut gathered = self.gathered.lock().await;
        let now_ns = monotonic_ns();
        let fresh = |at_ns: u64| now_ns.saturating_sub(at_ns) < FRESH_NS;
        if !gathered.at_ns.is_some_and(fresh) {
            gathered.families = gathered.gathering.gather().await;
            gathered.at_ns = Some(monotonic_ns());
        }
        gathered.families.clone()
    }
}

fn refusal(status: StatusCode, why: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", why.to_owned())
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
