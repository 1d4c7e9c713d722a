//! How the endpoint stands, for people and programs: what it counted, its limits, whom it refuses most.

use serde::{Deserialize, Serialize};

use super::{Answer, Decider, Now, RefusedKey};
use crate::config::{KeyPart, PolicyMode};

/// Keys that are told.
const TOP: usize = 20;

/// How the decision endpoint stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DecisionReport {
    /// `http://127.0.0.1:9465`, or the path of a socket.
    pub address: String,
    /// `enforce`, `shadow` or `off`.
    pub mode: String,
    /// What is not as it should be, in sentences.
    pub faults: Vec<String>,
    /// Checks of the last whole second.
    pub checks_per_s: u64,
    /// Whether clients must work first now.
    pub challenges: bool,
    pub checks: Vec<AnswerCount>,
    /// Checks of somebody who may not speak for others.
    pub untrusted: u64,
    /// Checks of a trusted proxy that does not say for whom.
    pub unsaid: u64,
    pub reports: u64,
    /// Reports of failures among them.
    pub failures: u64,
    /// Reports of somebody who may not report.
    pub refused_reports: u64,
    /// Buckets that are in use, those that there are, and those that had to give way to others while they were in use.
    pub keys_used: usize,
    pub keys: u32,
    pub displaced: u64,
    /// Proxies that are connected now.
    pub connections: usize,
    pub limits: Vec<LimitReport>,
    /// Whom limits refuse most.
    pub refused: Vec<RefusedKey>,
}

/// Checks that got an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerCount {
    pub answer: String,
    pub count: u64,
    /// Those that were only counted, and passed.
    pub shadow: u64,
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitReport {
    pub name: String,
    pub key: Vec<KeyPart>,
    pub interval_ns: u64,
    pub burst: u32,
}

impl DecisionReport {
    /// What is wrong, or that it is asked, in a sentence.
    pub fn sentence(&self) -> String {
        if let Some(fault) = self.faults.first() {
            let more = match self.faults.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more: `netguard decision show`)"),
            };
            return format!("decision endpoint: {fault}{more}");
        }
        let mode = if self.mode == "enforce" {
            ""
        } else {
            &format!(" ({})", self.mode)
        };
        let works = if self.challenges {
            ", clients must work first"
        } else {
            ""
        };
        format!(
            "decision endpoint at {}{mode}: {} checks/s{works}",
            self.address, self.checks_per_s
        )
    }
}

impl Decider {
    /// How it stands; who listens is for others to add.
    pub fn report(&mut self, now: Now) -> DecisionReport {
        let count = |answer: Answer| AnswerCount {
            answer: answer.name().to_owned(),
            count: self.counts.of(answer, false),
            shadow: self.counts.of(answer, true),
        };
        let limits = self.limits.iter().map(|limit| LimitReport {
            name: limit.name.clone(),
            key: limit.key.clone(),
            interval_ns: limit.pace.interval_ns,
            burst: limit.pace.burst,
        });
        DecisionReport {
            mode: match self.mode {
                PolicyMode::Off => "off",
                PolicyMode::Shadow => "shadow",
                PolicyMode::Enforce => "enforce",
            }
            .to_owned(),
            checks: Answer::ALL.map(count).into(),
            limits: limits.collect(),
            challenges: self.challenges_now(now),
            untrusted: self.counts.untrusted,
            unsaid: self.counts.unsaid,
            reports: self.counts.reports,
            failures: self.counts.failures,
            refused_reports: self.counts.refused_reports,
            keys_used: self.table.used(now.mono_ns),
            keys: self.table.keys(),
            displaced: self.table.displaced() + self.feedback.displaced(),
            refused: self.refused.top(TOP),
            checks_per_s: self.pressure.per_second(now.mono_ns),
            ..DecisionReport::default()
        }
    }
}
