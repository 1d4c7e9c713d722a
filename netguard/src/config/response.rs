//! What is done about attacks as a whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PolicyMode;

/// What is done about attacks that are recognised, beside what rules and limits do anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table with `mode` and a mode for each kind of measure"
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
    /// Countries, or autonomous systems, that send much of it and hardly anything in peace are held at a low rate.
    pub geo: PolicyMode,
    /// A service for which nothing else helps takes nobody new.
    pub circuit_break: PolicyMode,
    /// Whether that may be the port by which somebody is logged in by ssh, too.
    pub break_sessions: bool,
}

impl Default for Response {
    fn default() -> Self {
        let (on, shadow) = (PolicyMode::Enforce, PolicyMode::Shadow);
        Self {
            mode: on,
            limits: on,
            challenge: on,
            signatures: on,
            // They hurt honest newcomers: the operator says when.
            geo: shadow,
            circuit_break: shadow,
            break_sessions: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, PolicyMode};

    #[test]
    fn what_hurts_newcomers_is_only_told_unless_the_operator_says_so() {
        let config = Config::parse("test", "[response]\ncircuit_break = \"enforce\"\n").expect("it is one");
        let modes = (config.response.geo, config.response.circuit_break);
        assert_eq!(modes, (PolicyMode::Shadow, PolicyMode::Enforce));
        assert!(!config.response.break_sessions);
        let error = Config::parse("test", "[response]\ncircuit = \"enforce\"\n").unwrap_err();
        assert!(error.to_string().contains("circuit_break"), "{error}");
    }
}
