//! The course of the response to one attack: what was taken, and when it ends. What is taken the ladder says (`climb`), and the signatures
//! beside it (`drafting`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use netguard_common::Verdict;

use super::{
    Collateral, Moment, ResponseSettings, Rung, Turn, Withheld,
    breaker::{self, Next, Trips},
    climb::Tried,
    drafting,
    measure::{Measure, Restraint, Standing, Taken, Why},
    shadow, volume,
};
use crate::engine::{
    Account, Attack,
    draft::NoDraft,
    peace::Peace,
    places::{PeacePlaces, Place},
    seen::Seen,
};

/// How long measures stand after anything last spoke for the attack; twice as long for each time that it came back, up to the cap.
const COOLDOWN_NS: u64 = 20_000_000_000;
const COOLDOWN_CAP_NS: u64 = 600_000_000_000;
/// Packets of an attack that are kept, the newest.
const SAMPLES: usize = 512;
/// How long after something last spoke for the attack packets are of it at all.
const SUSPECT_NS: u64 = 200_000_000;
/// A signature must fit so much of the attack, as it was at its peak: what fits less may be anybody.
const LEAST_FITTED: f64 = 0.01;
/// How long a signature stands that fits nothing.
const UNMATCHED_NS: u64 = 30_000_000_000;
/// Measures that are remembered of a course; those that ended first go first.
const REMEMBERED: usize = 64;
/// Connected sources whose packets a signature may fit: so many, or this part of them. A flood may forge some.
const GOOD: usize = 3;
const GOOD_PART: f64 = 0.01;

/// What is done about one attack, and was.
pub struct Course {
    /// How far up each service is; for an attack that is aimed at none, under no name.
    pub(super) tried: BTreeMap<String, Tried>,
    pub taken: Vec<Taken>,
    /// Why there is no signature, if none was found.
    pub no_signature: Option<NoDraft>,
    /// Why other measures were not taken when it was their turn last, by their names.
    pub withheld: BTreeMap<&'static str, Withheld>,
    /// How often the circuit of each service was broken.
    pub(super) trips: BTreeMap<String, Trips>,
    /// Packets of the attack that were seen, the oldest first.
    pub samples: VecDeque<Seen>,
    pub(super) fresh: usize,
    pub(super) drafted_ns: u64,
    pub(super) has_drafted: bool,
    /// Connected sources that signatures hit.
    hit: BTreeSet<Account>,
    /// Somebody took a signature back: that is their word.
    pub(super) is_given: bool,
    is_over: bool,
}

/// What the responder knows and may do.
pub(super) struct Knowledge<'a> {
    pub(super) settings: &'a ResponseSettings,
    pub(super) peace: &'a Peace,
    pub(super) places: &'a PeacePlaces,
    /// Places that are held because of any attack.
    pub(super) held: &'a BTreeSet<Place>,
}

/// The measure that can be forgotten first: what failed again and again before what somebody took back, or what hit the wrong ones, since
/// that is not to be done again.
fn least_telling(taken: &[Taken]) -> Option<usize> {
    let first = |is_meant: fn(&Taken) -> bool| {
        let mut ended = taken.iter().enumerate().filter(|(_, taken)| !taken.is_wanted());
        ended.find(|(_, taken)| is_meant(taken)).map(|(index, _)| index)
    };
    let is_word = |taken: &Taken| {
        [Why::Given, Why::Collateral, Why::Unfit]
            .into_iter()
            .any(|why| taken.ended_for(why))
    };
    first(|taken| taken.ended_for(Why::Failed))
        .or_else(|| {
            taken
                .iter()
                .position(|taken| !taken.is_wanted() && !is_word(taken))
        })
        .or_else(|| first(|_| true))
}

impl Course {
    pub(super) fn new(now_ns: u64) -> Self {
        Self {
            tried: BTreeMap::new(),
            taken: Vec::new(),
            no_signature: None,
            withheld: BTreeMap::new(),
            trips: BTreeMap::new(),
            samples: VecDeque::new(),
            fresh: 0,
            drafted_ns: now_ns,
            has_drafted: false,
            hit: BTreeSet::new(),
            is_given: false,
            is_over: false,
        }
    }

