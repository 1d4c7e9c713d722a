//! Which TCP connections are to end: those that occupy a service under pressure and do next to nothing with it. No clock and no sockets: the
//! sockets of a moment come in, and the ones to end come out.
//!
//! What counts is what moved, which is the same for an HTTP header that never ends, a body of a byte now and then, an answer that nobody takes,
//! and for TLS. A single slow connection may be a poor line; what tells an attack is that one source has dozens, or that it lasts. So much is ended
//! only where the service suffers: its queue fills up, or half of its connections never said enough to be answered, or take no answer.

mod crowds;
mod pressure;
#[cfg(test)]
mod tests;

use std::{
    cell::LazyCell,
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use super::Account;
use crowds::Crowds;
pub use crowds::Offender;
use pressure::{Pressure, Stuck};

const SECOND_NS: u64 = 1_000_000_000;
/// Bytes a second below which a connection counts as slow.
const RATE: u64 = 256;
/// Connections of one source at one service that are too many to be slow by chance,
const CROWD: usize = 32;
/// when they have been slow for so long: without any answer, while one is not taken, and after one.
const UNANSWERED_NS: u64 = 2 * SECOND_NS;
const UNTAKEN_NS: u64 = 5 * SECOND_NS;
const IDLE_NS: u64 = 10 * SECOND_NS;
/// Of the connections of a service so many end at a look for being slow alone, the slowest first: the pressure may be over soon.
const SHARE_AT_ONCE: usize = 16;
const LEAST_AT_ONCE: usize = 8;
/// Of half-open ones those whose answer was sent again so often: three seconds at least.
const RETRIES: u8 = 2;
/// Connections that are followed at the most; about 64 bytes each.
const FOLLOWED: usize = 262_144;

/// A connection, as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The kernel's number of the socket.
    pub id: u64,
    pub peer: IpAddr,
    /// The port of the service.
    pub port: u16,
    /// Bytes from the peer, and bytes that it acknowledged, since the connection was opened.
    pub received: u64,
    pub acknowledged: u64,
    /// Bytes that it has not acknowledged.
    pub unsent: u32,
}

/// A handshake of which the last segment is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfOpen {
    pub id: u64,
    pub peer: IpAddr,
    pub port: u16,
    /// How often it was answered again.
    pub retries: u8,
}

/// The queue of a service: connections that wait to be accepted, and how many may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    pub port: u16,
    pub waiting: u32,
    pub backlog: u32,
}

/// The sockets of a moment.
#[derive(Clone, Debug, Default)]
pub struct Look {
    pub now_ns: u64,
    pub flows: Vec<Flow>,
    pub half_open: Vec<HalfOpen>,
    pub queues: Vec<Queue>,
}

/// When connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Also of services that are under no pressure.
    pub always: bool,
    pub slow_after_ns: u64,
    /// Connections of one source to a service under pressure.
    pub under_pressure: usize,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Its source has dozens that do next to nothing.
    Crowd,
    /// Its source has more than its share of a service under pressure, and this one did least.
    Share,
    /// It did next to nothing for long.
    Slow,
    /// Its handshake is not completed, and the queue for such is full.
    HalfOpen,
}

impl Reason {
    pub const ALL: [Self; 4] = [Self::Crowd, Self::Share, Self::Slow, Self::HalfOpen];

    /// The word that the command line, JSON and metrics use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crowd => "crowd",
            Self::Share => "share",
            Self::Slow => "slow",
            Self::HalfOpen => "half-open",
        }
    }
}

/// A connection that is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub id: u64,
    pub peer: IpAddr,
    pub port: u16,
    pub reason: Reason,
    /// For how long it did next to nothing.
    pub slow_for_ns: u64,
}

/// What is remembered from look to look.
#[derive(Debug, Default)]
pub struct SlowConnections {
    seen: HashMap<u64, Seen>,
    /// Ports whose service answers: at others silence is all that there ever is.
    answering: HashSet<u16>,
    pressure: Pressure,
    crowds: Crowds,
    offenders: Vec<Offender>,
}

/// A connection that was seen before.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// When it was first looked at.
    begun_ns: u64,
    /// Since when it has done next to nothing.
    since_ns: u64,
    /// When it was last seen that some of an answer was taken.
    answered_ns: Option<u64>,
    /// When it was last looked at, and what had moved then.
    at_ns: u64,
    received: u64,
    acknowledged: u64,
}

