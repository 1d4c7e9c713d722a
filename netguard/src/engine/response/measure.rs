//! Measures: what can be done about an attack, and what came of it.

use std::fmt;

pub use netguard_common::layout::Mode;
use netguard_common::signature::Signature;
use serde::{Deserialize, Serialize};

use crate::engine::draft::Draft;

/// What can be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// What a service is sent (for TCP: asked for connections) is held at a rate, for all sources together; known clients of a UDP
    /// service come first, and who asks a TCP service beyond it must prove itself.
    Limit { service: String, rate_per_s: u64 },
    /// Whoever opens a connection to this TCP service must prove itself.
    Challenge { service: String },
    /// Packets like those of the attack are dropped.
    Signature(Draft),
}

impl Measure {
    /// The word that the command line and JSON use.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Limit { .. } => "limit",
            Self::Challenge { .. } => "challenge",
            Self::Signature(_) => "signature",
        }
    }

    pub fn signature(&self) -> Option<&Signature> {
        match self {
            Self::Signature(draft) => Some(&draft.signature),
            Self::Limit { .. } | Self::Challenge { .. } => None,
        }
    }

    /// The service that it is for, if it is for one.
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::Limit { service, .. } | Self::Challenge { service } => Some(service),
            Self::Signature(_) => None,
        }
    }
}

/// A measure that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// Of all measures, in their order.
    pub number: u64,
    pub measure: Measure,
    /// Shadow: it is only counted, or told.
    pub mode: Mode,
    pub begun_ns: u64,
    /// When it ended, and why.
    pub ended: Option<(u64, Why)>,
    pub standing: Standing,
    /// Packets that its signature fitted, in all, and a second lately; and when it last fitted enough of the attack.
    pub packets: u64,
    pub packets_per_s: f64,
    pub last_ns: u64,
}

/// What came of a measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has said yet.
    Wanted,
    InForce,
    /// It could not be taken, or not be kept.
    Failed(String),
}

/// Why a measure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The attack is over, and so is the time after it.
    Over,
    /// Its signature fits nothing any more.
    Unmatched,
    /// Its signature fits packets of sources that have proven themselves.
    Collateral,
    /// Somebody changed what it had done, or it could not be done.
    Given,
    /// Nobody looks after it any more.
    Stopped,
}

impl Why {
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Over => "the attack is over",
            Self::Unmatched => "it fits nothing any more",
            Self::Collateral => "it fits packets of clients that are connected",
            Self::Given => "it did not last",
            Self::Stopped => "the daemon stops",
        }
    }
}

impl Taken {
    pub(super) fn new(number: u64, measure: Measure, mode: Mode, now_ns: u64) -> Self {
        Self {
            number,
            measure,
            mode,
            begun_ns: now_ns,
            ended: None,
            standing: Standing::Wanted,
            packets: 0,
            packets_per_s: 0.0,
            last_ns: now_ns,
        }
    }

    pub fn is_wanted(&self) -> bool {
        self.ended.is_none()
    }

    /// Why it could not be taken, or not be kept.
    pub fn failure(&self) -> Option<&str> {
        match &self.standing {
            Standing::Failed(error) => Some(error),
            Standing::Wanted | Standing::InForce => None,
        }
    }

    pub(super) fn ended_for(&self, why: Why) -> bool {
        self.ended.is_some_and(|(_, ended)| ended == why)
    }

    pub(super) fn end(&mut self, now_ns: u64, why: Why) {
        self.ended = Some((now_ns, why));
        self.packets_per_s = 0.0;
    }

    pub(super) fn count(&mut self, packets: u64, ns: u64) {
        self.packets = self.packets.saturating_add(packets);
        self.packets_per_s = if ns == 0 {
            0.0
        } else {
            packets as f64 * 1e9 / ns as f64
        };
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { service, rate_per_s } => {
                let what = if service.starts_with("tcp/") {
                    "connection attempts"
                } else {
                    "packets"
                };
                write!(out, "{service} is held at {rate_per_s} {what}/s")
            }
            Self::Challenge { service } => {
                write!(out, "who opens a connection to {service} must prove itself")
            }
            Self::Signature(draft) => write!(
                out,
                "packets with {} are dropped: {:.1} % of the attack, {} of {} ordinary packets to the port and {} of {} others like them",
                crate::signature::conditions(&draft.signature).join(" "),
                100.0 * draft.covers.part(),
                draft.collateral.hits,
                draft.collateral.of,
                draft.elsewhere.hits,
                draft.elsewhere.of
            ),
        }
    }
}
