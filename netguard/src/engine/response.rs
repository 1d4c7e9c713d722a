//! Response: what is done about attacks, as a list of measures that are wanted now. Each attack climbs a ladder as long as more of
//! it passes than is usual: alert, tighter limits of the services that it is aimed at, challenges, limits of the countries that it comes
//! from, and at last the service takes nobody new; and signatures as soon as one is found that spares ordinary packets. It comes down
//! when the attack is over, later each time that it comes back.
//!
//! Nothing here names a source: addresses of a flood may be forged. It writes nothing either; the daemon carries measures out and
//! reports what came of them.

pub mod breaker;
mod climb;
mod collateral;
mod course;
mod drafting;
mod geo;
mod matched;
mod measure;
mod moment;
mod rung;
mod shadow;
mod volume;
mod withheld;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    peace::{KeptPeace, Peace},
    places::{KeptPlaces, PeacePlaces, Place},
};
pub use collateral::{Collateral, Touches};
pub use course::Course;
use course::Knowledge;
pub use matched::suspect_matched;
pub use measure::{MEASURES, Measure, Mode, Restraint, Standing, Taken, Why};
pub use moment::{Beside, Moment, ResponseSettings, Turn};
pub use rung::Rung;
pub use withheld::{Withheld, nothing_to_do};

/// Courses that are remembered of attacks that are over.
const REMEMBERED: usize = 64;
/// Courses that keep the packets that were seen.
const WITH_SAMPLES: usize = 8;

/// What is done about attacks.
pub struct Responder {
    settings: ResponseSettings,
    peace: Peace,
    places: PeacePlaces,
    courses: BTreeMap<u64, Course>,
    measures: u64,
}

impl Responder {
    /// `seed` chooses among the packets that are remembered of calm times.
    pub fn new(settings: ResponseSettings, seed: u64) -> Self {
        Self {
            settings,
            peace: Peace::new(seed),
            places: PeacePlaces::default(),
            courses: BTreeMap::new(),
            measures: 0,
        }
    }

    /// What is known of calm times, to be kept.
    pub fn calm(&self) -> (KeptPeace, KeptPlaces) {
        (self.peace.kept(), self.places.kept())
    }

    /// Takes up what was kept, where places are told by countries or by autonomous systems; whether packets could be.
    pub fn recall(&mut self, packets: KeptPeace, places: KeptPlaces, are_countries: bool) -> bool {
        // Where places are told otherwise now, it is learnt anew.
        let _are_known = self.places.recall(places, are_countries);
        self.peace.recall(packets)
    }

    /// Forgets calm times; what will be random follows from `seed`.
    pub fn forget_calm(&mut self, seed: u64) {
        self.peace = Peace::new(seed);
        self.places = PeacePlaces::default();
    }

    /// Takes in a moment: what is to begin, and what is to end.
    pub fn step(&mut self, moment: &Moment<'_>) -> Vec<Turn> {
        if moment.is_calm {
            for seen in moment.seen {
                self.peace.learn(seen);
                self.places.learn(seen, moment.beside.places);
            }
            self.peace.settle(moment.now_ns);
            self.places.settle(moment.now_ns);
        } else {
            self.peace.doubt();
            self.places.doubt();
        }
        let mut held: BTreeSet<Place> = self.courses.values().flat_map(Course::places_held).collect();
        let mut turns = Vec::new();
        for attack in moment.attacks.iter().filter(|attack| attack.class.is_attack()) {
            if !attack.is_going() && !self.courses.contains_key(&attack.id) {
                continue;
            }
            let course = self
                .courses
                .entry(attack.id)
                .or_insert_with(|| Course::new(moment.now_ns));
            let measures = &mut self.measures;
            let mut number = || {
                *measures += 1;
                *measures
            };
            let knowledge = Knowledge {
                settings: &self.settings,
                peace: &self.peace,
                places: &self.places,
                held: &held,
            };
            turns.extend(course.step(attack, moment, &knowledge, &mut number));
            // What one holds counts for the next.
            held.extend(course.places_held());
        }
        self.forget();
        turns
    }

    /// Ends what is wanted, since nobody will look after it from `now_ns` on.
    pub fn stop(&mut self, now_ns: u64) -> Vec<Turn> {
        let courses = self.courses.iter_mut();
        courses
            .flat_map(|(attack, course)| course.stop(*attack, now_ns))
            .collect()
    }

    /// The measures that are wanted now, with the attacks that they are against.
    pub fn wanted(&self) -> impl Iterator<Item = (u64, &Taken)> {
        self.courses
            .iter()
            .flat_map(|(attack, course)| course.wanted().map(move |taken| (*attack, taken)))
    }

    /// Whether the limits of `service` are tightened.
    pub fn limits(&self, service: &str) -> bool {
        self.wanted().any(|(_, taken)| {
            let is_meant = match &taken.measure {
                Measure::Limit { service: held, .. } | Measure::Challenge { service: held } => {
                    held == service
                }
                _ => false,
            };
            is_meant && taken.mode == Mode::Enforce
        })
    }

    /// Tells what came of measure `number`.
    pub fn report(&mut self, number: u64, standing: Standing) {
        if let Some(taken) = self.taken(number) {
            taken.standing = standing;
        }
    }

    /// Tells that the signature of measure `number` fitted `packets` in the last `ns`.
    pub fn count(&mut self, number: u64, packets: u64, ns: u64) {
        if let Some(taken) = self.taken(number) {
            taken.count(packets, ns);
        }
    }

    fn taken(&mut self, number: u64) -> Option<&mut Taken> {
        let taken = self.courses.values_mut().flat_map(Course::all_mut);
        taken.into_iter().find(|taken| taken.number == number)
    }

    /// What measures may do.
    pub fn settings(&self) -> &ResponseSettings {
        &self.settings
    }

    /// What is done about attack `id`, and was.
    pub fn course(&self, id: u64) -> Option<&Course> {
        self.courses.get(&id)
    }

    /// Keeps memory bounded: the oldest go first, and before that what was seen of them.
    fn forget(&mut self) {
        let newest = self.courses.len().saturating_sub(WITH_SAMPLES);
        let old = self.courses.values_mut().take(newest);
        old.filter(|course| course.is_over())
            .for_each(Course::forget_samples);
        while self.courses.len() > REMEMBERED {
            let oldest = self.courses.iter().find(|(_, course)| course.is_over());
            let Some(oldest) = oldest.map(|(id, _)| *id) else {
                return;
            };
            self.courses.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
