//! Changes of operators that are in force and go back by themselves unless somebody confirms them. What may lock its author out is of that
//! kind unless they say otherwise (`control::risk`), and so is what they ask for with `--confirm`.
//!
//! A change is taken back at its end, at an orderly stop, and when somebody says so. Where the daemon is killed the kernel ends added rules
//! and signatures a moment later, and limits are those of the configuration again at the next start.

mod undo;
mod waiting;

use std::{sync::Arc, time::Duration};

use netguard_common::layout::Rule;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{EventKind, State};
use crate::{audit::Author, bpf::BpfError, clock::monotonic_ns};
use undo::End;
pub(crate) use undo::Undo;
use waiting::Change;
pub(crate) use waiting::Waiting;

/// How much later than the daemon the kernel ends a rule that nobody confirmed.
const AFTER_NS: u64 = 2_000_000_000;
/// How long it takes to add one rule of many, at the most.
const EACH_NS: u64 = 50_000;
/// When a change is looked at again that could not be taken back.
const AGAIN_NS: u64 = 1_000_000_000;

const NOBODY: &str = "nobody confirmed it in time";
const STOPPED: &str = "the daemon stops";
const SUPERSEDED: &str = "another change of the same came after it, and stands";

/// That a change must be confirmed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    pub(crate) within: Duration,
    /// Where nobody asked for it, by what it could lock its author out: a sentence.
    pub(crate) why: Option<String>,
}

impl Trial {
    /// When the kernel ends what is added from `now_ns` on, `many` things, if the daemon does not; as rules tell it.
    pub(crate) fn expiry(&self, now_ns: u64, many: usize) -> u32 {
        let adding_ns = EACH_NS.saturating_mul(many as u64);
        let after_ns = nanoseconds(self.within).saturating_add(AFTER_NS);
        Rule::expiry(now_ns, after_ns.saturating_add(adding_ns))
    }
}

/// What the answer to a change says that must be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// For `netguard confirm`.
    pub id: u64,
    pub within_s: u64,
    /// By what it could lock its author out; `None`: they asked for it.
    pub why: Option<String>,
}

/// A change that waits, as `GET /v1/changes` tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnconfirmedChange {
    pub id: u64,
    /// Such as `block 10.0.0.0/8`.
    pub what: String,
    pub author: Author,
    pub goes_back_in_s: u64,
    pub why: Option<String>,
}

impl UnconfirmedChange {
    /// For people.
    pub fn sentence(&self) -> String {
        let Self {
            id,
            what,
            goes_back_in_s,
            ..
        } = self;
        format!(
            "waits for confirmation: change {id}, {what}; it goes back in {goes_back_in_s} s unless `netguard confirm {id}`"
        )
    }
}

/// Has `undo` done at the end of `trial`, unless somebody confirms `what` is in force since `author` asked for it.
pub(crate) fn begin(state: &State, what: String, author: Author, trial: Trial, undo: Undo) -> Unconfirmed {
    let id = state
        .unconfirmed()
        .begin(what.clone(), author.clone(), &trial, undo, monotonic_ns());
    let within_s = trial.within.as_secs();
    info!(id, within_s, "to be confirmed: {what}");
    state.journal.record_by(
        author,
        EventKind::ChangeUnconfirmed {
            id,
            what,
            within_s,
            why: trial.why.clone(),
        },
    );
    Unconfirmed {
        id,
        within_s,
        why: trial.why,
    }
}

/// Lets go of the changes that `is_same` says a new one of `author` has replaced.
pub(crate) fn supersede(state: &State, author: &Author, is_same: impl Fn(&Undo) -> bool) {
    let gone = state
        .unconfirmed()
        .changes
        .extract_if(.., |_, change| is_same(&change.undo))
        .collect::<Vec<_>>();
    for (id, change) in gone {
        tell_undone(state, id, change.what, author.clone(), SUPERSEDED);
    }
}

