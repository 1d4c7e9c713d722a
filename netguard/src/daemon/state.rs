//! What the tick and the control socket share.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, Notify, watch};

use super::{
    ConnectionsReport, EventKind, Heard, Journal, Lists, NeverBlock, NormalState, Protected, ReflectionState,
    Spared, StateReach, Tls, TrafficReport, cookies::Wanted, decision::Deciding, found::Found, rates::Rates,
    reputation::Keeper, unconfirmed::Waiting,
};
use crate::{
    audit::Author,
    bpf::{InstanceName, Rules, Services, SettingsMap, Signatures},
    clock::wall_clock,
    config::Confirm,
    engine::{Campaigns, Controller, Guard, Reputation, calm::Served, response::Responder},
    metrics::{Figures, MetricsState},
    prefix::Prefix,
};

/// Why the daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Signal,
    /// Over the control socket: protection goes, too.
    Detach,
}

/// Whether services are answered for with SYN cookies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CookieState {
    #[default]
    Off,
    Auto,
    Always,
    /// Switched off, because the answers did not arrive.
    Undelivered,
}

/// What setting up made.
pub(super) struct Parts {
    pub(super) instance: InstanceName,
    pub(super) started_ns: u64,
    pub(super) mode: String,
    /// With what happened so far.
    pub(super) journal: Journal,
    pub(super) interfaces: Vec<Protected>,
    pub(super) rules: Rules,
    pub(super) settings: SettingsMap,
    pub(super) signatures: Signatures,
    pub(super) services: Services,
    pub(super) guard: Guard,
    pub(super) spared: Vec<Spared>,
    pub(super) cookies: CookieState,
    pub(super) lists: Lists,
    pub(super) reach: StateReach,
    pub(super) reflection: ReflectionState,
    pub(super) tls: Tls,
    pub(super) sysctls: Wanted,
    pub(super) responder: Responder,
    pub(super) confirm: Confirm,
}

/// The daemon's state.
pub struct State {
    pub instance: InstanceName,
    /// Monotonic ns.
    pub started_ns: u64,
    /// `enforce` or `shadow`.
    pub mode: String,
    /// After how long a risky change goes back that nobody confirms.
    pub confirm: Confirm,
    pub journal: Journal,
    /// Rules that could not be placed because a table was full.
    pub rules_refused: AtomicU64,
    /// Addresses of this machine that found no room in the kernel's table.
    pub own_left_out: AtomicUsize,
    /// What only the daemon can count.
    pub figures: Figures,
    metrics: Mutex<Option<MetricsState>>,
    interfaces: Mutex<Vec<Protected>>,
    rules: Mutex<Rules>,
    settings: Mutex<SettingsMap>,
    signatures: Mutex<Signatures>,
    services: Mutex<Services>,
    guard: Mutex<Guard>,
    spared: Mutex<Vec<Spared>>,
    cookies: Mutex<CookieState>,
    reach: Mutex<StateReach>,
    reflection: Mutex<ReflectionState>,
    tls: Mutex<Tls>,
    rates: Mutex<Rates>,
    traffic: Mutex<Option<TrafficReport>>,
    controller: Mutex<Controller>,
    responder: Mutex<Responder>,
    campaigns: Mutex<Campaigns>,
    served: Mutex<Served>,
    normal: Mutex<NormalState>,
    /// Whoever changed what is normal has it written soon.
    pub(super) normal_asked: Notify,
    reputation: Mutex<Reputation>,
    /// Where reputation is kept, unless it is only in memory.
    pub(super) keeper: OnceLock<Keeper>,
    /// Whom proxies ask, if anybody.
    pub(super) decision: OnceLock<Arc<Deciding>>,
    writing: AsyncMutex<()>,
    unconfirmed: Mutex<Waiting>,
    connections: Mutex<ConnectionsReport>,
    heard: Mutex<Heard>,
    found: Mutex<Found>,
    /// Sources that a detector blocked for what they do to services: their connections are to end.
    ousted: Mutex<Vec<Prefix>>,
    /// Somebody was blocked whose connections are to end.
    pub(crate) blocks_asked: AtomicBool,
    lists: Mutex<Lists>,
    pub(super) holds_over: Arc<AtomicBool>,
    /// Beside the lists: these are locked for as long as it takes to read them.
    list_faults: Mutex<Vec<String>>,
    database_faults: Mutex<Vec<String>>,
    never_block: Mutex<NeverBlock>,
    sysctls: Wanted,
    stop: watch::Sender<Option<Stop>>,
}

