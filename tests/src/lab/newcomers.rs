//! Clients that come for the first time: new connections at an even pace, whatever becomes of those before, each with one request.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, getsockopt, socket,
        sockopt::SocketError,
    },
};

use super::honest::TIMEOUT;

/// What became of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Newcomers {
    /// Connections begun.
    pub began: usize,
    /// Those whose request was answered within [`TIMEOUT`].
    pub served: usize,
}

/// A connection under way.
struct Newcomer {
    socket: OwnedFd,
    deadline: Instant,
    /// The request was sent.
    asked: bool,
}

/// Begins `per_second` connections a second to port 80 of `server`, for `period`, from the calling thread's network namespace.
pub fn newcomers(server: IpAddr, per_second: u32, period: Duration) -> Result<Newcomers> {
    crowd(&[], server, per_second, period)
}

/// [`newcomers`] of these addresses in turn, which the namespace must have; of whichever the kernel chooses where there are none.
pub fn crowd(sources: &[IpAddr], server: IpAddr, per_second: u32, period: Duration) -> Result<Newcomers> {
    let mut sources = sources.iter().copied().cycle();
    let server = SocketAddr::new(server, 80);
    let begun = Instant::now();
    let planned = (period.as_secs_f64() * f64::from(per_second)) as usize;
    let mut count = Newcomers::default();
    let mut waiting: Vec<Newcomer> = Vec::new();
    while count.began < planned || !waiting.is_empty() {
        let now = Instant::now();
        let due = begun + Duration::from_secs(1) * count.began as u32 / per_second;
        if count.began < planned && now >= due {
            waiting.push(Newcomer::begin(sources.next(), server, due + TIMEOUT)?);
            count.began += 1;
            continue;
        }
        waiting.retain(|newcomer| now < newcomer.deadline);
        let next = if count.began < planned {
            due.saturating_duration_since(now)
        } else {
            Duration::from_millis(10)
        };
        let mut events: Vec<PollFd<'_>> = waiting.iter().map(Newcomer::awaited).collect();
        poll(
            &mut events,
            PollTimeout::try_from(next).unwrap_or(PollTimeout::ZERO),
        )?;
        let ready: Vec<bool> = events.iter().map(|event| event.any() == Some(true)).collect();
        let mut ready = ready.into_iter();
        waiting.retain_mut(|newcomer| match ready.next() {
            Some(true) => match newcomer.go_on() {
                Step::Waits => true,
                Step::Served => {
                    count.served += 1;
                    false
                }
                Step::Failed => false,
            },
            _ => true,
        });
    }
    Ok(count)
}

enum Step {
    Waits,
    Served,
    Failed,
}

impl Newcomer {
    fn begin(source: Option<IpAddr>, server: SocketAddr, deadline: Instant) -> Result<Self> {
        let family = match server {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(family, SockType::Stream, flags, None)?;
        if let Some(source) = source {
            let own = SockaddrStorage::from(SocketAddr::new(source, 0));
            bind(socket.as_raw_fd(), &own).with_context(|| format!("binding {source}"))?;
        }
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(server)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(Self {
                socket,
                deadline,
                asked: false,
            }),
            Err(error) => Err(error).context("connecting"),
        }
    }

    fn awaited(&self) -> PollFd<'_> {
        let flags = if self.asked {
            PollFlags::POLLIN
        } else {
            PollFlags::POLLOUT
        };
        PollFd::new(self.socket.as_fd(), flags)
    }

    fn go_on(&mut self) -> Step {
        if getsockopt(&self.socket, SocketError) != Ok(0) {
            return Step::Failed;
        }
        let Ok(socket) = self.socket.try_clone() else {
            return Step::Failed;
        };
        let mut stream = TcpStream::from(socket);
        if self.asked {
            return match stream.read(&mut [0; 512]) {
                Ok(len) if len > 0 => Step::Served,
                _ => Step::Failed,
            };
        }
        self.asked = true;
        match stream.write_all(b"GET / HTTP/1.0\r\nHost: victim\r\n\r\n") {
            Ok(()) => Step::Waits,
            Err(_) => Step::Failed,
        }
    }
}
