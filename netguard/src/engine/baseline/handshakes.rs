//! Whether connections that are asked for come about, as a rule. Where they do, it shows at once that many do not; where this machine passes on
//! what others ask for, or nobody counts, it shows nothing.

use serde::{Deserialize, Serialize};

/// The time constant, in seconds.
const MEMORY: f64 = 3_600.0;
/// So many must have come about, and so many of those that were asked for; of more, some were asked for where nobody looks.
const KNOWN: f64 = 20.0;
const MOST: f64 = 0.5;
const NO_MORE: f64 = 1.2;
/// So much of the usual part must come about.
pub const COMES_ABOUT: f64 = 0.7;
/// Of so few in a second it is chance.
const FEW: f64 = 20.0;

/// Connections of calm seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Handshakes {
    asked: f64,
    opened: f64,
}

impl Handshakes {
    /// Learns a calm second, but for one in which much less comes about than usual: it is a flood that is too small to be told.
    pub(super) fn learn(&mut self, asked: f64, opened: f64) {
        let least = self.share().map_or(0.0, |share| COMES_ABOUT * share * asked);
        if asked >= FEW && opened < least {
            return;
        }
        let stays = 1.0 - 1.0 / MEMORY;
        self.asked = self.asked * stays + asked;
        self.opened = self.opened * stays + opened;
    }

    /// The part of those asked for that comes about, 0 to 1; `None` where that says nothing.
    pub(super) fn share(&self) -> Option<f64> {
        let likely = MOST * self.asked..=NO_MORE * self.asked;
        let is_known = self.opened >= KNOWN && likely.contains(&self.opened);
        is_known.then(|| (self.opened / self.asked.max(self.opened)).min(1.0))
    }

    pub(super) fn is_sound(&self) -> bool {
        [self.asked, self.opened]
            .iter()
            .all(|number| number.is_finite() && *number >= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(asked: f64, opened: f64) -> Handshakes {
        let mut handshakes = Handshakes::default();
        for _ in 0..10 {
            handshakes.learn(asked, opened);
        }
        handshakes
    }

    #[test]
    fn only_where_most_come_about_it_says_something() {
        for (asked, opened, share) in [
            (0.0, 0.0, None),
            (10.0, 1.9, None),
            (10.0, 9.0, Some(0.9)),
            (10.0, 4.0, None),
            // A request is counted a tick before its acknowledgement.
            (10.0, 11.0, Some(1.0)),
            // Others come over interfaces that are not protected.
            (10.0, 15.0, None),
        ] {
            let handshakes = learnt(asked, opened);
            let rounded = handshakes.share().map(|share| (share * 100.0).round() / 100.0);
            assert_eq!(rounded, share, "{asked} {opened}");
            assert!(handshakes.is_sound());
        }
    }

    /// Found in review: forged requests below the floor had it learnt within half an hour that hardly any come about.
    #[test]
    fn a_small_flood_is_not_learnt() {
        let mut handshakes = learnt(150.0, 148.0);
        for _ in 0..3_600 {
            handshakes.learn(550.0, 148.0);
        }
        assert!(handshakes.share() > Some(0.9), "{handshakes:?}");
    }
}
