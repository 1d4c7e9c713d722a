//! Policy: what a finding leads to. Only a proven source is blocked: anybody can forge an address, and a block
//! on forged evidence would be the attacker's weapon. What reputation remembers makes repeated blocks longer, and its caps
//! bound what all of them may touch.

mod excuse;
mod network;
#[cfg(test)]
mod tests;
mod throttle;
mod withheld;

use std::net::IpAddr;

use netguard_common::layout::Mode;

use super::{
    Account, Finding, Guard,
    reputation::{Before, Evidence, Reputation, Sentence},
};
use crate::prefix::Prefix;

use excuse::excuse;
use network::decide_on_network;
pub use throttle::{divisor, spare_guarded};
pub use withheld::Withheld;

/// What is done about a finding, or about the network of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub finding: Finding,
    pub action: Action,
    /// The score of the source by evidence that nobody can have forged.
    pub score: u8,
    /// Blocks of the source in a row before this one.
    pub repeats: u32,
    /// How it stood before.
    pub before: Before,
    /// The network that it is about, where it is not about the source, and how many of that were blocked lately.
    pub network: Option<(Prefix, u64)>,
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
    for mut finding in findings {
        finding.account = accountable(finding.account, finding.source, guard);
        let account = finding.account;
        let connections = reputation.connections(account);
        let excuse = excuse(&finding, connections);
        if excuse.is_none() {
            let evidence = Evidence {
                kind: finding.cause.evidence(),
                proven: finding.is_proven(connections),
                detail: finding.cause.name().to_owned(),
                packets: finding.dropped,
            };
            reputation.take(account, &evidence, now_ns);
        }
        if matches!(excuse, Some(Withheld::Busy { .. })) {
            reputation.note_many(account, now_ns);
        }
        let before = reputation.before(account, now_ns);
        let (action, sentence) = match excuse {
            Some(why) => (Action::Withhold(why), None),
            None => act(&finding, guard, reputation, now_ns),
        };
        reputation.count(match &action {
            Action::Block { .. } => "blocked",
            Action::Withhold(why) => why.name(),
        });
        let decision = Decision {
            action,
            score: reputation.standing(account, now_ns).0,
            repeats: sentence.map_or(0, |sentence| sentence.repeats),
            before,
            network: None,
            finding,
        };
        let is_new = sentence.is_some_and(|sentence| !sentence.extends);
        let due = is_new
            .then(|| reputation.is_network_due(account, now_ns))
            .flatten();
        let network = due.map(|network| decide_on_network(network, &decision, guard, reputation, now_ns));
        decisions.push(decision);
        decisions.extend(network);
    }
    decisions
}

/// Who answers for what `source` does: its account, unless somebody guarded, or this machine, is in it, too. Then only the
/// address may be blocked, so only what is known of that counts: a neighbour's connection proves nothing of it.
pub fn accountable(account: Account, source: IpAddr, guard: &Guard) -> Account {
    match guard.objection(&account.prefix()) {
        Some(_) => Account::alone(source),
        None => account,
    }
}

/// What stands against a block of `account`, which is [`accountable`], and whose address nobody forges if it `is_proven`; else what would be blocked.
///
/// # Errors
/// Why it is not blocked.
pub fn objection(
    account: Account,
    is_proven: bool,
    guard: &Guard,
    reputation: &Reputation,
    now_ns: u64,
) -> Result<Prefix, Withheld> {
    let settings = reputation.settings();
    if settings.mode == Mode::Off {
        return Err(Withheld::Off);
    }
    if !is_proven {
        return Err(Withheld::Unproven);
    }
    let connections = reputation.connections(account);
    if let Some((prefix, kind)) = guard.objection(&account.prefix()) {
        return Err(Withheld::Guarded { prefix, kind });
    }
    let from = settings.shared_from;
    if connections >= from {
        return Err(Withheld::Shared { connections, from });
    }
    let (score, from) = reputation.standing(account, now_ns);
    if score < from {
        return Err(Withheld::Below { score, from });
    }
    Ok(account.prefix())
}

fn act(
    finding: &Finding,
    guard: &Guard,
    reputation: &mut Reputation,
    now_ns: u64,
) -> (Action, Option<Sentence>) {
    let account = finding.account;
    let is_proven = finding.is_proven(reputation.connections(account));
    let prefix = match objection(account, is_proven, guard, reputation, now_ns) {
        Ok(prefix) => prefix,
        // So much over each connection is no matter of how many people there are.
        Err(Withheld::Shared { connections, .. }) if finding.is_beyond_people(connections) => {
            match reputation.standing(account, now_ns) {
                (score, from) if score < from => {
                    return (Action::Withhold(Withheld::Below { score, from }), None);
                }
                _ => account.prefix(),
            }
        }
        Err(why) => return (Action::Withhold(why), None),
    };
    match reputation.penalise(account, now_ns) {
        Ok(sentence) => (in_mode(prefix, sentence.ttl_ns, reputation), Some(sentence)),
        Err(excess) => (Action::Withhold(Withheld::Radius { prefix, excess }), None),
    }
}

fn in_mode(prefix: Prefix, ttl_ns: u64, reputation: &Reputation) -> Action {
    if reputation.settings().mode == Mode::Enforce {
        Action::Block { prefix, ttl_ns }
    } else {
        Action::Withhold(Withheld::Shadow { prefix, ttl_ns })
    }
}
