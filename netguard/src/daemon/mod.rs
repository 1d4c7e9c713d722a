//! The daemon: sets protection up, then every 50 ms collects, lets the pure chain judge, and enforces.

pub(crate) mod act;
mod attachment;
mod attacks;
mod authors;
mod before;
mod blocks;
mod campaigns;
mod changed;
mod configuration;
pub(crate) mod configured;
mod connections;
mod cookies;
pub(crate) mod database;
mod decision;
mod event;
mod fetches;
mod found;
mod journal;
mod l7;
pub(crate) mod lists;
mod lock;
mod normal;
mod offer;
mod own;
pub(crate) mod places;
mod protected;
mod rates;
mod reach;
pub(crate) mod reflection;
pub(crate) mod reputation;
pub(crate) mod respond;
mod responses;
mod segments;
pub(crate) mod settings;
pub(crate) mod setup;
mod signals;
mod state;
mod sysctls;
pub(crate) mod tick;
mod tls;
mod traffic;
pub(crate) mod unconfirmed;

use std::{io, path::PathBuf, sync::Arc, thread};

use tokio::sync::watch;
use tracing::{info, warn};

use crate::{
    audit::{Place, Recorder},
    bpf::{AttachError, BpfError, InstanceName, Pins},
    config::{Config, OnExit},
    control,
    host::HostError,
    metrics,
};
use signals::Signals;

pub use attacks::{AttackPoint, AttackReport, AttackSource, AttackedService, sentence as evidence_sentence};
pub(crate) use blocks::removed as block_removed;
pub use campaigns::{
    CampaignAttack, CampaignJoint, CampaignNetwork, CampaignReport, CampaignSource, CampaignTarget,
    CampaignTold,
};
pub use changed::changed_limits;
pub use configured::Spared;
pub use connections::{ConnectionsReport, Ended};
pub use cookies::withdraw_cookies;
pub use decision::decision_report;
pub use event::{Event, EventKind};
pub use fetches::begin_fetches;
pub use journal::Journal;
pub use l7::{Heard, HttpReport, Listens};
pub use lists::{Download, Hold, ListMatch, ListReport, Lists, NeverBlock};
pub use lock::{Lock, acquire as lock_instance, holder as lock_holder};
pub use normal::{
    NormalFileError, NormalState, normal_file, read_normal, read_normal_of_any_age, write_normal,
};
pub use offer::CookieOptions;
pub use own::sentence as left_out_sentence;
pub use protected::Protected;
pub use reach::StateReach;
pub use reflection::ReflectionState;
pub use reputation::{
    Forgotten, Kept, OutcomeCount, ReasonReport, ReputationReport, SourceReputation, Store, StoreError,
    StoreState, forget as forget_reputation, forget_kept, kept_reputation, of_source as source_reputation,
    report as reputation_report, reputation_place, store_state,
};
pub use responses::{CollateralReport, MeasureReport, PacketReport, ResponseReport, WithheldReport};
pub use settings::{limit_rate, service_entry, settings};
pub use state::{CookieState, State, Stop};
pub use sysctls::{restore_sysctls, sysctl_faults};
pub use tls::{Tls, TlsReport, TlsState};
pub(crate) use traffic::Numbers;
pub use traffic::{Entropies, HeavyRate, KindRate, ServiceRate, Spread, TrafficReport};
pub use unconfirmed::{Unconfirmed, UnconfirmedChange};

/// Runtime files: control sockets and locks.
pub const RUNTIME_DIRECTORY: &str = "/run/netguard";

/// What `netguard run` was asked for. `config` has the interfaces of the command line in it.
#[derive(Debug)]
pub struct Options {
    pub instance: InstanceName,
    pub config: Config,
}

#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("no interface to protect: name one with -i, or list it under `interfaces` in the configuration")]
    NoInterface,
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Bpf(#[from] BpfError),
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error(
        "{interface} already runs the XDP program {program}: if it is netguard_xdp, another instance holds it (`netguard --instance NAME detach`); otherwise detach it with the tool that loaded it, and try again"
    )]
    Occupied { interface: String, program: String },
    #[error(
        "{0} is the loopback interface: its traffic is this machine talking to itself; name the interface to the network"
    )]
    Loopback(String),
    #[error(
        "{0} has no Ethernet frames (a tunnel?), and netguard reads nothing else: protect the interface below it"
    )]
    NotEthernet(String),
    #[error(
        "instance {instance} is already running{}: stop that daemon first, or choose another name with --instance",
        .pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
    )]
    AlreadyRunning {
        instance: InstanceName,
        pid: Option<u32>,
    },
    #[error("{path}: {source}")]
    Runtime { path: PathBuf, source: io::Error },
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
    #[error("asked to stop before anything was protected")]
    Interrupted,
    #[error(
        "{cause}; and not all that this start had made could be taken back: {left}; `netguard status` tells what stands"
    )]
    Left { cause: Box<Self>, left: String },
}

