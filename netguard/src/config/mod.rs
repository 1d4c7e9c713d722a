//! What the operator may decide, as types in which only sensible settings exist.

mod audit;
mod confirm;
mod connections;
mod decision;
mod feeds;
mod http;
mod limits;
mod lists;
mod load;
mod metrics;
mod mistake;
mod normal;
mod reflection;
mod reputation;
mod response;
mod schema;
mod state;
mod tables;
mod telemetry;
mod text;
mod tls;
mod values;
mod warnings;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::prefix::{BlockPrefix, Prefix};

pub use audit::{Audit, AuditFile, AuditFileSize, AuditMode, KeptFiles};
pub use confirm::{Confirm, ConfirmError};
pub use connections::{Connections, EndSlow, MostConnections};
pub use decision::{
    Challenge, ChallengeMode, ClientHeader, Decision, DecisionAddress, DecisionLimit, DecisionLimits,
    DecisionSigned, DecisionSigneds, Feedback, HeaderText, KeyPart, LimitLabel, MethodText, PathPattern,
};
pub use feeds::{Feed, FeedAction, FeedFormat, Feeds, bare};
pub use http::{Http, Speaks};
pub use limits::{Dns, Limit, Limits, PrefixLimits, Service, ServiceLimits, ServicePort};
pub use lists::{Country, Geo, GeoAction, GeoDefault, GeoPolicy, Place};
pub use load::ConfigError;
pub use metrics::{ListenAddress, ListenAddressError, Metrics};
pub use mistake::Mistake;
pub use normal::Normal;
pub use reflection::Reflection;
pub use reputation::{BlastRadius, NetworkBlocks, Reputation, Score, StoreMode};
pub use response::Response;
pub use schema::schema_json;
pub use state::{Reach, StatePolicy, StrayBurst};
pub use tables::Tables;
pub use telemetry::{Telemetry, TelemetryMode};
pub use tls::TlsVersion;
pub use values::{
    Burst, InterfaceName, InterfaceNameError, Period, PeriodError, Ports, RatePerSecond, TableSize, Within,
};

/// The commented configuration file that says what [`Config::default`] does.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// A whole configuration; every key has a default, unknown keys are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table of settings")]
pub struct Config {
    /// Interfaces to protect; `netguard run -i` adds to them.
    pub interfaces: Vec<InterfaceName>,
    /// Whether anything is dropped at all.
    pub mode: Mode,
    /// How the filter is attached to an interface.
    pub attach: Attach,
    /// What happens to the protection when the daemon stops.
    pub on_exit: OnExit,
    /// Prefixes that always pass; they win over `block`.
    pub allow: Vec<Prefix>,
    /// Prefixes that never pass.
    pub block: Vec<BlockPrefix>,
    /// Packets that cannot be real: impossible lengths, LAND, illegal flag sets, martians.
    pub sanity: Policy,
    /// Sources in the blocklist, by the operator or by a detector.
    pub blocklist: Policy,
    /// Packet rates: of a source, of a prefix, of a service.
    pub limit: Limits,
    /// When services are answered for.
    pub syn_cookies: SynCookies,
    /// Published lists of sources that are blocked.
    pub feed: Feeds,
    /// What is done with sources because of where they are.
    #[serde(deserialize_with = "lists::geo")]
    pub geo: Geo,
    /// TCP segments of connections that do not exist, when they come in numbers.
    pub state: StatePolicy,
    /// TCP connections that others hold with this machine.
    pub connections: Connections,
    /// What is said to services in the clear.
    pub http: Http,
    /// Packets that look like those of an attack, as `netguard signature` describes them.
    pub signatures: Policy,
    /// What becomes of DNS queries over a limit.
    pub dns: Dns,
    /// What holds for some services instead of the common limits.
    #[serde(deserialize_with = "limits::services", skip_serializing_if = "Vec::is_empty")]
    pub service: Vec<Service>,
    /// Answers that nobody asked for.
    pub reflection: Reflection,
    /// When behaviour alone is reason enough to act.
    pub detect: Detectors,
    /// What is done about attacks that are recognised.
    pub response: Response,
    /// What is remembered of sources, and when that is enough to block them.
    pub reputation: Reputation,
    /// What is counted of the traffic beside verdicts.
    pub telemetry: Telemetry,
    /// What is normal, as it was learnt.
    pub normal: Normal,
    /// Figures for Prometheus.
    pub metrics: Metrics,
    /// Requests that reverse proxies ask about.
    pub decision: Decision,
    /// What automatic decisions may never touch.
    pub guard: Guard,
    /// What is kept of all that was decided, and by whom.
    pub audit: Audit,
    /// What the daemon writes to standard error.
    pub log: Log,
    /// Sizes of the kernel tables.
    pub tables: Tables,
}

/// Whether anything is dropped at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Every policy acts as its own mode says.
    #[default]
    Enforce,
    /// Nothing is dropped; what would have been is counted.
    Shadow,
}

