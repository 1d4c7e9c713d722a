//! What is said to services in the clear: which ports are listened to, and from what on a source does harm.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Limit, PolicyMode, Ports, RatePerSecond, Within};
use crate::{
    engine::l7::{self, settings},
    l7 as conversations,
};

/// Requests of HTTP and hellos of TLS, as they are read beside the network stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table of settings for HTTP")]
pub struct Http {
    /// What happens to sources that do harm. "off": nothing is listened to.
    pub mode: PolicyMode,
    /// TCP ports that are listened to beside those where something listens.
    pub ports: Ports<64>,
    /// Requests of one source.
    pub requests: Limit,
    /// Requests of one source for one route.
    pub endpoint: Limit,
    /// Handshakes of TLS that one source begins.
    pub hellos: Limit,
    /// Headers of a request.
    pub headers: Within<1, 1_000>,
    /// Bytes of the head of a request.
    pub head_bytes: Within<512, 16_384>,
    /// Bytes of the body of a request; 0: any number.
    pub body_bytes: Within<0, { u32::MAX }>,
    /// Milliseconds of answers a second that one source may cause, while it causes most of them; 0: any number.
    pub cost_ms_per_s: Within<0, 1_000_000>,
    /// Requests that are read a second on each CPU; of more, one stands for many.
    pub read_per_s: RatePerSecond,
}

/// What a service speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Speaks {
    /// HTTP in the clear.
    Http,
    /// TLS.
    Tls,
    /// Neither: nothing of it is read.
    Other,
}

impl Default for Http {
    fn default() -> Self {
        let limit = |rate_per_s: RatePerSecond, burst: RatePerSecond| Limit { rate_per_s, burst };
        Self {
            mode: PolicyMode::Off,
            ports: Ports::default(),
            requests: limit(Within::constant::<200>(), Within::constant::<1_000>()),
            endpoint: limit(Within::constant::<100>(), Within::constant::<500>()),
            hellos: limit(Within::constant::<20>(), Within::constant::<100>()),
            headers: Within::constant::<100>(),
            head_bytes: Within::constant::<16_384>(),
            body_bytes: Within::constant::<0>(),
            cost_ms_per_s: Within::constant::<2_000>(),
            read_per_s: Within::constant::<4_000>(),
        }
    }
}

impl Http {
    /// From what on a source does harm.
    #[must_use]
    pub fn offences(&self) -> l7::Settings {
        let (requests, endpoint, hellos) = (self.requests, self.endpoint, self.hellos);
        l7::Settings {
            requests: settings::Pace {
                per_s: requests.rate_per_s.value(),
                burst: requests.burst.value(),
            },
            endpoint: settings::Endpoint {
                per_s: endpoint.rate_per_s.value(),
                burst: endpoint.burst.value(),
            },
            hellos: settings::Hellos {
                per_s: hellos.rate_per_s.value(),
                burst: hellos.burst.value(),
                ..settings::Hellos::default()
            },
            cost: settings::Cost {
                ms_per_s: match self.cost_ms_per_s.value() {
                    0 => u32::MAX,
                    most => most,
                },
                ..settings::Cost::default()
            },
            ..l7::Settings::default()
        }
    }

    /// How much of a conversation is looked at, where `speaks` says what services speak.
    #[must_use]
    pub fn limits(&self, speaks: impl Iterator<Item = (u16, Speaks)>) -> conversations::Limits {
        let protocol = |speaks| match speaks {
            Speaks::Http => conversations::Protocol::Http,
            Speaks::Tls => conversations::Protocol::Tls,
            Speaks::Other => conversations::Protocol::Other,
        };
        conversations::Limits {
            head_bytes: self.head_bytes.value() as usize,
            // At most a thousand.
            headers: self.headers.value().try_into().unwrap_or(u16::MAX),
            body_bytes: self.body_bytes.value().into(),
            services: speaks.map(|(port, speaks)| (port, protocol(speaks))).collect(),
            ..conversations::Limits::default()
        }
    }
}
