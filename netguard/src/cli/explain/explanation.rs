//! What is told of a source, made of what is known of it.

use netguard_common::rule::Origin;
use serde::Serialize;

use super::{
    super::rules::{Listed, listed},
    connections::Holding,
    facts::Facts,
    http,
    stages::{Stage, stages, verdict},
    undo::undo,
};
use crate::{
    bpf::{Entry, List},
    daemon::{ListMatch, SourceReputation},
};

#[derive(Serialize)]
pub(super) struct Explanation {
    pub(super) address: String,
    /// The verdict on a well-formed packet of this source now; `unknown` where lists decide that nobody can look at.
    pub(super) verdict: String,
    /// What each stage of the datapath does to it now, in their order.
    pub(super) stages: Vec<Stage>,
    /// Why the lists could not be looked at.
    pub(super) lists_unknown: Option<String>,
    /// From 0, neutral, to 100, surely harmful; `null` where nobody keeps scores: no daemon runs, or `reputation.mode` is off.
    score: Option<u8>,
    /// `handshake` when the source has an established TCP connection with this machine, else `none`.
    pub(super) proof: &'static str,
    pub(super) evidence: Vec<String>,
    /// What the score is made of, how often the source was blocked, and why it is not.
    pub(super) reputation: Option<SourceReputation>,
    /// Campaigns that it is a source of, the newest first.
    campaigns: Vec<u64>,
    pub(super) rules: Vec<RuleMatch>,
    pub(super) limits: Vec<LimitUse>,
    /// TCP connections that it holds, and its prefix, as the kernel counts them.
    connections: Vec<Holding>,
    /// What it asks services for in the clear, of late.
    http: Option<http::SourceReport>,
    /// Commands that change the verdict.
    pub(super) undo: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct RuleMatch {
    pub(super) list: &'static str,
    #[serde(flatten)]
    pub(super) rule: Listed,
}

#[derive(Serialize)]
pub(super) struct LimitUse {
    pub(super) class: &'static str,
    /// Whose packets count together: of the `source`, or of its `prefix`.
    pub(super) level: &'static str,
    pub(super) rate_per_s: u64,
    pub(super) burst: u64,
    pub(super) used: u64,
    /// By what it is divided because of the score of the source; 1: not at all. `rate_per_s` and `burst` are what is left.
    divisor: u32,
}

impl Explanation {
    pub(super) fn of(facts: Facts) -> Self {
        let stages = stages(&facts);
        let evidence = evidence(&facts);
        let (report, now_ns) = (facts.report, facts.now_ns);
        // Whoever a rule blocks is not to be told why it is not.
        let is_blocked = facts.matching.iter().any(|(list, _)| *list == List::Block);
        let told = |reputation: SourceReputation| SourceReputation {
            not_blocked: reputation.not_blocked.filter(|_| !is_blocked),
            ..reputation
        };
        let rules = |(list, entry): (List, Entry)| RuleMatch {
            list: list.name(),
            rule: listed(entry, now_ns),
        };
        Self {
            address: facts.address.to_string(),
            verdict: verdict(&stages),
            stages,
            lists_unknown: report.lists_unknown,
            score: report.reputation.as_ref().map(|reputation| reputation.score),
            reputation: report.reputation.map(told),
            campaigns: report.campaigns,
            proof: if facts.connections > 0 {
                "handshake"
            } else {
                "none"
            },
            evidence,
            connections: facts.holdings,
            http: report.http,
            undo: undo(facts.address, &facts.matching, &report.lists, &facts.levels),
            rules: facts.matching.into_iter().map(rules).collect(),
            limits: facts
                .levels
                .iter()
                .map(|level| LimitUse {
                    class: level.class.name(),
                    level: if level.of_prefix { "prefix" } else { "source" },
                    rate_per_s: level.rate_per_s,
                    burst: level.burst,
                    used: level.used,
                    divisor: level.divisor,
                })
                .collect(),
        }
    }
}

/// Whether a detector put it on the blocklist.
pub(super) fn blocked_by_detector(matching: &[(List, Entry)]) -> bool {
    matching
        .iter()
        .any(|(list, entry)| *list == List::Block && entry.rule.origin == Origin::Detector as u8)
}

fn evidence(facts: &Facts) -> Vec<String> {
    let report = &facts.report;
    let mut evidence = report.evidence.clone();
    if facts.connections > 0 {
        let of = report.connections_of.filter(|prefix| !prefix.is_host());
        let of = of.map_or_else(String::new, |prefix| format!(" of {prefix}"));
        evidence.push(format!(
            "{} established TCP connections{of} with this machine now",
            facts.connections
        ));
    }
    if facts.is_proven {
        evidence.push("its address is proven: it is served first when a UDP service is flooded".to_owned());
    }
    evidence.extend(facts.holdings.iter().filter_map(Holding::sentence));
    evidence.extend(report.http.iter().filter_map(http::sentence));
    evidence.extend(report.guarded.clone());
    if blocked_by_detector(&facts.matching) {
        evidence.push(
            "a detector's block spares TCP packets that open nothing: connections that stand go on"
                .to_owned(),
        );
    }
    evidence.extend(report.lists.iter().map(on_list));
    evidence.extend(report.measures.clone());
    let signatures = facts.signatures.len();
    if signatures > 0 {
        evidence.push(format!(
            "signatures in force: {signatures}; they judge packets, whosever they are (`netguard signature list`)"
        ));
    }
    evidence
}

fn on_list(list: &ListMatch) -> String {
    match list.kind.as_str() {
        "feed" => format!("it is on the feed {} (`netguard feed list`)", list.name),
        "held-country" | "held-asn" => {
            let held = if list.shadow {
                "would be held (`response.geo` is in shadow)"
            } else {
                "is held"
            };
            format!(
                "it belongs to {}, which {held} at a rate because of an attack, beyond which only sources pass that are connected or known \
                 (`netguard attacks list`)",
                list.name
            )
        }
        "default" => "it lies in no place that the configuration names".to_owned(),
        kind => format!("it belongs to {kind} {} (`netguard feed list`)", list.name),
    }
}
