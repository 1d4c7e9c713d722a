//! What is normal, and what calm times are like beside, outlives the daemon, and is foreseen: reads it at the start, and beside the tick writes it every few minutes and at
//! the end, and decomposes its hours once an hour. What is normal, the engine says.

mod file;
mod known;

use std::{mem, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{info, warn};

use super::{EventKind, State, Stop, setup::Inputs};
use crate::{
    clock::{monotonic_ns, wall_clock_s, wall_clock_text},
    config::Config,
    engine::{Calm, Controller, Learnt, baseline::Shifted},
};

use file::put_aside;
pub use file::{
    NormalFileError, normal_file, read as read_normal, read_of_any_age as read_normal_of_any_age,
    write as write_normal,
};

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(1);
/// After a failure it is tried again that soon, or as soon as it would have been.
const AGAIN_NS: u64 = 60_000_000_000;
/// How long the end of the daemon waits for the disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// Changes of one second that are told.
const TOLD: usize = 16;
const HOUR_S: u64 = 3_600;

/// How what is normal is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NormalState {
    pub file: PathBuf,
    /// When it was last written, RFC 3339.
    pub saved: Option<String>,
    /// Why it is not written at the moment.
    pub fault: Option<String>,
    /// Why what was there at the start was not taken.
    pub refused: Option<String>,
}

impl NormalState {
    /// What is not as it should be; `None`: nothing.
    pub fn sentence(&self) -> Option<String> {
        let told: Vec<&str> = [&self.fault, &self.refused]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        (!told.is_empty()).then(|| format!("what is normal: {}", told.join("; ")))
    }
}

/// Takes up what an earlier daemon learnt.
pub(super) fn restore(state: &State, inputs: &mut Inputs) {
    let file = normal_file(&state.instance);
    state.normal().file = file.clone();
    // An end before the first sweep keeps it as well.
    state.served().clone_from(inputs.ground.served());
    let mut kept = match read_normal(&file, wall_clock_s().unwrap_or(0)) {
        Ok(Some(kept)) => kept,
        Ok(None) => return begin_anew(state),
        Err(error) => {
            refuse(state, &file, error.to_string());
            return begin_anew(state);
        }
    };
    let written = kept.written();
    let learnt_s = kept.learnt.seconds();
    info!(
        learnt_s,
        written,
        from_future = kept.from_future,
        "what is normal was restored"
    );
    state.journal.record(EventKind::NormalRestored {
        file: file.display().to_string(),
        learnt_s,
        written,
        from_future: kept.from_future,
    });
    recall(state, inputs, mem::take(&mut kept.learnt.calm));
    *state.controller() = Controller::new(kept.learnt);
}

/// Takes up what is known of calm times beside what is normal.
fn recall(state: &State, inputs: &mut Inputs, calm: Calm) {
    for why in &calm.left {
        warn!("of calm times was not restored, and is learnt anew: {why}");
    }
    let geo = &inputs.config.geo;
    let (are_countries, are_systems) = (geo.country_database.is_some(), geo.asn_database.is_some());
    if !state.responder().recall(calm.packets, calm.places, are_countries) {
        info!("packets of calm times were not restored: another version wrote them, or none");
    }
    state
        .campaigns()
        .recall(calm.ordinary.recalled(are_systems), calm.probes);
    inputs.ground.recall(calm.served);
    state.served().clone_from(inputs.ground.served());
}

fn begin_anew(state: &State) {
    *state.controller() = Controller::new(Learnt::new(fastrand::u64(..)));
}

fn refuse(state: &State, file: &std::path::Path, why: String) {
    let kept_in = match put_aside(file) {
        Ok(aside) => Some(aside.display().to_string()),
        Err(error) => {
            warn!("{} cannot be put aside: {error}", file.display());
            None
        }
    };
    let kept = kept_in
        .as_ref()
        .map_or_else(String::new, |kept| format!(" (it is kept as {kept})"));
    let told = format!("{why}; learning begins anew{kept}");
    warn!("what is normal: {told}");
    state.normal().refused = Some(told);
    state.journal.record(EventKind::NormalRefused {
        file: file.display().to_string(),
        why,
        kept_in,
    });
}

/// Keeps what is normal until the daemon is stopped, and once more then.
pub(super) async fn keep(state: Arc<State>, config: Config, mut stopped: watch::Receiver<Option<Stop>>) {
    let every_ns = super::setup::nanoseconds(config.normal.save_every.duration());
    let mut ticker = interval(LOOK);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut due_ns = monotonic_ns().saturating_add(every_ns);
    let mut foreseen = None;
    loop {
        let asked = tokio::select! {
            _ = ticker.tick() => false,
            () = state.normal_asked.notified() => true,
            _ = stopped.changed() => break,
        };
        if asked || monotonic_ns() >= due_ns {
            let saved = save(&state).await;
            let wait_ns = if saved { every_ns } else { every_ns.min(AGAIN_NS) };
            due_ns = monotonic_ns().saturating_add(wait_ns);
        }
        let hour = wall_clock_s().map(|wall_s| wall_s / HOUR_S);
        if hour != foreseen && foresee(&state).await {
            foreseen = hour;
        }
    }
    if timeout(PATIENCE, save(&state)).await.is_err() {
        warn!("what is normal was not written at the end: the disk does not answer");
    }
}