impl State {
    pub(super) fn new(parts: Parts, stop: watch::Sender<Option<Stop>>) -> Self {
        Self {
            instance: parts.instance,
            started_ns: parts.started_ns,
            mode: parts.mode,
            journal: parts.journal,
            rules_refused: AtomicU64::new(0),
            own_left_out: AtomicUsize::new(0),
            figures: Figures::default(),
            metrics: Mutex::default(),
            interfaces: Mutex::new(parts.interfaces),
            rules: Mutex::new(parts.rules),
            settings: Mutex::new(parts.settings),
            signatures: Mutex::new(parts.signatures),
            services: Mutex::new(parts.services),
            guard: Mutex::new(parts.guard),
            spared: Mutex::new(parts.spared),
            cookies: Mutex::new(parts.cookies),
            list_faults: Mutex::new(parts.lists.faults()),
            database_faults: Mutex::default(),
            never_block: Mutex::new(parts.lists.never_block()),
            holds_over: parts.lists.over(),
            lists: Mutex::new(parts.lists),
            reach: Mutex::new(parts.reach),
            reflection: Mutex::new(parts.reflection),
            tls: Mutex::new(parts.tls),
            rates: Mutex::default(),
            traffic: Mutex::default(),
            controller: Mutex::default(),
            responder: Mutex::new(parts.responder),
            campaigns: Mutex::default(),
            served: Mutex::default(),
            normal: Mutex::default(),
            normal_asked: Notify::new(),
            reputation: Mutex::default(),
            keeper: OnceLock::new(),
            decision: OnceLock::new(),
            writing: AsyncMutex::default(),
            unconfirmed: Mutex::new(Waiting::since(wall_clock())),
            connections: Mutex::default(),
            heard: Mutex::default(),
            found: Mutex::default(),
            ousted: Mutex::default(),
            blocks_asked: AtomicBool::new(false),
            confirm: parts.confirm,
            sysctls: parts.sysctls,
            stop,
        }
    }

