//! What becomes of TCP segments that belong to no connection.

use netguard_common::state::ONE_IN;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PolicyMode, RatePerSecond, Within};

/// TCP segments of connections that do not exist, as floods of ACK, RST, FIN and SYN-ACK bring them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table with `mode`, `reach`, `rate_per_s` and `burst`"
)]
pub struct StatePolicy {
    /// What happens to such segments when they come in numbers.
    pub mode: PolicyMode,
    /// Where the kernel's table of sockets can be believed.
    pub reach: Reach,
    /// Such segments per second and CPU that are left to the kernel, which answers them with a reset.
    pub rate_per_s: RatePerSecond,
    /// That many may come at once; at least as many as one stands for that is looked at.
    pub burst: StrayBurst,
}

/// Segments that may come at once. One in [`ONE_IN`] is looked at and stands for all of them: with less room the first one would
/// be dropped already.
pub type StrayBurst = Within<ONE_IN, 10_000_000>;

/// Where the kernel's table of sockets can be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// At all ports; only at those where something listens while this machine can translate addresses; nowhere while it
    /// forwards packets.
    #[default]
    Auto,
    /// At ports where something listens; `syn_cookies.except_ports` are left out.
    Listening,
    /// At all ports.
    All,
}

impl Default for StatePolicy {
    fn default() -> Self {
        Self {
            mode: PolicyMode::default(),
            reach: Reach::default(),
            rate_per_s: Within::constant::<500>(),
            burst: Within::constant::<500>(),
        }
    }
}