/// How the filter is attached to an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Attach {
    /// In the driver, or behind it where the driver has no XDP.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Native,
    /// Behind the driver: works with every card, and is slower.
    Generic,
}

/// What happens to the protection when the daemon stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// It stays; automatic blocks run out by themselves.
    #[default]
    Keep,
    /// It is removed.
    Detach,
}

/// What one policy does with a packet it objects to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PolicyMode {
    /// The policy is not consulted.
    Off,
    /// The packet passes and is counted under the policy's own shadow verdict.
    Shadow,
    /// The packet is dropped.
    #[default]
    Enforce,
}

/// A policy that has no settings but its mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table with `mode`")]
pub struct Policy {
    /// What happens to a packet the policy objects to.
    pub mode: PolicyMode,
}

/// When netguard answers connection attempts in the name of a service, with cookies that the service takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table of cookie settings")]
pub struct SynCookies {
    /// When it does.
    pub mode: CookieMode,
    /// Connection attempts per second and service (TCP port), from all sources together, that `auto` leaves alone.
    pub rate_per_s: RatePerSecond,
    /// That many may come at once.
    pub burst: Burst,
    /// Ports that are not answered for, at most 16: those that are passed on to containers or other machines.
    pub except_ports: Ports<16>,
    /// Whether the daemon may change net.ipv4.tcp_syncookies as cookies need it; `netguard detach` restores it.
    pub manage_sysctls: bool,
    /// What it does with net.ipv4.tcp_timestamps.
    pub timestamps: CookieTimestamps,
}

/// What becomes of net.ipv4.tcp_timestamps, which has to be 2 for cookies to carry window scale, SACK and ECN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CookieTimestamps {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is 2 while services are answered for: timestamps tell how long the machine runs then.
    Manage,
}

/// When netguard answers in the name of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum CookieMode {
    /// Never.
    Off,
    /// When a service is asked faster than `rate_per_s`.
    #[default]
    Auto,
    /// For every connection: each is set up a little less well (no window scaling, unless `timestamps` provides for it).
    Always,
}

/// When behaviour alone is reason enough to act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table with one table per detector"
)]
pub struct Detectors {
    /// A source that completed a handshake, so its address is its own, and keeps exceeding its limits.
    pub flooder: Flooder,
}

/// Settings of the flooder detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table of detector settings")]
pub struct Flooder {
    /// How long the source must keep exceeding its limits without a pause.
    pub over_for: Period,
    /// How long it is blocked then, the first time.
    pub block_for: Period,
    /// Packets per second that its limits must be dropping all that time.
    pub min_dropped_per_s: RatePerSecond,
}

/// What automatic decisions may never touch, and what keeps operators from locking themselves out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table with `never_block` and `confirm`"
)]
pub struct Guard {
    /// Prefixes no detector may block; own addresses, gateways, resolvers and `allow` are always among them.
    pub never_block: Vec<Prefix>,
    /// After how long a change of an operator that could lock them out is taken back, unless they confirm it.
    pub confirm: Confirm,
}

/// What the daemon writes to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table with `format` and `level`")]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important line that is written.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The least important log line that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what may fail.
    Warn,
    /// And what was decided.
    #[default]
    Info,
    /// And why.
    Debug,
    /// And every step.
    Trace,
}

impl PolicyMode {
    /// What the policy does under the mode of the whole filter: shadow there means that nothing is enforced here.
    #[must_use]
    pub fn under(self, mode: Mode) -> Self {
        match (self, mode) {
            (Self::Enforce, Mode::Shadow) => Self::Shadow,
            (own, _) => own,
        }
    }

    /// As the configuration writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::Enforce => "enforce",
        }
    }
}

impl From<netguard_common::layout::Mode> for PolicyMode {
    fn from(mode: netguard_common::layout::Mode) -> Self {
        match mode {
            netguard_common::layout::Mode::Off => Self::Off,
            netguard_common::layout::Mode::Shadow => Self::Shadow,
            netguard_common::layout::Mode::Enforce => Self::Enforce,
        }
    }
}

impl From<PolicyMode> for netguard_common::layout::Mode {
    fn from(mode: PolicyMode) -> Self {
        match mode {
            PolicyMode::Off => Self::Off,
            PolicyMode::Shadow => Self::Shadow,
            PolicyMode::Enforce => Self::Enforce,
        }
    }
}

impl LogLevel {
    /// The name of the level, as the configuration and log filters write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Default for SynCookies {
    fn default() -> Self {
        Self {
            mode: CookieMode::default(),
            rate_per_s: Within::constant::<1000>(),
            burst: Within::constant::<2000>(),
            except_ports: Ports::default(),
            manage_sysctls: true,
            timestamps: CookieTimestamps::default(),
        }
    }
}

impl Default for Flooder {
    fn default() -> Self {
        Self {
            over_for: Period::constant::<1>(),
            block_for: Period::constant::<60>(),
            min_dropped_per_s: Within::constant::<100>(),
        }
    }
}
