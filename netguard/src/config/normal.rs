//! How often it is written down what is normal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Period;

/// What is normal, as it was learnt from calm traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table with `save_every`")]
pub struct Normal {
    /// How much of it a crash can cost.
    pub save_every: Period,
}

impl Default for Normal {
    fn default() -> Self {
        Self {
            save_every: Period::constant::<300>(),
        }
    }
}
