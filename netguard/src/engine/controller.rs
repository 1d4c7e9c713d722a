//! The controller: from features to attacks, and what is normal from all that is none. It decides nothing: what is done about an
//! attack is policy's business.

#[cfg(test)]
mod tests;
mod told;

use std::{collections::BTreeMap, mem};

use super::{
    Baselines, Change, Features, Learnt, Tracker, Window,
    baseline::Shifted,
    detect::{Class, LEAST_STRENGTH, Recent, Rush, Suspicion, detect, detect_alone, detect_patiently},
    outlier::{self, Outlier, Score, Vector},
    response::suspect_matched,
};

/// How long nothing is learnt after an attack was over.
const RECOVERY_NS: u64 = 60_000_000_000;
/// How long a second stands for what happens now.
const SECOND_STANDS_NS: u64 = 1_500_000_000;

/// What the controller knows.
pub struct Controller {
    learnt: Learnt,
    tracker: Tracker,
    /// When something was last suspicious enough to begin an attack.
    suspected_ns: Option<u64>,
    /// The newest moment, and how unusual it was.
    moment: Option<Vector>,
    score: Option<Score>,
    /// The last ticks.
    recent: Recent,
    rush: Rush,
    /// The last second.
    second: Features,
    /// Whether no tick has looked at it yet.
    is_second_new: bool,
}

impl Default for Controller {
    fn default() -> Self {
        Self::new(Learnt::new(0))
    }
}

impl Controller {
    /// Begins with what was learnt before.
    pub fn new(learnt: Learnt) -> Self {
        Self {
            learnt: Learnt {
                outlier: learnt.outlier.restored(),
                ..learnt
            },
            tracker: Tracker::default(),
            suspected_ns: None,
            moment: None,
            score: None,
            recent: Recent::default(),
            rush: Rush::default(),
            second: Features::default(),
            is_second_new: false,
        }
    }

    /// Takes in a tick: what began and ended.
    ///
    /// `matched`: packets a second of attacks of each class that signatures against them fitted, whatever was suspicious of them.
    pub fn tick(
        &mut self,
        features: &Features,
        window: &Window,
        matched: &BTreeMap<Class, f64>,
    ) -> Vec<Change> {
        self.recent.take(features);
        self.rush.take(features, &self.learnt.baselines);
        let mut suspicions = detect(features, &self.recent, &self.rush, &self.learnt.baselines);
        let moment = outlier::vector(features);
        self.score = self.learnt.outlier.score(&moment);
        self.moment = Some(moment);
        let is_crowd = is_crowd(&suspicions);
        self.raise(&mut suspicions, is_crowd);
        suspect_matched(&mut suspicions, matched);
        let mut changes = self.patiently(features.at_ns, &suspicions);
        let is_harmful = suspicions
            .iter()
            .any(|suspicion| self.hinders(suspicion, features.at_ns));
        if is_harmful || self.tracker.hinders_learning(features.at_ns) {
            self.suspected_ns = Some(features.at_ns);
        }
        changes.extend(self.tracker.step(features, &suspicions, window));
        changes
    }

    /// Takes in what the last second looks like by itself, once, unless the tick is `suspected` of the same.
    fn patiently(&mut self, now_ns: u64, suspected: &[Suspicion]) -> Vec<Change> {
        let is_new = mem::take(&mut self.is_second_new) && self.second.length_ns > 0;
        if !is_new || now_ns.saturating_sub(self.second.at_ns) >= SECOND_STANDS_NS {
            return Vec::new();
        }
        let told = suspected
            .iter()
            .filter(|suspicion| suspicion.strength >= LEAST_STRENGTH);
        let told: Vec<Class> = told.map(|suspicion| suspicion.class).collect();
        let mut patient = detect_patiently(&self.second, &self.learnt.baselines);
        patient.retain(|suspicion| !told.contains(&suspicion.class));
        self.raise(&mut patient, is_crowd(suspected));
        if patient.iter().any(|suspicion| self.hinders(suspicion, now_ns)) {
            self.suspected_ns = Some(now_ns);
        }
        self.tracker.second(&self.second, &patient, now_ns)
    }

    /// Learns a second and its newest moment, unless something is attacked in it or was shortly before. Tells what has had another
    /// level for long.
    pub fn second(&mut self, features: &Features) -> Vec<Shifted> {
        self.second = features.clone();
        self.is_second_new = true;
        let moment = self.moment.take();
        let suspicions = [
            detect_alone(features, &self.learnt.baselines),
            detect_patiently(features, &self.learnt.baselines),
        ];
        let mut suspicions = suspicions.iter().flatten();
        if !self.is_calm(features.at_ns)
            || suspicions.any(|suspicion| self.hinders(suspicion, features.at_ns))
        {
            self.learnt.baselines.interrupt();
            return Vec::new();
        }
        if let Some(moment) = moment {
            self.learnt.outlier.learn(&moment);
        }
        self.learnt.baselines.learn(features)
    }

    /// Whether nothing was suspicious at `now_ns`, nor shortly before: what comes then is ordinary.
    pub fn is_calm(&self, now_ns: u64) -> bool {
        self.suspected_ns
            .is_none_or(|at_ns| now_ns.saturating_sub(at_ns) >= RECOVERY_NS)
    }

    pub fn baselines(&self) -> &Baselines {
        &self.learnt.baselines
    }

    pub fn baselines_mut(&mut self) -> &mut Baselines {
        &mut self.learnt.baselines
    }

    /// What was learnt, to be kept.
    pub fn learnt(&self) -> &Learnt {
        &self.learnt
    }

    /// Forgets what was learnt of a service, or all of it, and takes `seed` for what will be random; whether there was any.
    pub fn forget(&mut self, service: Option<&str>, seed: u64) -> bool {
        if service.is_none() {
            self.learnt.outlier = Outlier::new(seed);
            self.score = None;
        }
        self.learnt.baselines.forget(service)
    }

    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// Has `suspicions` count for more where the newest moment is unusual and nobody knows why. With a crowd most numbers are unusual, and
    /// nothing else need be; while one may be coming only its requests can be a flood sooner.
    fn raise(&self, suspicions: &mut [Suspicion], is_crowd: bool) {
        let Some(score) = self.score.as_ref().filter(|_| !is_crowd) else {
            return;
        };
        let unexplained = suspicions
            .iter_mut()
            .filter(|suspicion| !self.rush.is_new() || suspicion.class == Class::SynFlood);
        outlier::raise(unexplained, score);
    }

    /// Whether a suspicion is enough to begin an attack, given time, and to learn nothing meanwhile.
    fn hinders(&self, suspicion: &Suspicion, now_ns: u64) -> bool {
        suspicion.strength >= 1.0
            && suspicion.class.is_attack()
            && !self.tracker.is_given_in(suspicion.class, now_ns)
    }
}

/// Whether one of `suspicions` is that of a crowd.
fn is_crowd(suspicions: &[Suspicion]) -> bool {
    let mut suspicions = suspicions.iter();
    suspicions.any(|suspicion| suspicion.class == Class::FlashCrowd && suspicion.strength >= 1.0)
}
