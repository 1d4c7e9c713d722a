//! Watches the traffic: once a second it changes the generation of the kernel's sketches and makes a report of what was
//! counted. Which services are counted by themselves follows what listens. It decides nothing.

mod numbers;
mod opened;
mod report;
mod spoken;

use std::collections::BTreeSet;

use netguard_common::{
    packet::protocol,
    telemetry::{GENERATIONS, ServiceTraffic, Telemetry as Counted},
};
use tokio::task::spawn_blocking;
use tracing::{debug, warn};

use super::State;
use crate::{
    bpf::{BpfError, Pins, SettingsMap, Telemetry},
    clock::monotonic_ns,
    config::{Config, ServicePort},
    engine::{
        Features, TrafficWindow,
        feature::Connections,
        traffic::{compare, per_second, service_growth},
    },
    host::{self, Ports, TcpCounts},
};

pub(crate) use numbers::Numbers;
pub(super) use opened::Opened;
pub use report::{Entropies, HeavyRate, KindRate, ServiceRate, Spread, TrafficReport};
use spoken::Spoken;

/// Connections that are counted anew every second: that takes the kernel some milliseconds.
const FEW: u64 = 2_000;

/// What the tick needs to describe traffic.
pub(super) struct TrafficWatch {
    maps: Telemetry,
    before: Box<Counted>,
    before_ns: u64,
    generation: u32,
    numbers: Numbers,
    /// What all others got when watching began.
    others: ServiceTraffic,
    /// What the last whole second adds to what a tick can tell.
    sources: Option<f64>,
    connections: Option<Connections>,
    spoken: Spoken,
    tcp: Option<TcpCounts>,
    /// Connections that others have with what listens here, as they were counted last.
    served: Option<u64>,
    /// The most connections that a source had when they were counted last.
    of_one: Option<f64>,
}

impl TrafficWatch {
    /// Begins to watch what is `waiting`; what was counted before is not news.
    pub(super) fn begin(pins: &Pins, config: &Config, waiting: Option<&Ports>) -> Result<Self, BpfError> {
        let mut maps = Telemetry::open(pins)?;
        for generation in 0..GENERATIONS as u32 {
            maps.empty(generation)?;
        }
        // Under the numbers of an earlier daemon nothing is counted any more before they are given anew.
        maps.watch(&[])?;
        let before = maps.read()?;
        let mut watch = Self {
            maps,
            others: before.services[0],
            before,
            before_ns: monotonic_ns(),
            generation: SettingsMap::open(pins)?.read()?.telemetry.generation,
            numbers: Numbers::new(config.service.iter().map(|service| service.port).collect()),
            sources: None,
            connections: None,
            spoken: Spoken::default(),
            tcp: None,
            served: None,
            of_one: None,
        };
        watch.watch(Some(served(waiting).unwrap_or_default()))?;
        Ok(watch)
    }

    /// What was counted since the maps were made; without it attacks are not recognised.
    pub(super) fn read(&self) -> Option<Box<Counted>> {
        self.maps
            .read()
            .inspect_err(|error| warn!("attacks are not recognised: {error}"))
            .ok()
    }

    /// The services that are counted by themselves, and all others, with their numbers.
    pub(super) fn services(&self) -> Vec<(String, usize)> {
        let watched = self.numbers.watched().iter();
        watched
            .map(|watched| (watched.service.to_string(), usize::from(watched.number)))
            .chain([("other".to_owned(), 0)])
            .collect()
    }

    /// `features`, with what only the last whole second tells.
    pub(super) fn complete(&self, mut features: Features) -> Features {
        self.spoken.complete(&mut features.services);
        Features {
            sources: self.sources,
            connections: self.connections,
            ..features
        }
    }

    /// Takes in how many connections a source has at the most.
    pub(super) fn connected(&mut self, of_one: Option<u32>) {
        self.of_one = of_one.map(f64::from);
    }

