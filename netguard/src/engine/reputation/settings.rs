//! What the configuration says about reputation, in the units of the engine.

use std::time::Duration;

use netguard_common::layout::Mode;

use super::{Caps, Terms};
use crate::config::Config;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub mode: Mode,
    /// The score of proven evidence from which on a source is blocked.
    pub block_from: u8,
    /// The score below which a source that was blocked is like any other again.
    pub release_below: u8,
    /// Points of a score that divide the limits of a source by one more; 0: none do.
    pub limit_step: u8,
    pub half_life_ns: u64,
    pub terms: Terms,
    /// Established connections from which on a source is shared by many.
    pub shared_from: u32,
    /// Sources of a network that were blocked within `network_within_ns`, from which on all of it is.
    pub network_after: u32,
    pub network_within_ns: u64,
    pub caps: Caps,
    /// Sources that are remembered at the most.
    pub accounts: usize,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        let reputation = &config.reputation;
        let score = |value: u32| u8::try_from(value).unwrap_or(100);
        Self {
            // Not under the mode of the whole filter: in shadow there, the kernel counts what a block would have dropped.
            mode: reputation.mode.into(),
            block_from: score(reputation.block_from.value()),
            release_below: score(reputation.release_below.value()),
            limit_step: score(reputation.limit_step.value()),
            half_life_ns: nanoseconds(reputation.half_life.duration()),
            terms: Terms {
                block_for_ns: nanoseconds(config.detect.flooder.block_for.duration()),
                at_most_ns: nanoseconds(reputation.block_for_at_most.duration()),
                remember_ns: nanoseconds(reputation.remember_for.duration()),
            },
            shared_from: reputation.shared_from.value(),
            network_after: reputation.network.after.value(),
            network_within_ns: nanoseconds(reputation.network.within.duration()),
            caps: Caps {
                sources_percent: reputation.blast_radius.sources_percent.value(),
                at_least: reputation.blast_radius.at_least.value(),
                bystanders_percent: reputation.blast_radius.bystanders_percent.value(),
                networks: reputation.blast_radius.networks.value(),
            },
            accounts: reputation.sources.value() as usize,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::from(&Config::default())
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
