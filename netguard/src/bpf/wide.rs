//! IPv4 prefixes that are blocked for good. The datapath knows them by their hints only, so these must not outlast their rules.

use std::collections::HashSet;

use super::{BpfError, storage::Storage};
use crate::prefix::Prefix;

/// IPv4 prefixes up to this length are blocked for good by a hint.
const WIDE: u8 = 24;

/// From this length on it is quicker to look at each network in a prefix than at all rules.
const FEW_NETWORKS: u8 = 12;

/// The longest of the shorter prefixes around `prefix` that `wide` has.
pub(super) fn around(wide: &Storage, prefix: Prefix) -> Result<Option<Prefix>, BpfError> {
    let shorter = (0..prefix.bits().min(WIDE + 1)).rev();
    for wider in shorter.filter_map(|bits| Prefix::truncated(prefix.address(), bits)) {
        if wide.exact(wider)?.is_some() {
            return Ok(Some(wider));
        }
    }
    Ok(None)
}

/// What of `prefix` is blocked by no other rule in `wide`.
pub(super) fn alone(wide: &Storage, prefix: Prefix) -> Result<Vec<Prefix>, BpfError> {
    if around(wide, prefix)?.is_some() {
        return Ok(Vec::new());
    }
    if prefix.bits() >= FEW_NETWORKS {
        return without(prefix, |part| Ok(wide.exact(part)?.is_some()));
    }
    let mut rules = Vec::new();
    wide.read(&mut rules)?;
    let prefixes: HashSet<Prefix> = rules.into_iter().map(|(prefix, _)| prefix).collect();
    without(prefix, |part| Ok(prefixes.contains(&part)))
}

/// The parts of `prefix` in which nothing longer `is_blocked`.
fn without(
    prefix: Prefix,
    is_blocked: impl Fn(Prefix) -> Result<bool, BpfError>,
) -> Result<Vec<Prefix>, BpfError> {
    let mut parts = Vec::new();
    let mut rest = vec![prefix];
    while let Some(part) = rest.pop() {
        if part != prefix && is_blocked(part)? {
            continue;
        }
        match part.halves().filter(|_| part.bits() < WIDE) {
            Some(halves) => rest.extend(halves),
            None => parts.push(part),
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_longer_prefixes_block_stays() {
        let prefix = |text: &str| text.parse::<Prefix>().expect("a prefix");
        let others = ["10.0.0.0/14", "10.8.1.0/24", "10.128.0.0/9"].map(prefix);
        let parts = |of: &str| without(prefix(of), |part| Ok(others.contains(&part))).expect("no kernel");
        let all = parts("10.0.0.0/8");
        assert_eq!(all.len(), 65_536 - 1_024 - 1 - 32_768);
        for (address, stays) in [
            ("10.3.255.0", true),
            ("10.4.0.0", false),
            ("10.8.1.0", true),
            ("10.8.2.0", false),
        ] {
            let network = prefix(&format!("{address}/24"));
            assert_eq!(!all.contains(&network), stays, "{network}");
        }
        assert_eq!(parts("10.8.0.0/23"), [prefix("10.8.0.0/24")]);
        assert_eq!(
            parts("10.8.1.0/24"),
            [prefix("10.8.1.0/24")],
            "its own rule is in nobody's way"
        );
    }

    /// Found in review: the rule was removed first, and what could not be read then stayed blocked by a hint without a rule.
    #[test]
    fn what_cannot_be_read_frees_nothing() {
        let refused = |_| Err(BpfError::NotRoot);
        assert!(without("10.0.0.0/16".parse().expect("a prefix"), refused).is_err());
    }
}
