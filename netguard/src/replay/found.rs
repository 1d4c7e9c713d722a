//! A source over its limits, and what came of it, as a replay tells it. Nothing is decided here.

use super::report::{Blocked, Found, Report};
use crate::{
    bpf::BpfError,
    engine::{Action, Decision, Enforced, Withheld},
};

const SECOND_NS: u64 = 1_000_000_000;
/// Findings that are told one by one.
const FINDINGS: usize = 1_000;

/// Adds what became of a finding, `at_ms` after the first frame, to `report`.
pub(super) fn tell(report: &mut Report, decision: &Decision, outcome: &Enforced<BpfError>, at_ms: u64) {
    let finding = &decision.finding;
    let verdict = finding.cause.name().to_owned();
    let over_for_ms = finding.over_for_ns / 1_000_000;
    let outcome = match (&decision.action, outcome) {
        (Action::Block { prefix, .. }, Enforced::Failed(error)) => {
            format!("{prefix} is not blocked: {error}")
        }
        (Action::Block { prefix, ttl_ns }, _) => {
            let for_s = ttl_ns / SECOND_NS;
            report.blocked.push(Blocked {
                at_ms,
                prefix: *prefix,
                for_s,
                verdict: verdict.clone(),
                dropped: finding.dropped,
                over_for_ms,
            });
            format!("{prefix} is blocked for {for_s} s")
        }
        (Action::Withhold(Withheld::Unproven), _) => {
            "not blocked: no connection in the capture proves its address, which may be forged".to_owned()
        }
        (Action::Withhold(Withheld::Guarded { prefix, kind }), _) => {
            format!("not blocked: {prefix} is guarded, it is {}", kind.describe())
        }
        (Action::Withhold(why), _) => format!("not blocked: {}", why.describe()),
    };
    if report.findings.len() >= FINDINGS {
        report.findings_untold += 1;
        return;
    }
    report.findings.push(Found {
        at_ms,
        source: decision
            .network
            .map_or(finding.source, |(network, _)| network.address()),
        verdict,
        dropped: finding.dropped,
        over_for_ms,
        outcome,
    });
}
