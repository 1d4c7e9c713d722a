//! Ends connections, and tells about it: of a thousand at once in one line for each service and reason.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use netguard_common::{connection::Excess, limit::source_key, packet::Address, rule::Origin};
use tracing::{debug, warn};

use super::{
    super::{EventKind, State},
    counts::{listening, served},
    prefixes::Prefixes,
    report::Ended,
};
use crate::{
    bpf::List,
    clock::monotonic_ns,
    engine::{
        Account, Guard,
        slow::{Ending, Flow, HalfOpen, Look, Queue},
    },
    host::{self, Connection, HostError, Tcp},
    prefix::Prefix,
};

/// Connections that end at once, and the pause before the next: a server with one thread answers nobody else meanwhile. And pauses in a look.
const AT_ONCE: u64 = 50;
const PAUSE: Duration = Duration::from_millis(4);
const PAUSES: u32 = 40;
/// Keys of sources that the datapath spares.
const SPARED: usize = 8;
/// Ports that it spares.
const SPARED_PORTS: usize = 4;
/// Where people log in, unless they were seen to elsewhere, too.
const SSH: u16 = 22;

/// Who ends connections, and what it ended.
pub(super) struct Ender {
    state: Arc<State>,
    /// In shadow nothing is ended, and only told: once of each connection.
    acts: bool,
    told: HashSet<u64>,
    ended: Ended,
    /// Who is logged in, by which ports people logged in so far, whom nothing may touch, and the allowlist.
    logins: HashSet<Account>,
    ports: BTreeSet<u16>,
    guard: Guard,
    allowed: Prefixes,
    /// That the kernel cannot end connections was told.
    is_told: bool,
    /// Connections that the kernel ended, and pauses in this look.
    destroyed: u64,
    pauses: u32,
}

impl Ender {
    pub(super) fn new(state: Arc<State>, acts: bool) -> Self {
        Self {
            state,
            acts,
            told: HashSet::new(),
            ended: Ended::default(),
            logins: HashSet::new(),
            ports: BTreeSet::from([SSH]),
            guard: Guard::default(),
            allowed: Prefixes::default(),
            is_told: false,
            destroyed: 0,
            pauses: 0,
        }
    }

    /// How long it paused since the last time.
    pub(super) fn take_pauses(&mut self) -> Duration {
        PAUSE * std::mem::take(&mut self.pauses)
    }

    /// Whether it ends connections, or only tells.
    pub(super) const fn acts(&self) -> bool {
        self.acts
    }

    pub(super) const fn ended(&self) -> Ended {
        self.ended
    }

    /// Whether the connections of `peer` are left alone: somebody is logged in from there, it is on the allowlist, or nothing may touch it.
    pub(super) fn spares(&self, peer: IpAddr) -> bool {
        self.logins.contains(&Account::of(peer))
            || self.allowed.contains(peer)
            || self.guard.objection(&Prefix::from(peer)).is_some()
    }

    /// Learns who is spared: once for a look, since to read a list takes longer than to look at many connections.
    pub(super) fn look_who_is_allowed(&mut self) {
        let now_ns = monotonic_ns();
        let allowed = self.state.rules().entries(List::Allow);
        match allowed {
            Ok(allowed) => {
                let stands = allowed.into_iter().filter(|(_, rule)| !rule.expired(now_ns));
                self.allowed = stands.map(|(prefix, _)| prefix).collect();
            }
            Err(error) => warn!("the allowlist as it was spares connections: {error}"),
        }
    }

    /// Learns who is logged in and whom nothing may touch, and tells the datapath.
    pub(super) fn look_who_is_spared(&mut self) {
        let logins = host::ssh_logins();
        self.guard = self.state.guard().clone();
        self.logins = logins.peers.iter().copied().map(Account::of).collect();
        self.ports.extend(&logins.ports);
        let mut spared = [0; SPARED];
        for (slot, peer) in spared.iter_mut().zip(&logins.peers) {
            let (family, peer) = Address::of(peer.to_canonical());
            *slot = source_key(family, peer);
        }
        let mut spared_ports = [0; SPARED_PORTS];
        for (slot, port) in spared_ports.iter_mut().zip(self.ports.iter().rev()) {
            *slot = *port;
        }
        let mut map = self.state.settings();
        let written = map.read().and_then(|mut settings| {
            let limits = &mut settings.connections;
            if (limits.spared, limits.spared_ports) == (spared, spared_ports) {
                return Ok(());
            }
            (limits.spared, limits.spared_ports) = (spared, spared_ports);
            map.write(&settings)
        });
        if let Err(error) = written {
            warn!("who is logged in may be refused for holding many connections: {error}");
        }
    }

    /// Ends connections above a limit that were under way when it was reached.
    pub(super) fn excess(&mut self, excesses: &[Excess]) {
        let mut told = Told::default();
        for excess in excesses {
            let [local, remote] = [(excess.own, excess.own_port), (excess.peer, excess.peer_port)]
                .map(|(address, port)| SocketAddr::new(address.ip(), port));
            let connection = Connection {
                local,
                remote,
                interface: 0,
                cookie: Some(excess.cookie),
            };
            if !self.spares(remote.ip()) && self.destroy(&connection) {
                self.ended.excess += 1;
                told.add("excess", local.port(), remote.ip());
            }
        }
        told.tell(&self.state, self.acts);
    }

