//! Whether connections that are asked for come about, as a rule. Where they do, it shows at once that many do not; where this machine passes on
//! what others ask for, or nobody counts, it shows nothing.

use serde::{Deserialize, Serialize};

/// The time constant, in seconds.
const MEMORY: f64 = 3_600.0;
/// So many must have come about, and so many of those that were asked for; of more, some were asked for where nobody looks.
const KNOWN: f64 = 20.0;
const MOST: f64 = 0.5;
const NO_MORE: f64 = 1.2;

/// Of the calm seconds just now, the part that the newest one is.
const NEWEST: f64 = 0.2;

/// Connections of calm seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Handshakes {
    asked: f64,
    opened: f64,
    #[serde(skip)]
    lately: Option<Lately>,
}

/// What calm seconds were like just now, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lately {
    /// Connections that were asked for.
    pub asked: f64,
    /// Segments of those that stood.
    pub segments: f64,
}

impl Handshakes {
    /// Learns a calm second, in which these came, and so many connections came about.
    pub(super) fn learn(&mut self, second: Lately, opened: f64) {
        let stays = 1.0 - 1.0 / MEMORY;
        self.asked = self.asked * stays + second.asked;
        self.opened = self.opened * stays + opened;
        let before = self.lately.unwrap_or(second);
        let mean = |before: f64, newest: f64| before + NEWEST * (newest - before);
        self.lately = Some(Lately {
            asked: mean(before.asked, second.asked),
            segments: mean(before.segments, second.segments),
        });
    }

    pub(super) fn lately(&self) -> Lately {
        self.lately.unwrap_or_default()
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
            let mut handshakes = Handshakes::default();
            for _ in 0..10 {
                handshakes.learn(Lately { asked, segments: 7.0 }, opened);
            }
            let rounded = handshakes.share().map(|share| (share * 100.0).round() / 100.0);
            assert_eq!(rounded, share, "{asked} {opened}");
            assert!(handshakes.is_sound());
            assert_eq!(handshakes.lately(), Lately { asked, segments: 7.0 });
        }
    }
}
