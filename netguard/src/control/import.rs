//! Additions of rules, all or none: judged first, then put in force in portions.

use netguard_common::{
    layout::Rule,
    rule::{Origin, Proof, Reason},
};

use super::{
    Failure, Objections, Objector, RequestError, RuleAddition, RuleOutcome, Shortened,
    requests::{LONGEST_S, outcome},
};
use crate::{
    bpf::{Batch, InsertOutcome, List, Rules},
    clock::monotonic_ns,
    engine::Guard,
    prefix::{BlockPrefix, Prefix},
};

/// Additions put in force in portions, so that whoever shares the tables gets its turn in between.
#[must_use]
pub struct Import {
    batch: Batch,
    additions: Vec<RuleAddition>,
    outcomes: Vec<RuleOutcome>,
    failure: Option<FailedAt>,
    now_ns: u64,
    /// When the rules end that nobody confirms.
    trial_ends_at: Option<u32>,
}

/// Additions in force that nobody has confirmed yet.
#[derive(Debug)]
pub struct RuleTrial {
    batch: Batch,
    additions: Vec<RuleAddition>,
    begun_ns: u64,
}

impl RuleTrial {
    pub const fn list(&self) -> List {
        self.batch.list()
    }

    /// What was added.
    pub fn prefixes(&self) -> impl Iterator<Item = Prefix> {
        self.additions.iter().map(|addition| addition.prefix)
    }

    /// Takes a portion back, but for what somebody changed meanwhile; false when there is no more.
    pub fn take_back(&mut self, rules: &mut Rules) -> bool {
        self.batch.undo(rules, PORTION)
    }
}

/// A failure, and the index of the addition that it is about.
#[derive(Debug)]
pub struct FailedAt {
    pub index: Option<usize>,
    pub error: RequestError,
}

impl FailedAt {
    fn addition(index: usize) -> impl Fn(RequestError) -> Self {
        move |error| Self {
            index: Some(index),
            error,
        }
    }

    /// The failure as it crosses the control socket.
    pub fn failure(&self) -> Failure {
        Failure {
            index: self.index,
            ..self.error.failure()
        }
    }
}

/// Additions per portion: some ten milliseconds.
const PORTION: usize = 2_000;

impl Import {
    /// Checks all additions, that of rules to hold from `now_ns`. `objections` are those of others than the `guard` to blocks.
    ///
    /// # Errors
    /// When somebody objects whom `force` does not override, a prefix is too wide, or a time is out of range.
    pub fn new(
        guard: &Guard,
        mut objections: Objections,
        list: List,
        additions: Vec<RuleAddition>,
        now_ns: u64,
    ) -> Result<Self, FailedAt> {
        for (index, addition) in additions.iter().enumerate() {
            check(list, addition).map_err(FailedAt::addition(index))?;
        }
        if list == List::Block {
            objections.find(Objector::LockOut, guard, &additions, |prefix, guarded, kind| {
                format!(
                    "blocking {prefix} would touch {guarded}, and that is {}",
                    kind.describe()
                )
            });
        }
        if !objections.is_empty() {
            return Err(FailedAt {
                index: objections.index(),
                error: RequestError::Guarded(objections),
            });
        }
        Ok(Self::of(list, additions, now_ns))
    }

    fn of(list: List, additions: Vec<RuleAddition>, now_ns: u64) -> Self {
        Self {
            batch: Batch::new(list),
            outcomes: Vec::with_capacity(additions.len()),
            additions,
            failure: None,
            now_ns,
            trial_ends_at: None,
        }
    }

    /// The rules end at `ends_at`, unless they end before: the kernel sees to it, whatever becomes of the daemon.
    pub fn on_trial(self, ends_at: u32) -> Self {
        Self {
            trial_ends_at: Some(ends_at),
            ..self
        }
    }

    /// What was done, when all is: it can be taken back, or be repeated for good by [`Import::confirmed`].
    pub fn into_trial(self) -> RuleTrial {
        RuleTrial {
            batch: self.batch,
            additions: self.additions,
            begun_ns: self.now_ns,
        }
    }

