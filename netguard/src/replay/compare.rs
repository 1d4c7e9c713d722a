//! Two replays of one capture under two configurations: what differs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Honest, Report};
use crate::prefix::Prefix;

/// What differs; `first` and `second` in the order of the configurations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Verdicts that were given to unlike numbers of packets.
    pub verdicts: Vec<Difference>,
    pub passed: Pair,
    pub dropped: Pair,
    /// Blocked under the first configuration only.
    pub blocked_by_first: Vec<Prefix>,
    pub blocked_by_second: Vec<Prefix>,
    pub honest: [Honest; 2],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub name: String,
    pub first: u64,
    pub second: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    pub first: u64,
    pub second: u64,
}

/// Compares two reports of one capture.
pub fn compare(first: &Report, second: &Report) -> Comparison {
    let mut sums: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for (index, report) in [first, second].into_iter().enumerate() {
        for verdict in &report.verdicts {
            sums.entry(&verdict.name).or_default()[index] = verdict.packets;
        }
    }
    let differing = sums.into_iter().filter(|(_, [first, second])| first != second);
    let blocked = |report: &Report| -> BTreeSet<Prefix> {
        report.blocked.iter().map(|blocked| blocked.prefix).collect()
    };
    let (before, after) = (blocked(first), blocked(second));
    let pair = |of: fn(&Report) -> u64| Pair {
        first: of(first),
        second: of(second),
    };
    Comparison {
        verdicts: differing
            .map(|(name, [first, second])| Difference {
                name: name.to_owned(),
                first,
                second,
            })
            .collect(),
        passed: pair(|report| report.timeline.iter().map(|second| second.passed).sum()),
        dropped: pair(|report| report.timeline.iter().map(|second| second.dropped).sum()),
        blocked_by_first: before.difference(&after).copied().collect(),
        blocked_by_second: after.difference(&before).copied().collect(),
        honest: [first.honest, second.honest],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{Blocked, VerdictCount};

    fn report(verdicts: &[(&str, u64)], blocked: &[&str]) -> Report {
        Report {
            verdicts: verdicts
                .iter()
                .map(|(name, packets)| VerdictCount {
                    name: (*name).to_owned(),
                    action: "drop".to_owned(),
                    packets: *packets,
                    bytes: 0,
                })
                .collect(),
            blocked: blocked
                .iter()
                .map(|prefix| Blocked {
                    at_ms: 0,
                    prefix: prefix.parse().unwrap(),
                    for_s: 60,
                    verdict: "limit-udp".to_owned(),
                    dropped: 1,
                    over_for_ms: 1,
                })
                .collect(),
            ..Report::default()
        }
    }

    #[test]
    fn only_what_differs_is_told() {
        let first = report(&[("pass", 5), ("limit-syn", 3)], &["192.0.2.1", "192.0.2.2"]);
        let second = report(&[("pass", 5), ("limit-udp", 7)], &["192.0.2.2", "192.0.2.3"]);
        let compared = compare(&first, &second);
        let told: Vec<_> = compared
            .verdicts
            .iter()
            .map(|verdict| (verdict.name.as_str(), verdict.first, verdict.second))
            .collect();
        assert_eq!(told, [("limit-syn", 3, 0), ("limit-udp", 0, 7)]);
        assert_eq!(compared.blocked_by_first, ["192.0.2.1".parse().unwrap()]);
        assert_eq!(compared.blocked_by_second, ["192.0.2.3".parse().unwrap()]);
        let same = compare(&first, &first);
        assert!(
            same.verdicts.is_empty() && same.blocked_by_first.is_empty() && same.blocked_by_second.is_empty()
        );
    }
}
