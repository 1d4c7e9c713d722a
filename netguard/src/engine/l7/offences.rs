//! Takes in what was observed and finds who offends by it. It decides nothing, and is bounded in all that it remembers.

use std::{
    collections::{BTreeMap, HashMap},
    hash::RandomState,
};

use super::{
    Finding, Offence, Report, Settings, SourceReport, Totals, http, other, report,
    service::{self, Service},
    source::{ACTIVE_S, Case},
    sources::Sources,
};
use crate::{
    engine::Account,
    l7::{Observation, Said},
};

/// Sources that are remembered.
const SOURCES: usize = 65_536;

/// Sources, what they do, and what services are asked for.
#[derive(Debug)]
pub struct Offences {
    settings: Settings,
    keys: RandomState,
    sources: Sources,
    services: HashMap<u16, Service>,
    found: Vec<Finding>,
    /// How often each offence was found.
    figures: [u64; Offence::ALL.len()],
    now_ns: u64,
}

impl Offences {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            keys: RandomState::new(),
            sources: Sources::new(SOURCES),
            services: HashMap::new(),
            found: Vec::new(),
            figures: [0; Offence::ALL.len()],
            now_ns: 0,
        }
    }

    /// Holds from now on; what is remembered stays.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Takes in an observation.
    pub fn take(&mut self, observation: &Observation) {
        let now_ns = observation.at_ns.max(self.now_ns);
        self.now_ns = now_ns;
        let from = observation.ends.client.ip().to_canonical();
        let Some(source) = self.sources.entry(from, now_ns) else {
            return;
        };
        source.from = from;
        source.last_ns = now_ns;
        source.activity.add(observation.weight, ACTIVE_S, now_ns);
        let port = observation.service().port();
        let mut case = Case {
            settings: &self.settings,
            at_ns: now_ns,
            weight: observation.weight.max(1),
            port,
            found: &mut self.found,
            figures: &mut self.figures,
        };
        let service = service::entry(&mut self.services, port);
        match &observation.said {
            Said::Request(request) => http::request(&mut case, source, service, &self.keys, request),
            Said::Response(response) => http::response(&mut case, source, service, &self.keys, response),
            Said::H2(frames) => other::frames(&mut case, source, service, frames),
            Said::Hello(hello) => other::hello(&mut case, source, service, hello),
            Said::HandshakeLeft => other::handshake_left(&mut case, source),
            Said::Foreign(what) => other::foreign(&mut case, source, what),
            Said::HeadUnfinished { since_ns } => other::head_unfinished(&mut case, source, *since_ns),
        }
    }

    /// What was found since the last tick; the same again of a source no more often than every second.
    pub fn tick(&mut self, now_ns: u64) -> Vec<Finding> {
        self.now_ns = self.now_ns.max(now_ns);
        self.sources.forget_idle(self.now_ns);
        std::mem::take(&mut self.found)
    }

    /// What services are asked for, and what was found; of each list the first `top`.
    pub fn report(&self, top: usize) -> Report {
        report::report(&self.services, &self.sources, &self.figures, top, self.now_ns)
    }

    /// What each service was asked for and how it answered in all, by port.
    pub fn totals(&self) -> BTreeMap<u16, Totals> {
        let services = self.services.iter();
        services
            .map(|(port, service)| (*port, Totals::of(service)))
            .collect()
    }

    /// What is known of `account`.
    pub fn of(&self, account: Account) -> Option<SourceReport> {
        let source = self.sources.of(account)?;
        Some(report::source(source, &self.settings, self.now_ns))
    }
}