/// A connection, and for how long it has been slow.
#[derive(Clone, Copy)]
struct Paced<'a> {
    flow: &'a Flow,
    begun_ns: u64,
    slow_for_ns: u64,
    answered_ns: Option<u64>,
}

impl SlowConnections {
    /// Takes in the sockets of a moment, and tells which connections are to end. `spared` peers keep theirs.
    pub fn look(&mut self, look: &Look, settings: &Settings, spared: impl Fn(IpAddr) -> bool) -> Vec<Ending> {
        self.follow(look);
        let mut services: HashMap<u16, Vec<Paced<'_>>> = HashMap::new();
        for flow in &look.flows {
            let begin = Seen::begin(flow, look.now_ns);
            let seen = self.seen.get(&flow.id).unwrap_or(&begin);
            services.entry(flow.port).or_default().push(Paced {
                flow,
                begun_ns: seen.begun_ns,
                slow_for_ns: look.now_ns.saturating_sub(seen.since_ns),
                answered_ns: seen.answered_ns,
            });
        }
        let answered = look.flows.iter().filter(|flow| !flow.is_unanswered());
        self.answering.extend(answered.map(|flow| flow.port));
        let answering = &self.answering;
        self.pressure.look(look, |port| Stuck {
            is_unusual: answering.contains(&port),
            ..Stuck::of(services.get(&port).map_or(&[], Vec::as_slice))
        });
        let mut endings = Vec::new();
        let at_all = LazyCell::new(|| crowds::parties(services.values().flatten(), look.now_ns));
        for (port, flows) in &services {
            let pressed = self.pressure.is_on(*port, look.now_ns);
            if pressed || settings.always {
                let spared = |paced: &&Paced<'_>| !spared(paced.flow.peer);
                let flows: Vec<Paced<'_>> = flows.iter().filter(spared).copied().collect();
                let crowds = end_slow(&flows, pressed, settings, &mut endings);
                if !crowds.is_empty() {
                    let offenders = self.crowds.take(*port, &crowds, &flows, &at_all, look.now_ns);
                    self.offenders.extend(offenders);
                }
            }
        }
        endings.extend(self.half_open(look).filter(|ending| !spared(ending.peer)));
        endings
    }

    /// Sources that were found since the last time to hold such connections again and again.
    pub fn take_offenders(&mut self) -> Vec<Offender> {
        std::mem::take(&mut self.offenders)
    }

    /// The services under pressure at `now_ns`.
    pub fn pressed(&self, now_ns: u64) -> Vec<u16> {
        self.pressure.ports(now_ns)
    }

    /// Notes what moved, and forgets connections that are gone. Those beyond [`FOLLOWED`] count as just begun.
    fn follow(&mut self, look: &Look) {
        let standing: HashSet<u64> = look.flows.iter().map(|flow| flow.id).collect();
        self.seen.retain(|id, _| standing.contains(id));
        for flow in &look.flows {
            let has_room = self.seen.len() < FOLLOWED;
            match self.seen.get_mut(&flow.id) {
                Some(seen) => seen.follow(flow, look.now_ns),
                None if has_room => {
                    self.seen.insert(flow.id, Seen::begin(flow, look.now_ns));
                }
                None => {}
            }
        }
    }

    /// Half-open connections that are to end: a real client's answer is on its way, a forged one's never comes.
    fn half_open<'a>(&self, look: &'a Look) -> impl Iterator<Item = Ending> + use<'a> {
        let mut counts: HashMap<u16, u32> = HashMap::new();
        for half_open in &look.half_open {
            *counts.entry(half_open.port).or_default() += 1;
        }
        let is_full = |queue: &&Queue| {
            let count = counts.get(&queue.port).copied().unwrap_or(0);
            count > 0 && u64::from(count) * 4 >= u64::from(queue.backlog) * 3
        };
        let full: HashSet<u16> = look
            .queues
            .iter()
            .filter(is_full)
            .map(|queue| queue.port)
            .collect();
        let old = look
            .half_open
            .iter()
            .filter(|half_open| half_open.retries >= RETRIES);
        old.filter(move |half_open| full.contains(&half_open.port))
            .map(|half_open| Ending {
                id: half_open.id,
                peer: half_open.peer,
                port: half_open.port,
                reason: Reason::HalfOpen,
                slow_for_ns: 0,
            })
    }
}

