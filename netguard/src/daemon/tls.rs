//! The floor of TLS: whether it holds, and what becomes of connections whose handshake was refused. The kernel lets no such handshake end,
//! with or without a daemon; this one ends the connections at once, which would wait for time-outs otherwise, and tells of them.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use netguard_common::{
    packet::Address,
    tls::{Handshake, Outcome},
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use super::{EventKind, State, attachment::Watched};
use crate::{
    bpf::{EgressError, Handshakes, Pins, tls_counts},
    config::{Config, PolicyMode, ServicePort},
    host::{self, Connection, HostError},
};

/// Connections that are ended in one go. More wait in the ring buffer, and their handshakes get no further meanwhile.
const AT_ONCE: usize = 512;
/// How often it is told that handshakes of the same service are refused.
const TELL_EVERY_NS: u64 = 60_000_000_000;

/// Whether the policies for TLS hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsState {
    /// No service has one.
    #[default]
    Off,
    On,
    /// What leaves cannot be looked at.
    Unavailable,
}

/// How the floor of TLS stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TlsReport {
    pub state: TlsState,
    /// Handshakes since the maps were made: refused, and at services in shadow those that would have been.
    pub refused: u64,
    pub shadow: u64,
    /// Connections that the daemon ended since it began.
    pub ended: u64,
    /// Why it cannot end them.
    pub fault: Option<String>,
}

impl TlsReport {
    /// How it stands in `state`.
    pub fn of(state: &State) -> Self {
        let counts = tls_counts(&Pins::of(&state.instance)).unwrap_or_default();
        let refusals = counts.iter().filter(|count| count.outcome.is_refusal());
        let (refused, shadow) = refusals.fold((0, 0), |(refused, shadow), count| {
            (refused + count.enforced, shadow + count.shadow)
        });
        let tls = state.tls();
        Self {
            state: tls.state,
            refused,
            shadow,
            ended: tls.ended,
            fault: tls.fault.clone(),
        }
    }

    /// What people are told; nothing where no service has a policy.
    pub fn sentence(&self) -> Option<String> {
        let fault = self.fault.as_ref();
        match self.state {
            TlsState::Off => None,
            TlsState::Unavailable => Some(
                "TLS: the policies of services do NOT hold until what leaves can be looked at: see `netguard events`"
                    .to_owned(),
            ),
            TlsState::On => Some(format!(
                "TLS: {} handshakes refused, {} more would be (shadow), {} connections ended{}",
                self.refused,
                self.shadow,
                self.ended,
                fault.map_or_else(String::new, |why| format!("; others end by time-out: {why}"))
            )),
        }
    }
}

/// What the daemon knows of it.
#[derive(Debug, Default)]
pub struct Tls {
    pub(super) state: TlsState,
    pub(super) ended: u64,
    fault: Option<String>,
}

impl Tls {
    /// How a start finds it: `watched` says whether what leaves is looked at.
    pub(super) fn begin(wanted: bool, watched: Option<&Result<bool, EgressError>>) -> Self {
        let state = match watched {
            _ if !wanted => TlsState::Off,
            Some(Ok(_)) => TlsState::On,
            _ => TlsState::Unavailable,
        };
        Self {
            state,
            ..Self::default()
        }
    }

    /// Whether policies hold.
    pub fn holds(&self) -> bool {
        self.state == TlsState::On
    }

    /// Whether something about it is not as it should be.
    pub fn is_faulty(&self) -> bool {
        self.state == TlsState::Unavailable || self.fault.is_some()
    }

    /// Connections that were ended.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// Takes in how it went to end a connection; tells whether it is worth while to try the next.
    fn take(&mut self, outcome: Result<bool, HostError>) -> bool {
        match outcome {
            // One that is gone is an answer, too.
            Ok(ended) => {
                self.ended += u64::from(ended);
                self.fault = None;
                true
            }
            Err(error @ (HostError::NoSocketDestruction | HostError::Netlink(_))) => {
                let why = error.to_string();
                if self.fault.as_ref() != Some(&why) {
                    warn!("connections whose handshake was refused end by time-out: {why}");
                    self.fault = Some(why);
                }
                // Without memory or descriptors for a moment, the next may find some.
                !matches!(error, HostError::NoSocketDestruction)
            }
            Err(error) => {
                debug!("{error}");
                true
            }
        }
    }
}

