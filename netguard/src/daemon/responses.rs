//! What is done about an attack, as it is told over the control socket; and packets of it.

use serde::{Deserialize, Serialize};

use super::attacks::told;
use crate::engine::response::{Course, Mode, Taken, Why};

/// What is done about an attack, and was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResponseReport {
    /// How far up the ladder it is: `alert`, `limit` or `challenge`; empty where nothing is to be done.
    pub rung: String,
    /// In the order in which they were taken.
    pub measures: Vec<MeasureReport>,
    /// Why no signature was found when one was last looked for.
    pub no_signature: Option<String>,
    /// Packets of it that can be looked at, see `netguard attacks packets`.
    pub packets_seen: usize,
}

/// One measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasureReport {
    /// `limit`, `challenge` or `signature`.
    pub measure: String,
    /// A sentence.
    pub what: String,
    /// Whether it is only counted or told.
    pub shadow: bool,
    pub since: String,
    /// `None` while it is wanted.
    pub until: Option<String>,
    /// Why it ended.
    pub why: Option<Why>,
    /// Why it could not be taken, or not be kept.
    pub error: Option<String>,
    /// Packets that its signature fitted, in all, and a second lately.
    pub packets: u64,
    pub packets_per_s: u64,
}

/// The beginning of a packet: an element of the answer of `GET /v1/attacks/{id}/packets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketReport {
    /// When it came, RFC 3339, UTC.
    pub at: String,
    /// Its length, in bytes.
    pub length: u32,
    pub verdict: String,
    /// Its first bytes, from the Ethernet header on, as hexadecimal digits.
    pub bytes: String,
}

impl ResponseReport {
    pub(super) fn of(course: &Course) -> Self {
        Self {
            rung: course.rung().name().to_owned(),
            measures: course.taken.iter().map(MeasureReport::of).collect(),
            no_signature: course.no_signature.map(|why| why.to_string()),
            packets_seen: course.samples.len(),
        }
    }
}

impl MeasureReport {
    fn of(taken: &Taken) -> Self {
        Self {
            measure: taken.measure.name().to_owned(),
            what: taken.measure.to_string(),
            shadow: taken.mode == Mode::Shadow,
            since: told(taken.begun_ns),
            until: taken.ended.map(|(at_ns, _)| told(at_ns)),
            why: taken.ended.map(|(_, why)| why),
            error: taken.failure().map(str::to_owned),
            packets: taken.packets,
            packets_per_s: taken.packets_per_s as u64,
        }
    }
}

impl PacketReport {
    /// Those of `course`, the oldest first.
    pub fn all(course: &Course) -> Vec<Self> {
        let reports = course.samples.iter().map(|seen| {
            let head = &seen.head;
            let kept = head.bytes.iter().take(usize::from(head.captured));
            Self {
                at: told(head.at_ns),
                length: head.frame_len,
                verdict: seen.verdict.name().to_owned(),
                bytes: kept.map(|byte| format!("{byte:02x}")).collect(),
            }
        });
        reports.collect()
    }
}