    /// Ends those of `tcp` that are `endings`.
    pub(super) fn end(&mut self, tcp: &Tcp, endings: &[Ending]) {
        if endings.is_empty() {
            return;
        }
        let open = tcp.connections.iter().map(|connection| connection.ends);
        let half_open = tcp.half_open.iter().map(|half_open| half_open.ends);
        let known: HashMap<u64, Connection> = open
            .chain(half_open)
            .filter_map(|ends| Some((ends.cookie?, ends)))
            .collect();
        self.told.retain(|cookie| known.contains_key(cookie));
        let mut told = Told::default();
        for ending in endings {
            if let Some(connection) = known.get(&ending.id)
                && self.destroy(connection)
            {
                *self.ended.of(ending.reason) += 1;
                told.add(ending.reason.name(), ending.port, ending.peer);
            }
        }
        told.tell(&self.state, self.acts);
    }

    /// Ends the connections of sources that an operator blocked since the last time. While a change waits to be confirmed nothing is ended:
    /// it may go back, and what was cut off would not. Nor where the blocklist `blocks` nobody.
    pub(super) fn end_blocked(&mut self, tcp: &Tcp, blocks: bool) {
        if self.state.unconfirmed().len() > 0
            || !self.state.blocks_asked.swap(false, Ordering::Relaxed)
            || !blocks
        {
            return;
        }
        let now_ns = monotonic_ns();
        let entries = self.state.rules().entries(List::Block);
        let blocked: Prefixes = match entries {
            // Rules of detectors spare what is connected.
            Ok(entries) => entries
                .into_iter()
                .filter(|(_, rule)| rule.origin != Origin::Detector as u8 && !rule.expired(now_ns))
                .map(|(prefix, _)| prefix)
                .collect(),
            Err(error) => return warn!("who is blocked keeps its connections: {error}"),
        };
        self.ended.blocked += self.end_of(tcp, &blocked, "blocked");
    }

    /// Ends the connections of sources that were blocked since the last time for what they do to services: only the block refuses new ones.
    /// Where the blocklist `blocks` nobody they stay.
    pub(super) fn end_ousted(&mut self, tcp: &Tcp, blocks: bool) {
        let ousted: Prefixes = std::mem::take(&mut *self.state.ousted()).into_iter().collect();
        if !blocks {
            return;
        }
        self.ended.harmful += self.end_of(tcp, &ousted, "harmful");
    }

    /// Ends the connections of `sources` with what listens here, because of `reason`; tells how many.
    fn end_of(&mut self, tcp: &Tcp, sources: &Prefixes, reason: &'static str) -> u64 {
        let ports = listening(tcp);
        let (mut told, mut ended) = (Told::default(), 0);
        for connection in served(tcp, &ports).map(|connection| &connection.ends) {
            let peer = connection.remote.ip();
            if sources.contains(peer) && !self.spares(peer) && self.destroy(connection) {
                ended += 1;
                told.add(reason, connection.local.port(), peer);
            }
        }
        told.tell(&self.state, self.acts);
        ended
    }

    /// Whether `connection` ended, or would have.
    fn destroy(&mut self, connection: &Connection) -> bool {
        if !self.acts {
            return connection.cookie.is_none_or(|cookie| self.told.insert(cookie));
        }
        match host::destroy(connection) {
            Ok(ended) => {
                self.destroyed += u64::from(ended);
                if ended && self.destroyed.is_multiple_of(AT_ONCE) && self.pauses < PAUSES {
                    self.pauses += 1;
                    thread::park_timeout(PAUSE);
                }
                ended
            }
            Err(error @ HostError::NoSocketDestruction) => {
                if !std::mem::replace(&mut self.is_told, true) {
                    warn!("connections are not ended: {error}");
                    self.state.connections().fault = Some(error.to_string());
                }
                false
            }
            Err(error) => {
                debug!("{error}");
                false
            }
        }
    }
}

/// What was ended in one go, by why and service: how many, and from where.
#[derive(Default)]
struct Told(BTreeMap<(&'static str, u16), HashMap<IpAddr, usize>>);

impl Told {
    fn add(&mut self, reason: &'static str, port: u16, peer: IpAddr) {
        *self.0.entry((reason, port)).or_default().entry(peer).or_default() += 1;
    }

    fn tell(self, state: &State, acts: bool) {
        for ((reason, port), peers) in self.0 {
            let top = peers
                .iter()
                .max_by_key(|(peer, count)| (**count, std::cmp::Reverse(**peer)));
            state.journal.record(EventKind::ConnectionsEnded {
                service: format!("tcp/{port}"),
                reason: reason.to_owned(),
                count: peers.values().sum(),
                sources: peers.len(),
                top_source: top.map(|(peer, _)| peer.to_string()),
                shadow: !acts,
            });
        }
    }
}

/// The sockets of `tcp`, as the engine wants them.
pub(super) fn look(tcp: &Tcp, now_ns: u64) -> Look {
    let ports = listening(tcp);
    let flows = served(tcp, &ports)
        .filter(|connection| connection.established)
        .map(|connection| Flow {
            id: connection.ends.cookie.unwrap_or(0),
            peer: connection.ends.remote.ip(),
            port: connection.ends.local.port(),
            received: connection.received,
            acknowledged: connection.acknowledged,
            unsent: connection.unsent,
        });
    Look {
        now_ns,
        flows: flows.collect(),
        half_open: tcp
            .half_open
            .iter()
            .map(|half_open| HalfOpen {
                id: half_open.ends.cookie.unwrap_or(0),
                peer: half_open.ends.remote.ip(),
                port: half_open.ends.local.port(),
                retries: half_open.retries,
            })
            .collect(),
        queues: tcp
            .listeners
            .iter()
            .map(|listener| Queue {
                port: listener.at.port(),
                waiting: listener.waiting,
                backlog: listener.backlog,
            })
            .collect(),
    }
}
