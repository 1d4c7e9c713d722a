//! What an operator's change does to the kernel's tables; the same code in the daemon, and in the command line
//! when the daemon is dead.

use std::net::IpAddr;

use netguard_common::{
    layout::{Rate, Rule},
    limit::Class,
    rule::{Origin, Proof, Reason},
};

use super::{Failure, FailureKind, LimitChange, RuleAddition, RuleOutcome, RuleRemoval};
use crate::{
    bpf::{Batch, BpfError, InsertOutcome, List, Rules, SettingsMap},
    config::RatePerSecond,
    engine::{Guard, GuardKind},
    host::Facts,
    prefix::{BlockPrefix, Prefix},
};

#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("blocking {prefix} would touch {guarded}, and that is {what}: add --force if you mean it")]
    Guarded {
        prefix: Prefix,
        guarded: Prefix,
        what: &'static str,
    },
    #[error(transparent)]
    Prefix(#[from] crate::prefix::PrefixError),
    #[error("a rule holds from 1 second to ten years, not {0} s; without a time, until it is removed")]
    Ttl(u64),
    #[error("a limit takes whole numbers from 1 to 10000000, not {0}")]
    OutOfRange(u32),
    #[error("there is no limit {0:?}: the classes are syn, udp, icmp and control")]
    NoSuchClass(String),
    #[error(transparent)]
    Bpf(#[from] BpfError),
}

impl RequestError {
    /// [`RequestError::failure`], about one of several additions.
    pub fn failure_at(&self, index: usize) -> Failure {
        Failure {
            index: Some(index),
            ..self.failure()
        }
    }

    /// The error as it crosses the control socket.
    pub fn failure(&self) -> Failure {
        let kind = match self {
            Self::Bpf(_) => FailureKind::Failed,
            _ => FailureKind::Usage,
        };
        Failure {
            kind,
            message: self.to_string(),
            index: None,
        }
    }
}

/// Longest time that a rule can be given; longer ones are meant for good.
const MAX_TTL_S: u64 = 10 * 366 * 24 * 3_600;

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
}

/// Adds rules at `now_ns`, all or none as far as they can be judged before: only a table that fills up on the way
/// leaves the first of them in force.
///
/// # Errors
/// When the guard objects and `force` is not set, a prefix is too wide, a time is out of range, or a table is full; with
/// the index of the addition.
pub fn add_rules(
    rules: &mut Rules,
    guard: &Guard,
    list: List,
    additions: &[RuleAddition],
    now_ns: u64,
) -> Result<Vec<RuleOutcome>, (usize, RequestError)> {
    for (index, addition) in additions.iter().enumerate() {
        check(guard, list, addition).map_err(|error| (index, error))?;
    }
    let mut batch = rules.batch(list);
    let outcomes = insert_all(&mut batch, additions, now_ns);
    // After a failure, too: what is in force must hide nothing.
    let finished = batch.finish().map_err(|error| (additions.len(), error.into()));
    outcomes.and_then(|outcomes| finished.map(|()| outcomes))
}

fn insert_all(
    batch: &mut Batch<'_>,
    additions: &[RuleAddition],
    now_ns: u64,
) -> Result<Vec<RuleOutcome>, (usize, RequestError)> {
    let insert = |(index, addition): (usize, &RuleAddition)| {
        let inserted = batch.insert(addition.prefix, rule(addition, now_ns), addition.note.as_deref());
        match inserted {
            Ok(InsertOutcome::Added) => Ok(outcome(addition.prefix, "added", None)),
            Ok(InsertOutcome::CoveredBy(wider)) => Ok(outcome(addition.prefix, "covered", Some(wider))),
            Err(error) => Err((index, error.into())),
        }
    };
    additions.iter().enumerate().map(insert).collect()
}

fn check(guard: &Guard, list: List, addition: &RuleAddition) -> Result<(), RequestError> {
    if let Some(ttl_s) = addition.ttl_s
        && !(1..=MAX_TTL_S).contains(&ttl_s)
    {
        return Err(RequestError::Ttl(ttl_s));
    }
    if list == List::Allow {
        return Ok(());
    }
    let prefix = addition.prefix;
    BlockPrefix::try_from(prefix)?;
    match guard.objection(&prefix) {
        Some((guarded, kind)) if !addition.force && is_essential(kind) => Err(RequestError::Guarded {
            prefix,
            guarded,
            what: kind.describe(),
        }),
        _ => Ok(()),
    }
}

/// What not even an operator blocks without insisting.
const fn is_essential(kind: GuardKind) -> bool {
    matches!(
        kind,
        GuardKind::OwnAddress | GuardKind::Gateway | GuardKind::Resolver
    )
}

fn rule(addition: &RuleAddition, now_ns: u64) -> Rule {
    Rule {
        expires_at: addition.ttl_s.map_or(0, |ttl_s| {
            Rule::expiry(now_ns, ttl_s.saturating_mul(1_000_000_000))
        }),
        reason: Reason::Requested as u16,
        origin: Origin::Operator as u8,
        proof: Proof::Operator as u8,
    }
}

/// Removes a rule.
///
/// # Errors
/// When the kernel refuses.
pub fn remove_rule(
    rules: &mut Rules,
    list: List,
    removal: &RuleRemoval,
) -> Result<RuleOutcome, RequestError> {
    let removed = rules.remove(list, removal.prefix)?;
    Ok(outcome(
        removal.prefix,
        if removed { "removed" } else { "absent" },
        None,
    ))
}

/// Changes the limit of `class`, by its name.
///
/// # Errors
/// When there is no such class, or a number is out of range.
pub fn change_limit(
    settings: &mut SettingsMap,
    class: &str,
    change: LimitChange,
) -> Result<Class, RequestError> {
    let class = Class::ALL
        .into_iter()
        .find(|known| known.name() == class)
        .ok_or_else(|| RequestError::NoSuchClass(class.to_owned()))?;
    for number in [change.rate_per_s, change.burst] {
        RatePerSecond::new(number).ok_or(RequestError::OutOfRange(number))?;
    }
    let mut new = settings.read()?;
    new.limits[class as usize] = Rate::new(change.rate_per_s, change.burst);
    settings.write(&new)?;
    Ok(class)
}

fn outcome(prefix: Prefix, outcome: &str, covered_by: Option<Prefix>) -> RuleOutcome {
    RuleOutcome {
        prefix,
        outcome: outcome.to_owned(),
        covered_by,
    }
}
