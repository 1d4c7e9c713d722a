//! What ends the daemon from outside: SIGINT and SIGTERM, and SIGHUP unless whoever started it had it ignored.

use std::{fs, future, io, sync::Arc};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

use super::{State, Stop};
use crate::audit::Author;

/// The signals, from when they are caught.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal it was started in is gone; `None` under `nohup` and the like.
    hangup: Option<Signal>,
}

impl Signals {
    pub(super) fn begin() -> io::Result<Self> {
        let hangup = SignalKind::hangup();
        // What cannot be read is not known to be ignored.
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let is_ignored = ignores(&status, hangup.as_raw_value());
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: (!is_ignored).then(|| signal(hangup)).transpose()?,
        })
    }

    /// Waits for one.
    pub(super) async fn received(&mut self) {
        let Self {
            interrupt,
            terminate,
            hangup,
        } = self;
        let hangup = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            _ = hangup => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }

    /// Stops the daemon of `state` when one comes.
    pub(super) async fn stop(mut self, state: Arc<State>) {
        self.received().await;
        // Before anything that can fail.
        state.stop(Stop::Signal, Author::Signal);
        warn!("asked to stop");
    }
}

/// Whether a process with this `/proc/self/status` ignores the signal with this number.
fn ignores(status: &str, signal: i32) -> bool {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found in review: a daemon under `nohup` ended with the terminal.
    #[test]
    fn what_is_ignored_is_read_from_the_mask() {
        let status = "Name:\tnetguard\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000004002\n";
        let hangup = SignalKind::hangup().as_raw_value();
        assert!(ignores(status, hangup));
        assert!(!ignores(status, SignalKind::terminate().as_raw_value()));
        assert!(!ignores(&status.replace("1001", "1000"), hangup));
        assert!(!ignores("", hangup));
    }
}
