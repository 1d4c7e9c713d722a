//! Whether traffic is described for whoever watches.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the kernel counts beside verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table with `mode`")]
pub struct Telemetry {
    /// Whether it does.
    pub mode: TelemetryMode,
}

/// Whether the kernel counts what traffic is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TelemetryMode {
    /// Only verdicts are counted.
    Off,
    /// Kinds, services, and how sources, ports, sizes and TTLs vary.
    #[default]
    On,
}