/// Writes what is normal now; whether it could be.
async fn save(state: &Arc<State>) -> bool {
    let (file, kept) = (state.normal().file.clone(), Arc::clone(state));
    let written = spawn_blocking(move || {
        // To copy takes a tenth of the time that to write does, and the tick waits for it.
        let mut learnt = kept.controller().learnt().clone();
        learnt.calm = kept.calm();
        write_normal(&file, &learnt, wall_clock_s().unwrap_or(0))
    });
    let fault = match written.await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    let mut normal = state.normal();
    let before = mem::replace(&mut normal.fault, fault.clone());
    if fault.is_none() {
        normal.saved = Some(wall_clock_text());
    }
    drop(normal);
    match (before, &fault) {
        (None, Some(why)) => {
            warn!("what is normal: {why}");
            state
                .journal
                .record(EventKind::NormalNotSaved { why: why.clone() });
        }
        (Some(_), None) => {
            info!("what is normal is written again");
            state.journal.record(EventKind::NormalSavedAgain);
        }
        _ => {}
    }
    fault.is_none()
}

/// Decomposes the hours; whether what came of it is in use.
async fn foresee(state: &Arc<State>) -> bool {
    let state = Arc::clone(state);
    let foreseen = spawn_blocking(move || {
        let series = state.controller().baselines().series();
        let forecasts = series.forecasts();
        state.controller().baselines_mut().foresee(forecasts)
    });
    foreseen.await.unwrap_or(false)
}

/// Records what has had another level for long.
pub(super) fn tell(state: &State, shifted: &[Shifted]) {
    if shifted.is_empty() {
        return;
    }
    let changes: Vec<String> = shifted.iter().take(TOLD).map(sentence).collect();
    info!("what is normal has changed: {}", changes.join("; "));
    state.journal.record(EventKind::NormalChanged {
        more: shifted.len() - changes.len(),
        changes,
    });
}

/// `tcp/80: packets 900 for ten minutes, seldom over 120 before; up to 960 is normal now`
fn sentence(shifted: &Shifted) -> String {
    let of = shifted.service.as_deref().unwrap_or("all traffic");
    let (metric, changed) = (shifted.metric, &shifted.changed);
    let [level, before, usual] = [changed.level, changed.before, changed.usual].map(short);
    if changed.level > changed.before {
        format!(
            "{of}: {metric} {level} for ten minutes, seldom over {before} before; up to {usual} is normal now"
        )
    } else {
        format!("{of}: {metric} {level} for ten minutes, seldom under {before} before")
    }
}

/// Rates in whole numbers; of milliseconds and parts of a hundred, which may be few, more.
fn short(value: f64) -> String {
    match value {
        ..10.0 if value.fract() != 0.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::baseline::Changed;

    #[test]
    fn changes_are_told_both_ways() {
        let shifted = |level, service: Option<&str>| Shifted {
            service: service.map(str::to_owned),
            metric: "packets",
            changed: Changed {
                before: 120.0,
                level,
                usual: 960.0,
            },
        };
        let up = sentence(&shifted(900.0, Some("tcp/80")));
        assert_eq!(
            up,
            "tcp/80: packets 900 for ten minutes, seldom over 120 before; up to 960 is normal now"
        );
        let down = sentence(&shifted(3.0, None));
        assert_eq!(
            down,
            "all traffic: packets 3 for ten minutes, seldom under 120 before"
        );
        let errors = Shifted {
            metric: "errors-percent",
            changed: Changed {
                before: 0.25,
                level: 4.126,
                usual: 12.4,
            },
            service: None,
        };
        assert_eq!(
            sentence(&errors),
            "all traffic: errors-percent 4.13 for ten minutes, seldom over 0.25 before; up to 12 is normal now"
        );
    }

    #[test]
    fn only_what_is_wrong_is_told() {
        let mut state = NormalState::default();
        assert_eq!(state.sentence(), None);
        state.saved = Some("2026-01-01T00:00:00.000Z".to_owned());
        assert_eq!(state.sentence(), None);
        state.fault = Some("/x cannot be written".to_owned());
        state.refused = Some("/y is damaged".to_owned());
        let told = state.sentence().expect("two faults");
        assert_eq!(told, "what is normal: /x cannot be written; /y is damaged");
    }
}