    /// Looks at what was counted since the last time, and makes a report of it.
    pub(super) fn look(&mut self, state: &State) -> Option<TrafficWindow> {
        let looked = self.report(state).unwrap_or_else(|error| {
            warn!("the traffic is not described: {error}");
            None
        });
        let (report, window) = looked.unzip();
        self.sources = report
            .as_ref()
            .map(|report: &TrafficReport| report.sources as f64);
        self.connections = window.as_ref().and_then(|window| self.connections(window));
        let totals = state.heard().totals();
        let length_ns = window.as_ref().map_or(0, |window| window.length_ns);
        self.spoken.take(totals, length_ns);
        *state.traffic() = report;
        window
    }

    /// Counts connections every second where they are few; many take the kernel a while.
    pub(super) async fn count(&mut self) {
        if self.tcp.is_none_or(|tcp| tcp.established <= FEW) {
            self.count_all().await;
        }
    }

    async fn count_all(&mut self) {
        let counted = spawn_blocking(host::served_connections).await;
        // `doctor` says what is missing.
        self.served = counted.ok().and_then(Result::ok);
    }

    /// Watches what is `waiting` now.
    pub(super) async fn follow(&mut self, waiting: Option<&Ports>) {
        self.count_all().await;
        if let Err(error) = self.watch(served(waiting)) {
            warn!("services that began or ended are not watched as they should: {error}");
        }
    }

    fn report(&mut self, state: &State) -> Result<Option<(TrafficReport, TrafficWindow)>, BpfError> {
        let (ended, seed) = {
            let mut map = state.settings();
            let mut settings = map.read()?;
            if settings.telemetry.on == 0 {
                return Ok(None);
            }
            let ended = self.generation;
            self.generation = (ended + 1) % GENERATIONS as u32;
            settings.telemetry.generation = self.generation;
            map.write(&settings)?;
            (ended, settings.seed)
        };
        // What is under way with the old generation is done long before the counters of all CPUs are copied; else it is lost.
        let (now, now_ns) = (self.maps.read()?, monotonic_ns());
        let sketches = self.maps.sketches(ended)?;
        self.maps.empty(ended)?;
        let window = compare(&self.before, &now, now_ns.saturating_sub(self.before_ns));
        let mut report = TrafficReport::of(&window, &sketches, seed);
        report.services = self
            .numbers
            .watched()
            .iter()
            .map(|watched| (watched.service.to_string(), watched.number, watched.since))
            .chain([("other".to_owned(), 0, self.others)])
            .map(|(name, number, since)| {
                let number = usize::from(number);
                let total = service_growth(&now.services[number], &since);
                ServiceRate::of(name, &window.services[number], window.length_ns, &total)
            })
            .collect();
        report.unwatched_services = self.numbers.unwatched();
        (self.before, self.before_ns) = (now, now_ns);
        Ok(Some((report, window)))
    }

    /// The connections of others, and what the kernel says of queues that were full.
    fn connections(&mut self, window: &TrafficWindow) -> Option<Connections> {
        let now = host::tcp_counts()
            .inspect_err(|error| debug!("connections that are kept are not noticed: {error}"))
            .ok();
        let before = std::mem::replace(&mut self.tcp, now);
        let (now, before) = (now?, before?);
        let overflowed = now.overflowed.saturating_sub(before.overflowed);
        Some(Connections {
            established: self.served? as f64,
            overflowed: per_second(overflowed, window.length_ns) as f64,
            of_one: self.of_one,
        })
    }

    /// Counts `served` and the configured services by themselves.
    fn watch(&mut self, served: Option<BTreeSet<ServicePort>>) -> Result<(), BpfError> {
        self.numbers.assign(served, &self.maps.read()?.services);
        self.maps.watch(&self.numbers.slots())
    }
}

/// The services at ports that are `waiting`, as the kernel told; `None` where it does not, since `doctor` says what is missing.
fn served(waiting: Option<&Ports>) -> Option<BTreeSet<ServicePort>> {
    let [tcp, udp] = host::served_ports(waiting?);
    let of = |protocol: u8, ports: BTreeSet<u16>| {
        ports
            .into_iter()
            .filter_map(move |port| ServicePort::new(protocol, port))
    };
    Some(of(protocol::TCP, tcp).chain(of(protocol::UDP, udp)).collect())
}
