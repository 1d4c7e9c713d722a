//! What sources and services of a world have used of their limits.

use std::sync::atomic::Ordering::Relaxed;

use netguard_common::{
    decide,
    layout::{CLASSES, Mode, Rate},
    memory::Memory,
    view::SliceView,
};

use super::World;

impl World {
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
