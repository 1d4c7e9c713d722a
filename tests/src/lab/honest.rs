//! The honest client: fetches the page on a fixed schedule over fresh connections and tells how that felt.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};

use super::{Family, Host, Lab, nginx::SMALL_BODY, wait_until};

/// A request that takes longer has failed.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// The same for a patient client, whose TCP asks again after a second.
const PATIENCE: Duration = Duration::from_millis(2_300);

/// Threads that take turns; more than fit into `TIMEOUT`, so that one that hangs never delays the next
/// request.
const TURNS: u32 = 25;

/// A client at work, until [`Honest::stop`].
#[derive(Debug)]
pub struct Honest {
    stop: Arc<AtomicBool>,
    begun: Arc<AtomicUsize>,
    workers: Vec<JoinHandle<Result<Vec<Request>>>>,
}

/// What the client felt over a period.
#[derive(Debug, Clone, PartialEq)]
pub struct Felt {
    /// Requests made.
    pub requests: usize,
    /// Those answered in full within [`TIMEOUT`], or a patient client's.
    pub succeeded: usize,
    /// Median, 99th percentile and maximum of the time from the planned start of a request to its end, in ms.
    /// A failed request counts with the whole [`TIMEOUT`].
    pub p50_ms: f64,
    /// See `p50_ms`.
    pub p99_ms: f64,
    /// See `p50_ms`.
    pub max_ms: f64,
    /// How often each kind of failure happened.
    pub failures: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Request {
    took: Duration,
    failure: Option<String>,
}

impl Honest {
    /// Starts `rate_per_s` (at most 20) requests a second from the client to the victim, evenly spaced,
    /// whatever becomes of them.
    pub fn start(lab: &Lab, family: Family, rate_per_s: u32) -> Result<Self> {
        if rate_per_s == 0 || rate_per_s > 20 {
            bail!("an honest client makes 1 to 20 requests a second, not {rate_per_s}");
        }
        Self::start_within(lab, family, rate_per_s, TIMEOUT)
    }

    /// Starts 10 requests a second that may take long enough for TCP to ask once more for a connection: a link under a flood
    /// at full speed loses packets before any filter sees them.
    pub fn patient(lab: &Lab, family: Family) -> Result<Self> {
        Self::start_within(lab, family, 10, PATIENCE)
    }

    fn start_within(lab: &Lab, family: Family, rate_per_s: u32, timeout: Duration) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let begun = Arc::new(AtomicUsize::new(0));
        let begin = Instant::now();
        let workers = (0..TURNS).map(|turn| {
            let ns = lab.client.ns.open()?;
            let server = address(&lab.victim, family)?;
            let (stop, begun) = (Arc::clone(&stop), Arc::clone(&begun));
            let worker = move || -> Result<Vec<Request>> {
                setns(ns, CloneFlags::CLONE_NEWNET)?;
                let mut requests = Vec::new();
                for round in 0.. {
                    let planned = begin + Duration::from_secs(1) / rate_per_s * (turn + round * TURNS);
                    while !stop.load(Ordering::Relaxed) && Instant::now() < planned {
                        thread::park_timeout(planned.saturating_duration_since(Instant::now()));
                    }
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    begun.fetch_add(1, Ordering::Relaxed);
                    let failure = fetch_by(server, planned + timeout)
                        .err()
                        .map(|error| format!("{error:#}"));
                    requests.push(Request {
                        took: planned.elapsed(),
                        failure,
                    });
                }
                Ok(requests)
            };
            Ok(thread::Builder::new()
                .name(format!("honest-{turn}"))
                .spawn(worker)?)
        });
        let workers = workers.collect::<Result<_>>()?;
        Ok(Self { stop, begun, workers })
    }

    /// Lets the client make this many requests in all, and stops it.
    pub fn stop_after(self, requests: usize) -> Result<Felt> {
        let patience = Duration::from_secs(60);
        wait_until("the requests of the honest client", patience, || {
            Ok((self.begun.load(Ordering::Relaxed) >= requests).then_some(()))
        })?;
        self.stop()
    }

    /// Lets the requests under way come to their end and sums up.
    pub fn stop(mut self) -> Result<Felt> {
        self.wind_down();
        let mut requests = Vec::new();
        for worker in self.workers.drain(..) {
            requests.extend(
                worker
                    .join()
                    .map_err(|_| anyhow!("a thread of the honest client panicked"))??,
            );
        }
        felt(requests)
    }

    fn wind_down(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.workers.iter().for_each(|worker| worker.thread().unpark());
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.wind_down();
    }
}

impl Felt {
    /// The share of requests that succeeded, 0 to 1.
    #[must_use]
    pub fn success(&self) -> f64 {
        self.succeeded as f64 / self.requests as f64
    }
}

/// Fetches the victim's page once, from the namespace of the calling thread.
pub(super) fn get(victim: &Host, family: Family, timeout: Duration) -> Result<()> {
    fetch_by(address(victim, family)?, Instant::now() + timeout)
}

fn address(victim: &Host, family: Family) -> Result<SocketAddr> {
    Ok(SocketAddr::new(victim.ip(family).parse()?, 80))
}

fn fetch_by(server: SocketAddr, deadline: Instant) -> Result<()> {
    let left = || match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => bail!("no answer in time"),
        left => Ok(left),
    };
    let mut stream = TcpStream::connect_timeout(&server, left()?)
        .map_err(|error| anyhow!("connecting: {}", error.kind()))?;
    stream.set_write_timeout(Some(left()?))?;
    stream
        .write_all(b"GET / HTTP/1.0\r\nHost: victim\r\n\r\n")
        .context("sending the request")?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => answer.extend(&buffer[..len]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => bail!("reading the answer: {}", error.kind()),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    if !answer.starts_with("HTTP/1.1 200") || !answer.ends_with(SMALL_BODY) {
        bail!("a wrong answer: {:?}", answer.lines().next());
    }
    Ok(())
}

fn felt(requests: Vec<Request>) -> Result<Felt> {
    let mut times: Vec<f64> = Vec::new();
    let mut failures = BTreeMap::new();
    for Request { took, failure } in requests {
        let counted = if failure.is_some() {
            took.max(TIMEOUT)
        } else {
            took
        };
        times.push(counted.as_micros() as f64 / 1000.0);
        if let Some(failure) = failure {
            *failures.entry(failure).or_default() += 1;
        }
    }
    if times.is_empty() {
        bail!("the honest client was stopped before its first request");
    }
    times.sort_by(f64::total_cmp);
    let quantile = |percent: usize| times[(times.len() * percent).div_ceil(100).saturating_sub(1)];
    Ok(Felt {
        requests: times.len(),
        succeeded: times.len() - failures.values().sum::<usize>(),
        p50_ms: quantile(50),
        p99_ms: quantile(99),
        max_ms: quantile(100),
        failures,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_with_the_whole_timeout() {
        let request = |ms, failure: Option<&str>| Request {
            took: Duration::from_millis(ms),
            failure: failure.map(str::to_owned),
        };
        let mut requests: Vec<_> = (1..=98).map(|ms| request(ms, None)).collect();
        requests.extend([request(3, Some("refused")), request(1, Some("refused"))]);
        let felt = felt(requests).unwrap();
        assert_eq!(
            (felt.requests, felt.succeeded, felt.failures["refused"]),
            (100, 98, 2)
        );
        assert_eq!((felt.p50_ms, felt.p99_ms, felt.max_ms), (50.0, 1000.0, 1000.0));
        assert!(super::felt(Vec::new()).is_err());
    }
}
