//! The blast radius: how much automatic blocks may touch, whatever was found. The net under a detector or a limit that is wrong
//! about everybody; it judges nobody.

use std::collections::VecDeque;

use crate::prefix::Prefix;

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

/// What a block would be too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// With the blocks of the minute before, so many connected sources.
    Together { touched: u64, allowed: u64 },
    /// So many sources that nothing speaks against.
    Bystanders { touched: u64, allowed: u64 },
    /// So many networks stand already.
    Networks { allowed: u64 },
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
    /// Blocked networks, and until when.
    networks: Vec<(Prefix, u64)>,
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
        let allowed = share(connected, caps.sources_percent).max(u64::from(caps.at_least));
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

    /// Whether the block of a network in which `bystanders` of `innocent` connected sources lie is within the caps.
    ///
    /// # Errors
    /// What it would be too much of.
    pub fn may_block_network(
        &mut self,
        bystanders: u64,
        innocent: u64,
        caps: &Caps,
        at_ns: u64,
    ) -> Result<(), Excess> {
        self.networks.retain(|(_, until_ns)| *until_ns > at_ns);
        let allowed = share(innocent, caps.bystanders_percent);
        if bystanders > allowed {
            let touched = bystanders;
            return Err(Excess::Bystanders { touched, allowed });
        }
        let allowed = u64::from(caps.networks);
        if self.networks.len() as u64 >= allowed {
            return Err(Excess::Networks { allowed });
        }
        Ok(())
    }

    pub fn network_blocked(&mut self, network: Prefix, until_ns: u64) {
        self.networks.push((network, until_ns));
    }

    /// A block of `network` could not be placed.
    pub fn network_not_blocked(&mut self, network: &Prefix) {
        self.networks.retain(|(blocked, _)| blocked != network);
    }

    pub fn is_network_blocked(&self, network: &Prefix, at_ns: u64) -> bool {
        let mut standing = self.networks.iter();
        standing.any(|(blocked, until_ns)| blocked == network && *until_ns > at_ns)
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
        let mut radius = Radius::default();
        assert!(radius.may_block_network(1, 99, &CAPS, 0).is_err());
        assert_eq!(radius.may_block_network(1, 100, &CAPS, 0), Ok(()));
        let network = |text: &str| text.parse::<Prefix>().expect("a prefix");
        radius.network_blocked(network("192.0.2.0/24"), 10);
        radius.network_blocked(network("2001:db8::/48"), 20);
        assert_eq!(
            radius.may_block_network(0, 0, &CAPS, 9),
            Err(Excess::Networks { allowed: 2 })
        );
        assert!(radius.is_network_blocked(&network("192.0.2.0/24"), 9));
        assert_eq!(radius.may_block_network(0, 0, &CAPS, 10), Ok(()), "one has ended");
        radius.network_not_blocked(&network("2001:db8::/48"));
        assert!(!radius.is_network_blocked(&network("2001:db8::/48"), 10));
    }
}
