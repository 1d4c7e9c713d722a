//! What is done about an attack, as it is told over the control socket; and packets of it.

use serde::{Deserialize, Serialize};

use super::attacks::told;
use crate::engine::{
    detect::Class,
    response::{Collateral, Course, Mode, ResponseSettings, Taken, Why, nothing_to_do},
};

/// What is done about an attack, and was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResponseReport {
    /// How far up the ladder it is: `alert`, `limit`, `challenge`, `geo` or `circuit-break`; empty where nothing is to be done.
    pub rung: String,
    /// In the order in which they were taken.
    pub measures: Vec<MeasureReport>,
    /// Why no signature was found when one was last looked for.
    pub no_signature: Option<String>,
    /// Other measures that were not taken when it was their turn last, and why.
    #[serde(default)]
    pub withheld: Vec<WithheldReport>,
    /// Why there is no measure against attacks of its class: what refuses them anyway, or what an operator can do.
    #[serde(default)]
    pub no_measure: Option<String>,
    /// Packets of it that can be looked at, see `netguard attacks packets`.
    pub packets_seen: usize,
}

/// A measure that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithheldReport {
    /// `limit`, `geo` or `circuit-break`.
    pub measure: String,
    /// A sentence.
    pub why: String,
}

/// One measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasureReport {
    /// `limit`, `challenge`, `signature`, `geo` or `circuit-break`.
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
    /// What it only counts for at the moment, although it is to drop packets: `trial` or `half-open`.
    #[serde(default)]
    pub restraint: Option<String>,
    /// What it costs those who mean no harm, as calm times tell; `None` where they do not.
    #[serde(default)]
    pub collateral: Option<CollateralReport>,
    /// Packets that its signature fitted, that its place was refused, or, of a limit or challenge in shadow, that it would have refused or
    /// challenged: in all, and a second lately.
    pub packets: u64,
    pub packets_per_s: u64,
}

/// How much of ordinary traffic a measure touches, at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CollateralReport {
    /// `packets` that a signature fits, those of a `place`, `seconds` in which a limit would have been exceeded, `connections` that have to
    /// prove themselves, or `newcomers`.
    pub touches: String,
    /// 0 to 1.
    pub part: f64,
    /// Packets, where such were counted: those that it fits, and how many were held against it.
    pub hits: Option<usize>,
    pub of: Option<usize>,
    /// A sentence.
    pub what: String,
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
    /// What `course`, if there is one, does about an attack of `class`.
    pub(super) fn of(class: Class, course: Option<&Course>, settings: &ResponseSettings) -> Self {
        let no_measure = nothing_to_do(class, settings).map(str::to_owned);
        let Some(course) = course else {
            return Self {
                no_measure,
                ..Self::default()
            };
        };
        let withheld = course.withheld.iter().map(|(measure, why)| WithheldReport {
            measure: (*measure).to_owned(),
            why: why.to_string(),
        });
        Self {
            no_measure,
            withheld: withheld.collect(),
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
            restraint: taken.restraint.map(|restraint| restraint.name().to_owned()),
            collateral: taken.collateral.as_ref().map(CollateralReport::of),
            packets: taken.packets,
            packets_per_s: taken.packets_per_s as u64,
        }
    }
}

impl CollateralReport {
    fn of(collateral: &Collateral) -> Self {
        Self {
            touches: collateral.touches.name().to_owned(),
            part: collateral.part,
            hits: collateral.counted.map(|share| share.hits),
            of: collateral.counted.map(|share| share.of),
            what: collateral.to_string(),
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
