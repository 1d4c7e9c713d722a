//! Policy: what a finding leads to. Only a proven source is blocked: anybody can forge an address, and a block
//! on forged evidence would be the attacker's weapon. What reputation remembers makes repeated blocks longer, and its caps
//! bound what all of them may touch.

mod withheld;

use netguard_common::layout::Mode;

use super::{
    Account, Finding, Guard,
    reputation::{Evidence, Kind, Penalty, Reputation, Sentence},
};
use crate::prefix::Prefix;

pub use withheld::Withheld;

/// What is done about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub finding: Finding,
    pub action: Action,
    /// The score of the source by evidence that nobody can have forged.
    pub score: u8,
    /// Blocks of the source in a row before this one.
    pub repeats: u32,
    /// What it was sentenced to before.
    pub before: Penalty,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Block `prefix` for `ttl_ns`.
    Block { prefix: Prefix, ttl_ns: u64 },
    /// Leave it at the limits.
    Withhold(Withheld),
}

/// Decides on `findings` at `now_ns`; `reputation` knows who has an established connection now. Where so many sources of a network were
/// blocked that all of it is to be, that is a decision of its own.
pub fn decide(
    findings: Vec<Finding>,
    guard: &Guard,
    reputation: &mut Reputation,
    now_ns: u64,
) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for finding in findings {
        let account = finding.account;
        let evidence = Evidence {
            kind: Kind::Flood,
            proven: reputation.connections(account) > 0,
            detail: finding.verdict.name().to_owned(),
            packets: finding.dropped,
        };
        reputation.take(account, &evidence, now_ns);
        let before = reputation.penalty(account);
        let (action, sentence) = act(&finding, guard, reputation, now_ns);
        let score = reputation.standing(account, now_ns).0;
        let repeats = sentence.map_or(0, |sentence| sentence.repeats);
        let mut decide = |action: Action, reputation: &mut Reputation| {
            reputation.count(match &action {
                Action::Block { .. } => "blocked",
                Action::Withhold(why) => why.name(),
            });
            decisions.push(Decision {
                finding: finding.clone(),
                action,
                score,
                repeats,
                before,
            });
        };
        decide(action, reputation);
        let begun = sentence.filter(|sentence| !sentence.extends);
        let network =
            begun.and_then(|begun| Some((reputation.is_network_due(account, now_ns)?, begun.ttl_ns)));
        if let Some((network, ttl_ns)) = network {
            let action = act_on_network(network, ttl_ns, guard, reputation, now_ns);
            decide(action, reputation);
        }
    }
    decisions
}

/// What stands against a block of `account`, whose address `source` was seen last; else what would be blocked.
///
/// # Errors
/// Why it is not blocked.
pub fn objection(
    account: Account,
    source: std::net::IpAddr,
    guard: &Guard,
    reputation: &Reputation,
    now_ns: u64,
) -> Result<Prefix, Withheld> {
    let settings = reputation.settings();
    if settings.mode == Mode::Off {
        return Err(Withheld::Off);
    }
    let connections = reputation.connections(account);
    if connections == 0 {
        return Err(Withheld::Unproven);
    }
    // A neighbour shares our /64 with us: then only its own address is blocked.
    let candidates = [account.prefix(), Prefix::from(source)];
    let mut free = Err(Withheld::Unproven);
    for prefix in candidates {
        match guard.objection(&prefix) {
            None => {
                free = Ok(prefix);
                break;
            }
            Some((prefix, kind)) => free = Err(Withheld::Guarded { prefix, kind }),
        }
    }
    let prefix = free?;
    let from = settings.shared_from;
    if connections >= from {
        return Err(Withheld::Shared { connections, from });
    }
    let (score, from) = reputation.standing(account, now_ns);
    if score < from {
        return Err(Withheld::Below { score, from });
    }
    Ok(prefix)
}

fn act(
    finding: &Finding,
    guard: &Guard,
    reputation: &mut Reputation,
    now_ns: u64,
) -> (Action, Option<Sentence>) {
    let account = finding.account;
    let prefix = match objection(account, finding.source, guard, reputation, now_ns) {
        Ok(prefix) => prefix,
        Err(why) => return (Action::Withhold(why), None),
    };
    match reputation.penalise(account, now_ns) {
        Ok(sentence) => (in_mode(prefix, sentence.ttl_ns, reputation), Some(sentence)),
        Err(excess) => (Action::Withhold(Withheld::Radius { prefix, excess }), None),
    }
}

fn act_on_network(
    network: Prefix,
    ttl_ns: u64,
    guard: &Guard,
    reputation: &mut Reputation,
    now_ns: u64,
) -> Action {
    if let Some((prefix, kind)) = guard.objection(&network) {
        return Action::Withhold(Withheld::Guarded { prefix, kind });
    }
    match reputation.penalise_network(network, ttl_ns, now_ns) {
        Ok(()) => in_mode(network, ttl_ns, reputation),
        Err(excess) => Action::Withhold(Withheld::Radius {
            prefix: network,
            excess,
        }),
    }
}

