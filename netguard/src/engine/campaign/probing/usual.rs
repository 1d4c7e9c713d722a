//! What is usual of those that ask where nobody is: how many come in five minutes of calm, and from how many on it is a probe. Who asks for what is
//! not its business.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::SOURCES;

/// Sources among the packets that are looked at, below which it is none, and the same before anything is usual. At one packet in
/// eight that are about 2,300, and 4,600, attempts an hour.
pub(super) const FLOOR: usize = 24;
const COLD_FLOOR: usize = 48;
/// So many times the most that was usual is none.
pub(super) const FACTOR: usize = 4;
/// So many are one whatever is usual: who stays below the threshold for long must not move it out of reach.
const MOST: usize = SOURCES / 8;
/// Stretches that must be learnt, and those that are kept: four hours.
pub(super) const LEARNT: usize = 3;
const KEPT: usize = 48;

/// How many sources came in stretches of calm times, the newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usual(VecDeque<usize>);

impl Usual {
    /// Learns another stretch, in which so many came.
    pub(super) fn learn(&mut self, count: usize) {
        self.0.push_back(count);
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// Stretches that were learnt.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The most that was usual; `None` while nothing is.
    pub(super) fn most(&self) -> Option<usize> {
        self.0.iter().max().copied()
    }

    /// From how many sources on it is one.
    pub(super) fn threshold(&self) -> usize {
        let floor = if self.len() < LEARNT { COLD_FLOOR } else { FLOOR };
        let most = self.most().unwrap_or(0);
        floor.max(most.saturating_mul(FACTOR)).min(MOST)
    }

    /// Whether it can have been learnt.
    pub fn is_sound(&self) -> bool {
        self.len() <= KEPT && self.0.iter().all(|count| *count <= SOURCES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::campaign::probing::tests::{asked, wait};

    /// Found in review: after each restart the floor of a machine that knows nothing held, however many were usual.
    #[test]
    fn what_an_earlier_daemon_learnt_is_what_it_takes() {
        for (usual, is_told) in [(None, true), (Some(15), false), (Some(5), true)] {
            let mut probing = asked(55, 2, &[22, 25, 443]);
            let mut earlier = Usual::default();
            (0..LEARNT).for_each(|_| usual.into_iter().for_each(|count| earlier.learn(count)));
            probing.recall(earlier);
            let group = wait(&mut probing, 1_060, 1_061);
            assert_eq!(group.is_some(), is_told, "{usual:?}");
        }
    }

    #[test]
    fn what_is_usual_says_what_it_takes_also_after_a_restart() {
        let mut usual = Usual::default();
        let mut thresholds = Vec::new();
        for count in [0, 2, 5, 15, 9_000] {
            thresholds.push(usual.threshold());
            usual.learn(count);
        }
        assert_eq!(thresholds, [COLD_FLOOR, COLD_FLOOR, COLD_FLOOR, FLOOR, 60]);
        assert_eq!(usual.threshold(), MOST);
        assert!(!usual.is_sound(), "so many are never remembered");
        for _ in 0..KEPT {
            usual.learn(15);
        }
        let text = serde_json::to_string(&usual).expect("it is JSON");
        let back: Usual = serde_json::from_str(&text).expect("the same");
        assert!(back.is_sound() && back == usual && back.threshold() == 60);
        let longer = format!("[{}1]", "1,".repeat(KEPT));
        let longer: Usual = serde_json::from_str(&longer).expect("it is JSON");
        assert!(!longer.is_sound());
    }
}
