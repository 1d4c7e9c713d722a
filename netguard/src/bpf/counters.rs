//! Reads the verdict counters and the sampler's losses.

use aya::maps::{Map, MapData, PerCpuArray};
use netguard_common::{
    Judgement,
    layout::{Counter, Sampler},
    maps::COUNTERS,
    shared::Field,
};

use super::{BpfError, Pins, raw::Raw};

/// The maps `COUNTERS` and `SAMPLER`.
pub struct Counters {
    counters: PerCpuArray<MapData, Raw<Counter>>,
    sampler: PerCpuArray<MapData, Raw<Sampler>>,
}

impl Counters {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// When nothing is pinned or it may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        Self::new(pins.open("COUNTERS")?, pins.open("SAMPLER")?)
    }

    pub(super) fn new(counters: Map, sampler: Map) -> Result<Self, BpfError> {
        Ok(Self {
            counters: counters
                .try_into()
                .map_err(BpfError::map("COUNTERS", COUNTERS as u32))?,
            sampler: sampler.try_into().map_err(BpfError::map("SAMPLER", 1))?,
        })
    }

    /// Packets and bytes of every judgement since the maps were made, over all CPUs, in the order of the counters;
    /// zeros included.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn read(&self) -> Result<Vec<(Judgement, Counter)>, BpfError> {
        let wrap = BpfError::map("COUNTERS", COUNTERS as u32);
        (0..COUNTERS as u32)
            .filter_map(|index| Some((index, Judgement::from_counter(index)?)))
            .map(|(index, judgement)| {
                let cpus = self.counters.get(&index, 0).map_err(&wrap)?;
                let sum = cpus.iter().fold(Counter::ZERO, |sum, cpu| Counter {
                    packets: sum.packets.wrapping_add(cpu.0.packets),
                    bytes: sum.bytes.wrapping_add(cpu.0.bytes),
                });
                Ok((judgement, sum))
            })
            .collect()
    }

    /// Samples sent and lost, cookies wanted and heads lost, over all CPUs; the other fields are zero.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn sampler(&self) -> Result<Sampler, BpfError> {
        let cpus = self.sampler.get(&0, 0).map_err(BpfError::map("SAMPLER", 1))?;
        Ok(cpus.iter().fold(Sampler::ZERO, |sum, cpu| Sampler {
            sent: sum.sent.wrapping_add(cpu.0.sent),
            lost: sum.lost.wrapping_add(cpu.0.lost),
            cookies_wanted: sum.cookies_wanted.wrapping_add(cpu.0.cookies_wanted),
            heads_lost: sum.heads_lost.wrapping_add(cpu.0.heads_lost),
            ..sum
        }))
    }
}
