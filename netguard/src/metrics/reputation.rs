//! What is remembered of sources, and what findings led to, as families.

use super::{Family, Labels};
use crate::engine::Reputation;

/// Nothing here is by source: there can be a million.
pub(super) fn families(reputation: &Reputation) -> Vec<Family> {
    let (remembered, displaced) = reputation.counts();
    let outcomes = reputation.outcomes().map(|(outcome, count)| {
        let labels: Labels = vec![("outcome", outcome.to_owned())];
        (labels, count)
    });
    vec![
        Family::value(
            "netguard_reputation_sources",
            "Sources of which something is remembered",
            remembered as f64,
        ),
        Family::count(
            "netguard_reputation_displaced_sources",
            "Sources that were forgotten to make room",
            displaced,
        ),
        Family::value(
            "netguard_reputation_throttled_sources",
            "Sources whose limits are divided because of their score",
            reputation.throttled() as f64,
        ),
        Family::counter(
            "netguard_reputation_decisions",
            "Findings about sources and their networks, by what they led to: blocked, or why not",
            outcomes.collect(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::reputation::Settings, metrics::Rows};

    #[test]
    fn each_outcome_has_a_row() {
        let mut reputation = Reputation::new(Settings::default(), 0, 7);
        reputation.count("blocked");
        reputation.count("busy");
        reputation.count("busy");
        let all = families(&reputation);
        let Rows::Counter(rows) = &all[3].rows else {
            panic!("{:?}", all[3]);
        };
        let mut told: Vec<_> = rows
            .iter()
            .map(|(labels, count)| (labels[0].1.as_str(), *count))
            .collect();
        told.sort_unstable();
        assert_eq!(told, [("blocked", 1), ("busy", 2)]);
    }
}
