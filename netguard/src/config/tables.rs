//! Sizes of the kernel's tables.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{TableSize, Within};

/// Entries the kernel tables are made for; a bigger table takes more locked memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table of table sizes")]
pub struct Tables {
    /// Blocked single addresses (IPv6: single addresses and /64 networks).
    pub block_addresses: TableSize,
    /// Blocked prefixes of any other length.
    pub block_prefixes: TableSize,
    /// Allowed prefixes of any length.
    pub allow_prefixes: TableSize,
    /// Addresses of this machine, for which it may be answered and which nobody else may use.
    pub own_addresses: TableSize,
    /// Sources and prefixes whose connections are counted.
    pub connection_holders: TableSize,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            block_addresses: Within::constant::<131_072>(),
            block_prefixes: Within::constant::<16_384>(),
            allow_prefixes: Within::constant::<4_096>(),
            own_addresses: Within::constant::<65_536>(),
            connection_holders: Within::constant::<131_072>(),
        }
    }
}
