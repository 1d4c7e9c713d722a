//! The ladder: while more of an attack passes than may, one rung after the other is tried. Signatures stand beside it.

use std::collections::BTreeSet;

use super::{
    Moment, Rung, Withheld, breaker,
    course::{Course, Knowledge},
    geo,
    measure::{Measure, Mode, Taken, Why, is_early},
    volume,
};
use crate::engine::{
    Attack,
    feature::Metric,
    places::{Place, Unknown},
    seen::Seen,
};

/// How long a packet is one of the attack as it is now.
pub(super) const CURRENT_NS: u64 = 5_000_000_000;
/// Time with too much that is remembered: more than the most patient rung takes.
const PASSING_CAP_NS: u64 = 5_000_000_000;
/// Time with little counts against time with too much by this part of it.
const PAUSE_COUNTS: u64 = 8;
/// Services whose circuit is broken because of one attack.
const BROKEN: usize = 4;

/// How far up one service is. Each has a clock of its own: one that is new among those of a carpet holds up none of the others.
#[derive(Clone, Copy)]
pub(super) struct Tried {
    /// The rung that was tried last.
    rung: Rung,
    /// How long more passes than may on it.
    passing_ns: u64,
}

/// A service, and the rate that it may be held at.
type Target = (String, u64);

/// The first of the lowest two rungs that could not be taken or kept for `service`, and may be tried again.
fn failed(taken: &[Taken], service: &str, now_ns: u64) -> Option<Rung> {
    let rung_of = |taken: &Taken| match &taken.measure {
        Measure::Limit { service: held, .. } if held == service => Some(Rung::Limit),
        Measure::Challenge { service: held } if held == service => Some(Rung::Challenge),
        _ => None,
    };
    [Rung::Limit, Rung::Challenge].into_iter().find(|rung| {
        let like = || taken.iter().filter(|taken| rung_of(taken) == Some(*rung));
        like().next_back().is_some_and(|last| last.ended_for(Why::Failed)) && !is_early(like(), now_ns)
    })
}

impl Course {
    /// Climbs when more passes than may, and says what the rung asks for.
    pub(super) fn climb(
        &mut self,
        attack: &Attack,
        moment: &Moment<'_>,
        knowledge: &Knowledge<'_>,
    ) -> Vec<(Measure, Mode)> {
        let passing = volume::passing(attack.class, moment.features, moment.baselines);
        let length_ns = moment.features.length_ns;
        if passing.is_none_or(|(passing, may)| passing <= may) {
            self.rest(length_ns, &[]);
            return Vec::new();
        }
        let mut targets = volume::targets(attack.class, moment.features, moment.baselines);
        if volume::has_targets(attack.class) {
            if targets.is_empty() {
                self.withheld.insert("limit", Withheld::NoTarget);
                return Vec::new();
            }
        } else {
            targets = vec![(String::new(), 0)];
        }
        self.rest(length_ns, &targets);
        // Beside the climb, which goes on meanwhile.
        let failed = |target: &Target| Some((failed(&self.taken, &target.0, moment.now_ns)?, target.clone()));
        let again: Vec<(Rung, Target)> = targets.iter().filter_map(failed).collect();
        let mut due = Vec::new();
        for target in targets {
            let tried = self.tried.entry(target.0.clone()).or_insert(Tried {
                rung: Rung::Alert,
                passing_ns: 0,
            });
            let next = tried.rung.next(&target.0, knowledge.settings);
            due.extend(
                next.filter(|next| tried.passing_ns >= next.patience_ns())
                    .map(|next| (next, target)),
            );
            tried.passing_ns = tried.passing_ns.saturating_add(length_ns).min(PASSING_CAP_NS);
        }
        let mut asked = Vec::new();
        for (rung, target) in again {
            asked.extend(self.untaken(rung, &[target], attack, moment, knowledge));
        }
        // Those of a carpet that are least far up are the first.
        let Some(rung) = due.iter().map(|(rung, _)| *rung).min() else {
            return asked;
        };
        due.retain(|(next, _)| *next == rung);
        let targets: Vec<Target> = due.into_iter().map(|(_, target)| target).collect();
        for (service, _) in &targets {
            let passing_ns = length_ns;
            self.tried.insert(service.clone(), Tried { rung, passing_ns });
        }
        self.withheld.remove(rung.name());
        asked.extend(self.untaken(rung, &targets, attack, moment, knowledge));
        asked
    }

