//! Replay: a capture goes through the same kernel object and the same chain as traffic does, by its own clock. It says what would have
//! happened, and why; it needs no interface and no daemon, and changes nothing on this machine.

mod answers;
mod asked;
mod attacks;
mod campaigns;
pub mod capture;
mod clock;
mod compare;
mod found;
mod frame;
mod handshakes;
mod kinds;
pub mod link;
mod normal;
mod prepare;
mod refusals;
mod report;
mod response;
mod run;
mod sandbox;
mod servers;
mod services;
mod tally;
mod throttle;

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
    Attack, Blocked, Found, Honest, KindCount, Known, Learning, LinkCount, Measure, Report, Second, Servers,
    Service, SkipCount, Source, VerdictCount,
};

use crate::{bpf::BpfError, config::Config, daemon::NormalFileError, prefix::Prefix};

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
    /// What is normal, as the daemon writes it; without it nothing is known at the beginning.
    pub normal: Option<PathBuf>,
    /// Where what was learnt is kept.
    pub learn: Option<PathBuf>,
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
    #[error(
        "{0}; --normal takes what a daemon of this version wrote (/var/lib/netguard/INSTANCE/normal.json), or what \
         `netguard replay PEACE.pcap --learn FILE` learnt"
    )]
    Normal(NormalFileError),
    #[error(
        "{0} is not there: let `netguard replay PEACE.pcap --learn FILE` learn what is normal from a capture, or name what a daemon \
         wrote (/var/lib/netguard/INSTANCE/normal.json)"
    )]
    NoNormal(PathBuf),
    #[error(
        "{0} is something else than what was learnt to be normal, and is left as it is: name another file with --learn"
    )]
    Occupied(PathBuf),
    #[error("{path}: what was learnt cannot be kept there: {source}; name another file with --learn")]
    NotKept { path: PathBuf, source: io::Error },
    #[error("the replay broke down: {0}")]
    Broken(String),
}

/// Replays a capture.
///
/// # Errors
/// When it is none, or the kernel refuses. A capture that is damaged further on is none of these: see [`Report::damaged`].
pub fn replay(options: &Options) -> Result<Report, ReplayError> {
    // What cannot be used is told before a long capture is read.
    let known = options.normal.as_deref().map(normal::read).transpose()?;
    let learn = options.learn.as_deref().map(normal::place).transpose()?;
    let servers = servers::of(options)?;
    // A namespace is a thread's, and must not become that of others.
    let replaying = thread::Builder::new().name("replay".to_owned());
    let running = replaying.spawn({
        let options = Options {
            learn,
            ..options.clone()
        };
        move || {
            let sandbox = sandbox::enter()?;
            run::run(&options, known, &servers, &sandbox)
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
