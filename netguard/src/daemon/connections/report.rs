//! What is told of connections: of those that stand, and of those that were ended.

use serde::{Deserialize, Serialize};

use crate::engine::slow::Reason;

/// The connections of others with this machine, as they were looked at last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionsReport {
    /// TCP connections of this machine, its own ones and those within it, too.
    pub standing: usize,
    /// Those that others hold with what listens here, and how many sources do.
    pub held: u64,
    pub sources: usize,
    /// The most that one source holds.
    pub most: u32,
    /// Sources and prefixes that are refused more for a while.
    pub refused: usize,
    /// Connections that were not counted since the maps were made: there was no room.
    pub uncounted: u64,
    /// Services under pressure, such as `tcp/443`.
    pub pressed: Vec<String>,
    pub ended: Ended,
    /// Why connections are counted by lists of sockets instead of one by one.
    pub why_listed: Option<String>,
    /// Why they are not watched.
    pub fault: Option<String>,
}

/// Connections that were ended since the daemon began, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// Above a limit.
    pub excess: u64,
    /// Of a source that an operator blocked.
    pub blocked: u64,
    /// Of a source that a detector blocked for what it does to a service.
    pub harmful: u64,
    pub crowd: u64,
    pub share: u64,
    pub slow: u64,
    pub half_open: u64,
}

impl Ended {
    /// The number of those that ended for `reason`.
    pub(super) const fn of(&mut self, reason: Reason) -> &mut u64 {
        match reason {
            Reason::Crowd => &mut self.crowd,
            Reason::Share => &mut self.share,
            Reason::Slow => &mut self.slow,
            Reason::HalfOpen => &mut self.half_open,
        }
    }

    /// Each number with the word for its reason.
    pub fn by_reason(&self) -> [(&'static str, u64); 7] {
        let [crowd, share, slow, half_open] = Reason::ALL.map(Reason::name);
        [
            ("excess", self.excess),
            ("blocked", self.blocked),
            ("harmful", self.harmful),
            (crowd, self.crowd),
            (share, self.share),
            (slow, self.slow),
            (half_open, self.half_open),
        ]
    }
}

impl ConnectionsReport {
    /// What is not as it should be, in sentences.
    pub fn faults(&self) -> Vec<String> {
        let fault = self
            .fault
            .as_ref()
            .map(|why| format!("connections are not watched: {why}"));
        let listed = self
            .why_listed
            .as_ref()
            .map(|why| format!("connections are counted by lists of sockets only, every few seconds: {why}"));
        let uncounted = (self.uncounted > 0).then(|| {
            format!(
                "{} connections found no room to be counted, and are not limited: raise connection_holders under [tables]",
                self.uncounted
            )
        });
        [fault, listed, uncounted].into_iter().flatten().collect()
    }
}
