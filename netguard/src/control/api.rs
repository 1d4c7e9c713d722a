//! The JSON that crosses the control socket.

use serde::{Deserialize, Serialize};

use super::{Force, Objections};
use crate::{
    audit::AuditState,
    daemon::{
        ConnectionsReport, CookieOptions, CookieState, HttpReport, ListMatch, NormalState, Protected,
        ReflectionState, SourceReputation, Spared, StateReach, StoreState, TlsReport, TrafficReport,
        Unconfirmed, UnconfirmedChange,
    },
    decision::DecisionReport,
    metrics::MetricsState,
    prefix::Prefix,
};

/// Answer of `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DaemonStatus {
    pub version: String,
    pub pid: u32,
    pub uptime_s: u64,
    /// `enforce` or `shadow`.
    pub mode: String,
    pub interfaces: Vec<Protected>,
    /// Rates of the last second.
    pub passed_per_s: u64,
    pub dropped_per_s: u64,
    /// Connection attempts answered with a SYN cookie, and DNS queries answered "ask over TCP".
    pub answered_per_s: u64,
    pub rules_refused: u64,
    pub cookies: CookieState,
    /// What connections that are made through a cookie can use now; absent where the settings cannot be read.
    pub cookie_options: Option<CookieOptions>,
    /// How far segments without a connection are judged.
    pub state: StateReach,
    /// What the configured blocks leave out.
    pub spared: Vec<Spared>,
    pub reflection: ReflectionState,
    /// How the floor of TLS stands.
    #[serde(default)]
    pub tls: TlsReport,
    /// Addresses of this machine that find no room in the kernel's table.
    #[serde(default)]
    pub own_left_out: usize,
    /// Why SYN cookies do not do all that they are to, in sentences.
    #[serde(default)]
    pub cookie_faults: Vec<String>,
    /// What of the lists is not as the configuration says, in sentences.
    #[serde(default)]
    pub list_faults: Vec<String>,
    /// How the audit trail stands; `None`: it is off.
    #[serde(default)]
    pub audit: Option<AuditState>,
    /// How what is normal is kept; `None`: an older daemon.
    #[serde(default)]
    pub normal: Option<NormalState>,
    /// Where figures for Prometheus are served; `None`: nowhere.
    #[serde(default)]
    pub metrics: Option<MetricsState>,
    /// Where reputation is kept; `None`: only in memory, as the configuration says.
    #[serde(default)]
    pub reputation: Option<StoreState>,
    /// Changes that go back unless they are confirmed.
    #[serde(default)]
    pub unconfirmed: Vec<UnconfirmedChange>,
    /// The connections of others, as they were looked at last.
    #[serde(default)]
    pub connections: ConnectionsReport,
    /// How listening to services stands, and what was found; without services.
    #[serde(default)]
    pub http: HttpReport,
    /// How the endpoint for reverse proxies stands; `None`: there is none.
    #[serde(default)]
    pub decision: Option<DecisionReport>,
}

/// Answer of `GET /v1/stats`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Whether the traffic is described.
    pub telemetry: bool,
    /// That of the last second; `None` until one is over.
    pub traffic: Option<TrafficReport>,
    /// Samples of dropped packets since the maps were made: handed to the daemon, and lost because the ring buffer was full.
    pub samples_sent: u64,
    pub samples_lost: u64,
}

/// One element of the list that is the body of `POST /v1/rules/{allow|block}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleAddition {
    pub prefix: Prefix,
    /// `None`: for good.
    pub ttl_s: Option<u64>,
    pub note: Option<String>,
    /// Block even what is guarded.
    pub force: Force,
}

/// Body of `DELETE /v1/rules/{allow|block}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleRemoval {
    pub prefix: Prefix,
}

/// Answer to a removal, and for each addition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleOutcome {
    pub prefix: Prefix,
    /// `added`, `covered`, `removed` or `absent`.
    pub outcome: String,
    /// With `covered`: the wider rule that says the same already.
    pub covered_by: Option<Prefix>,
    /// With `added`: the rule for the same prefix that gave way, if it would have held longer.
    #[serde(default)]
    pub shortened: Option<Shortened>,
    /// It goes back unless that is confirmed.
    #[serde(default)]
    pub unconfirmed: Option<Unconfirmed>,
    /// With the first of several: feeds that say never to block whom and were never read, so that nobody could ask them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unasked: Vec<String>,
}

/// Answer to a change of a limit: the change, and whether it must be confirmed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changed<T> {
    #[serde(flatten)]
    pub change: T,
    #[serde(default)]
    pub unconfirmed: Option<Unconfirmed>,
}

/// A rule that would have held longer than the one in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortened {
    /// How long from now; `None`: for good.
    pub expires_in_s: Option<u64>,
}

/// Body of `PUT /v1/limits/{class}`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitChange {
    pub rate_per_s: u32,
    pub burst: u32,
}

/// Answer of `GET /v1/sources/{address}`: what the daemon remembers about a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceReport {
    /// Sentences, oldest first.
    pub evidence: Vec<String>,
    /// Established TCP connections with this machine now; `None` when the kernel does not tell.
    pub connections: Option<u32>,
    /// What it asks services for; `None`: nothing that was heard of late.
    #[serde(default)]
    pub http: Option<crate::engine::l7::SourceReport>,
    /// Whose those are: its address, or the IPv6 /64 that it answers for as one.
    #[serde(default)]
    pub connections_of: Option<Prefix>,
    /// The guard list's objection to blocking it, as a sentence.
    pub guarded: Option<String>,
    /// The configured lists that hold it.
    pub lists: Vec<ListMatch>,
    /// What they decide: a verdict, behind `shadow-` when it is only counted.
    pub list_verdict: Option<String>,
    /// Why it is not known which lists hold it, where that is so.
    #[serde(default)]
    pub lists_unknown: Option<String>,
    /// Campaigns that it is a source of, the newest first.
    #[serde(default)]
    pub campaigns: Vec<u64>,
    /// What is remembered of it; `None`: nothing is remembered of anybody.
    #[serde(default)]
    pub reputation: Option<SourceReputation>,
    /// What is done about attacks that concerns every newcomer, in sentences.
    #[serde(default)]
    pub measures: Vec<String>,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The request makes no sense, or is refused for safety.
    Usage,
    Failed,
}

/// Body of every answer that is no success.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// One sentence for the person who asked.
    pub message: String,
    /// Which of several additions it is about, from 0.
    #[serde(default)]
    pub index: Option<usize>,
    /// What guards say against them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objections: Option<Objections>,
}

impl Failure {
    /// One of which there is nothing more to say than `message`.
    pub const fn new(kind: FailureKind, message: String) -> Self {
        Self {
            kind,
            message,
            index: None,
            objections: None,
        }
    }
}
