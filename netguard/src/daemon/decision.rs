//! The decision endpoint: HTTP for reverse proxies, on a thread of its own. What is decided is `decision`'s business; here are sockets, files and the
//! clock, and what the rest of the daemon hears of it.

mod beside;
mod files;
mod listen;

use std::{
    hash::RandomState,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tracing::warn;

use super::{State, database::Databases};
use crate::{
    clock::{monotonic_ns, wall_clock_s},
    config::{Config, DecisionAddress},
    decision::{Decider, DecisionReport, Ingredients, Now},
};

/// The endpoint, for all who share it.
pub(crate) struct Deciding {
    address: DecisionAddress,
    decider: Mutex<Decider>,
    /// Why nobody can ask at the moment.
    fault: Mutex<Option<String>>,
    /// What is wrong with files of the configuration.
    faults: Vec<String>,
    connections: AtomicUsize,
}

/// Begins to decide at the address of `config`. What goes wrong is told there and in the log: a filter whom no proxy can ask is better than
/// none.
pub(super) fn begin(state: &Arc<State>, config: &Config) {
    let settings = &config.decision;
    let Some(address) = settings.listen.clone() else {
        return;
    };
    let mut faults = Vec::new();
    let with = Ingredients {
        hash: RandomState::new(),
        secret: files::secret(settings.secret_file.as_deref(), &mut faults),
        signing: files::signing(settings.signed.iter(), &mut faults),
        blocklist: config.blocklist.mode.under(config.mode),
        began_ns: monotonic_ns(),
    };
    for fault in &faults {
        warn!("decision endpoint: {fault}");
    }
    let decider = Decider::new(settings, settings.mode.under(config.mode), with);
    let deciding = Arc::new(Deciding {
        address,
        decider: Mutex::new(decider),
        fault: Mutex::default(),
        faults,
        connections: AtomicUsize::new(0),
    });
    if state.decision.set(Arc::clone(&deciding)).is_err() {
        return;
    }
    let (settings, told, state) = (settings.clone(), Arc::clone(&deciding), Arc::clone(state));
    let served = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(async {
                tokio::spawn(beside::seconds(Arc::clone(&state), Arc::clone(&deciding)));
                tokio::spawn(beside::rules(state, Arc::clone(&deciding)));
                listen::run(&deciding, &settings).await;
            }),
            Err(error) => deciding.tell(Some(error.to_string())),
        }
    };
    // It ends with the process.
    let begun = thread::Builder::new().name("decision".to_owned()).spawn(served);
    if let Err(error) = begun {
        told.tell(Some(error.to_string()));
    }
}

/// Hands over what is known of places now.
pub(super) fn follow_places(state: &State, config: &Config, databases: &Databases) {
    let Some(deciding) = state.decision.get() else {
        return;
    };
    let atlas = |file: &Option<std::path::PathBuf>| databases.reading(file.as_ref()?).atlas;
    let (countries, systems) = (
        atlas(&config.geo.country_database),
        atlas(&config.geo.asn_database),
    );
    deciding.decider().follow_places(countries, systems);
}

/// How the endpoint stands; `None`: there is none.
pub fn decision_report(state: &State) -> Option<DecisionReport> {
    let deciding = state.decision.get()?;
    let mut report = deciding.decider().report(now());
    report.address = match &deciding.address {
        DecisionAddress::Tcp(address) => format!("http://{address}"),
        DecisionAddress::Unix(path) => path.display().to_string(),
    };
    let fault = deciding.fault().clone();
    report.faults = fault.into_iter().chain(deciding.faults.iter().cloned()).collect();
    let checks: u64 = report.checks.iter().map(|count| count.count + count.shadow).sum();
    // One or two are somebody who tries it out.
    if report.unsaid > checks / 100 {
        report.faults.push(format!(
            "{} checks did not say who asks, and were judged as the proxy's own: let it send the header that `decision.client_header` names",
            report.unsaid
        ));
    }
    report.connections = deciding.connections.load(Ordering::Relaxed);
    Some(report)
}

/// Nobody can ask any more.
pub(super) fn finish(state: &State) {
    // Where there is a fault somebody else may listen.
    let listening = state.decision.get().filter(|deciding| deciding.fault().is_none());
    if let Some(DecisionAddress::Unix(path)) = listening.map(|deciding| &deciding.address)
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::debug!("{}: {error}", path.display());
    }
}

impl Deciding {
    fn decider(&self) -> MutexGuard<'_, Decider> {
        self.decider.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self) -> MutexGuard<'_, Option<String>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells why nobody can ask, or that one can: in the log once, in `netguard status` for as long as it is so.
    fn tell(&self, why: Option<String>) {
        let fault = why.map(|why| format!("`decision.listen` {}: {why}", self.address));
        let mut known = self.fault();
        if *known != fault {
            match &fault {
                Some(fault) => warn!("proxies can NOT ask: {fault}"),
                None => tracing::info!("proxies may ask at {}", self.address),
            }
            *known = fault;
        }
    }
}

fn now() -> Now {
    Now {
        mono_ns: monotonic_ns(),
        wall_s: wall_clock_s().unwrap_or(0),
    }
}
