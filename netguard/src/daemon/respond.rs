//! Carries out what the responder wants: puts signatures, tighter service limits and limits of places into the kernel's tables, keeps them
//! there, and takes them away again. What somebody else changes meanwhile is theirs, and stays.

mod places;
mod services;
mod signatures;

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use tracing::{info, warn};

use super::{EventKind, State, places::Whereabouts};
use crate::{
    bpf::{Services, Signatures},
    clock::monotonic_ns,
    config::{Config, PolicyMode},
    engine::{
        Account, Features,
        response::{Beside, Mode, Moment, Responder, ResponseSettings, Restraint, Standing, Taken, Turn},
        seen::Seen,
    },
};
use netguard_common::{head::Head, layout::Settings};
use places::{Desk, InLists};
pub(crate) use places::{Holder, addresses, unheld};

/// What stands in the kernel because of attacks.
#[derive(Default)]
pub(crate) struct Stands {
    services: services::Held,
    signatures: signatures::Installed,
    places: places::Held,
    desk: Desk,
}

/// What is known beside the traffic of a tick.
pub(crate) struct Known {
    /// Sources with an established connection, as of the last sweep.
    pub(crate) good: HashSet<Account>,
    /// TCP ports by which somebody was logged in since the daemon began.
    pub(crate) sessions: BTreeSet<u16>,
    pub(crate) places: Whereabouts,
}

impl Known {
    pub(crate) fn beside(&self) -> Beside<'_> {
        Beside {
            good: &self.good,
            sessions: &self.sessions,
            places: &self.places,
        }
    }
}

/// What came of a measure.
pub(super) enum Report {
    Standing(u64, Standing),
    /// Its signature fitted so many packets in so many ns.
    Fitted(u64, u64, u64),
}

/// The tables that measures change.
pub(crate) struct Kernel<'a> {
    pub(crate) services: &'a mut Services,
    pub(crate) signatures: &'a mut Signatures,
    pub(crate) settings: Settings,
    pub(crate) places: &'a mut dyn Holder,
}

/// What `config` lets measures do.
pub(crate) fn settings(config: &Config) -> ResponseSettings {
    let response = &config.response;
    let mode = |policy: PolicyMode| match (response.mode.under(config.mode), policy) {
        (PolicyMode::Off, _) => Mode::Off,
        (PolicyMode::Shadow, PolicyMode::Enforce) => Mode::Shadow,
        (_, own) => own.into(),
    };
    // Those that the daemon installs are judged as all are.
    let as_signature = |policy: PolicyMode| match (mode(policy), config.signatures.mode) {
        (Mode::Off, _) | (_, PolicyMode::Off) => Mode::Off,
        (_, PolicyMode::Shadow) => Mode::Shadow,
        (own, PolicyMode::Enforce) => own,
    };
    let stage = |policy: PolicyMode| policy.under(config.mode).into();
    ResponseSettings {
        limits: mode(response.limits),
        challenge: mode(response.challenge),
        signatures: as_signature(response.signatures),
        geo: mode(response.geo),
        circuit_break: as_signature(response.circuit_break),
        break_sessions: response.break_sessions,
        state: stage(config.state.mode),
        reflection: stage(config.reflection.mode),
        sanity: stage(config.sanity.mode),
    }
}

/// The packets of `heads`, as far as they can be followed.
pub(crate) fn seen(heads: &[Head]) -> Vec<Seen> {
    heads.iter().filter_map(Seen::of).collect()
}

impl Stands {
    fn is_nothing(&self) -> bool {
        self.services.is_empty() && self.signatures.is_empty() && self.places.is_empty()
    }

    /// Makes the kernel of `state` as its responder says.
    fn carry_out(&mut self, state: &Arc<State>, whereabouts: &Whereabouts, now_ns: u64) {
        let settings = match state.settings().read() {
            Ok(settings) => settings,
            Err(error) => {
                warn!("measures against attacks are not carried out: {error}");
                return;
            }
        };
        let (mut responder, mut services, mut signatures) =
            (state.responder(), state.services(), state.signatures());
        let kernel = Kernel {
            services: &mut services,
            signatures: &mut signatures,
            settings,
            places: &mut InLists {
                state,
                desk: &self.desk.clone(),
                atlas: whereabouts.atlas(),
            },
        };
        self.follow(&mut responder, kernel, now_ns);
    }

    /// Makes the kernel as `wanted` says at `now_ns`.
    pub(crate) fn follow(&mut self, responder: &mut Responder, kernel: Kernel<'_>, now_ns: u64) {
        let wanted: Vec<Taken> = responder.wanted().map(|(_, taken)| taken.clone()).collect();
        let mut reports = self.signatures.follow(&wanted, kernel.signatures, now_ns);
        reports.extend(self.services.follow(&wanted, kernel.services, &kernel.settings));
        reports.extend(self.places.follow(&wanted, kernel.places, now_ns));
        for report in reports {
            match report {
                Report::Standing(number, standing) => responder.report(number, standing),
                Report::Fitted(number, packets, ns) => responder.count(number, packets, ns),
            }
        }
    }
}

/// Responds in the daemon to the tick that `features` are of, and tells what began and ended.
pub(super) fn tick(
    state: &Arc<State>,
    stands: &mut Stands,
    features: &Features,
    seen: &[Seen],
    known: &Known,
) {
    let turns = {
        let (controller, mut responder) = (state.controller(), state.responder());
        responder.step(&Moment::of(features, &controller, seen, known.beside()))
    };
    tell(state, turns);
    // In times of peace the kernel is not asked.
    if !stands.is_nothing() || state.responder().wanted().next().is_some() {
        stands.carry_out(state, &known.places, features.at_ns);
    }
}

/// Ends all that stands because of attacks: nobody would end it later.
pub(super) fn stop(state: &Arc<State>, stands: &mut Stands, known: &Known) {
    let now_ns = monotonic_ns();
    let turns = state.responder().stop(now_ns);
    tell(state, turns);
    if !stands.places.is_empty()
        && let Err(error) = stands.desk.let_go(state, now_ns)
    {
        warn!("countries that are held because of attacks stay so for a quarter of an hour: {error}");
    }
    stands.places = places::Held::default();
    if !stands.is_nothing() {
        stands.carry_out(state, &known.places, now_ns);
    }
}

fn tell(state: &State, turns: Vec<Turn>) {
    for turn in turns {
        let (attack, taken) = match &turn {
            Turn::Begin { attack, taken } | Turn::Change { attack, taken } | Turn::End { attack, taken } => {
                (*attack, taken)
            }
        };
        let measure = taken.measure.name().to_owned();
        let what = taken.measure.to_string();
        let shadow = taken.mode == Mode::Shadow;
        state.journal.record(match (&turn, taken.ended) {
            (Turn::End { .. }, Some((_, why))) => {
                let why = taken.failure().unwrap_or(why.describe()).to_owned();
                info!(attack, measure, why, "a measure ends: {what}");
                EventKind::MeasureEnded {
                    attack,
                    measure,
                    what,
                    why,
                    packets: taken.packets,
                    shadow,
                }
            }
            (Turn::Change { .. }, _) => {
                let now = taken
                    .restraint
                    .map_or("drops packets", Restraint::describe)
                    .to_owned();
                info!(attack, measure, now, "a measure changes: {what}");
                EventKind::MeasureChanged {
                    attack,
                    measure,
                    what,
                    now,
                    shadow,
                }
            }
            _ => {
                info!(attack, measure, shadow, "a measure is taken: {what}");
                EventKind::MeasureTaken {
                    attack,
                    measure,
                    what,
                    shadow,
                }
            }
        });
    }
}
