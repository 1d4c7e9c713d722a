//! Watches the traffic: once a second it changes the generation of the kernel's sketches and makes a report of what was
//! counted. Which services are counted by themselves follows what listens. It decides nothing.

mod report;

use std::collections::BTreeSet;

use netguard_common::{
    packet::protocol,
    service::slot,
    telemetry::{GENERATIONS, SERVICES, ServiceTraffic, Telemetry as Counted},
};
use tokio::task::spawn_blocking;
use tracing::{debug, warn};

use super::State;
use crate::{
    bpf::{BpfError, Pins, SettingsMap, Telemetry},
    clock::monotonic_ns,
    config::{Config, ServicePort},
    engine::traffic::{compare, service_growth},
    host,
};

pub use report::{Entropies, HeavyRate, KindRate, ServiceRate, Spread, TrafficReport};

/// What the tick needs to describe traffic.
pub(super) struct TrafficWatch {
    maps: Telemetry,
    before: Box<Counted>,
    before_ns: u64,
    generation: u32,
    /// Services that the configuration names are watched whether something listens or not.
    configured: Vec<ServicePort>,
    /// Those watched now.
    watched: Vec<Watched>,
    /// What all others got when watching began.
    others: ServiceTraffic,
    /// Services that found no number.
    unwatched: usize,
}

/// A service with counters of its own.
#[derive(Clone, Copy)]
struct Watched {
    service: ServicePort,
    number: u8,
    /// What the counters stood at when it got them.
    since: ServiceTraffic,
}

impl TrafficWatch {
    /// Begins to watch; what was counted before is not news.
    pub(super) fn begin(pins: &Pins, config: &Config) -> Result<Self, BpfError> {
        let mut maps = Telemetry::open(pins)?;
        for generation in 0..GENERATIONS as u32 {
            maps.empty(generation)?;
        }
        let before = maps.read()?;
        let mut watch = Self {
            maps,
            others: before.services[0],
            before,
            before_ns: monotonic_ns(),
            generation: SettingsMap::open(pins)?.read()?.telemetry.generation,
            configured: config.service.iter().map(|service| service.port).collect(),
            watched: Vec::new(),
            unwatched: 0,
        };
        watch.watch(served())?;
        Ok(watch)
    }

    /// Looks at what was counted since the last time.
    pub(super) fn look(&mut self, state: &State) {
        let report = self.report(state).unwrap_or_else(|error| {
            warn!("the traffic is not described: {error}");
            None
        });
        *state.traffic() = report;
    }

    /// Watches what listens now.
    pub(super) async fn follow(&mut self) {
        let served = spawn_blocking(served).await.unwrap_or_default();
        if let Err(error) = self.watch(served) {
            warn!("services that began or ended are not watched as they should: {error}");
        }
    }

    fn report(&mut self, state: &State) -> Result<Option<TrafficReport>, BpfError> {
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
            .watched
            .iter()
            .map(|watched| (watched.service.to_string(), watched.number, watched.since))
            .chain([("other".to_owned(), 0, self.others)])
            .map(|(name, number, since)| {
                let number = usize::from(number);
                let total = service_growth(&now.services[number], &since);
                ServiceRate::of(name, &window.services[number], window.length_ns, &total)
            })
            .collect();
        report.unwatched_services = self.unwatched;
        (self.before, self.before_ns) = (now, now_ns);
        Ok(Some(report))
    }

    /// Gives `served` and the configured services numbers; those that have one keep it.
    fn watch(&mut self, served: BTreeSet<ServicePort>) -> Result<(), BpfError> {
        let mut wanted = self.configured.clone();
        wanted.extend(served);
        let kept = |watched: &Watched| wanted.contains(&watched.service);
        let mut watched: Vec<Watched> = self.watched.iter().copied().filter(kept).collect();
        let counted = self.maps.read()?;
        self.unwatched = 0;
        for service in wanted {
            if watched.iter().any(|standing| standing.service == service) {
                continue;
            }
            let free =
                (1..SERVICES).find(|number| watched.iter().all(|taken| usize::from(taken.number) != *number));
            match free {
                Some(number) => watched.push(Watched {
                    service,
                    number: number as u8,
                    since: counted.services[number],
                }),
                None => self.unwatched += 1,
            }
        }
        let slots: Vec<(u32, u8)> = watched
            .iter()
            .filter_map(|watched| {
                let slot = slot(watched.service.protocol(), watched.service.port())?;
                Some((slot, watched.number))
            })
            .collect();
        self.maps.watch(&slots)?;
        self.watched = watched;
        Ok(())
    }
}

/// What listens on this machine; nothing where the kernel does not tell, since `doctor` says what is missing.
fn served() -> BTreeSet<ServicePort> {
    let [tcp, udp] = host::served_ports().unwrap_or_else(|error| {
        debug!("only configured services are watched: {error}");
        Default::default()
    });
    let of = |protocol: u8, ports: BTreeSet<u16>| {
        ports
            .into_iter()
            .filter_map(move |port| ServicePort::new(protocol, port))
    };
    of(protocol::TCP, tcp).chain(of(protocol::UDP, udp)).collect()
}
