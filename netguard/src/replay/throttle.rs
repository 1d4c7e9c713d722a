//! Limits of a replay that move with the scores of sources, as the daemon's do each second.

use netguard_common::layout::Settings;

use super::ReplayError;
use crate::{
    bpf::{Pins, SettingsMap, Throttled},
    engine::{Chain, Divided, Guard, Reputation, reputation::Throttle, spare_guarded},
};

pub(super) struct Limits {
    throttled: Throttled,
    /// They stay what they are.
    settings: Settings,
}

impl Limits {
    pub(super) fn open(pins: &Pins) -> Result<Self, ReplayError> {
        let settings = SettingsMap::open(pins)?.read()?;
        Ok(Self {
            throttled: Throttled::open(pins, settings.seed)?,
            settings,
        })
    }

    pub(super) fn follow(
        &mut self,
        reputation: &mut Reputation,
        guard: &Guard,
        chain: &mut Chain,
        now_ns: u64,
    ) -> Result<(), ReplayError> {
        let throttles = reputation.throttles(now_ns).unwrap_or_default();
        let throttles = spare_guarded(throttles, guard);
        self.throttled
            .follow(throttles.iter().map(Throttle::parts), now_ns)?;
        chain.divide(Divided::new(&throttles, &self.settings));
        Ok(())
    }
}
