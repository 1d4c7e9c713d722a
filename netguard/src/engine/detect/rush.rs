//! A rush: many more connections to a service than usual are asked for, and whether they go on, so that it is a crowd, is known a tick or two later.
//! Until then what else grows may be the crowd's. Whoever makes a rush has that once, and not again soon.

use crate::engine::{Baselines, Features};

use super::crowd;

/// How long a rush is new: a client's answer is an acknowledgement in the next tick.
const NEW_NS: u64 = 100_000_000;
/// How long there must have been none before one is new.
const AGAIN_NS: u64 = 10_000_000_000;

/// What the last ticks said of it.
#[derive(Clone, Debug, Default)]
pub struct Rush {
    /// When the one began that goes on, or went on last.
    began_ns: u64,
    last_ns: Option<u64>,
    is_new: bool,
}

impl Rush {
    /// Nothing but this stretch.
    pub fn of(features: &Features, baselines: &Baselines) -> Self {
        let mut rush = Self::default();
        rush.take(features, baselines);
        rush
    }

    /// Takes in the next tick.
    pub fn take(&mut self, tick: &Features, baselines: &Baselines) {
        let now_ns = tick.at_ns;
        self.is_new = false;
        if !crowd::is_rush(tick, baselines) {
            return;
        }
        if self
            .last_ns
            .is_none_or(|last_ns| now_ns.saturating_sub(last_ns) >= AGAIN_NS)
        {
            self.began_ns = now_ns;
        }
        self.last_ns = Some(now_ns);
        self.is_new = now_ns.saturating_sub(self.began_ns) < NEW_NS;
    }

    /// Whether one began with the newest tick, or the one before.
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::crowd::tests::clients;

    /// Found in review: a few forged SYNs kept everything else from beginning at once.
    #[test]
    fn it_is_new_for_two_ticks_and_not_again_soon() {
        let mut baselines = Baselines::default();
        for _ in 0..400 {
            baselines.learn(&clients(100, 5));
        }
        let mut rush = Rush::default();
        let mut at = |tick: u64, opening: u64| {
            let tick = Features {
                at_ns: tick * 50_000_000,
                ..clients(opening, 0)
            };
            rush.take(&tick, &baselines);
            rush.is_new()
        };
        assert!(!at(1, 100));
        assert_eq!(
            [at(2, 3_000), at(3, 3_000), at(4, 3_000), at(5, 3_000)],
            [true, true, false, false]
        );
        // With pauses: two ticks on, one off.
        let pulsed = (6..150).filter(|tick| at(*tick, if tick % 3 == 0 { 100 } else { 3_000 }));
        assert_eq!(pulsed.count(), 0);
        assert!(at(400, 3_000), "another one, much later");
    }
}
