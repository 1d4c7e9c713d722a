//! How fast a number may be learnt to rise: an allowance of doublings above the highest that was ever learnt, so that who raises a rate
//! slowly to have it taken for normal needs days. It learns nothing.

use serde::{Deserialize, Serialize};

/// Doublings at once, when a shift lasts,
const MOST: f64 = 3.0;
/// so much of that comes back in a second, and on the first day, which has yet to show what a day is like,
const REFILL: f64 = 1.0 / 28_800.0;
const REFILL_FIRST_DAY: f64 = 1.0 / 3_600.0;
/// and so much of it a second by itself may take.
const CREEP: f64 = 1.0 / 3_600.0;

/// Doublings that may be learnt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Room(f64);

impl Default for Room {
    fn default() -> Self {
        Self(MOST)
    }
}

impl Room {
    /// A second passes.
    pub(super) fn refill(&mut self, first_day: bool) {
        let more = if first_day { REFILL_FIRST_DAY } else { REFILL };
        self.0 = (self.0 + more).min(MOST);
    }

    /// What of the value of a second may be learnt, where `highest` was before.
    pub(super) fn creep(&mut self, value: f64, highest: f64) -> f64 {
        self.take(value, highest, CREEP)
    }

    /// What of the level after a shift may be learnt, where `highest` was before.
    pub(super) fn jump(&mut self, level: f64, highest: f64) -> f64 {
        self.take(level, highest, MOST)
    }

    fn take(&mut self, wanted: f64, highest: f64, most: f64) -> f64 {
        if wanted <= highest {
            return wanted;
        }
        let doublings = (wanted / highest).log2();
        let taken = doublings.min(most).min(self.0);
        self.0 -= taken;
        if taken < doublings {
            highest * taken.exp2()
        } else {
            wanted
        }
    }

    pub(super) fn is_sound(self) -> bool {
        (0.0..=MOST).contains(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eightfold_at_once_and_twice_in_eight_hours() {
        let mut room = Room::default();
        assert_eq!(room.jump(700.0, 100.0), 700.0);
        assert_eq!(room.jump(100.0, 700.0), 100.0, "what falls costs nothing");
        let left = room.jump(1e9, 700.0);
        assert!((left - 800.0).abs() < 0.1, "{left}");
        assert_eq!(room.creep(1e9, 800.0), 800.0);
        (0..8 * 3_600).for_each(|_| room.refill(false));
        let twice = room.jump(1e9, 800.0);
        assert!((twice - 1_600.0).abs() < 1.0, "{twice}");
        (0..3_600).for_each(|_| room.refill(true));
        let twice = room.jump(1e9, 1_600.0);
        assert!((twice - 3_200.0).abs() < 1.0, "{twice}");
        assert!(room.is_sound() && !Room(3.1).is_sound() && !Room(f64::NAN).is_sound());
    }

    #[test]
    fn what_creeps_takes_an_hour_to_double() {
        let (mut room, mut highest) = (Room::default(), 100.0);
        for _ in 0..3_600 {
            highest = room.creep(1e9, highest);
        }
        assert!((highest - 200.0).abs() < 0.1, "{highest}");
    }
}