impl DaemonError {
    /// Whether the caller asked for something that cannot be (rather than something failing).
    pub fn is_usage(&self) -> bool {
        match self {
            Self::NoInterface
            | Self::Loopback(_)
            | Self::NotEthernet(_)
            | Self::Host(HostError::NoInterface { .. }) => true,
            Self::Left { cause, .. } => cause.is_usage(),
            _ => false,
        }
    }

    /// With what could not be taken back after it, if anything: the first error is the one to mend.
    fn and_left(self, left: Vec<String>) -> Self {
        if left.is_empty() {
            return self;
        }
        Self::Left {
            cause: Box::new(self),
            left: left.join("; "),
        }
    }
}

/// Runs until a signal or a request over the control socket ends it.
///
/// # Errors
/// When protection cannot be set up; nothing new is left behind then.
pub async fn run(options: Options) -> Result<(), DaemonError> {
    let (stop, mut stopped) = watch::channel(None);
    let _lock = lock::acquire(&options.instance).await?;
    // Before anything is made: from here on a signal ends the daemon in order, and nothing fails once it protects.
    let mut signals = Signals::begin().map_err(DaemonError::Signals)?;
    let pins = Pins::of(&options.instance);
    let listener = control::listen(&options.instance)?;
    let place = Place::of(&options.config.audit, &options.instance);
    let audit = begin_trail(&place, &options.instance);
    let journal = Journal::with_trail(audit.clone());
    // It waits for answers only before it has made anything.
    let set_up = tokio::select! {
        set_up = setup::set_up(&options, &pins, stop, journal) => set_up,
        () = signals.received() => Err(DaemonError::Interrupted),
    };
    let (state, mut inputs) = set_up.inspect_err(|error| {
        control::remove_socket(&options.instance);
        let why = error.to_string();
        let journal = Journal::with_trail(audit);
        journal.record(EventKind::StartFailed { why });
        journal.finish();
    })?;
    let state = Arc::new(state);
    let not_counted = inputs.not_counted.take();
    connections::begin(&state, &pins, &options.config, not_counted, stopped.clone());
    l7::begin(&state, inputs.listening.take(), &options.config, stopped.clone());
    reputation::begin(&state, &options.config).await;
    if let Some(address) = options.config.metrics.listen {
        let digest = configuration::digest(&options.config);
        metrics::serve(address.socket(), Arc::clone(&state), digest);
    }
    decision::begin(&state, &options.config);
    if place.on {
        tell_configuration(&state, options.config.clone(), place);
    }
    normal::restore(&state, &mut inputs);
    let keeper = tokio::spawn(normal::keep(
        Arc::clone(&state),
        options.config.clone(),
        stopped.clone(),
    ));
    let server = tokio::spawn(control::serve(listener, Arc::clone(&state)));
    let signals = tokio::spawn(signals.stop(Arc::clone(&state)));

    tick::run(&state, inputs, &mut stopped).await;

    let reason = *stopped.borrow();
    signals.abort();
    // It writes once more what is normal.
    let _kept = keeper.await;
    // An import under way is brought to its end, and none begins after it, as long as this is held.
    let _writing = state.write().await;
    unconfirmed::stop(&state).await;
    server.abort();
    control::remove_socket(&options.instance);
    decision::finish(&state);
    let detach = match reason {
        Some(Stop::Detach) => true,
        _ => options.config.on_exit == OnExit::Detach,
    };
    reputation::finish(&state).await;
    let ended = end(&options, &pins, detach, &state.journal);
    state.journal.finish();
    ended
}

/// Takes the protection back, if it is to go.
fn end(options: &Options, pins: &Pins, detach: bool, journal: &Journal) -> Result<(), DaemonError> {
    if detach {
        if let Err(error) = withdraw_cookies(pins) {
            warn!("cookies that are made until the detachment may be lost: {error}");
        }
        if let Err(error) = restore_sysctls(&options.instance) {
            warn!("after the detachment {error}");
        }
        let interfaces = pins.remove()?;
        info!(?interfaces, "protection removed");
        journal.record(EventKind::Detached { interfaces });
    } else if pins.have_links() {
        info!("stopped; protection stays in the kernel until `netguard detach`");
    } else {
        warn!("stopped; nothing is protected: somebody removed the pins");
    }
    Ok(())
}

/// The audit trail at `place`, if it is to be written.
fn begin_trail(place: &Place, instance: &InstanceName) -> Option<Recorder> {
    if let Err(error) = place.leave_note(instance) {
        warn!("`netguard audit` may look for the trail in the wrong place: {error}");
    }
    place.on.then(|| Recorder::begin(place.clone()))
}

/// On a thread of its own, since the copy of the configuration before lies on a disk.
fn tell_configuration(state: &Arc<State>, config: Config, place: Place) {
    let state = Arc::clone(state);
    let tell = move || state.journal.record(configuration::tell(&config, &place));
    if let Err(error) = thread::Builder::new().spawn(tell) {
        warn!("the configuration is not told in the audit trail: {error}");
    }
}
