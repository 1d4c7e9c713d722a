//! Policy: what a finding leads to. Only a proven source is blocked: anybody can forge an address, and a block
//! on forged evidence would be the attacker's weapon.

use std::collections::HashSet;

use super::{Account, Finding, Guard, GuardKind};
use crate::prefix::Prefix;

/// What is done about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub finding: Finding,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Block `prefix` for `ttl_ns`.
    Block { prefix: Prefix, ttl_ns: u64 },
    /// Leave it at the limits.
    Withhold(Withheld),
}

/// Why nothing is blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// The source never completed a handshake: its address may be forged.
    Unproven,
    /// The block would touch this guarded prefix.
    Guarded { prefix: Prefix, kind: GuardKind },
}

/// Decides on `findings`; `proven` are the accounts with an established connection now.
pub fn decide(
    findings: Vec<Finding>,
    proven: &HashSet<Account>,
    guard: &Guard,
    block_for_ns: u64,
) -> Vec<Decision> {
    findings
        .into_iter()
        .map(|finding| {
            let action = act(&finding, proven, guard, block_for_ns);
            Decision { finding, action }
        })
        .collect()
}

fn act(finding: &Finding, proven: &HashSet<Account>, guard: &Guard, block_for_ns: u64) -> Action {
    if !proven.contains(&finding.account) {
        return Action::Withhold(Withheld::Unproven);
    }
    // A neighbour shares our /64 with us: then only its own address is blocked.
    let candidates = [finding.account.prefix(), Prefix::from(finding.source)];
    let mut objection = None;
    for prefix in candidates {
        match guard.objection(&prefix) {
            None => {
                return Action::Block {
                    prefix,
                    ttl_ns: block_for_ns,
                };
            }
            some => objection = some,
        }
    }
    match objection {
        Some((prefix, kind)) => Action::Withhold(Withheld::Guarded { prefix, kind }),
        None => Action::Withhold(Withheld::Unproven),
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::Verdict;

    use super::*;

    fn action(source: &str, proven: &[&str], guarded: &[&str]) -> Action {
        let source = source.parse().expect("an address");
        let account = Account::of(source);
        let finding = Finding {
            account,
            source,
            verdict: Verdict::LimitSyn,
            over_for_ns: 1,
            dropped: 1,
        };
        let proven = proven
            .iter()
            .map(|text| Account::of(text.parse().expect("an address")))
            .collect();
        let guard = Guard::new(
            guarded
                .iter()
                .map(|text| (text.parse().expect("a prefix"), GuardKind::OwnAddress)),
        );
        decide(vec![finding], &proven, &guard, 60).remove(0).action
    }

    fn block(prefix: &str) -> Action {
        Action::Block {
            prefix: prefix.parse().expect("a prefix"),
            ttl_ns: 60,
        }
    }

    #[test]
    fn only_proven_sources_are_blocked() {
        assert_eq!(
            action("192.0.2.1", &[], &[]),
            Action::Withhold(Withheld::Unproven)
        );
        assert_eq!(action("192.0.2.1", &["192.0.2.1"], &[]), block("192.0.2.1"));
        assert_eq!(
            action("2001:db8::1", &["2001:db8::99"], &[]),
            block("2001:db8::/64")
        );
    }

    #[test]
    fn guarded_prefixes_are_never_touched() {
        assert!(matches!(
            action("8.8.8.8", &["8.8.8.8"], &["8.8.8.8"]),
            Action::Withhold(Withheld::Guarded { .. })
        ));
        assert_eq!(
            action("2001:db8::5", &["2001:db8::5"], &["2001:db8::1"]),
            block("2001:db8::5")
        );
        assert!(matches!(
            action("2001:db8::1", &["2001:db8::1"], &["2001:db8::/32"]),
            Action::Withhold(Withheld::Guarded { .. })
        ));
    }
}
