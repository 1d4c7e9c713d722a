//! Enforce: carries decisions out through a sink of rules. A sink that fails costs its decision only, and is
//! told; the next finding tries again.

use netguard_common::{
    layout::Rule,
    rule::{Origin, Proof, Reason},
};

use super::{Action, Decision};
use crate::prefix::Prefix;

/// Where block rules go: the kernel's tables, or memory in tests.
pub trait RuleSink {
    /// Why a rule could not be placed.
    type Error;

    /// Blocks `prefix` under `rule`. Placing the same rule twice is the same as once.
    ///
    /// # Errors
    /// When the rule is not in force.
    fn block(&mut self, prefix: Prefix, rule: Rule) -> Result<(), Self::Error>;
}

/// What became of one decision.
#[derive(Debug, PartialEq, Eq)]
pub enum Enforced<E> {
    Blocked,
    /// Policy decided against a block.
    Nothing,
    Failed(E),
}

/// Carries out `decisions` at `now_ns`; the answers are in their order.
pub fn enforce<S: RuleSink>(decisions: &[Decision], now_ns: u64, sink: &mut S) -> Vec<Enforced<S::Error>> {
    decisions
        .iter()
        .map(|decision| match decision.action {
            Action::Withhold(_) => Enforced::Nothing,
            Action::Block { prefix, ttl_ns } => {
                let rule = Rule {
                    expires_at: Rule::expiry(now_ns, ttl_ns),
                    reason: Reason::Flooder as u16,
                    origin: Origin::Detector as u8,
                    proof: Proof::Handshake as u8,
                };
                sink.block(prefix, rule)
                    .map_or_else(Enforced::Failed, |()| Enforced::Blocked)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use netguard_common::Verdict;

    use super::*;
    use crate::engine::{Account, Cause, Finding, Withheld, reputation::Before};

    /// Holds `capacity` rules, then says "full": a sink that behaves like the kernel's tables.
    struct Memory {
        rules: BTreeMap<Prefix, Rule>,
        capacity: usize,
    }

    impl RuleSink for Memory {
        type Error = &'static str;

        fn block(&mut self, prefix: Prefix, rule: Rule) -> Result<(), Self::Error> {
            if self.rules.len() >= self.capacity && !self.rules.contains_key(&prefix) {
                return Err("full");
            }
            self.rules.insert(prefix, rule);
            Ok(())
        }
    }

    fn decision(source: &str, block: bool) -> Decision {
        let source = source.parse().expect("an address");
        let finding = Finding {
            account: Account::of(source),
            source,
            cause: Cause::Limit(Verdict::LimitUdp),
            over_for_ns: 1,
            opened_per_s: 0,
            dropped: 1,
            per_s: 0,
        };
        let action = match block {
            true => Action::Block {
                prefix: Prefix::from(source),
                ttl_ns: 60_000_000_000,
            },
            false => Action::Withhold(Withheld::Unproven),
        };
        Decision {
            finding,
            action,
            score: 60,
            repeats: 0,
            before: Before::default(),
            network: None,
        }
    }

    #[test]
    fn blocks_expire_and_repeat_harmlessly() {
        let mut memory = Memory {
            rules: BTreeMap::new(),
            capacity: 9,
        };
        let decisions = [decision("192.0.2.1", true), decision("192.0.2.2", false)];
        assert_eq!(
            enforce(&decisions, 5, &mut memory),
            [Enforced::Blocked, Enforced::Nothing]
        );
        enforce(&decisions, 5, &mut memory);
        let rules: Vec<_> = memory.rules.into_values().collect();
        assert_eq!(rules.len(), 1);
        assert!(!rules[0].is_permanent() && !rules[0].expired(60_000_000_000));
    }

    #[test]
    fn a_full_table_is_told_and_the_rest_goes_on() {
        let mut memory = Memory {
            rules: BTreeMap::new(),
            capacity: 1,
        };
        let decisions = [
            decision("192.0.2.1", true),
            decision("192.0.2.2", true),
            decision("192.0.2.1", true),
        ];
        assert_eq!(
            enforce(&decisions, 5, &mut memory),
            [Enforced::Blocked, Enforced::Failed("full"), Enforced::Blocked]
        );
    }
}
