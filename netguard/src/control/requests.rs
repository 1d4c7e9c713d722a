//! What an operator's change does to the kernel's tables; the same code in the daemon, and in the command line
//! when the daemon is dead.

use std::net::IpAddr;

use super::{Failure, FailureKind, Objections, RuleOutcome, RuleRemoval};
use crate::{
    bpf::{BpfError, List, NotedRule, Rules},
    config::Period,
    engine::GuardKind,
    host::Facts,
    prefix::Prefix,
};

/// Seconds that a rule or a signature can be given, as the command line and the configuration take them.
pub(super) const LONGEST_S: u64 = Period::LONGEST.as_secs();

#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("{}", .0.text(|_| None))]
    Guarded(Objections),
    #[error(transparent)]
    Prefix(#[from] crate::prefix::PrefixError),
    #[error("a rule holds from 1 second to 365 days, not {0} s; without a time, until it is removed")]
    Ttl(u64),
    #[error("a limit takes whole numbers from 1 to 10000000, not {0}")]
    OutOfRange(u32),
    #[error(
        "there is no limit {0:?}: the classes are syn, udp, icmp, control and other; all but control have a limit of the prefix \
         (udp.prefix), and syn, udp and icmp one of the service (udp.service)"
    )]
    NoSuchLimit(String),
    #[error("{0}")]
    Service(String),
    #[error("a change waits from 1 second to 1 day for its confirmation, not {0} s; 0: it needs none")]
    Confirm(u64),
    #[error(
        "too many changes wait for confirmation: `netguard confirm` or `netguard undo` some first (`netguard status` shows them)"
    )]
    TooManyUnconfirmed,
    #[error(
        "{what} has a limit because of an attack, so nothing could go back to what was before: add --confirm never, or wait until the measure ends"
    )]
    HeldService { what: String },
    #[error(
        "{why}, and no daemon runs that could take it back: {instead}add --confirm never if you are sure"
    )]
    Alone { why: String, instead: &'static str },
    #[error(
        "change {id}, {what}, waits for confirmation and is about the same: `netguard confirm {id}` or `netguard undo {id}` first"
    )]
    Waits { id: u64, what: String },
    #[error(transparent)]
    Signature(#[from] crate::signature::SignatureError),
    #[error(transparent)]
    Bpf(#[from] BpfError),
}

impl RequestError {
    /// The error as it crosses the control socket.
    pub fn failure(&self) -> Failure {
        let kind = match self {
            Self::Bpf(_) => FailureKind::Failed,
            _ => FailureKind::Usage,
        };
        Failure {
            objections: match self {
                Self::Guarded(objections) => Some(objections.clone()),
                _ => None,
            },
            ..Failure::new(kind, self.to_string())
        }
    }
}

/// What this machine cannot do without.
pub fn essentials(facts: Facts) -> impl Iterator<Item = (Prefix, GuardKind)> {
    let hosts = |addresses: Vec<IpAddr>, kind| {
        addresses
            .into_iter()
            .map(move |address| (Prefix::from(address), kind))
    };
    hosts(facts.own, GuardKind::OwnAddress)
        .chain(hosts(facts.gateways, GuardKind::Gateway))
        .chain(hosts(facts.resolvers, GuardKind::Resolver))
        .chain(hosts(facts.sessions, GuardKind::Session))
}

/// Removes a rule; answers it with its note, if there was one.
///
/// # Errors
/// When the kernel refuses.
pub fn remove_rule(
    rules: &mut Rules,
    list: List,
    removal: &RuleRemoval,
) -> Result<(RuleOutcome, Option<NotedRule>), RequestError> {
    let removed = rules.remove(list, removal.prefix)?;
    let word = if removed.is_some() { "removed" } else { "absent" };
    Ok((outcome(removal.prefix, word), removed))
}

pub(super) fn outcome(prefix: Prefix, outcome: &str) -> RuleOutcome {
    RuleOutcome {
        prefix,
        outcome: outcome.to_owned(),
        covered_by: None,
        shortened: None,
        unconfirmed: None,
        unasked: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found in review: rules, signatures and the command line each had a longest time of their own.
    #[test]
    fn the_longest_time_is_the_one_that_is_told() {
        assert_eq!(LONGEST_S, 365 * 86_400);
        assert!("365days".parse::<Period>().is_ok() && "366days".parse::<Period>().is_err());
        let told = RequestError::Ttl(LONGEST_S + 1).to_string();
        assert!(told.contains("365 days"), "{told}");
    }
}
