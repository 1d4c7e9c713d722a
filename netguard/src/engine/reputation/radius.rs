//! The blast radius: how much automatic blocks may touch, whatever was found. The net under a detector or a limit that is wrong
//! about everybody; it judges nobody.

use std::collections::VecDeque;

/// Blocks within this time count together.
const TOGETHER_NS: u64 = 60_000_000_000;

/// What the configuration allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Of the sources that are connected, what blocks of a minute may touch together.
    pub sources_percent: u32,
    /// That many in any case.
    pub at_least: u32,
    /// Of the connected sources that nothing speaks against, what the block of a network may touch.
    pub bystanders_percent: u32,
    /// Networks that may be blocked at a time.
    pub networks: u32,
}

impl Caps {
    /// Of so many `connected` sources, how many may be touched together.
    pub(super) fn touched(&self, connected: u64) -> u64 {
        share(connected, self.sources_percent).max(u64::from(self.at_least))
    }
}

/// What a block would be too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// With the blocks of the minute before, so many connected sources.
    Together { touched: u64, allowed: u64 },
    /// So many sources that nothing speaks against.
    Bystanders { touched: u64, allowed: u64 },
    /// So many networks stand already.
    Networks { allowed: u64 },
    /// So many of those seen from a network lately were blocked, which is not most of them.
    Minority { blocked: u64, seen: u64 },
}

impl Excess {
    /// A sentence behind "not blocked: ".
    pub fn describe(self) -> String {
        match self {
            Self::Together { touched, allowed } => format!(
                "automatic blocks of a minute would touch {touched} connected sources, and {allowed} are allowed \
                 (`reputation.blast_radius`)"
            ),
            Self::Bystanders { touched, allowed } => format!(
                "{touched} connected sources that nothing speaks against lie in it, and {allowed} may be touched \
                 (`reputation.blast_radius`)"
            ),
            Self::Minority { blocked, seen } => format!(
                "of {seen} sources that were seen from it lately {blocked} were blocked, and all of it is only where \
                 most were"
            ),
            Self::Networks { allowed } => {
                format!("{allowed} networks are blocked already, which is all that is allowed at a time")
            }
        }
    }
}

/// What was blocked lately.
#[derive(Debug, Default)]
pub struct Radius {
    /// When, and how many connected sources it touched.
    lately: VecDeque<(u64, u64)>,
}

impl Radius {
    /// Whether a block that touches `touched` of `connected` sources is within the caps; if so it counts from now on.
    ///
    /// # Errors
    /// What it would be too much of.
    pub fn take(&mut self, touched: u64, connected: u64, caps: &Caps, at_ns: u64) -> Result<(), Excess> {
        // Blocks that touch nobody need no room here; others are no more than are allowed.
        self.lately
            .retain(|(then_ns, _)| at_ns.saturating_sub(*then_ns) < TOGETHER_NS);
        let before: u64 = self.lately.iter().map(|(_, touched)| *touched).sum();
        let allowed = caps.touched(connected);
        let together = before.saturating_add(touched);
        if together > allowed {
            return Err(Excess::Together {
                touched: together,
                allowed,
            });
        }
        if touched > 0 {
            self.lately.push_back((at_ns, touched));
        }
        Ok(())
    }

    /// Gives back the room of a block at `at_ns` that came to nothing.
    pub fn give_back(&mut self, touched: u64, at_ns: u64) {
        let newest = self.lately.iter().rposition(|entry| *entry == (at_ns, touched));
        newest.map(|index| self.lately.remove(index));
    }

    /// Whether the block of a network in which `bystanders` of `innocent` connected sources lie, while so many `networks` are blocked, is
    /// within the caps.
    ///
    /// # Errors
    /// What it would be too much of.
    pub fn may_block_network(
        bystanders: u64,
        innocent: u64,
        networks: u64,
        caps: &Caps,
    ) -> Result<(), Excess> {
        let allowed = share(innocent, caps.bystanders_percent);
        if bystanders > allowed {
            let touched = bystanders;
            return Err(Excess::Bystanders { touched, allowed });
        }
        let allowed = u64::from(caps.networks);
        if networks >= allowed {
            return Err(Excess::Networks { allowed });
        }
        Ok(())
    }
}

fn share(of: u64, percent: u32) -> u64 {
    of.saturating_mul(u64::from(percent)) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const CAPS: Caps = Caps {
        sources_percent: 10,
        at_least: 4,
        bystanders_percent: 1,
        networks: 2,
    };

    #[test]
    fn blocks_of_a_minute_count_together() {
        let mut radius = Radius::default();
        for _ in 0..4 {
            assert_eq!(radius.take(1, 10, &CAPS, 5 * SECOND), Ok(()));
        }
        let excess = Excess::Together {
            touched: 5,
            allowed: 4,
        };
        assert_eq!(radius.take(1, 10, &CAPS, 64 * SECOND), Err(excess));
        assert_eq!(radius.take(1, 10, &CAPS, 65 * SECOND), Ok(()));
        assert_eq!(
            radius.take(99, 1_000, &CAPS, 66 * SECOND),
            Ok(()),
            "a tenth of them"
        );
        assert!(radius.take(1, 1_000, &CAPS, 66 * SECOND).is_err());
        assert!(radius.take(u64::MAX, u64::MAX, &CAPS, 67 * SECOND).is_err());
    }

    #[test]
    fn bystanders_and_networks_are_few() {
        assert!(Radius::may_block_network(1, 99, 0, &CAPS).is_err());
        assert_eq!(Radius::may_block_network(1, 100, 0, &CAPS), Ok(()));
        assert_eq!(
            Radius::may_block_network(0, 0, 2, &CAPS),
            Err(Excess::Networks { allowed: 2 })
        );
        assert_eq!(Radius::may_block_network(0, 0, 1, &CAPS), Ok(()), "one has ended");
    }

    #[test]
    fn what_came_to_nothing_gives_its_room_back() {
        let mut radius = Radius::default();
        for _ in 0..20 {
            radius.take(3, 10, &CAPS, SECOND).expect("room");
            radius.give_back(3, SECOND);
        }
        radius.give_back(3, SECOND);
        assert_eq!(radius.take(4, 10, &CAPS, SECOND), Ok(()));
    }
}