impl Seen {
    const fn begin(flow: &Flow, now_ns: u64) -> Self {
        Self {
            begun_ns: now_ns,
            since_ns: now_ns,
            answered_ns: if flow.is_unanswered() { None } else { Some(now_ns) },
            at_ns: now_ns,
            received: flow.received,
            acknowledged: flow.acknowledged,
        }
    }

    /// A whole answer that was taken is progress however short it is; of what is under way the rate counts.
    fn follow(&mut self, flow: &Flow, now_ns: u64) {
        let acknowledged = flow.acknowledged.saturating_sub(self.acknowledged);
        let moved = flow
            .received
            .saturating_sub(self.received)
            .saturating_add(acknowledged);
        let elapsed_ns = now_ns.saturating_sub(self.at_ns);
        let enough = RATE.saturating_mul(elapsed_ns) / SECOND_NS;
        let is_answered = acknowledged > 0 && flow.unsent == 0;
        // Over less than a second little looks like much.
        let is_enough = elapsed_ns >= SECOND_NS && moved > 0 && moved >= enough;
        if is_answered || is_enough {
            self.since_ns = now_ns;
        }
        if acknowledged > 0 {
            self.answered_ns = Some(now_ns);
        }
        if is_answered || elapsed_ns >= SECOND_NS || now_ns < self.at_ns {
            *self = Self {
                begun_ns: self.begun_ns,
                since_ns: self.since_ns,
                answered_ns: self.answered_ns,
                ..Self::begin(flow, now_ns)
            };
        }
    }
}

impl Flow {
    /// Whether nothing of an answer was ever taken. The SYN counts as one byte.
    const fn is_unanswered(&self) -> bool {
        self.acknowledged <= 1
    }
}

/// Adds those of the connections of one service that are to end, and tells all connections of sources of which dozens do.
fn end_slow<'a>(
    flows: &[Paced<'a>],
    pressed: bool,
    settings: &Settings,
    endings: &mut Vec<Ending>,
) -> HashMap<Account, Vec<Paced<'a>>> {
    let mut crowds = HashMap::new();
    let mut sources: HashMap<Account, Vec<Paced<'a>>> = HashMap::new();
    for paced in flows {
        sources
            .entry(Account::of(paced.flow.peer))
            .or_default()
            .push(*paced);
    }
    let mut alone = Vec::new();
    for (account, mut of_one) in sources {
        let slow = |paced: &Paced<'_>| paced.is_stuck() || paced.slow_for_ns >= IDLE_NS;
        if of_one.iter().filter(|paced| slow(paced)).count() >= CROWD {
            crowds.insert(account, of_one.clone());
            endings.extend(
                of_one
                    .iter()
                    .filter(|paced| slow(paced))
                    .map(|paced| paced.ending(Reason::Crowd)),
            );
            of_one.retain(|paced| !slow(paced));
        }
        of_one.sort_by_key(|paced| std::cmp::Reverse(paced.slow_for_ns));
        let beyond = of_one.len().saturating_sub(settings.under_pressure);
        if pressed && beyond > 0 {
            let idle = of_one
                .iter()
                .take(beyond)
                .filter(|paced| paced.slow_for_ns >= UNANSWERED_NS);
            endings.extend(idle.map(|paced| paced.ending(Reason::Share)));
            of_one.drain(..beyond);
        }
        alone.extend(
            of_one
                .into_iter()
                .filter(|paced| paced.slow_for_ns >= settings.slow_after_ns),
        );
    }
    alone.sort_by_key(|paced| std::cmp::Reverse((paced.slow_for_ns, paced.flow.id)));
    alone.truncate((flows.len() / SHARE_AT_ONCE).max(LEAST_AT_ONCE));
    endings.extend(alone.iter().map(|paced| paced.ending(Reason::Slow)));
    crowds
}

impl Paced<'_> {
    /// Whether nothing of an answer came for a while, or nobody takes what was sent. One that is idle after an answer is not stuck.
    const fn is_stuck(&self) -> bool {
        self.is_silent() || self.flow.unsent > 0 && self.slow_for_ns >= UNTAKEN_NS
    }

    const fn is_silent(&self) -> bool {
        self.flow.is_unanswered() && self.slow_for_ns >= UNANSWERED_NS
    }

    const fn ending(&self, reason: Reason) -> Ending {
        Ending {
            id: self.flow.id,
            peer: self.flow.peer,
            port: self.flow.port,
            reason,
            slow_for_ns: self.slow_for_ns,
        }
    }
}
