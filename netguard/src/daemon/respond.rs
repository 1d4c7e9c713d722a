//! Carries out what the responder wants: puts signatures and tighter service limits into the kernel's tables, keeps them there, and
//! takes them away again. What somebody else changes meanwhile is theirs, and stays.

mod services;
mod signatures;

use std::collections::HashSet;

use tracing::{info, warn};

use super::{EventKind, State};
use crate::{
    bpf::{Services, Signatures},
    clock::monotonic_ns,
    config::{Config, PolicyMode},
    engine::{
        Account, Features,
        response::{Mode, Moment, Responder, ResponseSettings, Standing, Taken, Turn},
        seen::Seen,
    },
};
use netguard_common::{head::Head, layout::Settings};

/// What stands in the kernel because of attacks.
#[derive(Default)]
pub(crate) struct Stands {
    services: services::Held,
    signatures: signatures::Installed,
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
}

/// What `config` lets measures do.
pub(crate) fn settings(config: &Config) -> ResponseSettings {
    let response = &config.response;
    let mode = |policy: PolicyMode| match (response.mode.under(config.mode), policy) {
        (PolicyMode::Off, _) | (_, PolicyMode::Off) => Mode::Off,
        (PolicyMode::Enforce, PolicyMode::Enforce) => Mode::Enforce,
        _ => Mode::Shadow,
    };
    ResponseSettings {
        limits: mode(response.limits),
        challenge: mode(response.challenge),
        // Those that the daemon installs are judged as all are.
        signatures: match (mode(response.signatures), config.signatures.mode) {
            (Mode::Off, _) | (_, PolicyMode::Off) => Mode::Off,
            (_, PolicyMode::Shadow) => Mode::Shadow,
            (own, PolicyMode::Enforce) => own,
        },
    }
}

/// The packets of `heads`, as far as they can be followed.
pub(crate) fn seen(heads: &[Head]) -> Vec<Seen> {
    heads.iter().filter_map(Seen::of).collect()
}

impl Stands {
    fn is_nothing(&self) -> bool {
        self.services.is_empty() && self.signatures.is_empty()
    }

    /// Makes the kernel of `state` as its responder says.
    fn carry_out(&mut self, state: &State, now_ns: u64) {
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
        };
        self.follow(&mut responder, kernel, now_ns);
    }

    /// Makes the kernel as `wanted` says at `now_ns`.
    pub(crate) fn follow(&mut self, responder: &mut Responder, kernel: Kernel<'_>, now_ns: u64) {
        let wanted: Vec<Taken> = responder.wanted().map(|(_, taken)| taken.clone()).collect();
        let mut reports = self.signatures.follow(&wanted, kernel.signatures, now_ns);
        reports.extend(self.services.follow(&wanted, kernel.services, &kernel.settings));
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
    state: &State,
    stands: &mut Stands,
    features: &Features,
    seen: &[Seen],
    good: &HashSet<Account>,
) {
    let turns = {
        let (controller, mut responder) = (state.controller(), state.responder());
        responder.step(&Moment::of(features, &controller, seen, good))
    };
    tell(state, turns);
    // In times of peace the kernel is not asked.
    if !stands.is_nothing() || state.responder().wanted().next().is_some() {
        stands.carry_out(state, features.at_ns);
    }
}

/// Ends all that stands because of attacks: nobody would end it later.
pub(super) fn stop(state: &State, stands: &mut Stands) {
    let now_ns = monotonic_ns();
    let turns = state.responder().stop(now_ns);
    tell(state, turns);
    if !stands.is_nothing() {
        stands.carry_out(state, now_ns);
    }
}

fn tell(state: &State, turns: Vec<Turn>) {
    for turn in turns {
        let (attack, taken) = match &turn {
            Turn::Begin { attack, taken } | Turn::End { attack, taken } => (*attack, taken),
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
