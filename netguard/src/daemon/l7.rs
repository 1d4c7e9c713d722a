//! Listens to what is said to services, on a thread of its own: segments from the socket filter become observations, these become findings, and those
//! are handed to the tick, which decides. Without a daemon nobody listens; what was decided holds.

mod report;

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::net::if_::if_nametoindex;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::{EventKind, State, Stop};
use crate::{
    bpf::{ListenError, Listening},
    clock::monotonic_ns,
    config::{Config, PolicyMode, Speaks},
    engine::{
        Cause, Finding,
        l7::{self, Offences, SourceReport, Totals},
    },
    host,
    l7::{Conversations, Observation},
    prefix::Prefix,
};
pub use report::{HttpReport, Listens};

/// Between two looks at what was handed on.
const LOOK: Duration = Duration::from_millis(50);
/// Segments that are read before what they say is judged, which others wait for; and after so many of these portions it is looked around.
const PORTION: usize = 1_000;
const PORTIONS: usize = 50;
/// Findings that are told one by one in a look.
const TOLD: usize = 16;
/// Between two looks at interfaces, ports and conversations that went silent.
const SECOND: Duration = Duration::from_secs(1);
/// Routes and TLS clients that a service is told with.
const TOP: usize = 20;

/// What the listening thread shares.
#[derive(Default)]
pub struct Heard {
    report: HttpReport,
    offences: Option<Offences>,
}

impl Heard {
    /// How listening stands, and what services are asked for.
    pub(crate) fn report(&self) -> HttpReport {
        HttpReport {
            heard: self
                .offences
                .as_ref()
                .map(|offences| offences.report(TOP))
                .unwrap_or_default(),
            ..self.report.clone()
        }
    }

    /// The same without services: how it stands, and what was found.
    pub(crate) fn standing(&self) -> HttpReport {
        let mut report = self.report();
        report.heard.services.clear();
        report
    }

    /// What each service was asked for in all, by port; `None` where it is not heard everywhere, or was not all of it in the last second.
    pub(super) fn totals(&self) -> Option<BTreeMap<u16, Totals>> {
        let is_whole = self.report.state == Listens::On && !self.report.losing;
        self.offences.as_ref().filter(|_| is_whole).map(Offences::totals)
    }

    /// What `account` does, if it was heard of late.
    pub(crate) fn source(&self, account: crate::engine::Account) -> Option<SourceReport> {
        self.offences.as_ref()?.of(account)
    }
}

/// Begins to listen, if `config` says so. What goes wrong is told there and in the log: the filter works without it.
pub(super) fn begin(
    state: &Arc<State>,
    listening: Option<Result<Listening, ListenError>>,
    config: &Config,
    stopped: watch::Receiver<Option<Stop>>,
) {
    let Some(listening) = listening else {
        return;
    };
    let mode = config.http.mode.under(config.mode);
    {
        let mut heard = state.heard();
        heard.report.mode = mode;
        heard.offences = Some(Offences::new(config.http.offences()));
    }
    let listening = match listening {
        Ok(listening) => listening,
        Err(error) => return tell(state, &error),
    };
    let speaks = config.service.iter().filter(|service| service.port.is_tcp());
    let speaks = speaks.filter_map(|service| Some((service.port.port(), service.speaks?)));
    let spoken = |wanted: bool| {
        let others = speaks
            .clone()
            .filter(move |(_, speaks)| (*speaks != Speaks::Other) == wanted);
        others.map(|(port, _)| port)
    };
    let named = config.http.ports.padded().into_iter().filter(|port| *port != 0);
    let hearing = Hearing {
        conversations: Conversations::new(config.http.limits(speaks.clone())),
        named: named.chain(spoken(true)).collect(),
        left_out: spoken(false).collect(),
        state: Arc::clone(state),
        listening,
        ports: Vec::new(),
        acts: mode == PolicyMode::Enforce,
    };
    let run = move || hearing.run(&stopped);
    if let Err(error) = thread::Builder::new().name("l7".to_owned()).spawn(run) {
        tell(state, &error);
    }
}

/// Nothing is listened to.
fn tell(state: &State, error: &dyn std::error::Error) {
    warn!("services are not listened to: {error}");
    let mut heard = state.heard();
    heard.report.state = Listens::Unavailable;
    heard.report.fault = Some(error.to_string());
}

struct Hearing {
    state: Arc<State>,
    listening: Listening,
    conversations: Conversations,
    /// Ports that the configuration names, and those that are listened to.
    named: Vec<u16>,
    ports: Vec<u16>,
    /// Ports of services that speak something else.
    left_out: Vec<u16>,
    /// Whether findings lead to anything but an event.
    acts: bool,
}

impl Hearing {
    fn run(mut self, stopped: &watch::Receiver<Option<Stop>>) {
        let mut due = Instant::now();
        while stopped.borrow().is_none() {
            let seconds = Instant::now() >= due;
            if seconds {
                due = Instant::now() + SECOND;
                self.follow();
            }
            // Where much is said, more waits already.
            if self.hear(seconds) < PORTION {
                thread::park_timeout(LOOK);
            }
        }
    }

