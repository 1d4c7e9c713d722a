//! Which handshakes of TLS a service may have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The lowest version of TLS that a service may speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
pub enum TlsVersion {
    /// With cipher suites that are AEAD and have ephemeral keys (ECDHE, DHE), and no others.
    #[serde(rename = "1.2")]
    #[value(name = "1.2")]
    V1_2,
    /// Which has no other suites.
    #[default]
    #[serde(rename = "1.3")]
    #[value(name = "1.3")]
    V1_3,
}

impl TlsVersion {
    /// As TLS writes it.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::V1_2 => netguard_common::tls::TLS_1_2,
            Self::V1_3 => netguard_common::tls::TLS_1_3,
        }
    }

    /// The version that is written so; what nobody wrote is 1.3.
    #[must_use]
    pub fn of(number: u16) -> Self {
        match number {
            netguard_common::tls::TLS_1_2 => Self::V1_2,
            _ => Self::V1_3,
        }
    }

    /// As the configuration writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}
