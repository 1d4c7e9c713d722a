//! The lists of the configuration: read from files, compiled, put in force as one, and followed when they change. What cannot be
//! read or fetched keeps what was read before, by this daemon or an earlier one. Who asks servers is `fetches`.

mod copies;
mod held;
mod holding;
mod protecting;
mod published;
mod remote;
mod report;
mod sources;
mod wanted;

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tracing::{info, warn};

use super::{EventKind, Journal};
use crate::{
    bpf::{BpfError, InstanceName, Pins, Ranges},
    clock::{monotonic_ns, wall_clock},
    config::{Config, Mode},
    lists::{self, FetchError, Fetched, Protected, Request},
    prefix::Prefix,
    ranges::{CompileError, Effect, Listing, compile, verdict_of},
};
use published::SourceError;
use report::{protecting_report, tell_failure, tell_read};
use sources::Source;
use wanted::{Wanted, wanted};

use held::Held;
pub use held::Hold;
pub use protecting::NeverBlock;
pub use report::{ListMatch, ListReport};

/// A feed that a server is to be asked for.
#[derive(Debug)]
pub struct Download {
    source: usize,
    pub request: Request,
}

/// The lists of the configuration, and what of them is in force.
pub struct Lists {
    wanted: Vec<Wanted>,
    /// What is held because of attacks.
    held: Held,
    sources: Vec<Source>,
    table: Ranges,
    /// Counters when these lists took the place of those of an earlier daemon, whose numbers were theirs.
    before: Vec<u64>,
    /// What this machine needs and guards, whatever lists say.
    spared: Vec<Prefix>,
    /// What was fetched and is not in force yet.
    fetched: Vec<usize>,
    /// Whether a server confirmed something that ends with its age.
    confirmed: bool,
    /// Why the lists are not in force.
    fault: Option<String>,
    /// Whether this daemon took over from what an earlier one had put in force.
    in_force: bool,
    /// Whether nothing is to be dropped.
    shadow: bool,
    /// Whether nothing is to be held any more: said while somebody else may be at it.
    over: Arc<AtomicBool>,
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
    pub fn of(config: &Config, pins: &Pins, instance: &InstanceName) -> Result<Self, BpfError> {
        let (wanted, sources) = wanted(config, &copies::directory(instance));
        let table = Ranges::open(pins)?;
        Ok(Self {
            before: Vec::new(),
            wanted,
            held: Held::default(),
            sources,
            table,
            spared: Vec::new(),
            fetched: Vec::new(),
            confirmed: false,
            fault: None,
            in_force: false,
            shadow: config.mode == Mode::Shadow,
            over: Arc::default(),
        })
    }

    /// Reads what has changed (everything with `anew`), and puts it in force but for `spared` and what does not hold now.
    pub fn follow(&mut self, spared: Vec<Prefix>, anew: bool, journal: &Journal) {
        // What failed is tried again.
        let mut changed = !self.in_force || self.fault.is_some() || spared != self.spared;
        changed |= std::mem::take(&mut self.confirmed);
        let mut read = std::mem::take(&mut self.fetched);
        let (now, now_ns) = (wall_clock(), monotonic_ns());
        for source in &mut self.sources {
            changed |= source.turn(now, now_ns);
        }
        for (index, source) in self.sources.iter_mut().enumerate() {
            if !anew && !source.has_changed() {
                continue;
            }
            match source.read() {
                Ok(()) => read.push(index),
                // It is being fetched, which is told when it fails.
                Err(SourceError::NotYet { .. }) => {}
                Err(error) => tell_failure(source, &error, journal),
            }
        }
        changed |= !read.is_empty();
        if changed {
            self.spared = spared;
            self.spare();
            self.install_or_tell(journal);
        }
        for index in read {
            tell_read(&self.sources[index], journal);
        }
    }

    /// Finds what of each feed is left alone.
    fn spare(&mut self) {
        let needed = "what this machine needs or guards: its addresses, gateways, name servers, ssh sessions, `guard.never_block`";
        let mut protected = vec![Protected::new(needed.to_owned(), &self.spared)];
        protected.extend(self.protecting().map(|source| {
            let name = source.name().unwrap_or_default();
            Protected::new(
                format!("on {name}, a list of whom never to block"),
                source.prefixes(),
            )
        }));
        for source in self.sources.iter_mut().filter(|source| !source.protects()) {
            let spared = source.as_read().map(|feed| lists::spared(feed, &protected));
            source.set_spared(spared.unwrap_or_default());
        }
    }

    /// The feeds that servers are to be asked for: those that are due, or with `now` all, or that of this `name`. Each has to be
    /// handed to [`Self::take`].
    pub fn due(&mut self, now: bool, name: Option<&str>) -> Vec<Download> {
        let sources = self.sources.iter_mut().enumerate();
        let asked = sources.filter(|(_, source)| name.is_none_or(|name| source.name() == Some(name)));
        asked
            .filter_map(|(source, of)| {
                Some(Download {
                    source,
                    request: of.ask_if_due(now)?,
                })
            })
            .collect()
    }

