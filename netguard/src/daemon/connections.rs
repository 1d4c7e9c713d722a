//! Watches the connections that others hold with this machine, on a thread of its own, since listing them can take long: ends those above a
//! limit at once, twice a second those that do next to nothing (`engine::slow`), and those of sources that an operator blocked; and keeps the
//! kernel's counts right.

mod counts;
mod ending;
mod prefixes;
mod report;

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tracing::{debug, warn};

use super::{EventKind, State, Stop, attachment::Attachment, setup::nanoseconds};
use crate::{
    bpf::{BpfError, Connections, Excesses, NotCounted, Pins, SettingsMap, counts_connections},
    clock::monotonic_ns,
    config::{Config, EndSlow, PolicyMode},
    engine::{
        Cause, Finding, accountable,
        slow::{self, Offender, SlowConnections},
    },
    host::{self, Tcp},
};
use counts::Counts;
pub(super) use counts::limits;
use ending::Ender;
pub use report::{ConnectionsReport, Ended};

/// Between two looks for connections in excess.
const EXCESS: Duration = Duration::from_millis(50);
/// Between two looks at all sockets; where that takes long, twenty times as long as it takes.
const LOOK: Duration = Duration::from_millis(500);
const AT_MOST: u32 = 20;
/// Looks between those at the kernel's counts, and between those at who is logged in and at what is blocked.
const COUNT: u64 = 2;
const RARE: u64 = 20;
/// Excesses that are taken at once.
const TAKEN: usize = 1_024;

/// Has the kernel count connections from now on, if they are to be; tells why it does not.
pub(super) fn count(
    config: &Config,
    pins: &Pins,
    attachment: &mut Attachment,
) -> Result<Option<NotCounted>, BpfError> {
    if config.connections.mode == PolicyMode::Off {
        return Ok(None);
    }
    // Where an earlier daemon's program counts, all that stand are counted.
    let before = (!counts_connections(pins)).then(counts::Before::now);
    match (attachment.count_connections(), before) {
        (Ok(true), Some(before)) => {
            let mut map = SettingsMap::open(pins)?;
            let mut settings = map.read()?;
            before.write(&mut Connections::open(pins)?, &mut settings)?;
            map.write(&settings)?;
            Ok(None)
        }
        (Ok(_), _) => Ok(None),
        (Err(fault), _) => Ok(Some(fault)),
    }
}

/// Has them counted where they are not, and should be.
pub(super) fn count_again(config: &Config, pins: &Pins, attachment: &mut Attachment) {
    if config.connections.mode == PolicyMode::Off || !pins.have_links() || counts_connections(pins) {
        return;
    }
    match attachment.count_connections() {
        Ok(_) => warn!(
            "what counts connections was not there, and is now: somebody had taken it off, or there were no cgroups yet"
        ),
        Err(error) => debug!("connections are still not counted: {error}"),
    }
}

/// Watches until the daemon stops. What cannot be done is told in the report.
pub(super) fn begin(
    state: &Arc<State>,
    pins: &Pins,
    config: &Config,
    not_counted: Option<NotCounted>,
    stopped: watch::Receiver<Option<Stop>>,
) {
    if config.connections.mode == PolicyMode::Off {
        return;
    }
    if let Some(fault) = &not_counted {
        let why = fault.to_string();
        warn!("connections are counted by lists of sockets only, every few seconds: {why}");
        state
            .journal
            .record(EventKind::ConnectionsListed { why: why.clone() });
        state.connections().why_listed = Some(why);
    }
    let opened = Watching::open(Arc::clone(state), pins, config, not_counted.is_none());
    let watching = match opened {
        Ok(watching) => watching,
        Err(error) => return tell(state, &error),
    };
    let run = move || watching.run(&stopped);
    if let Err(error) = thread::Builder::new().name("connections".to_owned()).spawn(run) {
        tell(state, &error);
    }
}

/// Connections are not watched.
fn tell(state: &State, error: &dyn std::error::Error) {
    warn!("connections are not watched: {error}");
    state.connections().fault = Some(error.to_string());
}

struct Watching {
    state: Arc<State>,
    counts: Counts,
    excesses: Excesses,
    slow: SlowConnections,
    /// `None`: slow connections stay.
    settings: Option<slow::Settings>,
    /// Services under pressure at the last look.
    pressed: Vec<u16>,
    /// Whether the blocklist blocks anybody.
    blocks: bool,
    ender: Ender,
    pins: Pins,
}