fn in_mode(prefix: Prefix, ttl_ns: u64, reputation: &Reputation) -> Action {
    if reputation.settings().mode == Mode::Enforce {
        Action::Block { prefix, ttl_ns }
    } else {
        Action::Withhold(Withheld::Shadow { prefix, ttl_ns })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use netguard_common::Verdict;

    use super::*;
    use crate::engine::{
        GuardKind,
        reputation::{Excess, Settings, Terms},
    };

    const SECOND: u64 = 1_000_000_000;

    fn account(text: &str) -> Account {
        Account::of(text.parse().expect("an address"))
    }

    fn finding(source: &str) -> Finding {
        Finding {
            account: account(source),
            source: source.parse().expect("an address"),
            verdict: Verdict::LimitSyn,
            over_for_ns: 1,
            dropped: 1,
        }
    }

    fn guard(guarded: &[&str]) -> Guard {
        let guarded = guarded.iter();
        Guard::new(guarded.map(|text| (text.parse().expect("a prefix"), GuardKind::OwnAddress)))
    }

    fn settings() -> Settings {
        let mut settings = Settings::default();
        settings.terms = Terms {
            block_for_ns: 60 * SECOND,
            ..settings.terms
        };
        settings
    }

    /// Who has how many connections.
    fn reputation(settings: Settings, connected: &[(&str, u32)]) -> Reputation {
        let mut reputation = Reputation::new(settings, 0, 7);
        let connected = connected.iter();
        let connected: HashMap<_, _> = connected
            .map(|(source, count)| (account(source), *count))
            .collect();
        reputation.connect(connected);
        reputation
    }

    fn action(source: &str, proven: &[&str], guarded: &[&str]) -> Action {
        let connected: Vec<_> = proven.iter().map(|source| (*source, 1)).collect();
        let mut reputation = reputation(settings(), &connected);
        let mut decisions = decide(vec![finding(source)], &guard(guarded), &mut reputation, SECOND);
        decisions.remove(0).action
    }

    fn block(prefix: &str) -> Action {
        Action::Block {
            prefix: prefix.parse().expect("a prefix"),
            ttl_ns: 60 * SECOND,
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

    #[test]
    fn what_was_found_unproven_does_not_count_once_it_is_proven() {
        let mut strict = settings();
        strict.block_from = 80;
        let mut reputation = reputation(strict, &[]);
        let found = || vec![finding("192.0.2.1")];
        for second in 1..100 {
            decide(found(), &guard(&[]), &mut reputation, second * SECOND);
        }
        reputation.connect(HashMap::from([(account("192.0.2.1"), 1)]));
        let decided = decide(found(), &guard(&[]), &mut reputation, 100 * SECOND);
        assert_eq!(
            decided[0].action,
            Action::Withhold(Withheld::Below { score: 60, from: 80 })
        );
        let decided = decide(found(), &guard(&[]), &mut reputation, 101 * SECOND);
        assert_eq!(decided[0].action, block("192.0.2.1"));
    }

    #[test]
    fn a_shared_source_is_limited() {
        let mut reputation = reputation(settings(), &[("192.0.2.1", 64), ("192.0.2.2", 63)]);
        let found = vec![finding("192.0.2.1"), finding("192.0.2.2")];
        let decided = decide(found, &guard(&[]), &mut reputation, SECOND);
        let shared = Withheld::Shared {
            connections: 64,
            from: 64,
        };
        assert_eq!(decided[0].action, Action::Withhold(shared));
        assert_eq!(decided[1].action, block("192.0.2.2"));
    }

    #[test]
    fn shadow_and_off_block_nobody_and_say_so() {
        for mode in [Mode::Shadow, Mode::Off] {
            let settings = Settings { mode, ..settings() };
            let mut reputation = reputation(settings, &[("192.0.2.1", 1)]);
            let decided = decide(vec![finding("192.0.2.1")], &guard(&[]), &mut reputation, SECOND);
            let Action::Withhold(why) = &decided[0].action else {
                panic!("{decided:?}");
            };
            assert!(why.describe().contains("reputation.mode"));
            assert_eq!(reputation.counts().0, usize::from(mode == Mode::Shadow));
        }
    }

    /// Eight of a network, and then all of it, unless somebody guarded or connected is in it.
    #[test]
    fn a_network_is_blocked_after_many_of_its_sources() {
        let flooders: Vec<String> = (1..=8).map(|host| format!("192.0.2.{host}")).collect();
        let network = |bystander: &str, guarded: &[&str]| {
            let mut connected: Vec<_> = flooders.iter().map(|source| (source.as_str(), 1)).collect();
            connected.push((bystander, 1));
            let mut reputation = reputation(settings(), &connected);
            let found = flooders.iter().map(|source| finding(source)).collect();
            let mut decided = decide(found, &guard(guarded), &mut reputation, SECOND);
            assert_eq!(decided.len(), 9, "{decided:?}");
            decided.remove(8).action
        };
        assert_eq!(network("198.51.100.1", &[]), block("192.0.2.0/24"));
        assert!(matches!(
            network("192.0.2.200", &[]),
            Action::Withhold(Withheld::Radius {
                excess: Excess::Bystanders {
                    touched: 1,
                    allowed: 0
                },
                ..
            })
        ));
        assert!(matches!(
            network("198.51.100.1", &["192.0.2.77"]),
            Action::Withhold(Withheld::Guarded { .. })
        ));
    }
}