    pub fn interfaces(&self) -> MutexGuard<'_, Vec<Protected>> {
        lock(&self.interfaces)
    }

    /// The turn to change rules in several steps; everybody but detectors waits for it.
    pub async fn write(&self) -> AsyncMutexGuard<'_, ()> {
        self.writing.lock().await
    }

    /// [`State::write`], unless somebody else has it.
    pub fn try_write(&self) -> Option<AsyncMutexGuard<'_, ()>> {
        self.writing.try_lock().ok()
    }

    /// The rule tables; hold them shortly.
    pub fn rules(&self) -> MutexGuard<'_, Rules> {
        lock(&self.rules)
    }

    /// Changes that go back unless they are confirmed; taken after the tables where both are.
    pub(crate) fn unconfirmed(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.unconfirmed)
    }

    /// The connections of others, as they were looked at last.
    pub fn connections(&self) -> MutexGuard<'_, ConnectionsReport> {
        lock(&self.connections)
    }

    /// What is heard of services.
    pub fn heard(&self) -> MutexGuard<'_, Heard> {
        lock(&self.heard)
    }

    pub(super) fn found(&self) -> MutexGuard<'_, Found> {
        lock(&self.found)
    }

    pub(super) fn ousted(&self) -> MutexGuard<'_, Vec<Prefix>> {
        lock(&self.ousted)
    }

    pub fn settings(&self) -> MutexGuard<'_, SettingsMap> {
        lock(&self.settings)
    }

    pub fn signatures(&self) -> MutexGuard<'_, Signatures> {
        lock(&self.signatures)
    }

    /// What holds for single services.
    pub fn services(&self) -> MutexGuard<'_, Services> {
        lock(&self.services)
    }

    pub fn guard(&self) -> MutexGuard<'_, Guard> {
        lock(&self.guard)
    }

    /// What the configured blocks leave out.
    pub fn spared(&self) -> MutexGuard<'_, Vec<Spared>> {
        lock(&self.spared)
    }

    /// Held while lists are read: not for a thread that others wait for.
    pub fn lists(&self) -> MutexGuard<'_, Lists> {
        lock(&self.lists)
    }

    /// The lists, unless they are being read.
    pub fn try_lists(&self) -> Option<MutexGuard<'_, Lists>> {
        match self.lists.try_lock() {
            Ok(lists) => Some(lists),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// [`Lists::follow`] of the `lists` of this state.
    pub fn follow_lists(&self, lists: &mut Lists, spared: Vec<Prefix>, anew: bool) {
        lists.follow(spared, anew, &self.journal);
        *lock(&self.list_faults) = lists.faults();
        *lock(&self.never_block) = lists.never_block();
    }

    /// Whom never to block, as feeds say.
    pub fn never_block(&self) -> MutexGuard<'_, NeverBlock> {
        lock(&self.never_block)
    }

    /// What of the lists, and of the databases of places, is not as the configuration says, in sentences.
    pub fn list_faults(&self) -> Vec<String> {
        let mut faults = lock(&self.list_faults).clone();
        faults.extend(lock(&self.database_faults).iter().cloned());
        faults
    }

    pub(super) fn tell_database_faults(&self, faults: Vec<String>) {
        *lock(&self.database_faults) = faults;
    }

    pub fn cookies(&self) -> MutexGuard<'_, CookieState> {
        lock(&self.cookies)
    }

    /// Why SYN cookies do not do all that they are to, at this moment, in sentences.
    pub fn cookie_faults(&self) -> Vec<String> {
        match *self.cookies() {
            CookieState::Auto | CookieState::Always => self.sysctls.faults(),
            // They are off, which is told otherwise.
            CookieState::Off | CookieState::Undelivered => Vec::new(),
        }
    }

    /// How far segments without a connection are judged.
    pub fn reach(&self) -> MutexGuard<'_, StateReach> {
        lock(&self.reach)
    }

    pub fn reflection(&self) -> MutexGuard<'_, ReflectionState> {
        lock(&self.reflection)
    }

    /// How the floor of TLS stands.
    pub fn tls(&self) -> MutexGuard<'_, Tls> {
        lock(&self.tls)
    }

    pub fn rates(&self) -> MutexGuard<'_, Rates> {
        lock(&self.rates)
    }

    /// What the traffic of the last second was like; `None` when it is not described.
    pub fn traffic(&self) -> MutexGuard<'_, Option<TrafficReport>> {
        lock(&self.traffic)
    }

    /// What is normal, and what is attacked.
    pub fn controller(&self) -> MutexGuard<'_, Controller> {
        lock(&self.controller)
    }

    /// What is done about attacks; taken after the controller where both are.
    pub fn responder(&self) -> MutexGuard<'_, Responder> {
        lock(&self.responder)
    }

    /// What belongs together; taken after controller and responder where those are.
    pub fn campaigns(&self) -> MutexGuard<'_, Campaigns> {
        lock(&self.campaigns)
    }

    /// What is served, and when it was last.
    pub fn served(&self) -> MutexGuard<'_, Served> {
        lock(&self.served)
    }

    /// How what is normal is kept.
    pub fn normal(&self) -> MutexGuard<'_, NormalState> {
        lock(&self.normal)
    }

    /// Where figures are served; `None`: nowhere.
    pub fn metrics(&self) -> MutexGuard<'_, Option<MetricsState>> {
        lock(&self.metrics)
    }

    /// What is remembered of sources.
    pub fn reputation(&self) -> MutexGuard<'_, Reputation> {
        lock(&self.reputation)
    }

    /// Records that a rule for `prefix` could not be placed.
    pub fn rule_refused(&self, prefix: String, why: String) {
        self.rules_refused.fetch_add(1, Ordering::Relaxed);
        self.journal.record(EventKind::RuleFailed { prefix, why });
    }

    /// Ends the daemon, since `author` asks for it.
    pub fn stop(&self, stop: Stop, author: Author) {
        let detach = stop == Stop::Detach;
        self.journal.record_by(author, EventKind::Stopped { detach });
        self.stop.send_replace(Some(stop));
    }
}

/// A panic elsewhere leaves these values whole: each is replaced or changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
