//! Response: what is done about attacks, as a list of measures that are wanted now. Each attack climbs a ladder as long as more of
//! it passes than is usual: alert, tighter limits of the services that it is aimed at, challenges; and signatures as soon as one is
//! found that spares ordinary packets. It comes down when the attack is over, later each time that it comes back.
//!
//! Nothing here names a source: addresses of a flood may be forged. It writes nothing either; the daemon carries measures out and
//! reports what came of them.

mod course;
mod measure;
mod volume;

use std::collections::{BTreeMap, HashSet};

use super::{Account, Attack, Baselines, Features, detect::Class, peace::Peace, seen::Seen};
pub use course::{Course, Rung};
pub use measure::{Measure, Mode, Standing, Taken, Why};

/// Courses that are remembered of attacks that are over.
const REMEMBERED: usize = 64;
/// Courses that keep the packets that were seen.
const WITH_SAMPLES: usize = 8;

/// What each kind of measure may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseSettings {
    pub limits: Mode,
    pub challenge: Mode,
    pub signatures: Mode,
}

/// A moment, as it is told to the responder.
pub struct Moment<'a> {
    pub now_ns: u64,
    pub features: &'a Features,
    pub baselines: &'a Baselines,
    /// All that are remembered.
    pub attacks: &'a [Attack],
    /// Packets whose heads were told since the moment before.
    pub seen: &'a [Seen],
    /// Whether nothing is attacked, or was lately: what is seen is ordinary then.
    pub is_calm: bool,
    /// Sources with an established connection.
    pub good: &'a HashSet<Account>,
}

/// A measure that begins or ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    Begin { attack: u64, taken: Taken },
    End { attack: u64, taken: Taken },
}

/// What is done about attacks.
pub struct Responder {
    settings: ResponseSettings,
    peace: Peace,
    courses: BTreeMap<u64, Course>,
    measures: u64,
}

impl Responder {
    /// `seed` chooses among the packets that are remembered of calm times.
    pub fn new(settings: ResponseSettings, seed: u64) -> Self {
        Self {
            settings,
            peace: Peace::new(seed),
            courses: BTreeMap::new(),
            measures: 0,
        }
    }

    /// Takes in a moment: what is to begin, and what is to end.
    pub fn step(&mut self, moment: &Moment<'_>) -> Vec<Turn> {
        if moment.is_calm {
            moment.seen.iter().for_each(|seen| self.peace.learn(seen));
        }
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
            turns.extend(course.step(attack, moment, &self.settings, &self.peace, &mut number));
        }
        self.forget();
        turns
    }

    /// Packets a second that the signatures against attacks of each class fitted lately: these are of the attack, whatever their
    /// verdict says.
    pub fn matched(&self, attacks: &[Attack]) -> BTreeMap<Class, f64> {
        let mut matched = BTreeMap::new();
        for attack in attacks.iter().filter(|attack| attack.is_going()) {
            let Some(course) = self.courses.get(&attack.id) else {
                continue;
            };
            let rate: f64 = course.in_force().map(|taken| taken.packets_per_s).sum();
            *matched.entry(attack.class).or_default() += rate;
        }
        matched
    }

    /// The measures that are wanted now, with the attacks that they are against.
    pub fn wanted(&self) -> impl Iterator<Item = (u64, &Taken)> {
        self.courses
            .iter()
            .flat_map(|(attack, course)| course.wanted().map(move |taken| (*attack, taken)))
    }

    /// Tells what came of measure `number`.
    pub fn report(&mut self, number: u64, standing: Standing) {
        if let Some(taken) = self.taken(number) {
            taken.standing = standing;
        }
    }

    /// Tells that the signature of measure `number` fitted `packets` in the `ns` before `now_ns`.
    pub fn count(&mut self, number: u64, packets: u64, ns: u64, now_ns: u64) {
        if let Some(taken) = self.taken(number) {
            taken.count(packets, ns, now_ns);
        }
    }

    fn taken(&mut self, number: u64) -> Option<&mut Taken> {
        let taken = self.courses.values_mut().flat_map(Course::all_mut);
        taken.into_iter().find(|taken| taken.number == number)
    }

    /// What is done about attack `id`, and was.
    pub fn course(&self, id: u64) -> Option<&Course> {
        self.courses.get(&id)
    }

    /// What ordinary packets look like.
    pub fn peace(&self) -> &Peace {
        &self.peace
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
