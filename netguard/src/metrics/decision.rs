//! What the decision endpoint counted, as families.

use super::{Family, Labels};
use crate::decision::DecisionReport;

/// What reverse proxies asked, and what they were answered.
pub(super) fn families(report: &DecisionReport) -> Vec<Family> {
    let checks = report.checks.iter().flat_map(|checks| {
        let row = |shadow: bool, count: u64| {
            let labels: Labels = vec![("answer", checks.answer.clone()), ("shadow", shadow.to_string())];
            (labels, count)
        };
        [row(false, checks.count), row(true, checks.shadow)]
    });
    let count = |name, help, value: u64| Family::count(name, help, value);
    vec![
        Family::counter(
            "netguard_decision_checks",
            "Requests that reverse proxies asked about, by answer, and by whether that was only counted (shadow)",
            checks.collect(),
        ),
        count(
            "netguard_decision_untrusted_checks",
            "Checks by somebody who is no trusted proxy, judged as its own requests",
            report.untrusted,
        ),
        count(
            "netguard_decision_unsaid_checks",
            "Checks by a trusted proxy that does not say for whom it asks",
            report.unsaid,
        ),
        count(
            "netguard_decision_reports",
            "Reports of how requests ended",
            report.reports,
        ),
        count(
            "netguard_decision_failures",
            "Reports of failures among them",
            report.failures,
        ),
        count(
            "netguard_decision_displaced_keys",
            "Buckets of limits that gave way to others while they were in use",
            report.displaced,
        ),
        Family::value(
            "netguard_decision_keys",
            "Buckets of limits that are in use",
            report.keys_used as f64,
        ),
        Family::value(
            "netguard_decision_connections",
            "Connections of reverse proxies",
            report.connections as f64,
        ),
        Family::value(
            "netguard_decision_challenges",
            "Whether clients must work before they are served",
            f64::from(u8::from(report.challenges)),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decision::AnswerCount, metrics::Rows};

    #[test]
    fn each_answer_has_two_rows() {
        let report = DecisionReport {
            checks: vec![AnswerCount {
                answer: "limited".to_owned(),
                count: 3,
                shadow: 4,
            }],
            ..DecisionReport::default()
        };
        let all = families(&report);
        let Rows::Counter(rows) = &all[0].rows else {
            panic!("{:?}", all[0]);
        };
        let told: Vec<_> = rows
            .iter()
            .map(|(labels, count)| (labels[1].1.as_str(), *count))
            .collect();
        assert_eq!(told, [("false", 3), ("true", 4)]);
    }
}
