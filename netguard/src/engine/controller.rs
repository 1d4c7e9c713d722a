//! The controller: from features to attacks, and what is normal from all that is none. It decides nothing: what is done about an
//! attack is policy's business.

use super::{
    Baselines, Change, Features, Tracker, Window,
    detect::{Class, Suspicion, detect, detect_patiently},
};

/// How long nothing is learnt after an attack was over.
const RECOVERY_NS: u64 = 60_000_000_000;

/// What the controller knows.
#[derive(Default)]
pub struct Controller {
    baselines: Baselines,
    tracker: Tracker,
    /// When something was last suspicious enough to begin an attack.
    suspected_ns: Option<u64>,
    /// The last whole second.
    second: Option<Features>,
}

/// How long a second stands for what happens now.
const SECOND_STANDS_NS: u64 = 1_500_000_000;

impl Controller {
    /// Takes in a tick: what began and ended.
    pub fn tick(&mut self, features: &Features, window: &Window) -> Vec<Change> {
        let mut suspicions = detect(features, &self.baselines);
        let second = self.second.as_ref();
        let stands = |second: &&Features| features.at_ns.saturating_sub(second.at_ns) < SECOND_STANDS_NS;
        if let Some(second) = second.filter(stands) {
            let told: Vec<Class> = suspicions.iter().map(|suspicion| suspicion.class).collect();
            let more = detect_patiently(second, &self.baselines).into_iter();
            suspicions.extend(more.filter(|suspicion| !told.contains(&suspicion.class)));
        }
        if suspicions.iter().any(is_harmful) || self.tracker.is_attacked() {
            self.suspected_ns = Some(features.at_ns);
        }
        self.tracker.step(features, &suspicions, window)
    }

    /// Learns a second, unless something is attacked in it or was shortly before.
    pub fn second(&mut self, features: &Features) {
        let calm = self
            .suspected_ns
            .is_none_or(|at_ns| features.at_ns.saturating_sub(at_ns) >= RECOVERY_NS);
        let suspicions = [
            detect(features, &self.baselines),
            detect_patiently(features, &self.baselines),
        ];
        if calm && !suspicions.iter().flatten().any(is_harmful) {
            self.baselines.learn(features);
        }
        self.second = Some(features.clone());
    }

    pub fn baselines(&self) -> &Baselines {
        &self.baselines
    }

    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }
}

/// Whether a suspicion is enough to begin an attack, given time.
fn is_harmful(suspicion: &Suspicion) -> bool {
    suspicion.strength >= 1.0 && suspicion.class.is_attack()
}

#[cfg(test)]
mod tests {
    use netguard_common::{Verdict, telemetry::Kind};

    use super::*;
    use crate::engine::{
        feature::{Metric, tests::second},
        window::observe,
    };

    const SECOND: u64 = 1_000_000_000;

    /// What `controller` makes of a second that ends at `at_s`.
    fn live(
        controller: &mut Controller,
        at_s: u64,
        kinds: &[(Kind, u64)],
        verdicts: &[(Verdict, u64)],
    ) -> Vec<Change> {
        let features = Features {
            at_ns: at_s * SECOND,
            ..second(kinds, verdicts)
        };
        let window = observe(&[], &[], &[], 0, features.at_ns, SECOND);
        let changes = controller.tick(&features, &window);
        controller.second(&features);
        changes
    }

    #[test]
    fn an_attack_teaches_nothing() {
        let mut controller = Controller::default();
        let usual = [(Kind::Syn, 100), (Kind::Ack, 500)];
        for at_s in 1..=400 {
            assert_eq!(live(&mut controller, at_s, &usual, &[]), []);
        }
        let p99 = |controller: &Controller| controller.baselines().total(Metric::Syn)?.quantile(0.99);
        let before = p99(&controller).expect("it is learnt");
        let flood = [(Kind::Syn, 50_000), (Kind::Ack, 500)];
        assert_eq!(live(&mut controller, 401, &flood, &[]), [Change::Begun(1)]);
        for at_s in 402..=1_000 {
            assert_eq!(live(&mut controller, at_s, &flood, &[]), []);
        }
        assert_eq!(p99(&controller), Some(before));
        for at_s in 1_001..=1_050 {
            live(&mut controller, at_s, &usual, &[]);
        }
        let learnt = |controller: &Controller| {
            controller
                .baselines()
                .total(Metric::Syn)
                .map(|usual| usual.normal().learnt_s)
        };
        assert_eq!(learnt(&controller), Some(400), "it is not over for long");
        for at_s in 1_051..=1_200 {
            live(&mut controller, at_s, &usual, &[]);
        }
        assert!(learnt(&controller) > Some(450));
    }

    /// What a tick cannot tell, the second before it does, and no longer than it lasts.
    #[test]
    fn a_scan_is_told_by_the_second() {
        use crate::engine::feature::ServiceFeatures;
        let mut controller = Controller::default();
        let service = |name: &str, opening: f64| ServiceFeatures {
            service: name.to_owned(),
            opening,
            ..ServiceFeatures::default()
        };
        let scan = Features {
            at_ns: 10 * SECOND,
            services: vec![service("tcp/80", 0.0), service("other", 300.0)],
            destination_port: Some(0.9),
            ..second(&[(Kind::Syn, 300)], &[])
        };
        controller.second(&scan);
        let mut tick = |at_ms: u64| {
            let features = Features {
                at_ns: at_ms * 1_000_000,
                length_ns: 50_000_000,
                ..second(&[(Kind::Syn, 20)], &[])
            };
            controller.tick(&features, &observe(&[], &[], &[], 0, features.at_ns, 50_000_000))
        };
        let told: Vec<Vec<Change>> = [10_050, 10_100, 10_150, 10_200].map(&mut tick).into();
        assert_eq!(told, [vec![], vec![], vec![Change::Begun(1)], vec![]]);
        assert_eq!(tick(22_000), [Change::Ended(1)]);
        let attack = controller.tracker().attack(1).expect("it is remembered");
        assert_eq!(attack.class, Class::Scan);
    }

    /// A crowd is what will be usual if it stays.
    #[test]
    fn a_crowd_is_learnt() {
        let mut controller = Controller::default();
        for at_s in 1..=400 {
            live(&mut controller, at_s, &[(Kind::Syn, 100), (Kind::Ack, 500)], &[]);
        }
        for at_s in 401..=500 {
            live(
                &mut controller,
                at_s,
                &[(Kind::Syn, 5_000), (Kind::Ack, 25_000)],
                &[],
            );
        }
        assert!(!controller.tracker().is_attacked());
        let usual = controller.baselines().total(Metric::Syn).expect("it is ready");
        assert!(usual.quantile(0.99) > Some(4_000.0));
    }
}
