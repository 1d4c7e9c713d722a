//! TCP connections that others hold with this machine: how many they may, and which are ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Period, PolicyMode, Within};

/// How many connections a source may hold, and which are ended when a service is under pressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table of connection settings")]
pub struct Connections {
    /// What happens to attempts above a limit. "off": connections are not even counted.
    pub mode: PolicyMode,
    /// Connections of one source (IPv4 address, IPv6 /64); 0: any number.
    pub per_source: MostConnections,
    /// Connections of one prefix (IPv4 /24, IPv6 /48) together; 0: any number.
    pub per_prefix: MostConnections,
    /// How long a source that asked for too many is refused; each time soon after another twice as long,
    pub first_penalty: Period,
    /// up to this.
    pub longest_penalty: Period,
    /// When connections are ended that do next to nothing.
    pub end_slow: EndSlow,
    /// For how long they must have.
    pub slow_after: Period,
    /// Connections to a service under pressure that one source keeps at the most.
    pub under_pressure: Within<1, 1_000_000>,
}

/// Connections that somebody may hold; 0: any number.
pub type MostConnections = Within<0, 1_000_000>;

/// When connections are ended that do next to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndSlow {
    /// Never.
    Off,
    /// While their service is under pressure.
    #[default]
    Pressure,
    /// Whenever there are any.
    Always,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            mode: PolicyMode::default(),
            per_source: Within::constant::<500>(),
            per_prefix: Within::constant::<0>(),
            first_penalty: Period::constant::<1>(),
            longest_penalty: Period::constant::<60>(),
            end_slow: EndSlow::default(),
            slow_after: Period::constant::<30>(),
            under_pressure: Within::constant::<100>(),
        }
    }
}
