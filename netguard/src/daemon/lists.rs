//! The lists of the configuration: read from their files, compiled, put in force as one, and followed when they change. What
//! cannot be read keeps what was read before, by this daemon or an earlier one.

mod sources;
mod wanted;

use std::{borrow::Cow, net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{EventKind, Journal};
use crate::{
    bpf::{BpfError, Pins, Ranges},
    clock::monotonic_ns,
    config::{Config, Mode},
    prefix::Prefix,
    ranges::{CompileError, Effect, Listing, compile, verdict_of},
};
use sources::Source;
use wanted::{Wanted, wanted};

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
    /// Whether this daemon took over from what an earlier one had put in force.
    in_force: bool,
    /// Whether nothing is to be dropped.
    shadow: bool,
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
    pub(crate) fn of(config: &Config, pins: &Pins) -> Result<Self, BpfError> {
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
            shadow: config.mode == Mode::Shadow,
        })
    }

    /// Reads what has changed (everything with `anew`), and puts it in force but for `spared`.
    pub fn follow(&mut self, spared: Vec<Prefix>, anew: bool, journal: &Journal) {
        // What failed is tried again.
        let mut changed = !self.in_force || self.fault.is_some() || spared != self.spared;
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
        let mut fault = self.held_back();
        if fault.is_none() {
            let failed = self.install().err();
            self.in_force |= failed.is_none();
            fault = failed.map(|error| format!("the lists are not in force: {error}"));
        }
        if let Some(why) = &fault
            && fault != self.fault
        {
            warn!("{why}");
            journal.record(EventKind::ListFailed {
                file: "all lists".to_owned(),
                why: why.clone(),
            });
        }
        self.fault = fault;
    }

    /// Why the lists of an earlier daemon stay: what could not be read would be missing in those that took their place.
    fn held_back(&self) -> Option<String> {
        // What an earlier daemon enforced must not drop packets of one that was told to drop none.
        if self.in_force || self.shadow {
            return None;
        }
        let unread = self.sources.iter().find(|source| source.read_ns().is_none())?;
        self.table.is_set().then(|| {
            format!(
                "the lists of an earlier daemon stay in force as they are, until {} can be read or is taken out of the \
                 configuration",
                unread.file().display()
            )
        })
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
                wanted.report(&self.sources, packets, self.fault.as_deref())
            })
            .collect()
    }

    /// What is not as the configuration says, in sentences.
    pub fn faults(&self) -> Vec<String> {
        let stands = |source: &Source| match (self.in_force, source.read_ns()) {
            (false, _) => "",
            (true, None) => "; nothing of it is in force",
            (true, Some(_)) => "; what it said before stays in force",
        };
        let mut faults: Vec<String> = self.fault.iter().cloned().collect();
        let files = self.sources.iter();
        faults.extend(files.filter_map(|source| Some(format!("{}{}", source.fault()?, stands(source)))));
        if self.in_force {
            faults.extend(self.wanted.iter().filter_map(|wanted| wanted.idle(&self.sources)));
            let empty = self.wanted.iter().filter(|wanted| wanted.is_empty(&self.sources));
            match empty.count() {
                0 => {}
                count => faults.push(format!(
                    "{count} countries or autonomous systems have no address in their database: see `netguard feed list`"
                )),
            }
        }
        faults
    }

    /// Why nobody can say which lists hold an address; `None` where [`Self::matching`] does.
    pub fn unknown(&self) -> Option<String> {
        self.fault.clone()
    }

    /// The lists that hold `address`, and the verdict on its packets (behind `shadow-` when it is only counted).
    pub fn matching(&self, address: IpAddr) -> (Vec<ListMatch>, Option<String>) {
        if !self.in_force || self.spared.iter().any(|prefix| prefix.contains(address)) {
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