    /// Takes what was handed on, and finds what there is to be found; tells how many segments there were.
    fn hear(&mut self, is_second: bool) -> usize {
        let mut segments = 0;
        for _ in 0..PORTIONS {
            let (conversations, mut said) = (&mut self.conversations, Vec::new());
            let portion = self.listening.drain(PORTION, |segment| {
                conversations.take(&segment, &mut |observation| said.push(observation));
            });
            self.judge(&said);
            for ends in self.conversations.take_quiet() {
                // Then it is listened to in vain.
                let _ = self.listening.hush(&ends);
            }
            segments += portion;
            if portion < PORTION {
                break;
            }
        }
        let now_ns = monotonic_ns();
        if is_second {
            let mut said = Vec::new();
            self.conversations
                .tick(now_ns, &mut |observation| said.push(observation));
            self.judge(&said);
        }
        let found = match &mut self.state.heard().offences {
            Some(offences) => offences.tick(now_ns),
            None => Vec::new(),
        };
        self.tell(found);
        segments
    }

    /// The tick and who asks wait meanwhile.
    fn judge(&self, said: &[Observation]) {
        if let Some(offences) = &mut self.state.heard().offences {
            said.iter().for_each(|observation| offences.take(observation));
        }
    }

    /// Tells what was `found`, and hands it on to be decided upon. Whom nothing may touch is nobody's business.
    fn tell(&self, mut found: Vec<l7::Finding>) {
        let guard = self.state.guard().clone();
        found.retain(|found| guard.objection(&Prefix::from(found.source)).is_none());
        if self.acts {
            self.state.found().add(found.iter().map(finding));
        }
        found.retain(|found| found.is_news);
        let more = found.len().saturating_sub(TOLD) as u64;
        for found in found.iter().take(TOLD) {
            self.state.journal.record(event(found, !self.acts));
        }
        if more > 0 {
            self.state.journal.record(EventKind::OffencesMore { count: more });
        }
    }

    /// Listens where interfaces and services are now.
    fn follow(&mut self) {
        let outcome = self.follow_interfaces();
        if let Err(error) = self.follow_ports() {
            warn!("new services are not listened to: {error}");
        }
        let counts = self.listening.counts().inspect_err(|error| debug!("{error}"));
        let mut heard = self.state.heard();
        let report = &mut heard.report;
        let fault = outcome.err().map(|error| error.to_string());
        if report.fault != fault {
            match &fault {
                Some(why) => warn!("services are not listened to everywhere: {why}"),
                None => debug!("services are listened to everywhere again"),
            }
        }
        report.state = if fault.is_some() {
            Listens::Unavailable
        } else {
            Listens::On
        };
        report.fault = fault;
        report.ports.clone_from(&self.ports);
        report.conversations = self.conversations.len();
        report.buffered_bytes = self.conversations.buffered();
        report.overflowed = self.conversations.overflowed();
        if let Ok(counts) = counts {
            (report.turns, report.skipped) = (counts.turns, counts.skipped);
            report.losing = counts.lost > report.lost && report.is_looked_at;
            (report.broken, report.lost) = (counts.broken, counts.lost);
            report.is_looked_at = true;
        }
    }

    fn follow_interfaces(&mut self) -> Result<(), ListenError> {
        let standing: Vec<(u32, String)> = self
            .state
            .interfaces()
            .iter()
            .map(|protected| protected.renamed.as_ref().unwrap_or(&protected.interface).clone())
            .filter_map(|name| Some((if_nametoindex(name.as_str()).ok()?, name)))
            .collect();
        self.listening
            .forget(|index| standing.iter().any(|(known, _)| *known == index));
        // One that refuses hides no other.
        let mut outcome = Ok(());
        for (index, name) in &standing {
            outcome = outcome.and(self.listening.listen(*index, name));
        }
        outcome
    }

    fn follow_ports(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let [tcp, _] = host::waiting_ports()?;
        let mut ports: Vec<u16> = tcp.into_iter().chain(self.named.iter().copied()).collect();
        ports.retain(|port| !self.left_out.contains(port));
        ports.sort_unstable();
        ports.dedup();
        if ports != self.ports {
            self.listening.watch_ports(&ports)?;
            self.ports = ports;
        }
        Ok(())
    }
}

/// As policy decides on it.
fn finding(found: &l7::Finding) -> Finding {
    Finding {
        account: found.account,
        source: found.source,
        cause: Cause::Application(found.offence),
        over_for_ns: found.over_for_ns,
        dropped: found.count,
        // What is estimated is no whole number; far beyond any there can be it stays the most.
        per_s: found.per_s as u64,
        opened_per_s: 0,
    }
}

fn event(found: &l7::Finding, shadow: bool) -> EventKind {
    EventKind::Offence {
        source: found.source.to_string(),
        service: format!("tcp/{}", found.port),
        offence: found.offence.name().to_owned(),
        evidence: found.evidence.clone(),
        count: found.count,
        shadow,
    }
}
