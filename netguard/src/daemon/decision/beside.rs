//! What goes on beside the checks: rules are copied for them, and once a second the rest of the daemon hears what was noticed.

use std::{sync::Arc, time::Duration};

use tokio::time::{interval, sleep};
use tracing::debug;

use super::{Deciding, now};
use crate::{
    bpf::{BpfError, InstanceName, List, Pins, Rules},
    clock::monotonic_ns,
    daemon::{EventKind, State},
    decision::Listed,
    engine::Account,
};

const SECOND: Duration = Duration::from_secs(1);
/// Copying rules may take one part in so many of the time.
const PART: u32 = 50;

/// Copies the rules again and again: every second, more rarely where they are very many.
pub(super) async fn rules(state: Arc<State>, deciding: Arc<Deciding>) {
    loop {
        let began_ns = monotonic_ns();
        let instance = state.instance.clone();
        match tokio::task::spawn_blocking(move || listed(&instance)).await {
            Ok(Ok(listed)) => deciding.decider().follow_rules(Arc::new(listed)),
            Ok(Err(error)) => debug!("the decision endpoint does not know the rules: {error}"),
            Err(error) => debug!("the decision endpoint does not know the rules: {error}"),
        }
        let took = Duration::from_nanos(monotonic_ns().saturating_sub(began_ns));
        sleep(SECOND.max(took * PART)).await;
    }
}

/// The rules of `instance`, by a handle that nobody else waits for.
fn listed(instance: &InstanceName) -> Result<Listed, BpfError> {
    let rules = Rules::open(&Pins::of(instance))?;
    Ok(Listed::new(
        rules.entries(List::Allow)?,
        rules.entries(List::Block)?,
    ))
}

/// Tells once a second what was noticed.
pub(super) async fn seconds(state: Arc<State>, deciding: Arc<Deciding>) {
    let mut seconds = interval(SECOND);
    let mut challenged = false;
    loop {
        seconds.tick().await;
        let (careless, challenges, checks_per_s) = {
            let mut decider = deciding.decider();
            let at = now();
            (
                decider.second(),
                decider.challenges_now(at),
                decider.checks_per_s(at),
            )
        };
        if challenges != challenged {
            challenged = challenges;
            state.journal.record(match challenges {
                true => EventKind::ChallengeBegun { checks_per_s },
                false => EventKind::ChallengeEnded,
            });
        }
        for (client, limit) in careless {
            let account = Account::of(client);
            let mut reputation = state.reputation();
            // Only who is connected to this very machine: of anybody else a header says who it is.
            if reputation.connections(account) > 0 {
                reputation.asking(account, &limit, monotonic_ns());
            }
        }
    }
}
