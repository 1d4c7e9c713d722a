//! A UDP service in the victim's namespace, which sends back what it gets, and a client that asks it.

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::sched::{CloneFlags, setns};

use super::{Family, Host, Lab};

/// The port of the service.
pub const ECHO_PORT: u16 = 7007;

/// A request that is not answered by then has failed.
const PATIENCE: Duration = Duration::from_millis(500);

/// The running service; ended on drop.
#[derive(Debug)]
pub struct Echo {
    stop: Arc<AtomicBool>,
    server: Option<JoinHandle<Result<()>>>,
}

impl Echo {
    /// Starts it, for both families.
    pub fn start(lab: &Lab) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let socket = lab.victim.ns.enter(|| UdpSocket::bind(("::", ECHO_PORT)))??;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let serve = move || -> Result<()> {
            let mut buffer = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                match socket.recv_from(&mut buffer) {
                    // Nobody hears the answer to a forged source, and some are refused at once.
                    Ok((len, from)) => drop(socket.send_to(&buffer[..len], from)),
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        };
        Ok(Self {
            stop,
            server: Some(thread::Builder::new().name("echo".to_owned()).spawn(serve)?),
        })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            drop(server.join());
        }
    }
}

/// Asks the service from `host` that many times, evenly spaced; tells how many answers came.
pub fn ask(lab: &Lab, host: &Host, family: Family, requests: usize, rate_per_s: u32) -> Result<usize> {
    let server = SocketAddr::new(lab.victim.ip(family).parse()?, ECHO_PORT);
    let ns = host.ns.open()?;
    let asking = move || -> Result<usize> {
        setns(ns, CloneFlags::CLONE_NEWNET)?;
        let socket = UdpSocket::bind(match family {
            Family::V4 => "0.0.0.0:0",
            Family::V6 => "[::]:0",
        })?;
        socket.connect(server)?;
        let begin = Instant::now();
        let mut answered = 0;
        for request in 0..requests {
            let planned = begin + Duration::from_secs(1) / rate_per_s * request as u32;
            while Instant::now() < planned {
                thread::park_timeout(planned.saturating_duration_since(Instant::now()));
            }
            answered += usize::from(asked(&socket, request as u64)?);
        }
        Ok(answered)
    };
    let worker = thread::Builder::new().name("asker".to_owned()).spawn(asking)?;
    let answered = worker.join();
    ensure!(answered.is_ok(), "the thread of the client panicked");
    answered.unwrap_or(Ok(0))
}

/// Whether the answer to this request came in time.
fn asked(socket: &UdpSocket, request: u64) -> Result<bool> {
    let question = request.to_le_bytes();
    socket.send(&question)?;
    let deadline = Instant::now() + PATIENCE;
    let mut answer = [0; 64];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut answer) {
            Ok(len) if answer[..len] == question => return Ok(true),
            // The answer to an earlier one, too late.
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
