//! How listening to services stands, and what was heard, for people and programs.

use serde::{Deserialize, Serialize};

use crate::{config::PolicyMode, engine::l7};

/// Whether services are listened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listens {
    /// The configuration says not to.
    #[default]
    Off,
    On,
    /// Not everywhere.
    Unavailable,
}

/// How listening to services stands, and what they are asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HttpReport {
    pub state: Listens,
    /// What happens to sources that do harm.
    pub mode: PolicyMode,
    /// TCP ports that are listened to.
    pub ports: Vec<u16>,
    /// Turns of clients since the maps were made: handed on, left out under load (others stand for them), and broken off, since they came in too many
    /// pieces; and pieces that found no room.
    pub turns: u64,
    pub skipped: u64,
    pub broken: u64,
    pub lost: u64,
    /// Whether pieces were lost in the last second.
    pub losing: bool,
    #[serde(skip)]
    pub(super) is_looked_at: bool,
    /// Conversations that are followed, what of them waits for its end, in bytes, and those for which there was no room.
    pub conversations: usize,
    pub buffered_bytes: usize,
    pub overflowed: u64,
    /// Why it is not listened to everywhere.
    pub fault: Option<String>,
    /// What was heard.
    pub heard: l7::Report,
}

impl HttpReport {
    /// What is not as it should be, in sentences.
    pub fn faults(&self) -> Vec<String> {
        let fault = self.fault.as_ref();
        let fault = fault.map(|why| format!("services are not listened to everywhere: {why}"));
        let lost = self.losing.then(|| {
            format!(
                "what is said to services is lost in part at the moment, {} pieces so far: there is no room for it",
                self.lost
            )
        });
        fault.into_iter().chain(lost).collect()
    }

    /// What was found since the daemon began; nothing where nothing was.
    pub fn sentence(&self) -> Option<String> {
        let found = &self.heard.found;
        let total: u64 = found.iter().map(|found| found.count).sum();
        let kinds: Vec<String> = found
            .iter()
            .map(|found| format!("{} {}", found.count, found.offence.name()))
            .collect();
        let shadow = if self.mode == PolicyMode::Shadow {
            " (shadow: only told)"
        } else {
            ""
        };
        (total > 0).then(|| format!("found in what services were told: {}{shadow}", kinds.join(", ")))
    }
}
