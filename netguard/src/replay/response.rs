//! What is done about attacks in a replay: the responder of the daemon, against the maps and lists of the sandbox. Where nothing is known to be normal
//! no service is held at what is usual for it, nor closed to newcomers: what is taken then are signatures, and limits of places.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use netguard_common::layout::Settings;

use super::{
    ReplayError,
    clock::BEGIN_NS,
    report::{Measure, NotTaken},
};
use crate::{
    bpf::{Heads, Pins, Services, SettingsMap, Signatures},
    config::Config,
    daemon::{
        Hold, Lists,
        database::Databases,
        places::Whereabouts,
        respond::{self, Holder, Kernel, Known, Stands},
        tick::HEADS_PER_TICK,
    },
    engine::{
        Account, Attack, Controller, Features,
        detect::Class,
        peace::KeptPeace,
        places::KeptPlaces,
        response::{Mode, Moment, Responder, Taken},
        seen::Seen,
    },
    lists::Atlas,
};

pub(super) struct Response {
    responder: Responder,
    stands: Stands,
    heads: Heads,
    services: Services,
    signatures: Signatures,
    settings: Settings,
    places: InLists,
    known: Known,
}

/// Holds places at once: a replay waits.
struct InLists {
    lists: Lists,
    atlas: Option<Arc<Atlas>>,
    outcome: Option<Result<(), String>>,
}

impl Holder for InLists {
    fn hold(&mut self, holds: Vec<Hold>, now_ns: u64) {
        let missing = respond::unheld(&self.lists, &holds);
        let found = respond::addresses(self.atlas.as_deref(), &missing);
        self.outcome = Some(found.and_then(|found| self.lists.hold(&holds, &found, now_ns)));
    }

    fn outcome(&mut self) -> Option<Result<(), String>> {
        self.outcome.take()
    }

    fn packets(&mut self) -> Option<Vec<(Hold, u64)>> {
        Some(self.lists.held_packets())
    }
}

impl Response {
    /// Under `config`, in the maps of `pins` and in `lists`, with what is known by `databases`.
    pub(super) fn begin(
        config: &Config,
        pins: &Pins,
        lists: Lists,
        databases: &Databases,
    ) -> Result<Self, ReplayError> {
        let settings = SettingsMap::open(pins)?.read()?;
        let mut places = Whereabouts::of(config);
        places.follow(databases);
        Ok(Self {
            places: InLists {
                lists,
                atlas: places.atlas(),
                outcome: None,
            },
            // Who is logged in here has nothing to do with the capture.
            known: Known {
                good: HashSet::new(),
                sessions: BTreeSet::new(),
                places,
            },
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

    /// Takes up what is known of calm times.
    pub(super) fn recall(&mut self, packets: KeptPeace, places: KeptPlaces, are_countries: bool) {
        self.responder.recall(packets, places, are_countries);
    }

    /// `features`, with what is done about a carpet told from what else is refused.
    pub(super) fn of_carpet(&self, features: Features, controller: &Controller) -> Features {
        let attacks = controller.tracker().attacks();
        let refused_of_carpet = self.responder.refused_of_carpet(attacks, &features);
        Features {
            refused_of_carpet,
            ..features
        }
    }

    /// Takes in the tick that `features` are of; the packets that were looked at in it.
    pub(super) fn tick(
        &mut self,
        features: &Features,
        controller: &Controller,
        good: &HashSet<Account>,
    ) -> Vec<Seen> {
        let seen = respond::seen(&self.heads.drain(HEADS_PER_TICK));
        self.known.good.clone_from(good);
        self.responder
            .step(&Moment::of(features, controller, &seen, self.known.beside()));
        let kernel = Kernel {
            services: &mut self.services,
            signatures: &mut self.signatures,
            settings: self.settings,
            places: &mut self.places,
        };
        self.stands.follow(&mut self.responder, kernel, features.at_ns);
        seen
    }

    pub(super) const fn responder(&self) -> &Responder {
        &self.responder
    }

    /// What was done about attack `id`, why no signature was found, if none was, and what else was not done.
    pub(super) fn told(&self, id: u64) -> Told {
        let course = self.responder.course(id);
        let measures = course.iter().flat_map(|course| &course.taken).map(measure);
        let no_signature = course.and_then(|course| course.no_signature);
        let withheld = course.iter().flat_map(|course| &course.withheld);
        Told {
            measures: measures.collect(),
            no_signature: no_signature.map(|why| why.to_string()),
            withheld: withheld
                .map(|(measure, why)| NotTaken {
                    measure: (*measure).to_owned(),
                    why: why.to_string(),
                })
                .collect(),
        }
    }
}

/// What is told of the response to an attack.
pub(super) struct Told {
    pub(super) measures: Vec<Measure>,
    pub(super) no_signature: Option<String>,
    pub(super) withheld: Vec<NotTaken>,
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
