//! Measures: what can be done about an attack, and what came of it.

use std::fmt;

pub use netguard_common::layout::Mode;
use netguard_common::signature::Signature;
use serde::{Deserialize, Serialize};

use super::{Collateral, Rung};
use crate::engine::{draft::Draft, places::Place};

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
    /// All of a country, or of an autonomous system, is held at a rate together, but for sources that have proven themselves or are known
    /// to the UDP service that they ask.
    Geo { place: Place, rate_per_s: u64 },
    /// The service takes nobody new: packets that `signature` fits are dropped, unless their source has proven itself or is known.
    CircuitBreak { service: String, signature: Signature },
}

/// The words of all of them.
pub const MEASURES: [&str; 5] = ["limit", "challenge", "signature", "geo", "circuit-break"];

impl Measure {
    /// The word that the command line and JSON use.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Limit { .. } => "limit",
            Self::Challenge { .. } => "challenge",
            Self::Signature(_) => "signature",
            Self::Geo { .. } => "geo",
            Self::CircuitBreak { .. } => "circuit-break",
        }
    }

    /// The rung that it is on; signatures stand beside the ladder.
    pub const fn rung(&self) -> Rung {
        match self {
            Self::Limit { .. } => Rung::Limit,
            Self::Challenge { .. } => Rung::Challenge,
            Self::Signature(_) => Rung::Alert,
            Self::Geo { .. } => Rung::Geo,
            Self::CircuitBreak { .. } => Rung::CircuitBreak,
        }
    }

    /// What it puts among the signatures of the datapath.
    pub fn signature(&self) -> Option<&Signature> {
        match self {
            Self::Signature(draft) => Some(&draft.signature),
            Self::CircuitBreak { signature, .. } => Some(signature),
            Self::Limit { .. } | Self::Challenge { .. } | Self::Geo { .. } => None,
        }
    }

    /// The signature, if it was drafted from packets of the attack.
    pub fn drafted(&self) -> Option<&Signature> {
        match self {
            Self::Signature(draft) => Some(&draft.signature),
            _ => None,
        }
    }

    /// The service that it is for, if it is for one.
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::Limit { service, .. }
            | Self::Challenge { service }
            | Self::CircuitBreak { service, .. } => Some(service),
            Self::Signature(_) | Self::Geo { .. } => None,
        }
    }

    /// The place that it is for, if it is for one.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Geo { place, .. } => Some(*place),
            _ => None,
        }
    }

    /// Whether both do the same about the same, whatever their numbers are.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.name() == other.name() && self.service() == other.service() && self.place() == other.place()
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
    /// What it costs others; `None` where calm times do not tell.
    pub collateral: Option<Collateral>,
    /// Packets that its signature fitted, its place was refused, or, if it is a limit or challenge in shadow, that it would have touched: in all,
    /// and a second lately; and when it last fitted enough of the attack.
    pub packets: u64,
    pub packets_per_s: f64,
    pub last_ns: u64,
    /// What is less than a packet of those that would have been touched.
    pub(super) remainder: f64,
    /// Why it only counts for now, although it is to enforce.
    pub restraint: Option<Restraint>,
    /// Since when it is under that restraint, or under none.
    pub phase_ns: u64,
}

/// Why a measure that is to enforce only counts for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restraint {
    /// A signature that has to show first that it fits the attack and nobody who is connected.
    Trial,
    /// A circuit-break that lets everybody in to see whether the flood is still there.
    HalfOpen,
}

impl Restraint {
    /// The word that JSON uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::HalfOpen => "half-open",
        }
    }

    /// In a sentence: "it ...".
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Trial => "only counts for now, to show what it fits",
            Self::HalfOpen => "only counts for now, to see whether the flood is still there",
        }
    }
}

/// What came of a measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has said yet.
    Wanted,
    InForce,
    /// It could not be taken, or not be kept.
    Failed(String),
    /// Somebody changed or removed what it had done.
    Given(String),
}

/// How long what failed is not tried again; each time twice as long as before, up to the cap.
const AGAIN_NS: u64 = 5_000_000_000;
const AGAIN_CAP_NS: u64 = 80_000_000_000;

