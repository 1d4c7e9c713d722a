//! Attacks as they are told: over the control socket, with the wall clock, and as events. What is one, the engine says.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{EventKind, State, responses::ResponseReport};
use crate::{
    clock::{monotonic_ns, wall_clock_before},
    engine::{
        Attack, Campaigns, Change, Controller,
        attack::SourceSpread,
        detect::{Class, Evidence},
        response::Responder,
    },
};

/// Sources told of an attack.
const SOURCES_TOLD: usize = 20;

/// Answer of `GET /v1/attacks/{id}`, and an element of that of `GET /v1/attacks`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttackReport {
    pub id: u64,
    pub class: Class,
    /// The class in a sentence.
    pub what: String,
    /// Whether somebody means harm: not in a flash crowd.
    pub harmful: bool,
    /// RFC 3339, UTC.
    pub began: String,
    /// `None` while it goes on.
    pub ended: Option<String>,
    pub lasted_s: u64,
    /// From the beginning of the window in which it was noticed.
    pub detected_after_ms: u64,
    /// How often it began: more than once when it comes in pulses.
    pub pulses: u32,
    pub packets: u64,
    pub peak_packets_per_s: u64,
    /// What spoke for it at its peak, or when it began.
    pub evidence: Vec<Evidence>,
    /// Services that were sent most at its peak.
    pub services: Vec<AttackedService>,
    /// Sources whose packets were dropped, those that sent most first; forged where they did not prove themselves.
    pub sources: Vec<AttackSource>,
    pub sources_seen: usize,
    /// How many sources it comes from: `single`, `several` or `distributed`; `None` where nothing tells.
    #[serde(default)]
    pub spread: Option<SourceSpread>,
    pub timeline: Vec<AttackPoint>,
    /// The campaign that it is part of, if it is.
    #[serde(default)]
    pub campaign: Option<u64>,
    /// What is done about it, and was.
    #[serde(default)]
    pub response: ResponseReport,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackedService {
    pub service: String,
    pub packets_per_s: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackSource {
    /// An IPv4 address or an IPv6 /64.
    pub source: String,
    /// Dropped packets that samples stand for.
    pub packets: u64,
}

/// A stretch of the timeline, until the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackPoint {
    pub at: String,
    pub packets: u64,
}

impl AttackReport {
    /// Those that `controller` knows, the newest first, with what `responder` did.
    pub fn all(controller: &Controller, responder: &Responder, campaigns: &Campaigns) -> Vec<Self> {
        let attacks = controller.tracker().attacks().iter().rev();
        attacks
            .map(|attack| Self::of(attack, responder, campaigns))
            .collect()
    }

    pub fn of(attack: &Attack, responder: &Responder, campaigns: &Campaigns) -> Self {
        let until_ns = attack.ended_ns.unwrap_or(attack.last_ns);
        let evidence = if attack.at_peak.is_empty() {
            &attack.evidence
        } else {
            &attack.at_peak
        };
        let offenders = attack.offenders();
        Self {
            id: attack.id,
            class: attack.class,
            what: attack.class.describe().to_owned(),
            harmful: attack.class.is_attack(),
            began: told(attack.begun_ns),
            ended: attack.ended_ns.map(told),
            lasted_s: until_ns.saturating_sub(attack.begun_ns) / 1_000_000_000,
            detected_after_ms: attack.detected_ns.saturating_sub(attack.begun_ns) / 1_000_000,
            pulses: attack.pulses,
            packets: attack.packets as u64,
            peak_packets_per_s: attack.peak as u64,
            evidence: evidence.clone(),
            services: attack
                .services
                .iter()
                .map(|(service, packets)| AttackedService {
                    service: service.clone(),
                    packets_per_s: *packets as u64,
                })
                .collect(),
            sources_seen: offenders.len(),
            spread: attack.spread(),
            sources: offenders
                .into_iter()
                .take(SOURCES_TOLD)
                .map(|(account, packets)| AttackSource {
                    source: account.to_string(),
                    packets,
                })
                .collect(),
            timeline: attack
                .timeline
                .iter()
                .map(|point| AttackPoint {
                    at: told(point.at_ns),
                    packets: point.packets as u64,
                })
                .collect(),
            campaign: campaigns.of_attack(attack.id).map(|campaign| campaign.id),
            response: ResponseReport::of(attack.class, responder.course(attack.id), responder.settings()),
        }
    }
}

/// When `at_ns` of the monotonic clock was, as RFC 3339.
pub(super) fn told(at_ns: u64) -> String {
    let ago = Duration::from_nanos(monotonic_ns().saturating_sub(at_ns));
    wall_clock_before(ago).unwrap_or_default()
}

/// Records what changed.
pub(super) fn tell(state: &State, changes: &[Change]) {
    for change in changes {
        let (Change::Begun(id) | Change::Resumed(id) | Change::Ended(id)) = *change;
        let report = {
            let (controller, responder) = (state.controller(), state.responder());
            let campaigns = state.campaigns();
            let attack = controller.tracker().attack(id);
            attack.map(|attack| AttackReport::of(attack, &responder, &campaigns))
        };
        let Some(report) = report else {
            continue;
        };
        let class = report.class.name().to_owned();
        let packets_per_s = report.peak_packets_per_s;
        state.journal.record(match change {
            Change::Begun(_) => {
                let after_ns = report.detected_after_ms.saturating_mul(1_000_000);
                state.figures.attack_begun(report.class, after_ns);
                if report.harmful {
                    warn!(id, class, packets_per_s, "attack: {}", report.what);
                } else {
                    info!(id, class, packets_per_s, "no attack: {}", report.what);
                }
                EventKind::AttackBegun {
                    id,
                    class,
                    packets_per_s,
                    evidence: report.evidence.iter().map(sentence).collect(),
                }
            }
            Change::Resumed(_) => {
                state.figures.attack_resumed(report.class);
                EventKind::AttackResumed {
                    id,
                    class,
                    pulses: report.pulses,
                }
            }
            Change::Ended(_) => {
                info!(id, class, packets = report.packets, "attack is over");
                EventKind::AttackEnded {
                    id,
                    class,
                    lasted_s: report.lasted_s,
                    packets: report.packets,
                    peak_packets_per_s: packets_per_s,
                }
            }
        });
    }
}

/// `connection attempts/s: 5000 (suspicious from 500 on; usually up to 120)`
pub fn sentence(evidence: &Evidence) -> String {
    let Evidence {
        what,
        value,
        threshold,
        usual,
    } = evidence;
    let usual = usual.map_or_else(String::new, |usual| format!("; usually {}", number(usual)));
    format!(
        "{what}: {} (threshold {}{usual})",
        number(*value),
        number(*threshold)
    )
}

fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}
