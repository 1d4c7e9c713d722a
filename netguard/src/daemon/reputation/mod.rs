//! Reputation in the daemon: taken up at the start from where the last one left it, fed by what the ticks see, kept on disk beside
//! them. What a score is made of is the engine's business.

mod alone;
mod keeper;
mod report;
mod store;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use netguard_common::layout::Mode;
use tokio::{sync::oneshot, time::timeout};
use tracing::warn;

use super::{EventKind, State, blocks};
use crate::{
    bpf::Throttled,
    clock::{monotonic_ns, wall_clock},
    config::{Config, StoreMode},
    engine::{
        Account, Chain, Divided, Reputation, Window,
        detect::Class,
        reputation::{Settings, Throttle},
        spare_guarded,
    },
};

pub use alone::{forget_kept, kept_reputation, reputation_place};
pub(super) use keeper::Keeper;
pub use keeper::StoreState;
pub use report::{
    Forgotten, OutcomeCount, ReasonReport, ReputationReport, SourceReputation, of_source, report,
};
pub use store::{Kept, Store, StoreError};

/// Sources that are looked up in the lists every ten seconds: a list of a million entries is gone through for each.
const LOOKED_UP: usize = 16;
/// How long a start waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes up what the last daemon knew. Nothing that fails here keeps this one from its work.
pub(super) async fn begin(state: &Arc<State>, config: &Config) {
    let settings = Settings::from(config);
    let file = config.reputation.file.of_instance(&state.instance.to_string());
    let keeps = settings.mode != Mode::Off && config.reputation.store == StoreMode::On;
    let opened = if keeps {
        let open = {
            let file = file.clone();
            move || Store::open(&file)
        };
        let opened = timeout(PATIENCE, tokio::task::spawn_blocking(open)).await;
        let broken = |why: String| {
            let file = file.clone();
            Err(StoreError::Broken { file, why })
        };
        Some(match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => broken(error.to_string()),
            Err(_) => broken("the disk does not answer".to_owned()),
        })
    } else {
        None
    };
    let (kept, saved_ns) = match &opened {
        Some(Ok((_, kept))) => (kept.records.clone(), kept.saved_ns),
        _ => (Vec::new(), 0),
    };
    let now_ns = monotonic_ns();
    // A wall clock that jumped back makes no time go by; it does not make old times lie ahead.
    let epoch_ns = wall_ns().max(saved_ns).saturating_sub(now_ns);
    let mut reputation = Reputation::new(settings, epoch_ns, fastrand::u64(..));
    let without_room = reputation.adopt(kept, now_ns);
    if opened.is_none() {
        reputation.keep_nothing();
    }
    blocks::find(state, &mut reputation, now_ns);
    *state.reputation() = reputation;
    if let Some(opened) = opened {
        let keeper = Keeper::begin(file, opened, without_room);
        tell(state, &keeper);
        // It is set once.
        let _kept = state.keeper.set(keeper);
    }
}

/// Takes in the `windows` of the last second, and has what changed written.
pub(super) fn second(state: &State, windows: &[Window]) {
    let attacked: Vec<Class> = {
        let controller = state.controller();
        let attacks = controller.tracker().attacks().iter();
        let going = attacks.filter(|attack| attack.is_going() && attack.class.is_attack());
        going.map(|attack| attack.class).collect()
    };
    let now_ns = monotonic_ns();
    state.reputation().second(windows, &attacked, now_ns);
    let Some(keeper) = state.keeper.get() else {
        return;
    };
    if keeper.is_due(now_ns) {
        write(state, keeper, now_ns, None);
    }
    tell(state, keeper);
}

/// Has the limits of those divided against whom their deeds speak, and has `chain` spare them what only that costs.
pub(super) fn throttle(state: &State, throttled: &mut Throttled, chain: &mut Chain) {
    let now_ns = monotonic_ns();
    // Before anybody looked, what an earlier daemon wrote holds for its time.
    let Some(throttles) = state.reputation().throttles(now_ns) else {
        return;
    };
    let throttles = spare_guarded(throttles, &state.guard());
    let followed = throttled.follow(throttles.iter().map(Throttle::parts), now_ns);
    match followed.and_then(|()| state.settings().read()) {
        Ok(settings) => chain.divide(Divided::new(&throttles, &settings)),
        Err(error) => warn!("limits do not all move with the scores of sources: {error}"),
    }
}

