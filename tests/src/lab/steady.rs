//! Steady clients: each keeps one connection to the web server and asks over it once a second.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sched::{CloneFlags, setns};

use super::{Family, Lab, nginx::SMALL_BODY};

const PERIOD: Duration = Duration::from_secs(1);
/// An answer that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clients at work, until [`Steady::stop`].
#[derive(Debug)]
pub struct Steady {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    workers: Vec<JoinHandle<Result<usize>>>,
}

impl Steady {
    /// Connects that many clients, whose requests are evenly spread over a second; returns when each has had an answer.
    pub fn start(lab: &Lab, family: Family, clients: u32) -> Result<Self> {
        let mut steady = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            workers: Vec::new(),
        };
        let server = SocketAddr::new(lab.victim.ip(family).parse()?, 80);
        for client in 0..clients {
            let ns = lab.client.ns.open()?;
            let (stop, answered) = (Arc::clone(&steady.stop), Arc::clone(&steady.answered));
            let mut stream = lab
                .client
                .ns
                .enter(|| TcpStream::connect_timeout(&server, PATIENCE))??;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            ask(&mut stream)?;
            let begin = Instant::now() + PERIOD / clients * client;
            let work = move || -> Result<usize> {
                setns(ns, CloneFlags::CLONE_NEWNET)?;
                for round in 0.. {
                    let planned = begin + PERIOD * round;
                    while !stop.load(Ordering::Relaxed) && Instant::now() < planned {
                        thread::park_timeout(planned.saturating_duration_since(Instant::now()));
                    }
                    if stop.load(Ordering::Relaxed) {
                        return Ok(round as usize);
                    }
                    ask(&mut stream).with_context(|| format!("request {round} of client {client}"))?;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(0)
            };
            let worker = thread::Builder::new().name(format!("steady-{client}"));
            steady.workers.push(worker.spawn(work)?);
        }
        Ok(steady)
    }

    /// Answers so far, of all clients.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends them; an error if any lost its connection or an answer. Tells how many answers each has had.
    pub fn stop(mut self) -> Result<Vec<usize>> {
        self.wind_down();
        let ended = self.workers.drain(..).map(|worker| {
            worker
                .join()
                .map_err(|_| anyhow!("a thread of a steady client panicked"))?
        });
        ended.collect()
    }

    fn wind_down(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.workers.iter().for_each(|worker| worker.thread().unpark());
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.wind_down();
    }
}

/// One request and its answer.
fn ask(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: victim\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut buffer = [0; 2048];
    while !answer.ends_with(SMALL_BODY.as_bytes()) {
        let len = stream.read(&mut buffer)?;
        ensure!(len > 0, "the server ended the connection");
        answer.extend(&buffer[..len]);
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "a wrong answer");
    Ok(())
}
