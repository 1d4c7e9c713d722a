//! The answers to requests that change the rules.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Json,
    extract::{Path, Query, State as Shared},
};

use super::{
    super::{
        Failure, FailureKind, Import, Objections, RequestError, RuleAddition, RuleOutcome, RuleRemoval,
        listed::{self, find_listed},
        peer::By,
        remove_rule, risk,
        server::Refusal,
        told,
    },
    changes::{Asked, refuse_waiting},
};
use crate::{
    audit::Author,
    bpf::List,
    clock::monotonic_ns,
    daemon::{
        State, block_removed,
        unconfirmed::{self, Undo},
    },
};

pub(in crate::control) async fn add(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path(list): Path<String>,
    Query(asked): Query<Asked>,
    Json(additions): Json<Vec<RuleAddition>>,
) -> Result<Json<Vec<RuleOutcome>>, Refusal> {
    let list = named(&list)?;
    // A task of its own: an import begun is brought to its end, whether or not the client waits.
    let outcomes = tokio::spawn(import(state, author, list, asked, additions)).await;
    outcomes
        .map_err(|error| Refusal::failed(error.to_string()))?
        .map(Json)
}

/// Adds rules, letting go of the tables now and then.
async fn import(
    state: Arc<State>,
    author: Author,
    list: List,
    asked: Asked,
    additions: Vec<RuleAddition>,
) -> Result<Vec<RuleOutcome>, Refusal> {
    let _writing = state.write().await;
    let (mut objections, mut unasked) = (Objections::default(), Vec::new());
    if list == List::Block {
        find_listed(&state, &additions, &mut objections);
        unasked = listed::unasked(&state, &additions);
    }
    refuse_waiting(&state, list, additions.iter().map(|addition| addition.prefix))?;
    let now_ns = monotonic_ns();
    let mut import = Import::new(&state.guard(), objections, list, additions.clone(), now_ns)?;
    let risk = risk::of_additions(&state.guard(), list, &additions, asked.within_s(&state))
        .or_else(|| risk::of_session(asked.own_session));
    let trial = asked
        .trial(&state, risk, |_| false)?
        .filter(|_| !additions.is_empty());
    if let Some(trial) = &trial {
        import = import.on_trial(trial.expiry(now_ns, additions.len()));
    }
    let result = loop {
        let step = import.step(&mut state.rules());
        match step {
            Some(result) => break result,
            None => tokio::task::yield_now().await,
        }
    };
    let mut outcomes = result.inspect_err(|failed| {
        let at = failed.index.and_then(|index| additions.get(index));
        if let (RequestError::Bpf(error), Some(addition)) = (&failed.error, at) {
            state.rule_refused(addition.prefix.to_string(), error.to_string());
        }
    })?;
    let what = told::additions(list, &additions);
    // To name a million prefixes takes a tenth of a second: not on this thread.
    let told = tokio::task::spawn_blocking({
        let outcomes = outcomes.clone();
        move || told::added(list, &additions, &outcomes)
    });
    for event in told.await.map_err(|error| Refusal::failed(error.to_string()))? {
        state.journal.record_by(author.clone(), event);
    }
    if list == List::Block {
        state.blocks_asked.store(true, Ordering::Relaxed);
    }
    if let Some(trial) = trial {
        let undo = Undo::Added(import.into_trial());
        let unconfirmed = unconfirmed::begin(&state, what, author, trial, undo);
        for outcome in &mut outcomes {
            outcome.unconfirmed = Some(unconfirmed.clone());
        }
    }
    if let Some(first) = outcomes.first_mut() {
        first.unasked = unasked;
    }
    Ok(outcomes)
}

pub(in crate::control) async fn remove(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path(list): Path<String>,
    Query(asked): Query<Asked>,
    Json(removal): Json<RuleRemoval>,
) -> Result<Json<RuleOutcome>, Refusal> {
    let list = named(&list)?;
    let _writing = state.write().await;
    let prefix = removal.prefix;
    let risk = risk::of_removal(&state.guard(), list, prefix);
    let is_same = |undo: &Undo| undo.is_only(list, &prefix);
    let trial = asked.trial(&state, risk, is_same)?;
    let (mut outcome, removed) = remove_rule(&mut state.rules(), list, &removal)?;
    // Whoever removes what waits needs no other word.
    unconfirmed::supersede(&state, &author, is_same);
    if let Some(event) = told::removed(list, &outcome) {
        state.journal.record_by(author.clone(), event);
        if list == List::Block {
            block_removed(&state, &prefix);
        }
    }
    if let (Some(trial), Some((rule, note))) = (trial, removed) {
        let undo = Undo::Removed {
            list,
            prefix,
            rule,
            note,
        };
        let what = format!("removal of {prefix} from the {}list", list.name());
        outcome.unconfirmed = Some(unconfirmed::begin(&state, what, author, trial, undo));
    }
    Ok(Json(outcome))
}

fn named(list: &str) -> Result<List, Refusal> {
    [List::Allow, List::Block]
        .into_iter()
        .find(|known| known.name() == list)
        .ok_or_else(|| {
            let message = format!("there is no list {list:?}: the lists are allow and block");
            Refusal(Failure::new(FailureKind::Usage, message))
        })
}