/// Whether `config` has a policy for TLS.
pub(super) fn is_configured(config: &Config) -> bool {
    let judges = |mode: Option<PolicyMode>| mode.is_some_and(|mode| mode != PolicyMode::Off);
    config.service.iter().any(|service| judges(service.tls))
}

/// Whether any service has one now.
pub(super) fn is_wanted(state: &State) -> bool {
    state.services().have_tls().unwrap_or_else(|error| {
        warn!("whether services have policies for TLS is not known: {error}");
        state.tls().holds()
    })
}

/// Tells when policies do not hold any more, and when they do again.
pub(super) fn follow(state: &State, wanted: bool, watching: bool, watched: &Watched) {
    let now = match (wanted, watching) {
        (false, _) => TlsState::Off,
        (true, true) => TlsState::On,
        (true, false) => TlsState::Unavailable,
    };
    let before = std::mem::replace(&mut state.tls().state, now);
    match (before, now) {
        (TlsState::Off | TlsState::On, TlsState::Unavailable) => {
            let why = match watched {
                Watched::Refused(error) => error.to_string(),
                Watched::AsBefore | Watched::Anew => "what leaves is not looked at".to_owned(),
            };
            off(state, why);
        }
        (TlsState::Unavailable, TlsState::On) => {
            info!("the policies of services for TLS hold from now on");
            state.journal.record(EventKind::TlsOn);
        }
        _ => {}
    }
}

/// Says that no policy holds.
pub(super) fn off(state: &State, why: String) {
    warn!("the policies of services for TLS do NOT hold: {why}");
    state.journal.record(EventKind::TlsOff { why });
}

/// Handshakes that were refused.
pub(super) struct Refusals {
    handshakes: Handshakes,
    ending: Option<JoinHandle<()>>,
    /// By port, and whether they were only counted.
    told: BTreeMap<(u16, bool), Told>,
}

/// Handshakes of one service.
struct Told {
    /// When they were told of last.
    at_ns: u64,
    /// How many were refused since, and one of these.
    count: u64,
    one: Handshake,
}

impl Refusals {
    pub(super) fn of(handshakes: Handshakes) -> Self {
        Self {
            handshakes,
            ending: None,
            told: BTreeMap::new(),
        }
    }

    /// Ends the connections of those that were refused since the last tick, beside it.
    pub(super) fn tick(&mut self, state: &Arc<State>, now_ns: u64) {
        if self.ending.as_ref().is_some_and(|ending| !ending.is_finished()) {
            return;
        }
        let handshakes = self.handshakes.drain(AT_ONCE);
        for handshake in &handshakes {
            self.note(handshake);
        }
        self.tell(state, now_ns);
        let refused = handshakes.iter().filter(|handshake| handshake.shadow == 0);
        let connections: Vec<Connection> = refused.map(connection).collect();
        if !connections.is_empty() {
            let state = Arc::clone(state);
            self.ending = Some(tokio::task::spawn_blocking(move || end(&state, &connections)));
        }
    }

    fn note(&mut self, handshake: &Handshake) {
        let told = self
            .told
            .entry((handshake.server_port, handshake.shadow != 0))
            .or_insert(Told {
                at_ns: 0,
                count: 0,
                one: *handshake,
            });
        told.count += 1;
        told.one = *handshake;
    }

    /// Services of which nothing was refused for long are forgotten: their next one is told at once.
    fn tell(&mut self, state: &State, now_ns: u64) {
        self.told.retain(|_, told| {
            let due = told.at_ns == 0 || now_ns.saturating_sub(told.at_ns) >= TELL_EVERY_NS;
            if !due {
                return true;
            }
            let news = told.count != 0;
            if news {
                state.journal.record(event(&told.one, told.count));
                (told.at_ns, told.count) = (now_ns, 0);
            }
            news
        });
    }
}