    /// What `rung` asks for and is not there already. Nor again where somebody took it back: that is their word. What failed may do so no
    /// more after a while.
    fn untaken(
        &mut self,
        rung: Rung,
        targets: &[Target],
        attack: &Attack,
        moment: &Moment<'_>,
        knowledge: &Knowledge<'_>,
    ) -> Vec<(Measure, Mode)> {
        let (asked, mode) = self.asked(rung, targets, attack, moment, knowledge);
        let is_new = |measure: &Measure| {
            let like = || self.taken.iter().filter(|taken| taken.measure.is_like(measure));
            !like().any(|taken| taken.is_wanted() || taken.ended_for(Why::Given))
                && !is_early(like(), moment.now_ns)
        };
        asked
            .into_iter()
            .filter(|measure| mode != Mode::Off && is_new(measure))
            .map(|measure| (measure, mode))
            .collect()
    }

    /// Turns the clocks of all services back but those of `targets`. A flood may pause for a moment, as it may have noticed that it helps:
    /// what comes a fifth of the time is too much, too.
    fn rest(&mut self, length_ns: u64, targets: &[Target]) {
        let resting = self.tried.iter_mut();
        for (_, tried) in resting.filter(|(name, _)| targets.iter().all(|(service, _)| service != *name)) {
            tried.passing_ns = tried.passing_ns.saturating_sub(length_ns / PAUSE_COUNTS);
        }
    }

    /// What `rung` asks for, and what that may do.
    fn asked(
        &mut self,
        rung: Rung,
        targets: &[Target],
        attack: &Attack,
        moment: &Moment<'_>,
        knowledge: &Knowledge<'_>,
    ) -> (Vec<Measure>, Mode) {
        let settings = knowledge.settings;
        match rung {
            Rung::Alert => (Vec::new(), Mode::Off),
            Rung::Limit => {
                let limit = |(service, rate_per_s): &Target| Measure::Limit {
                    service: service.clone(),
                    rate_per_s: *rate_per_s,
                };
                self.withheld.remove("limit");
                (targets.iter().map(limit).collect(), settings.limits)
            }
            Rung::Challenge => {
                let targets = targets.iter().filter(|(service, _)| service.starts_with("tcp/"));
                let challenge = |(service, _): &Target| Measure::Challenge {
                    service: service.clone(),
                };
                (targets.map(challenge).collect(), settings.challenge)
            }
            Rung::Geo => (self.places(moment, knowledge), settings.geo),
            Rung::CircuitBreak => (
                self.breaks(targets, attack, moment, settings.break_sessions),
                settings.circuit_break,
            ),
        }
    }

    /// Places to hold, unless it is said why there are none.
    fn places(&mut self, moment: &Moment<'_>, knowledge: &Knowledge<'_>) -> Vec<Measure> {
        let is_current = |seen: &&Seen| moment.now_ns.saturating_sub(seen.head.at_ns) < CURRENT_NS;
        let held: BTreeSet<Place> = self.places_held().collect();
        let found = geo::to_hold(
            self.samples.iter().filter(is_current),
            knowledge.places,
            moment.beside.places,
            moment.beside.good,
            moment.baselines.usual(Metric::Packets, moment.features.wall_s),
            geo::Held {
                by_it: &held,
                by_all: knowledge.held,
            },
        );
        match found {
            Ok(places) => places
                .into_iter()
                .map(|(place, rate_per_s)| Measure::Geo { place, rate_per_s })
                .collect(),
            // What is held stands.
            Err(Withheld::NoPlace) if !held.is_empty() => Vec::new(),
            Err(why) => {
                self.withheld.insert(Rung::Geo.name(), why);
                Vec::new()
            }
        }
    }

    /// Places that are held because of it.
    pub(super) fn places_held(&self) -> impl Iterator<Item = Place> {
        self.wanted().filter_map(|taken| taken.measure.place())
    }

    /// Services that are to take nobody new: those that still get more than they may, but for a port by which somebody is logged in.
    fn breaks(
        &mut self,
        targets: &[Target],
        attack: &Attack,
        moment: &Moment<'_>,
        break_sessions: bool,
    ) -> Vec<Measure> {
        let mut measures = Vec::new();
        for (service, _) in targets.iter().take(BROKEN) {
            let load = volume::passing_to(attack.class, service, moment.features, moment.baselines);
            if load.is_some_and(|(passing, may)| passing <= may) {
                continue;
            }
            let session = moment.beside.session_of(service).filter(|_| !break_sessions);
            if let Some(port) = session {
                let why = Withheld::Session { port };
                self.withheld.insert(Rung::CircuitBreak.name(), why);
                continue;
            }
            measures.extend(
                breaker::newcomers(service).map(|signature| Measure::CircuitBreak {
                    service: service.clone(),
                    signature,
                }),
            );
        }
        measures
    }

    /// Why no place is held, where nobody could say in any attack.
    pub fn lacks_places(&self) -> bool {
        self.withheld.get(Rung::Geo.name()) == Some(&Withheld::Places(Unknown::NoDatabase))
    }
}