    pub(super) fn step(
        &mut self,
        attack: &Attack,
        moment: &Moment<'_>,
        knowledge: &Knowledge<'_>,
        number: &mut dyn FnMut() -> u64,
    ) -> Vec<Turn> {
        let now_ns = moment.now_ns;
        let mut turns = self.end_what_ended(attack, moment);
        turns.extend(self.change(attack, moment, knowledge.settings));
        if !attack.is_going() {
            return turns;
        }
        self.is_over = false;
        self.look(attack, moment);
        let climbed = self.climb(attack, moment, knowledge);
        let drafted = self.draft(attack, now_ns, knowledge);
        for (measure, mode) in climbed.into_iter().chain(drafted) {
            let mut taken = Taken::new(number(), measure, mode, now_ns);
            taken.restraint = drafting::trial(&taken);
            taken.collateral = Collateral::of(&taken.measure, moment.baselines, knowledge.places);
            turns.push(Turn::Begin {
                attack: attack.id,
                taken: taken.clone(),
            });
            self.taken.push(taken);
        }
        if self.taken.len() > REMEMBERED
            && let Some(least) = least_telling(&self.taken)
        {
            self.taken.remove(least);
        }
        turns
    }

    /// Ends measures whose time is over, and signatures that fit nothing, or too many.
    fn end_what_ended(&mut self, attack: &Attack, moment: &Moment<'_>) -> Vec<Turn> {
        let now_ns = moment.now_ns;
        let cooldown_ns = COOLDOWN_NS
            .saturating_mul(1 << attack.pulses.saturating_sub(1).min(16))
            .min(COOLDOWN_CAP_NS);
        let over = attack
            .ended_ns
            .is_some_and(|ended_ns| now_ns.saturating_sub(ended_ns) >= cooldown_ns);
        let too_many = (moment.beside.good.len() as f64 * GOOD_PART).max(GOOD as f64);
        let is_collateral = self.hit.len() as f64 >= too_many;
        let mut turns = Vec::new();
        let least = attack.peak * LEAST_FITTED;
        for taken in self.taken.iter_mut().filter(|taken| taken.is_wanted()) {
            let is_signature = taken.measure.drafted().is_some();
            if is_signature && taken.packets_per_s > 0.0 && taken.packets_per_s >= least {
                taken.last_ns = now_ns;
            }
            let why = match &taken.standing {
                _ if over => Why::Over,
                Standing::Given(_) => Why::Given,
                Standing::Failed(_) => Why::Failed,
                _ if is_signature && is_collateral => Why::Collateral,
                _ if is_signature && now_ns.saturating_sub(taken.last_ns) >= UNMATCHED_NS => Why::Unmatched,
                _ => continue,
            };
            taken.end(now_ns, why);
            self.is_given |= is_signature && why == Why::Given;
            turns.push(Turn::End {
                attack: attack.id,
                taken: taken.clone(),
            });
        }
        if over {
            self.is_over = true;
            self.tried.clear();
            self.trips.clear();
        }
        turns
    }

    /// Follows what only counts for now, and what does so from time to time.
    fn change(&mut self, attack: &Attack, moment: &Moment<'_>, settings: &ResponseSettings) -> Vec<Turn> {
        let now_ns = moment.now_ns;
        let is_suspect = now_ns.saturating_sub(attack.last_ns) < SUSPECT_NS;
        let mut turns = Vec::new();
        for taken in self.taken.iter_mut().filter(|taken| taken.is_wanted()) {
            shadow::count(taken, moment.features);
            let next = match &taken.measure {
                Measure::CircuitBreak { service, .. }
                    if !settings.break_sessions && moment.beside.session_of(service).is_some() =>
                {
                    Next::Ends(Why::Session)
                }
                Measure::CircuitBreak { service, .. } => {
                    let trips = self.trips.entry(service.clone()).or_default();
                    let load = volume::passing_to(attack.class, service, moment.features, moment.baselines);
                    breaker::next(taken, trips, load, is_suspect, now_ns)
                }
                Measure::Signature(_) => drafting::tried(taken, attack.class, moment.features, now_ns),
                _ => continue,
            };
            if let Some(restraint) = breaker::restraint(next) {
                taken.restrain(restraint, now_ns);
                turns.push(Turn::Change {
                    attack: attack.id,
                    taken: taken.clone(),
                });
            }
            if let Next::Ends(why) = next {
                taken.end(now_ns, why);
                turns.push(Turn::End {
                    attack: attack.id,
                    taken: taken.clone(),
                });
            }
        }
        turns
    }

