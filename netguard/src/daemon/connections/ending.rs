//! Ends connections, and tells about it: of a thousand at once in one line for each service and reason.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
};

use netguard_common::{connection::Excess, packet::Address, rule::Origin};
use tracing::{debug, warn};

use super::{
    super::{EventKind, State},
    counts::{listening, served},
    report::Ended,
};
use crate::{
    bpf::List,
    clock::monotonic_ns,
    engine::{
        Account,
        slow::{Ending, Flow, HalfOpen, Look, Queue},
    },
    host::{self, Connection, HostError, Tcp},
};

/// Keys of sources that the datapath spares.
const SPARED: usize = 8;

/// Who ends connections, and what it ended.
pub(super) struct Ender {
    state: Arc<State>,
    /// In shadow nothing is ended, and only told.
    acts: bool,
    ended: Ended,
    /// Who is logged in.
    logins: HashSet<Account>,
    /// That the kernel cannot end connections was told.
    is_told: bool,
}

impl Ender {
    pub(super) fn new(state: Arc<State>, acts: bool) -> Self {
        Self {
            state,
            acts,
            ended: Ended::default(),
            logins: HashSet::new(),
            is_told: false,
        }
    }

    pub(super) const fn ended(&self) -> Ended {
        self.ended
    }

    /// Whether the connections of `peer` are left alone: somebody is logged in from there, or it is on the allowlist.
    pub(super) fn spares(&self, peer: IpAddr) -> bool {
        let is_allowed = || {
            let allowed = self.state.rules().matching(List::Allow, peer, monotonic_ns());
            // Where that is not known nobody is cut off.
            allowed.map_or(true, |allowed| !allowed.is_empty())
        };
        self.logins.contains(&Account::of(peer)) || is_allowed()
    }

    /// Learns who is logged in, and tells the datapath.
    pub(super) fn look_who_is_spared(&mut self) {
        let peers = host::ssh_logins().peers;
        self.logins = peers.iter().copied().map(Account::of).collect();
        let mut spared = [0; SPARED];
        for (slot, peer) in spared.iter_mut().zip(&peers) {
            let (family, peer) = Address::of(peer.to_canonical());
            *slot = netguard_common::limit::source_key(family, peer);
        }
        let mut map = self.state.settings();
        let written = map.read().and_then(|mut settings| {
            if settings.connections.spared == spared {
                return Ok(());
            }
            settings.connections.spared = spared;
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
                .map(|(address, port)| SocketAddr::new(IpAddr::from(address.octets()).to_canonical(), port));
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
    /// it may go back, and what was cut off would not.
    pub(super) fn end_blocked(&mut self, tcp: &Tcp) {
        if self.state.unconfirmed().len() > 0 || !self.state.blocks_asked.swap(false, Ordering::Relaxed) {
            return;
        }
        let now_ns = monotonic_ns();
        let ports = listening(tcp);
        let mut blocked: HashMap<IpAddr, bool> = HashMap::new();
        let mut told = Told::default();
        for connection in served(tcp, &ports).map(|connection| &connection.ends) {
            let peer = connection.remote.ip();
            let is_blocked = *blocked.entry(peer).or_insert_with(|| {
                let found = self.state.rules().matching(List::Block, peer, now_ns);
                // Rules of detectors spare what is connected.
                let of_people = |entry: &crate::bpf::Entry| entry.rule.origin != Origin::Detector as u8;
                found.is_ok_and(|found| found.iter().any(of_people)) && !self.spares(peer)
            });
            if is_blocked && self.destroy(connection) {
                self.ended.blocked += 1;
                told.add("blocked", connection.local.port(), peer);
            }
        }
        told.tell(&self.state, self.acts);
    }

    /// Whether `connection` ended, or would have.
    fn destroy(&mut self, connection: &Connection) -> bool {
        if !self.acts {
            return true;
        }
        match host::destroy(connection) {
            Ok(ended) => ended,
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
