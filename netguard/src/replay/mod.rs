//! Replay: a capture goes through the same kernel object and the same chain as traffic does, by its own clock. It says what would have
//! happened, and why; it needs no interface and no daemon, and changes nothing on this machine.

mod answers;
mod attacks;
mod campaigns;
pub mod capture;
mod clock;
mod compare;
mod found;
mod frame;
mod handshakes;
pub mod link;
mod prepare;
mod refusals;
mod report;
mod response;
mod run;
mod sandbox;
mod servers;
mod tally;

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    thread,
};

pub use campaigns::{Campaign, Joint};
pub use clock::{Speed, SpeedError};
pub use compare::{Comparison, compare};
pub use report::{
    Attack, Blocked, Found, Honest, KindCount, LinkCount, Measure, Report, Second, Servers, SkipCount,
    Source, VerdictCount,
};

use crate::{bpf::BpfError, config::Config, prefix::Prefix};

/// What is replayed, and how.
#[derive(Clone, Debug)]
pub struct Options {
    pub file: PathBuf,
    pub config: Config,
    /// Only frames to these are judged; empty: to the address that most frames go to.
    pub servers: Vec<IpAddr>,
    /// All frames are judged, whoever they are for.
    pub all: bool,
    /// Sources that are known to be honest: what becomes of their packets is told, whether or not they connect.
    pub honest: Vec<Prefix>,
    pub speed: Speed,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("{path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is no capture that can be replayed: {why}")]
    NotACapture { path: PathBuf, why: String },
    #[error(
        "replay needs a network and a mount namespace of its own, which needs root (CAP_SYS_ADMIN, CAP_BPF, CAP_NET_ADMIN and \
         CAP_PERFMON): {0}; run the command with sudo"
    )]
    Namespace(io::Error),
    #[error("frame {frame} of the capture cannot be judged: {source}")]
    Frame { frame: u64, source: BpfError },
    #[error(transparent)]
    Bpf(#[from] BpfError),
    #[error("the replay broke down: {0}")]
    Broken(String),
}

/// Replays a capture.
///
/// # Errors
/// When it is none, or the kernel refuses. A capture that is damaged further on is none of these: see [`Report::damaged`].
pub fn replay(options: &Options) -> Result<Report, ReplayError> {
    let servers = servers::of(options)?;
    // A namespace is a thread's, and must not become that of others.
    let replaying = thread::Builder::new().name("replay".to_owned());
    let running = replaying.spawn({
        let options = options.clone();
        move || {
            let sandbox = sandbox::enter()?;
            run::run(&options, &servers, &sandbox)
        }
    });
    let ended = running
        .map_err(|error| ReplayError::Broken(error.to_string()))?
        .join();
    ended.unwrap_or_else(|_| {
        Err(ReplayError::Broken(
            "its thread panicked; this is a mistake in netguard".to_owned(),
        ))
    })
}

/// The name of a file as it is told.
fn told(path: &Path) -> String {
    path.display().to_string()
}