    pub(super) fn stop(&mut self, attack: u64, now_ns: u64) -> Vec<Turn> {
        let mut turns = Vec::new();
        for taken in self.taken.iter_mut().filter(|taken| taken.is_wanted()) {
            taken.end(now_ns, Why::Stopped);
            turns.push(Turn::End {
                attack,
                taken: taken.clone(),
            });
        }
        turns
    }

    /// Remembers packets of the attack, and whom signatures hit.
    fn look(&mut self, attack: &Attack, moment: &Moment<'_>) {
        let (features, baselines) = (moment.features, moment.baselines);
        let is_suspect = moment.now_ns.saturating_sub(attack.last_ns) < SUSPECT_NS;
        let is_passing =
            volume::passing(attack.class, features, baselines).is_some_and(|(passing, may)| passing > may);
        for seen in moment.seen {
            let fitting = self.in_force().filter(|taken| {
                let signature = taken.measure.drafted();
                signature.is_some_and(|signature| signature.fits(&seen.vector))
            });
            let (mut fitted, mut is_tried) = (false, false);
            for taken in fitting {
                fitted = true;
                is_tried |= taken.restraint == Some(Restraint::Trial);
            }
            let account = Account::of(seen.source);
            // Who is known by now was spared; on trial nobody is.
            let would_hit = seen.verdict == Verdict::Signature || is_tried;
            if fitted && would_hit && moment.beside.good.contains(&account) {
                self.hit.insert(account);
            }
            if is_suspect && volume::is_of(attack.class, seen, is_passing, features, baselines) {
                if self.samples.len() >= SAMPLES {
                    self.samples.pop_front();
                }
                self.samples.push_back(*seen);
                self.fresh += usize::from(!fitted);
            }
        }
    }

    /// How far up the ladder what is wanted now is.
    pub fn rung(&self) -> Rung {
        let rungs = self.wanted().map(|taken| taken.measure.rung());
        rungs.max().unwrap_or(Rung::Alert)
    }

    /// Measures that are wanted now.
    pub fn wanted(&self) -> impl Iterator<Item = &Taken> {
        self.taken.iter().filter(|taken| taken.is_wanted())
    }

    /// Packets a second that what is in force fits of the attack: what newcomers of a service that takes none send is of them, unless it is
    /// a flood.
    pub(super) fn matched(&self) -> f64 {
        let is_flood = |taken: &&Taken| match &taken.measure {
            Measure::CircuitBreak { service, .. } => {
                self.trips.get(service).is_some_and(|trips| trips.is_flooded)
            }
            // In shadow they are counted, and passed: the detectors see them.
            Measure::Limit { .. } | Measure::Challenge { .. } => false,
            _ => true,
        };
        self.in_force()
            .filter(is_flood)
            .map(|taken| taken.packets_per_s)
            .sum()
    }

    pub(super) fn in_force(&self) -> impl Iterator<Item = &Taken> {
        self.wanted().filter(|taken| taken.standing == Standing::InForce)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Taken> {
        self.taken.iter_mut()
    }

    /// Whether the attack is over, and nothing is wanted any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn forget_samples(&mut self) {
        self.samples = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::response::{Measure, Mode};

    /// Found in review: what failed every minute pushed out what somebody had taken back, and it was done again.
    #[test]
    fn what_failed_is_forgotten_before_a_word_of_somebody() {
        let ended = |number, why: Option<Why>| {
            let service = "tcp/80".to_owned();
            let mut taken = Taken::new(number, Measure::Challenge { service }, Mode::Enforce, 0);
            if let Some(why) = why {
                taken.end(1, why);
            }
            taken
        };
        let mut all = vec![
            ended(1, Some(Why::Given)),
            ended(2, None),
            ended(3, Some(Why::Over)),
            ended(4, Some(Why::Failed)),
            ended(5, Some(Why::Collateral)),
        ];
        let mut order = Vec::new();
        while let Some(least) = least_telling(&all) {
            order.push(all.remove(least).number);
        }
        assert_eq!(order, [4, 3, 1, 5]);
        assert_eq!(all[0].number, 2, "what stands is never forgotten");
    }
}