/// Ends `connections`. One that is gone, or was ended by the server, is no matter.
fn end(state: &State, connections: &[Connection]) {
    for connection in connections {
        let outcome = host::destroy(connection);
        if !state.tls().take(outcome) {
            return;
        }
    }
}

fn connection(handshake: &Handshake) -> Connection {
    Connection {
        local: end_of(handshake.server, handshake.server_port),
        remote: end_of(handshake.client, handshake.client_port),
        interface: handshake.interface,
        cookie: (handshake.cookie != 0).then_some(handshake.cookie),
    }
}

fn end_of(address: Address, port: u16) -> SocketAddr {
    SocketAddr::new(address.ip(), port)
}

fn event(one: &Handshake, count: u64) -> EventKind {
    let service = ServicePort::new(netguard_common::packet::protocol::TCP, one.server_port);
    EventKind::HandshakesRefused {
        service: service.map_or_else(String::new, |service| service.to_string()),
        count,
        shadow: one.shadow != 0,
        client: end_of(one.client, one.client_port).to_string(),
        version: version(one.version),
        cipher: format!("{:#06x}", one.cipher),
        why: Outcome::from_number(one.outcome)
            .map_or("unknown", Outcome::name)
            .to_owned(),
    }
}

/// The name of a version, as people write it.
fn version(number: u16) -> String {
    match number {
        0x0002 => "SSL 2.0".to_owned(),
        0x0300 => "SSL 3.0".to_owned(),
        0x0301..=0x0304 => format!("TLS 1.{}", number - 0x0301),
        other => format!("{other:#06x}"),
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::shared::Field as _;

    use super::*;

    #[test]
    fn an_event_names_one_of_those_that_were_refused() {
        let one = Handshake {
            client: Address::v4([192, 0, 2, 7]),
            client_port: 40_000,
            server_port: 443,
            version: 0x0303,
            cipher: 0x2f,
            outcome: Outcome::Version as u16,
            ..Handshake::ZERO
        };
        let EventKind::HandshakesRefused {
            service,
            client,
            version,
            cipher,
            why,
            ..
        } = event(&one, 3)
        else {
            panic!("another event");
        };
        assert_eq!(
            [&*service, &*client, &*version, &*cipher, &*why],
            ["tcp/443", "192.0.2.7:40000", "TLS 1.2", "0x002f", "version"]
        );
        assert_eq!(super::version(0x0300), "SSL 3.0");
        assert_eq!(super::version(0x7f1c), "0x7f1c");
        assert!(connection(&one).cookie.is_none() && connection(&one).remote.is_ipv4());
    }

    #[test]
    fn a_fault_that_passes_is_forgotten_and_stops_nothing() {
        let passing = || HostError::Netlink(std::io::Error::from_raw_os_error(libc::ENFILE));
        let mut tls = Tls::begin(true, Some(&Ok(true)));
        assert!(tls.take(Err(passing())) && tls.is_faulty(), "the next is tried");
        assert!(tls.take(Ok(true)) && !tls.is_faulty());
        assert!(!tls.take(Err(HostError::NoSocketDestruction)) && tls.is_faulty());
        assert!(tls.take(Ok(false)) && !tls.is_faulty());
        assert_eq!(tls.ended(), 1);
    }

    #[test]
    fn people_are_told_of_what_does_not_hold() {
        let told = |state, fault: Option<&str>| {
            let fault = fault.map(str::to_owned);
            TlsReport {
                state,
                fault,
                ..TlsReport::default()
            }
            .sentence()
        };
        assert_eq!(told(TlsState::Off, None), None);
        assert!(told(TlsState::Unavailable, None).is_some_and(|text| text.contains("do NOT hold")));
        assert!(told(TlsState::On, Some("no")).is_some_and(|text| text.ends_with("time-out: no")));
    }
}
