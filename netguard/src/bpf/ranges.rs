//! The map `RANGES`: the lists of an instance, compiled into one table. A new generation is an array of its own, written as
//! memory and then put in the place of the old one.

use std::sync::atomic::Ordering;

use aya::maps::{ArrayOfMaps, Map, MapData, PerCpuArray};
use aya_obj::generated::{BPF_F_INNER_MAP, BPF_F_MMAPABLE, bpf_map_type::BPF_MAP_TYPE_ARRAY};
use netguard_common::{
    hint,
    ranges::{Line, POLICIES},
};

use super::{BpfError, Pins, SettingsMap, hints::Hints, mapped::Mapped};
use crate::ranges::Compiled;

/// The compiled lists of an instance, and the counters of their policies.
pub struct Ranges {
    table: ArrayOfMaps<MapData>,
    hints: Hints,
    counters: PerCpuArray<MapData, u64>,
    seed: u64,
}

/// A generation in the kernel's memory, see [`Ranges::write`].
pub struct WrittenRanges<'a> {
    generation: MapData,
    compiled: &'a Compiled,
}

impl Ranges {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// When nothing is pinned or it may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        let seed = SettingsMap::open(pins)?.read()?.seed;
        let counters = pins.open("POLICY_COUNTERS")?;
        Ok(Self {
            table: pins
                .open("RANGES")?
                .try_into()
                .map_err(BpfError::map("RANGES", 1))?,
            hints: Hints::open(pins, seed)?,
            counters: counters
                .try_into()
                .map_err(BpfError::map("POLICY_COUNTERS", POLICIES))?,
            seed,
        })
    }

    /// Whether there is a generation.
    pub fn is_set(&self) -> bool {
        self.table.get(&0, 0).is_ok()
    }

    /// The secret by which the hints of IPv6 networks are spread.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Puts `compiled` in the place of the generation before. Every packet is judged by one of the two.
    ///
    /// # Errors
    /// When the kernel has no memory for it, or refuses.
    pub fn install(&mut self, compiled: &Compiled) -> Result<(), BpfError> {
        self.exchange(&Self::write(compiled)?)
    }

    /// Writes `compiled` as a generation that nobody is judged by yet.
    ///
    /// # Errors
    /// When the kernel has no memory for it, or refuses.
    pub fn write(compiled: &Compiled) -> Result<WrittenRanges<'_>, BpfError> {
        Ok(WrittenRanges {
            generation: written(&compiled.lines)?,
            compiled,
        })
    }

    /// Puts what was written in the place of the generation before.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn exchange(&mut self, written: &WrittenRanges<'_>) -> Result<(), BpfError> {
        let slots = written.compiled.slots.words();
        self.hints.raise(hint::RANGE, slots);
        // The kernel waits here until no packet is judged by the old one any more.
        self.table
            .set(0, &written.generation, 0)
            .map_err(BpfError::map("RANGES", 1))?;
        self.hints.lower(hint::RANGE, slots);
        Ok(())
    }

    /// Packets that each of the first `policies` policies was against since the maps were made, over all CPUs.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn counts(&self, policies: usize) -> Result<Vec<u64>, BpfError> {
        (0..POLICIES)
            .take(policies)
            .map(|policy| {
                let cpus = self.counters.get(&policy, 0);
                let cpus = cpus.map_err(BpfError::map("POLICY_COUNTERS", POLICIES))?;
                Ok(cpus.iter().fold(0, |sum: u64, cpu| sum.wrapping_add(*cpu)))
            })
            .collect()
    }
}

/// The generation that lies in the map `RANGES`, if any.
pub(super) fn generation(map: Map) -> Option<MapData> {
    let table: ArrayOfMaps<MapData> = map.try_into().ok()?;
    table.get(&0, 0).ok()
}

/// Puts `compiled` into the map `RANGES` of an object that nobody has attached.
pub(super) fn install_in(map: &mut Map, compiled: &Compiled) -> Result<(), BpfError> {
    let mut table: ArrayOfMaps<&mut MapData> = map.try_into().map_err(BpfError::map("RANGES", 1))?;
    table
        .set(0, &written(&compiled.lines)?, 0)
        .map_err(BpfError::map("RANGES", 1))
}

/// A new array that holds `lines`.
fn written(lines: &[Line]) -> Result<MapData, BpfError> {
    let definition = aya_obj::Map::new_from_params(
        BPF_MAP_TYPE_ARRAY as u32,
        size_of::<u32>() as u32,
        size_of::<Line>() as u32,
        lines.len() as u32,
        BPF_F_MMAPABLE | BPF_F_INNER_MAP,
    );
    let map = MapData::create(definition, "generation", None).map_err(BpfError::map("RANGES", 1))?;
    let memory = Mapped::of_data(&map, "RANGES", size_of_val(lines))?;
    for (index, word) in lines.as_flattened().iter().enumerate() {
        memory.word(index).store(*word, Ordering::Relaxed);
    }
    Ok(map)
}
