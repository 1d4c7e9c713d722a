//! What is done about attacks in a replay: the responder of the daemon, against the maps of the sandbox. No services are counted here, so
//! none is held at what is usual for it: what is taken are signatures.

use std::collections::{BTreeMap, HashSet};

use netguard_common::layout::Settings;

use super::{ReplayError, clock::BEGIN_NS, report::Measure};
use crate::{
    bpf::{Heads, Pins, Services, SettingsMap, Signatures},
    config::Config,
    daemon::{
        respond::{self, Kernel, Stands},
        tick::HEADS_PER_TICK,
    },
    engine::{
        Account, Attack, Controller, Features,
        detect::Class,
        response::{Mode, Moment, Responder, Taken},
        seen::Seen,
    },
};

pub(super) struct Response {
    responder: Responder,
    stands: Stands,
    heads: Heads,
    services: Services,
    signatures: Signatures,
    settings: Settings,
}

impl Response {
    /// Under `config`, in the maps of `pins`.
    pub(super) fn begin(config: &Config, pins: &Pins) -> Result<Self, ReplayError> {
        let settings = SettingsMap::open(pins)?.read()?;
        Ok(Self {
            responder: Responder::new(respond::settings(config), settings.seed),
            stands: Stands::default(),
            heads: Heads::open(pins)?,
            services: Services::open(pins)?,
            signatures: Signatures::open(pins)?,
            settings,
        })
    }

    /// As [`Responder::matched`].
    pub(super) fn matched(&self, attacks: &[Attack]) -> BTreeMap<Class, f64> {
        self.responder.matched(attacks)
    }

    /// Takes in the tick that `features` are of; the packets that were looked at in it.
    pub(super) fn tick(
        &mut self,
        features: &Features,
        controller: &Controller,
        good: &HashSet<Account>,
    ) -> Vec<Seen> {
        let seen = respond::seen(&self.heads.drain(HEADS_PER_TICK));
        self.responder
            .step(&Moment::of(features, controller, &seen, good));
        let kernel = Kernel {
            services: &mut self.services,
            signatures: &mut self.signatures,
            settings: self.settings,
        };
        self.stands.follow(&mut self.responder, kernel, features.at_ns);
        seen
    }

    pub(super) const fn responder(&self) -> &Responder {
        &self.responder
    }

    /// What was done about attack `id`, and why no signature was found, if none was.
    pub(super) fn told(&self, id: u64) -> (Vec<Measure>, Option<String>) {
        let course = self.responder.course(id);
        let measures = course.iter().flat_map(|course| &course.taken).map(measure);
        let no_signature = course.and_then(|course| course.no_signature);
        (measures.collect(), no_signature.map(|why| why.to_string()))
    }
}

fn measure(taken: &Taken) -> Measure {
    let ms = |at_ns: u64| at_ns.saturating_sub(BEGIN_NS) / 1_000_000;
    Measure {
        measure: taken.measure.name().to_owned(),
        what: taken.measure.to_string(),
        shadow: taken.mode == Mode::Shadow,
        since_ms: ms(taken.begun_ns),
        until_ms: taken.ended.map(|(at_ns, _)| ms(at_ns)),
        why: taken.ended.map(|(_, why)| why),
        error: taken.failure().map(str::to_owned),
        packets: taken.packets,
    }
}