/// Every ten seconds: who is forgotten, and who is on a list.
pub(super) fn sweep(state: &Arc<State>) {
    let now_ns = monotonic_ns();
    let is_free = state.try_lists().is_some();
    let suspects: Vec<Account> = {
        let mut reputation = state.reputation();
        reputation.tidy(now_ns);
        // While the lists are read, the next time will do.
        match is_free {
            true => reputation.to_look_up(LOOKED_UP, now_ns),
            false => Vec::new(),
        }
    };
    if suspects.is_empty() {
        return;
    }
    let state = Arc::clone(state);
    tokio::task::spawn_blocking(move || {
        for account in suspects {
            let Some(lists) = state.try_lists() else {
                return;
            };
            let (matches, _) = lists.matching(account.prefix().address());
            drop(lists);
            if let Some(feed) = matches.iter().find(|list| list.kind == "feed") {
                state.reputation().listed(account, &feed.name, now_ns);
            }
        }
    });
}

/// Forgets the source at `address`, or everybody. Without a fault it is in no table of the file either, when this answers, also where
/// only that still had it.
pub async fn forget(state: &State, address: Option<IpAddr>) -> Forgotten {
    let mut told = Forgotten {
        source: None,
        forgotten: 0,
        fault: None,
    };
    {
        let mut reputation = state.reputation();
        match address {
            // An address by itself may be known beside the account that it belongs to.
            Some(address) => {
                let both = [Account::of(address), Account::alone(address)];
                let known = both.map(|account| reputation.forget(account).then_some(account));
                told.forgotten = usize::from(known.iter().any(Option::is_some));
                let account = known.into_iter().flatten().next();
                told.source = Some(account.unwrap_or(both[0]).to_string());
            }
            None => told.forgotten = reputation.forget_all(),
        }
    }
    let Some(keeper) = state.keeper.get() else {
        return told;
    };
    if address.is_none() {
        keeper.write_whole();
    }
    let (done, written) = oneshot::channel();
    write(state, keeper, monotonic_ns(), Some(done));
    told.fault = match written.await {
        Ok(written) => written.err(),
        Err(_) => Some("the disk does not answer".to_owned()),
    };
    told
}

/// Where it is kept; `None`: only in memory.
pub fn store_state(state: &State) -> Option<StoreState> {
    state.keeper.get().map(Keeper::state)
}

/// Writes the last changes, if that does not take long.
pub(super) async fn finish(state: &Arc<State>) {
    let Some(keeper) = state.keeper.get() else {
        return;
    };
    write(state, keeper, monotonic_ns(), None);
    let state = Arc::clone(state);
    let ended = tokio::task::spawn_blocking(move || state.keeper.get().map(Keeper::finish)).await;
    if !matches!(ended, Ok(Some(true))) {
        warn!("the last changes of reputation may not be on disk");
    }
}

/// Hands what changed to the thread that writes.
fn write(state: &State, keeper: &Keeper, now_ns: u64, done: Option<keeper::Done>) {
    let mut reputation = state.reputation();
    let saved_ns = reputation.at(now_ns);
    if reputation.changes_given_up() {
        keeper.write_whole();
    }
    let is_whole = keeper.wants_whole();
    let changes = if is_whole {
        let all = reputation.whole().into_iter();
        all.map(|(account, record)| (account, Some(record))).collect()
    } else {
        reputation.changes()
    };
    if changes.is_empty() && !is_whole && done.is_none() {
        return;
    }
    if let Err(changes) = keeper.write(changes, is_whole, saved_ns, done) {
        reputation.changed_again(&changes);
    }
}

/// Tells when keeping began to fail, and when it works again.
fn tell(state: &State, keeper: &Keeper) {
    if let Some(why) = keeper.news() {
        let file = keeper.state().file.display().to_string();
        match &why {
            Some(why) => warn!("reputation: {why}"),
            None => tracing::info!("reputation is kept in {file} again"),
        }
        state.journal.record(EventKind::ReputationStore { file, why });
    }
}

fn wall_ns() -> u64 {
    let since = wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 2)
}