/// Whether it is too early to try again what failed each time that `taken` tell of.
pub(super) fn is_early<'a>(taken: impl Iterator<Item = &'a Taken>, now_ns: u64) -> bool {
    let failed = taken.filter_map(|taken| taken.ended.filter(|(_, why)| *why == Why::Failed));
    let (times, last_ns) = failed.fold((0_u32, 0), |(times, last_ns), (ended_ns, _)| {
        (times + 1, ended_ns.max(last_ns))
    });
    let Some(doubled) = times.checked_sub(1) else {
        return false;
    };
    let wait_ns = AGAIN_NS.saturating_mul(1 << doubled.min(16)).min(AGAIN_CAP_NS);
    now_ns.saturating_sub(last_ns) < wait_ns
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
    /// Somebody changed what it had done: that is their word.
    Given,
    /// Somebody is logged in by the port that it closed.
    Session,
    /// Nobody looks after it any more.
    Stopped,
    /// What comes can be borne without it.
    Recovered,
    /// Its signature did not fit the attack as it was drafted to.
    Unfit,
    /// It could not be taken, or not be kept: for now.
    Failed,
}

impl Why {
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Over => "the attack is over",
            Self::Unmatched => "it fits nothing any more",
            Self::Collateral => "it fits packets of clients that are connected",
            Self::Given => "it did not last",
            Self::Session => "somebody is logged in by its port",
            Self::Stopped => "the daemon stops",
            Self::Recovered => "what comes can be borne without it",
            Self::Unfit => "it did not fit what it was drafted for",
            Self::Failed => "it could not be taken",
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
            collateral: None,
            packets: 0,
            packets_per_s: 0.0,
            last_ns: now_ns,
            remainder: 0.0,
            restraint: None,
            phase_ns: now_ns,
        }
    }

    /// A measure that somebody has just asked for, for tests of those who carry it out.
    #[cfg(test)]
    pub(crate) fn wanted(number: u64, measure: Measure, mode: Mode) -> Self {
        Self::new(number, measure, mode, 0)
    }

    /// What it may do at this moment.
    pub fn mode_now(&self) -> Mode {
        match (self.mode, self.restraint) {
            (Mode::Enforce, Some(_)) => Mode::Shadow,
            (mode, _) => mode,
        }
    }

    /// Puts it under `restraint`, or frees it.
    pub(super) fn restrain(&mut self, restraint: Option<Restraint>, now_ns: u64) {
        (self.restraint, self.phase_ns) = (restraint, now_ns);
    }

    pub fn is_wanted(&self) -> bool {
        self.ended.is_none()
    }

    /// Why it could not be taken, or not be kept.
    pub fn failure(&self) -> Option<&str> {
        match &self.standing {
            Standing::Failed(error) | Standing::Given(error) => Some(error),
            Standing::Wanted | Standing::InForce => None,
        }
    }

    pub(super) fn ended_for(&self, why: Why) -> bool {
        self.ended.is_some_and(|(_, ended)| ended == why)
    }

    pub(super) fn end(&mut self, now_ns: u64, why: Why) {
        self.ended = Some((now_ns, why));
        self.restraint = None;
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
            Self::Geo { place, rate_per_s } => write!(
                out,
                "{place} is held at {rate_per_s} packets/s, but for sources that are connected or known"
            ),
            Self::CircuitBreak { service, .. } => write!(
                out,
                "{service} takes nobody new: only sources that are connected, or known to it, are served"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_is_tried_less_often() {
        const SECOND: u64 = 1_000_000_000;
        let ended = |at_s: u64, why| {
            let service = "tcp/80".to_owned();
            let mut taken = Taken::wanted(1, Measure::Challenge { service }, Mode::Enforce);
            taken.end(at_s * SECOND, why);
            taken
        };
        let mut all = vec![ended(90, Why::Over)];
        assert!(!is_early(all.iter(), 90 * SECOND));
        for wait_s in [5, 10, 20, 40, 80, 80, 80] {
            all.push(ended(100, Why::Failed));
            assert!(is_early(all.iter(), (100 + wait_s) * SECOND - 1), "{wait_s}");
            assert!(!is_early(all.iter(), (100 + wait_s) * SECOND), "{wait_s}");
        }
    }
}