impl Watching {
    fn open(state: Arc<State>, pins: &Pins, config: &Config, counted: bool) -> Result<Self, BpfError> {
        let connections = &config.connections;
        let acts = connections.mode.under(config.mode) == PolicyMode::Enforce;
        let remember_ns = nanoseconds(connections.longest_penalty.duration());
        let counts = Counts::new(Connections::open(pins)?, counted, remember_ns)?;
        let settings = slow::Settings {
            always: connections.end_slow == EndSlow::Always,
            slow_after_ns: nanoseconds(connections.slow_after.duration()),
            under_pressure: connections.under_pressure.value() as usize,
        };
        let blocklist = config.blocklist.mode.under(config.mode);
        Ok(Self {
            // An end is an act, which shadow is not: then it is only told.
            ender: Ender::new(Arc::clone(&state), acts),
            state,
            counts,
            excesses: Excesses::open(pins)?,
            slow: SlowConnections::default(),
            settings: (connections.end_slow != EndSlow::Off).then_some(settings),
            pressed: Vec::new(),
            blocks: blocklist == PolicyMode::Enforce,
            pins: pins.clone(),
        })
    }

    fn run(mut self, stopped: &watch::Receiver<Option<Stop>>) {
        let mut due = Instant::now();
        // Those who were ousted may be one after the other: half of the time at most is looked.
        let mut rested = due;
        for look in 0_u64.. {
            while Instant::now() < due {
                if stopped.borrow().is_some() {
                    return;
                }
                self.ender.excess(&self.excesses.drain(TAKEN));
                if self.state.blocks_asked.load(Ordering::Relaxed) && self.state.unconfirmed().len() == 0
                    || Instant::now() >= rested && !self.state.ousted().is_empty()
                {
                    break;
                }
                thread::park_timeout(EXCESS);
            }
            let began = Instant::now();
            self.look(look);
            let took = began.elapsed().saturating_sub(self.ender.take_pauses());
            due = Instant::now() + LOOK.max(took * AT_MOST);
            rested = Instant::now() + took;
        }
    }

    fn look(&mut self, look: u64) {
        if look.is_multiple_of(RARE) {
            self.ender.look_who_is_spared();
            self.look_who_counts();
        }
        self.ender.look_who_is_allowed();
        let counted = look.is_multiple_of(COUNT).then(|| self.counts.read());
        let tcp = match host::tcp() {
            Ok(tcp) => tcp,
            // `doctor` says what is missing.
            Err(error) => {
                self.state.blocks_asked.store(false, Ordering::Relaxed);
                self.state.ousted().clear();
                return debug!("connections are not looked at: {error}");
            }
        };
        if let Some(settings) = self.settings {
            self.end_slow(&tcp, &settings);
        }
        self.ender.end_blocked(&tcp, self.blocks);
        self.ender.end_ousted(&tcp, self.blocks);
        if let Some(counted) = counted
            && let Err(error) = self.counts.follow(&self.state, &tcp, counted)
        {
            warn!("the counts of connections are not kept right: {error}");
        }
        let mut report = self.state.connections();
        report.standing = tcp.connections.len();
        report.pressed = self.pressed.iter().map(|port| format!("tcp/{port}")).collect();
        report.ended = self.ender.ended();
    }

    /// Looks whether the kernel counts by now, where it did not at the start.
    fn look_who_counts(&mut self) {
        if !self.counts.counted && counts_connections(&self.pins) {
            self.counts.counted = true;
            self.state.connections().why_listed = None;
        }
    }

    fn end_slow(&mut self, tcp: &Tcp, settings: &slow::Settings) {
        let now_ns = monotonic_ns();
        let look = ending::look(tcp, now_ns);
        let endings = self.slow.look(&look, settings, |peer| self.ender.spares(peer));
        let pressed = self.slow.pressed(now_ns);
        let before = std::mem::replace(&mut self.pressed, pressed);
        for port in self.pressed.iter().filter(|port| !before.contains(port)) {
            let service = format!("tcp/{port}");
            self.state.journal.record(EventKind::ServicePressed { service });
        }
        for port in before.iter().filter(|port| !self.pressed.contains(port)) {
            let service = format!("tcp/{port}");
            self.state.journal.record(EventKind::ServiceRelieved { service });
        }
        self.ender.end(tcp, &endings);
        let mut offenders = self.slow.take_offenders();
        if self.ender.acts() {
            // Where this machine or somebody guarded is in the account, too, nobody knows which of its addresses it is.
            let guard = self.state.guard().clone();
            let is_of_one = |offender: &Offender| {
                accountable(offender.account, offender.peer, &guard) == offender.account
            };
            offenders.retain(is_of_one);
            self.state.found().add(offenders.iter().map(finding));
        }
    }
}

/// As policy decides on it.
const fn finding(offender: &Offender) -> Finding {
    Finding {
        account: offender.account,
        source: offender.peer,
        cause: Cause::SlowConnections {
            silent: offender.silent,
            of: offender.of,
        },
        over_for_ns: offender.over_for_ns,
        dropped: offender.ended,
        per_s: 0,
        opened_per_s: 0,
    }
}