/// Takes back what nobody confirmed in time.
pub(super) fn tick(state: &Arc<State>) {
    if state.unconfirmed().changes.is_empty() {
        return;
    }
    let due = state.unconfirmed().due(monotonic_ns());
    for id in due {
        let state = Arc::clone(state);
        tokio::spawn(async move {
            if let Err(why) = take_back(&state, id, Author::Time, NOBODY).await {
                warn!(id, "a change that nobody confirmed does not go back yet: {why}");
            }
        });
    }
}

/// Takes everything back, since nobody is left to do it later. The turn to write is the caller's.
pub(super) async fn stop(state: &State) {
    let waiting = std::mem::take(&mut state.unconfirmed().changes);
    for (id, mut change) in waiting {
        // What a measure holds goes with it.
        if let Err(error) = change.undo.take_back(state).await {
            warn!(id, "{} stays, although nobody confirmed it: {error}", change.what);
        }
        tell_undone(state, id, change.what, Author::Daemon, STOPPED);
    }
}

/// Why a change does not go back, or is not confirmed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("no change {0} waits for confirmation: see `netguard status`")]
    None(u64),
    #[error("change {0} was not confirmed in time: it goes back")]
    TooLate(u64),
    #[error(
        "{0} is limited by what is done about an attack: it goes back when that ends (`netguard attacks list`)"
    )]
    Held(String),
    #[error(transparent)]
    Bpf(#[from] BpfError),
    #[error("{0}")]
    Refused(String),
}

/// Takes change `id` back, since `author` says so or its time is over.
pub(crate) async fn take_back(
    state: &State,
    id: u64,
    author: Author,
    why: &str,
) -> Result<UnconfirmedChange, ChangeError> {
    let _writing = state.write().await;
    let (told, mut change) = take(state, id)?;
    let failure = match change.undo.take_back(state).await {
        Ok(End::Done) => None,
        Ok(End::Held) => Some(ChangeError::Held(change.what.clone())),
        Err(error) => Some(error.into()),
    };
    if let Some(failure) = failure {
        again(state, id, change);
        return Err(failure);
    }
    tell_undone(state, id, change.what, author, why);
    Ok(told)
}

/// Makes change `id` stay, since `author` says that all is well.
pub(crate) async fn confirm(
    state: &State,
    id: u64,
    author: Author,
) -> Result<UnconfirmedChange, ChangeError> {
    let asked_ns = monotonic_ns();
    let _writing = state.write().await;
    let (told, mut change) = take(state, id)?;
    // The turn to write can have come late: what the kernel ends by itself may be gone then.
    let late_ns = monotonic_ns().saturating_sub(AFTER_NS / 2);
    if change.ends_ns <= asked_ns.max(late_ns) {
        again(state, id, change);
        return Err(ChangeError::TooLate(id));
    }
    if let Err(error) = change.undo.confirm(state).await {
        again(state, id, change);
        return Err(error);
    }
    let what = change.what;
    info!(id, "confirmed: {what}");
    state
        .journal
        .record_by(author, EventKind::ChangeConfirmed { id, what });
    Ok(told)
}

fn take(state: &State, id: u64) -> Result<(UnconfirmedChange, Change), ChangeError> {
    let mut waiting = state.unconfirmed();
    let told = waiting
        .report(monotonic_ns())
        .into_iter()
        .find(|change| change.id == id);
    let change = waiting.changes.remove(&id);
    told.zip(change).ok_or(ChangeError::None(id))
}

/// Puts a change back that stands as it did.
fn again(state: &State, id: u64, mut change: Change) {
    change.going = false;
    // Before its end it is only where an operator asked.
    let now_ns = monotonic_ns();
    if change.ends_ns <= now_ns {
        change.ends_ns = now_ns.saturating_add(AGAIN_NS);
    }
    state.unconfirmed().changes.insert(id, change);
}

fn tell_undone(state: &State, id: u64, what: String, author: Author, why: &str) {
    info!(id, "taken back, since {why}: {what}");
    let why = why.to_owned();
    state
        .journal
        .record_by(author, EventKind::ChangeUndone { id, what, why });
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
