//! What sources and services of a world have used of their limits, who has proven itself, and whose limits are divided.

use std::{net::IpAddr, sync::atomic::Ordering::Relaxed};

use netguard_common::{
    decide,
    layout::{CLASSES, Mode, Rate},
    limit::source_key,
    memory::Memory,
    packet::Address,
    throttle::Throttle,
    view::SliceView,
};

use super::World;

impl World {
    /// Lets `source` have a connection. Panics if it is no address.
    pub fn proven(mut self, source: &str) -> Self {
        self.proven
            .push(source.parse().unwrap_or_else(|error| panic!("{error}")));
        self
    }

    pub(super) fn proven_keys(&self) -> impl Iterator<Item = u64> {
        self.proven.iter().copied().map(key)
    }

    /// Has the limits of `source` divided by `divisor`, for good. Panics if it is no address.
    pub fn throttled(mut self, source: &str, divisor: u8) -> Self {
        let source = source.parse().unwrap_or_else(|error| panic!("{error}"));
        self.throttled.push((source, divisor));
        self
    }

    pub(super) fn throttles(&self) -> impl Iterator<Item = (u64, Throttle)> {
        let throttled = self.throttled.iter();
        throttled.map(|(source, divisor)| (key(*source), Throttle::new(*divisor, u64::MAX)))
    }

    /// Makes line `index` of the buckets this.
    pub fn line(mut self, index: u32, slots: [u64; 8]) -> Self {
        self.buckets.insert(index, slots);
        self
    }

    /// Sets cell `index` of the limits of services to the theoretical arrival time `arrival_ns`.
    pub fn cell(mut self, index: u32, arrival_ns: u64) -> Self {
        self.cells.push((index, arrival_ns));
        self
    }

    /// Leaves the source of `frame` nothing of its limit for this kind of packet.
    pub fn exhausted(self, frame: &[u8]) -> Self {
        let lines = self.lines_of(frame);
        lines
            .into_iter()
            .fold(self, |world, index| world.line(index, [u64::MAX; 8]))
    }

    /// The lines of buckets that `frame` is charged to, found by watching which ones change.
    fn lines_of(&self, frame: &[u8]) -> Vec<u32> {
        let mut settings = Self::new()
            .in_modes([Mode::Off, Mode::Off, Mode::Enforce])
            .settings;
        settings.seed = self.settings.seed;
        settings.limits = [Rate::new(1, 1); CLASSES];
        let memory = Memory::new(settings);
        decide(&SliceView(frame), &memory);
        (0..)
            .zip(&memory.buckets)
            .filter(|(_, line)| line.iter().any(|slot| slot.load(Relaxed) != 0))
            .map(|(index, _)| index)
            .collect()
    }
}

/// What the limits know `source` by.
fn key(source: IpAddr) -> u64 {
    let (family, address) = Address::of(source);
    source_key(family, address)
}
