//! What is told about lists: in answers of the daemon, in its log and in its journal.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{published::SourceError, remote::Remote, sources::Source};
use crate::{
    clock::{monotonic_ns, wall_clock},
    daemon::{EventKind, Journal},
    lists::Before,
};

/// What is known about one list, as `netguard feed list` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReport {
    /// The feed's name, the country's code, the system's number.
    pub name: String,
    /// `feed`, `country`, `asn` or `default`; `held-country` or `held-asn`: because of an attack, for as long as that lasts.
    pub kind: String,
    /// `block`, `limit`, `allow` or `never-block`.
    pub action: String,
    /// `enforce` or `shadow`.
    pub mode: String,
    pub prefixes: usize,
    /// Packets that it was against since the daemon started, shadow ones included.
    pub packets: u64,
    pub file: Option<PathBuf>,
    /// Seconds since the file was read.
    pub read_s_ago: Option<u64>,
    /// Entries that were refused: they are no prefixes, or too wide.
    pub skipped: usize,
    /// Why the list is not in force as it is now.
    pub fault: Option<String>,
    /// Where it is fetched from, without its query. `file` is its last good copy then.
    pub url: Option<String>,
    /// What it turned out to be, if it is a feed.
    pub format: Option<String>,
    /// Seconds since the file was written, or the server confirmed it.
    pub age_s: Option<u64>,
    /// Seconds until the server is asked again.
    pub next_refresh_in_s: Option<u64>,
    /// Whether it is being asked now.
    pub fetching: bool,
    /// The first entries that were refused, each with its place and mistake.
    pub refused: Vec<String>,
    /// Entries that are not in force as a whole, because something protects them or they are in private space.
    pub trimmed: usize,
    /// The first of them, each with its place and why.
    pub trimmed_first: Vec<String>,
    /// Entries that speak of something else than addresses, or ask for no block.
    pub passed_over: usize,
    /// Prefixes that have ended.
    pub ended: usize,
    /// By what factors it may grow and shrink at once, if it is a feed.
    #[serde(default)]
    pub max_growth: Option<u32>,
    #[serde(default)]
    pub max_shrink: Option<u32>,
    /// What share of the addresses of a family it may cover, if it is a feed.
    #[serde(default)]
    pub max_share_percent: Option<u32>,
    /// What the next list is held against, if it is a feed.
    #[serde(default)]
    pub before: Option<Before>,
}

/// A list that holds a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListMatch {
    pub name: String,
    pub kind: String,
    /// Whether it only counts.
    #[serde(default)]
    pub shadow: bool,
}

/// What is known about a list of whom never to block.
pub(super) fn protecting_report(source: &Source) -> ListReport {
    ListReport {
        name: source.name().unwrap_or_default().to_owned(),
        kind: "feed".to_owned(),
        action: "never-block".to_owned(),
        mode: "enforce".to_owned(),
        prefixes: source.prefixes().len(),
        fault: source.fault().map(str::to_owned),
        ..source_report(source)
    }
}

/// What is known about where a list comes from.
pub(super) fn source_report(source: &Source) -> ListReport {
    let now_ns = monotonic_ns();
    let remote = source.remote();
    let feed = source
        .as_read()
        .filter(|_| source.read_ns().is_some() && source.name().is_some());
    let age = source
        .written()
        .and_then(|at| wall_clock().duration_since(at).ok());
    let mut trimmed = feed.map(|feed| feed.trimmed.clone()).unwrap_or_default();
    trimmed.and(source.spared());
    ListReport {
        file: Some(source.file().to_owned()),
        url: remote.map(|remote| remote.url().to_owned()),
        format: feed.map(|feed| feed.format.as_str().to_owned()),
        read_s_ago: source
            .read_ns()
            .map(|at_ns| now_ns.saturating_sub(at_ns) / 1_000_000_000),
        age_s: age.map(|age| age.as_secs()),
        next_refresh_in_s: remote.map(|remote| remote.next_in_s(now_ns)),
        fetching: remote.is_some_and(Remote::is_under_way),
        skipped: feed.map_or(0, |feed| feed.refused.count),
        refused: feed.map_or_else(Vec::new, |feed| feed.refused.first.clone()),
        trimmed: trimmed.count,
        trimmed_first: trimmed.first,
        // What does not ask for a block yet is among them.
        passed_over: feed.map_or(0, |feed| feed.passed_over + feed.waiting),
        ended: feed.map_or(0, |feed| feed.ended),
        max_growth: source.may_change_by().map(|(growth, _)| growth),
        max_shrink: source.may_change_by().map(|(_, shrink)| shrink),
        max_share_percent: source.max_share_percent(),
        before: feed.map(|feed| Before::of(feed, wall_clock())),
        ..ListReport::default()
    }
}

pub(super) fn tell_read(source: &Source, journal: &Journal) {
    let (file, feed) = (source.origin(), source.as_read());
    let refused = feed.map(|feed| feed.refused.clone()).unwrap_or_default();
    let mut trimmed = feed.map(|feed| feed.trimmed.clone()).unwrap_or_default();
    trimmed.and(source.spared());
    let (skipped, lines) = (refused.count, [refused.first, trimmed.first].concat());
    info!(file, skipped, trimmed = trimmed.count, "list read");
    for line in &lines {
        warn!(file, "not in force as it is written: {line}");
    }
    journal.record(EventKind::ListRead {
        file,
        skipped,
        trimmed: trimmed.count,
        lines,
    });
}

pub(super) fn tell_failure(source: &Source, error: &SourceError, journal: &Journal) {
    warn!("a list keeps what it had: {error}");
    journal.record(EventKind::ListFailed {
        file: source.origin(),
        why: error.to_string(),
    });
}
