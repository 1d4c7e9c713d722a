//! What the controller has learnt: the part of it that outlives the daemon. It learns nothing itself.

use serde::{Deserialize, Serialize};

use super::{Baselines, Calm, outlier::Outlier};

/// What was learnt, to be kept.
#[derive(Clone, Serialize, Deserialize)]
pub struct Learnt {
    pub baselines: Baselines,
    pub outlier: Outlier,
    /// What others learnt, put in only while it is written or read.
    #[serde(default)]
    pub calm: Calm,
}

impl Learnt {
    /// Nothing; what will be random follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            baselines: Baselines::default(),
            outlier: Outlier::new(seed),
            calm: Calm::default(),
        }
    }

    /// Whether all of it can have been learnt. Of calm times only what can have been is read.
    pub fn is_sound(&self) -> bool {
        self.baselines.is_sound() && self.outlier.is_sound()
    }

    /// Seconds that were learnt of all traffic.
    pub fn seconds(&self) -> u64 {
        self.baselines.learnt_s()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use netguard_common::telemetry::Kind;

    use crate::engine::{
        Calm, Change, Controller, Features, Learnt, baseline,
        feature::{Connections, tests::second},
        observe,
    };

    const SECOND: u64 = 1_000_000_000;

    /// What is known of calm times is not in files of older versions, and is nothing then.
    #[test]
    fn what_an_older_daemon_learnt_is_taken() {
        let text = serde_json::to_string(&Learnt::new(7)).expect("it is JSON");
        let calm = text.find(",\"calm\"").expect("it is the last");
        let older: Learnt = serde_json::from_str(&format!("{}}}", &text[..calm])).expect("it is read");
        assert!(older.is_sound() && older.calm == Calm::default());
    }

    /// Found in review: a newer version that keeps more of calm times had this one refuse weeks of what is normal.
    #[test]
    fn what_is_normal_is_taken_whatever_is_said_of_calm_times() {
        let some = || Learnt {
            baselines: baseline::tests::learnt(&[(Kind::Udp, 1_000)]),
            ..Learnt::new(7)
        };
        let good = serde_json::to_string(&some()).expect("it is JSON");
        for (part, wrong) in [
            ("\"places\":[]", "\"places\":[[null,0]]"),
            ("\"looks\":[]", "\"looks\":7"),
            ("\"strata\":[]", "\"strata\":[[{},[[1,2,3]]]]"),
        ] {
            assert!(good.contains(part), "{good}");
            let read: Learnt = serde_json::from_str(&good.replacen(part, wrong, 1)).expect("it is read");
            assert!(read.is_sound());
            assert_eq!(read.calm.left.len(), 1, "{:?}", read.calm.left);
            let [read, before] = [read, some()].map(|learnt| Controller::new(learnt).normal(None));
            assert_eq!(read, before);
        }
    }

    /// Found in review: more connections that stay stopped all learning for ever, since what is usual could never follow.
    #[test]
    fn connections_that_stay_become_usual() {
        let mut controller = Controller::default();
        let mut second = |at_s: u64, established: f64| {
            let connections = Some(Connections {
                established,
                ..Connections::default()
            });
            let features = Features {
                at_ns: at_s * SECOND,
                connections,
                ..second(&[(Kind::Syn, 5), (Kind::Ack, 20)], &[])
            };
            let window = observe(&[], &[], &[], 0, features.at_ns, SECOND);
            let changes = controller.tick(&features, &window, &BTreeMap::new());
            controller.second(&features);
            (
                changes,
                controller.learnt().seconds(),
                controller.tracker().is_attacked(),
            )
        };
        for at_s in 1..=600 {
            assert_eq!(second(at_s, 100.0).0, []);
        }
        let begun: Vec<Change> = (601..=610).flat_map(|at_s| second(at_s, 900.0).0).collect();
        assert_eq!(begun, [Change::Begun(1)]);
        let learnt = second(611, 900.0).1;
        assert_eq!(second(3_600, 900.0).1, learnt, "nothing is learnt for an hour");
        let last = (3_601..=20_000)
            .map(|at_s| second(at_s, 900.0))
            .last()
            .expect("there are some");
        assert!(last.1 > learnt && !last.2, "{last:?}");
    }
}
