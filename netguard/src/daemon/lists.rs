//! The lists of the configuration: read from their files, compiled, put in force as one, and followed when they change. What
//! cannot be read keeps what was read before.

mod sources;

use std::{borrow::Cow, net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{EventKind, Journal};
use crate::{
    bpf::{BpfError, Pins, Ranges},
    clock::monotonic_ns,
    config::Config,
    prefix::Prefix,
    ranges::{CompileError, Effect, Listing, compile, verdict_of},
};
use sources::{Source, Wanted, wanted};

/// What is known about one list, as `netguard feed list` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReport {
    /// The feed's name, the country's code, the system's number.
    pub name: String,
    /// `feed`, `country`, `asn` or `default`.
    pub kind: String,
    /// `block`, `limit` or `allow`.
    pub action: String,
    /// `enforce` or `shadow`.
    pub mode: String,
    pub prefixes: usize,
    /// Packets that it was against since the daemon started, shadow ones included.
    pub packets: u64,
    pub file: Option<PathBuf>,
    /// Seconds since the file was read.
    pub read_s_ago: Option<u64>,
    /// Lines that are no prefixes.
    pub skipped: usize,
    /// Why the file is not in force as it is now.
    pub fault: Option<String>,
}

/// A list that holds a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListMatch {
    pub name: String,
    pub kind: String,
}

/// The lists of the configuration, and what of them is in force.
pub struct Lists {
    wanted: Vec<Wanted>,
    sources: Vec<Source>,
    table: Ranges,
    /// Counters when the daemon started.
    before: Vec<u64>,
    spared: Vec<Prefix>,
    /// Why the lists are not in force.
    fault: Option<String>,
    /// Whether they were ever put in force.
    in_force: bool,
}

#[derive(Debug, thiserror::Error)]
enum InstallError {
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    Bpf(#[from] BpfError),
}

impl Lists {
    /// The lists that `config` names; nothing is read yet.
    ///
    /// # Errors
    /// When the maps cannot be opened.
    pub(super) fn of(config: &Config, pins: &Pins) -> Result<Self, BpfError> {
        let (wanted, sources) = wanted(config);
        let table = Ranges::open(pins)?;
        Ok(Self {
            before: table.counts(wanted.len())?,
            wanted,
            sources,
            table,
            spared: Vec::new(),
            fault: None,
            in_force: false,
        })
    }

    /// Reads what has changed (everything with `anew`), and puts it in force but for `spared`.
    pub fn follow(&mut self, spared: Vec<Prefix>, anew: bool, journal: &Journal) {
        let mut changed = !self.in_force || spared != self.spared;
        for source in &mut self.sources {
            if !anew && !source.has_changed() {
                continue;
            }
            let file = source.file().display().to_string();
            match source.read() {
                Ok(skipped) => {
                    info!(file, skipped, "list read");
                    journal.record(EventKind::ListRead { file, skipped });
                    changed = true;
                }
                Err(error) => {
                    warn!("a list keeps what it had: {error}");
                    journal.record(EventKind::ListFailed {
                        file,
                        why: error.to_string(),
                    });
                }
            }
        }
        if !changed {
            return;
        }
        self.spared = spared;
        self.fault = self.install().err().map(|error| error.to_string());
        if let Some(why) = &self.fault {
            warn!("the lists are not in force: {why}");
            journal.record(EventKind::ListFailed {
                file: "all lists".to_owned(),
                why: why.clone(),
            });
        }
        self.in_force = true;
    }

    fn install(&mut self) -> Result<(), InstallError> {
        let mut listings = self.listings();
        if listings.is_empty() && !self.table.is_set() {
            return Ok(());
        }
        if !listings.is_empty() {
            listings.push(Listing {
                effect: Effect::Spare,
                prefixes: Cow::Borrowed(&self.spared),
            });
        }
        let compiled = compile(&listings, self.table.seed())?;
        self.table.install(&compiled)?;
        info!(ranges = compiled.ranges, "lists in force");
        Ok(())
    }

    /// What to compile, in the order of `wanted`.
    fn listings(&self) -> Vec<Listing<'_>> {
        let now_ns = monotonic_ns();
        self.wanted
            .iter()
            .map(|wanted| Listing {
                effect: wanted.effect(&self.sources, now_ns),
                prefixes: Cow::Borrowed(wanted.prefixes(&self.sources)),
            })
            .collect()
    }

    /// What no list touches.
    pub fn spared(&self) -> &[Prefix] {
        &self.spared
    }

    /// All lists, in the order of the configuration.
    pub fn report(&self) -> Vec<ListReport> {
        let counts = self.table.counts(self.wanted.len()).unwrap_or_default();
        self.wanted
            .iter()
            .enumerate()
            .map(|(index, wanted)| {
                let count = |counts: &[u64]| counts.get(index).copied().unwrap_or(0);
                let packets = count(&counts).wrapping_sub(count(&self.before));
                let mut report = wanted.report(&self.sources, packets);
                report.fault = report.fault.or_else(|| self.fault.clone());
                report
            })
            .collect()
    }

    /// The lists that hold `address`, and the verdict on its packets (behind `shadow-` when it is only counted).
    pub fn matching(&self, address: IpAddr) -> (Vec<ListMatch>, Option<String>) {
        if self.spared.iter().any(|prefix| prefix.contains(address)) {
            return (Vec::new(), None);
        }
        let now_ns = monotonic_ns();
        let holding: Vec<&Wanted> = self
            .wanted
            .iter()
            .filter(|wanted| {
                let mut prefixes = wanted.prefixes(&self.sources).iter();
                prefixes.any(|prefix| prefix.contains(address))
            })
            .collect();
        let effects: Vec<Effect> = holding
            .iter()
            .map(|wanted| wanted.effect(&self.sources, now_ns))
            .collect();
        let matches = holding.iter().map(|wanted| wanted.named()).collect();
        (matches, verdict_of(&effects, now_ns))
    }
}