    /// Takes the answer to `download`; it is in force when the lists are followed next.
    pub fn take(&mut self, download: &Download, answer: Result<Fetched, FetchError>, journal: &Journal) {
        let Some(source) = self.sources.get_mut(download.source) else {
            return;
        };
        let before = source.fault().map(str::to_owned);
        let unchanged = matches!(answer, Ok(Fetched::Unchanged));
        match source.take(answer) {
            Ok(()) if unchanged => self.confirmed = true,
            Ok(()) => self.fetched.push(download.source),
            // The same every time is told once.
            Err(error) if before.as_deref() == Some(&error.to_string()) => {}
            Err(error) => tell_failure(source, &error, journal),
        }
    }

    /// Whether there is a feed of that name.
    pub fn has_feed(&self, name: &str) -> bool {
        self.sources.iter().any(|source| source.name() == Some(name))
    }

    /// The next list of the feed `name` holds, however it has grown or shrunk.
    pub fn accept(&mut self, name: &str) {
        let named = self
            .sources
            .iter_mut()
            .filter(|source| source.name() == Some(name));
        named.for_each(Source::accept);
    }

    fn install_or_tell(&mut self, journal: &Journal) {
        let mut fault = self.held_back();
        if fault.is_none() {
            if !self.in_force {
                self.before = self.table.counts(0..self.wanted.len()).unwrap_or_default();
            }
            match self.install() {
                Ok(installed) => {
                    self.in_force = true;
                    let ranges = installed.map(|ranges| EventKind::ListsInForce { ranges });
                    ranges.into_iter().for_each(|event| journal.record(event));
                }
                Err(error) => fault = Some(format!("the lists are not in force: {error}")),
            }
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
        if let Some(unread) = self.protecting().find(|source| source.read_ns().is_none()) {
            return Some(format!(
                "no list is put in force until {}, which says whom never to block, can be read or is taken out of the configuration",
                unread.origin()
            ));
        }
        let unread = self.sources.iter().find(|source| source.read_ns().is_none())?;
        self.table.is_set().then(|| {
            format!(
                "the lists of an earlier daemon stay in force as they are, until {} can be read or is taken out of the \
                 configuration",
                unread.origin()
            )
        })
    }

    /// The number of ranges that are in force now; `None`: there were and are none.
    fn install(&mut self) -> Result<Option<usize>, InstallError> {
        let listings = self.listings();
        if listings.is_empty() && !self.table.is_set() {
            return Ok(None);
        }
        let compiled = compile(&listings, self.table.seed())?;
        self.table.install(&compiled)?;
        if self.over.load(Ordering::SeqCst) {
            self.table.end_sparing()?;
        }
        info!(ranges = compiled.ranges, "lists in force");
        Ok(Some(compiled.ranges))
    }

    /// What to compile: the policies of `wanted` in their order, what no list touches, and what is held.
    fn listings(&self) -> Vec<Listing<'_>> {
        let now_ns = monotonic_ns();
        let wanted = self.wanted.iter().map(|wanted| Listing {
            effect: wanted.effect(&self.sources, now_ns),
            prefixes: Cow::Borrowed(wanted.prefixes(&self.sources)),
        });
        let mut listings: Vec<Listing<'_>> = wanted.collect();
        if listings.is_empty() && self.held.len() == 0 {
            return listings;
        }
        let spared = self.spared.iter().copied().chain(self.protected_prefixes());
        listings.push(Listing {
            effect: Effect::Spare,
            prefixes: Cow::Owned(spared.collect()),
        });
        self.add_held(listings)
    }

    /// What this machine needs and guards, which no list touches.
    pub fn spared(&self) -> &[Prefix] {
        &self.spared
    }

    /// All lists, in the order of the configuration.
    pub fn report(&self) -> Vec<ListReport> {
        // Before that, what is counted by their numbers belongs to the lists of an earlier daemon.
        let numbers = 0..if self.in_force { self.wanted.len() } else { 0 };
        let counts = self.table.counts(numbers).unwrap_or_default();
        self.wanted
            .iter()
            .enumerate()
            .map(|(index, wanted)| {
                let count = |counts: &[u64]| counts.get(index).copied().unwrap_or(0);
                let packets = count(&counts).saturating_sub(count(&self.before));
                wanted.report(&self.sources, packets, self.fault.as_deref())
            })
            .chain(self.protecting().map(protecting_report))
            .chain(self.held.reports(&self.held_counts()))
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
        let spared = |prefixes: &[Prefix]| prefixes.iter().any(|prefix| prefix.contains(address));
        let protected = self.protecting().any(|source| spared(source.prefixes()));
        if !self.in_force || protected || spared(&self.spared) {
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
        let (held, their_effects) = self.held.matching(&spared);
        let matches = holding.iter().map(|wanted| wanted.named()).chain(held).collect();
        (matches, verdict_of(&[effects, their_effects].concat(), now_ns))
    }
}
