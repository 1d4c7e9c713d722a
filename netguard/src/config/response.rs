//! What is done about attacks as a whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PolicyMode;

/// What is done about attacks that are recognised, beside what rules and limits do anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table with `mode`, `limits`, `challenge` and `signatures`"
)]
pub struct Response {
    /// Whether anything is done; in shadow it is only told.
    pub mode: PolicyMode,
    /// A service that is attacked is held at twice what it is seldom sent more than.
    pub limits: PolicyMode,
    /// Whoever opens a connection to a TCP service that is attacked must prove itself.
    pub challenge: PolicyMode,
    /// Packets that look like those of the attack, and unlike ordinary ones, are dropped.
    pub signatures: PolicyMode,
}