    /// The additions of `trial` as they were meant, but those whose rule somebody has removed or replaced meanwhile.
    ///
    /// # Errors
    /// When the kernel refuses a read.
    pub fn confirmed(trial: &RuleTrial, rules: &mut Rules) -> Result<Self, RequestError> {
        let gone = trial.batch.gone(rules)?;
        let now_ns = monotonic_ns();
        let stays = |addition: &&RuleAddition| {
            // One that has ended would take the place of what stands.
            !gone.contains(&addition.prefix) && !rule(addition, trial.begun_ns).expired(now_ns)
        };
        let additions: Vec<_> = trial.additions.iter().filter(stays).cloned().collect();
        Ok(Self::of(trial.list(), additions, trial.begun_ns))
    }

    /// Inserts the next portion, or takes one back after a failure; the answer comes when all is done.
    pub fn step(&mut self, rules: &mut Rules) -> Option<Result<Vec<RuleOutcome>, FailedAt>> {
        if self.failure.is_none() {
            self.failure = self.insert(rules).err();
        }
        if self.failure.is_some() {
            return match self.batch.undo(rules, PORTION) {
                true => None,
                false => self.failure.take().map(Err),
            };
        }
        if self.outcomes.len() < self.additions.len() {
            return None;
        }
        // On trial nothing else goes: rules that end early may hide these for a moment.
        if self.trial_ends_at.is_none() {
            self.batch.finish(rules);
        }
        Some(Ok(std::mem::take(&mut self.outcomes)))
    }

    fn insert(&mut self, rules: &mut Rules) -> Result<(), FailedAt> {
        let first = self.outcomes.len();
        for (index, addition) in self.additions.iter().enumerate().skip(first).take(PORTION) {
            let meant = rule(addition, self.now_ns);
            let rule = Rule {
                expires_at: first_end(meant.expires_at, self.trial_ends_at),
                ..meant
            };
            let inserted = self
                .batch
                .insert(rules, addition.prefix, rule, addition.note.as_deref())
                .map_err(|error| FailedAt::addition(index)(error.into()))?;
            if let (InsertOutcome::Added { before: Some(before) }, Some(_)) = (&inserted, self.trial_ends_at)
                && before.origin != Origin::Detector as u8
                && (before.is_permanent() || before.expires_at > rule.expires_at)
            {
                // It says the same for longer, and would be gone if nobody were left to put it back.
                self.batch.undo(rules, 1);
            }
            self.outcomes.push(match inserted {
                InsertOutcome::Added { before } => RuleOutcome {
                    shortened: before.and_then(|before| shortened(&before, &meant, self.now_ns)),
                    ..outcome(addition.prefix, "added")
                },
                InsertOutcome::CoveredBy(wider) => RuleOutcome {
                    covered_by: Some(wider),
                    ..outcome(addition.prefix, "covered")
                },
            });
        }
        Ok(())
    }
}

fn check(list: List, addition: &RuleAddition) -> Result<(), RequestError> {
    if let Some(ttl_s) = addition.ttl_s
        && !(1..=LONGEST_S).contains(&ttl_s)
    {
        return Err(RequestError::Ttl(ttl_s));
    }
    if list == List::Block {
        BlockPrefix::try_from(addition.prefix)?;
    }
    Ok(())
}

/// The earlier of the end that is `meant` (0: never) and that of a trial.
pub(super) fn first_end(meant: u32, trial: Option<u32>) -> u32 {
    match trial {
        Some(trial) if meant == 0 || meant > trial => trial,
        _ => meant,
    }
}

/// What is told about `before`, which gave way to `rule`: nothing if it would not have held longer at `now_ns`.
fn shortened(before: &Rule, rule: &Rule, now_ns: u64) -> Option<Shortened> {
    let longer = match (before.remaining_ns(now_ns), rule.remaining_ns(now_ns)) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(before_ns), Some(ns)) => before_ns > ns,
    };
    longer.then(|| Shortened {
        expires_in_s: before.remaining_ns(now_ns).map(|left_ns| left_ns / 1_000_000_000),
    })
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
