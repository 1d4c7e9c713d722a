//! Which rules of a trie hide which: it answers with the longest prefix only, so a rule that ends early must not hide a
//! wider one that lasts longer. Permanent rules hide nothing of worth.

use netguard_common::layout::Rule;

use super::{BpfError, storage::Storage};
use crate::prefix::Prefix;

/// The wider prefix of the same trie whose rule lasts at least as long as `rule` would; none in hashes, which hold one
/// length only.
pub(super) fn covered_by(storage: &Storage, prefix: Prefix, rule: &Rule) -> Result<Option<Prefix>, BpfError> {
    if !storage.is_trie() {
        return Ok(None);
    }
    for bits in (0..prefix.bits()).rev() {
        match storage.get(prefix, u32::from(bits))? {
            None => return Ok(None),
            // The match may be shorter than `bits`; its own length is found when the next look-up differs.
            Some(wider) if outlasts(&wider, rule) => {
                let next = match bits {
                    0 => None,
                    _ => storage.get(prefix, u32::from(bits) - 1)?,
                };
                if next != Some(wider) {
                    return Ok(Prefix::truncated(prefix.address(), bits));
                }
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

/// Prefixes among `entries` that lie in a wider one which outlasts them.
pub(super) fn hidden(mut entries: Vec<(Prefix, Rule)>) -> Vec<Prefix> {
    // In this order a prefix comes right after those that cover it.
    entries.sort_by_key(|(prefix, _)| (prefix.address(), prefix.bits()));
    // A trie that changes while it is read can tell an entry twice, and none hides itself.
    entries.dedup_by_key(|(prefix, _)| *prefix);
    let mut hidden = Vec::new();
    let mut covering: Vec<(Prefix, Rule)> = Vec::new();
    for (prefix, rule) in entries {
        while covering.last().is_some_and(|(wider, _)| !wider.covers(&prefix)) {
            covering.pop();
        }
        if !rule.is_permanent() && covering.iter().any(|(_, wider)| outlasts(wider, &rule)) {
            hidden.push(prefix);
        } else {
            covering.push((prefix, rule));
        }
    }
    hidden
}

/// Whether `long` holds at least as long as `short`.
pub(super) fn outlasts(long: &Rule, short: &Rule) -> bool {
    long.is_permanent() || (!short.is_permanent() && long.expires_at >= short.expires_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().expect("a prefix")
    }

    #[test]
    fn a_permanent_rule_outlasts_all() {
        let rule = |expires_at| Rule {
            expires_at,
            reason: 0,
            origin: 0,
            proof: 0,
        };
        assert!(outlasts(&rule(0), &rule(9)));
        assert!(!outlasts(&rule(9), &rule(0)));
        assert!(outlasts(&rule(9), &rule(9)));
        assert!(!outlasts(&rule(8), &rule(9)));
    }

    #[test]
    fn a_wider_rule_that_lasts_longer_hides_nothing_of_worth() {
        let rule = |expires_at| Rule {
            expires_at,
            reason: 0,
            origin: 0,
            proof: 0,
        };
        let entries = vec![
            (prefix("10.0.0.0/8"), rule(9)),
            (prefix("10.1.0.0/16"), rule(5)),
            (prefix("10.1.2.0/24"), rule(0)),
            (prefix("10.1.2.128/25"), rule(7)),
            (prefix("11.0.0.0/16"), rule(5)),
            (prefix("11.0.0.0/16"), rule(5)),
        ];
        assert_eq!(hidden(entries), [prefix("10.1.0.0/16"), prefix("10.1.2.128/25")]);
    }
}
