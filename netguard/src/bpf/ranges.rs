//! The maps `RANGES` and `GENERATION`: the lists of an instance, compiled into one table. A new generation is written beside the
//! old one, as memory, and then takes its place in one step.

use std::{
    borrow::{Borrow, BorrowMut},
    collections::BTreeMap,
    iter,
    ops::Range,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::atomic::Ordering,
};

use aya::maps::{Array, ArrayOfMaps, Map, MapData, MapError, PerCpuArray};
use aya_obj::generated::{BPF_F_MMAPABLE, bpf_map_type::BPF_MAP_TYPE_ARRAY};
use netguard_common::{
    hint,
    ranges::{
        CHUNK, CHUNKS, InForce, Line, POLICIES, RANGES, end_of_sparing,
        layout::{MARKED, MARKS, MARKS_AT, POLICIES_AT},
    },
};

use super::{
    BpfError, Pins, SettingsMap,
    catalogue::{map_data, memory},
    hints::Hints,
    many,
    mapped::Mapped,
    raw::Raw,
};
use crate::ranges::Compiled;

/// The compiled lists of an instance, and the counters of their policies.
pub struct Ranges {
    chunks: Map,
    generation: Generation<MapData>,
    hints: Hints,
    counters: PerCpuArray<MapData, u64>,
    seed: u64,
}

type Generation<T> = Array<T, Raw<InForce>>;

/// A generation in the kernel's memory, see [`Ranges::write`].
pub struct WrittenRanges<'a> {
    chunks: Vec<MapData>,
    /// What lies where no chunk is needed.
    empty: MapData,
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
            chunks: pins.open(RANGES_MAP)?,
            generation: generation(pins.open(GENERATION_MAP)?)?,
            hints: Hints::open(pins, seed)?,
            counters: counters
                .try_into()
                .map_err(BpfError::map("POLICY_COUNTERS", POLICIES))?,
            seed,
        })
    }

    /// Whether there is a generation.
    pub fn is_set(&self) -> bool {
        in_force(&self.generation).is_ok_and(|in_force| in_force.lines != 0)
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
            chunks: compiled
                .lines
                .chunks(CHUNK as usize)
                .map(chunk)
                .collect::<Result<_, _>>()?,
            empty: chunk(&[])?,
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
        exchange(&self.chunks, &mut self.generation, written)?;
        self.hints.lower(hint::RANGE, slots);
        Ok(())
    }

    /// Has the policies of the generation in force end that spare who is known; how many places they have in it. One that an earlier
    /// version wrote is left alone: it does not tell which of its lines are marks.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn end_sparing(&self) -> Result<usize, BpfError> {
        let in_force = in_force(&self.generation)?;
        if in_force.lines == 0 {
            return Ok(0);
        }
        let chunks: ArrayOfMaps<&MapData> =
            (&self.chunks).try_into().map_err(BpfError::map(RANGES_MAP, 0))?;
        let memory = |chunk: u32| {
            let chunk = chunks.get(&chunk, 0).map_err(BpfError::map(RANGES_MAP, 0))?;
            Mapped::of_data(&chunk, RANGES_MAP, CHUNK as usize * size_of::<Line>())
        };
        let word = |line: u32, at: usize| line as usize * size_of::<Line>() / size_of::<u64>() + at;
        let (first, line) = in_force.place(0);
        let marked = memory(first)?.word(word(line, MARKED)).load(Ordering::Relaxed);
        let behind = MARKS_AT + marked.min(u64::from(MARKS)) as u32;
        let marks: Vec<(u32, u32)> = (MARKS_AT..behind.min(in_force.lines))
            .map(|line| in_force.place(line))
            .collect();
        let mut ended = 0;
        for marks in marks.chunk_by(|one, next| one.0 == next.0) {
            let memory = memory(marks[0].0)?;
            for at in POLICIES_AT {
                for (_, line) in marks {
                    let what = memory.word(word(*line, at));
                    if let Some(over) = end_of_sparing(what.load(Ordering::Relaxed)) {
                        what.store(over, Ordering::Relaxed);
                        ended += 1;
                    }
                }
            }
        }
        Ok(ended)
    }

    /// Packets that each of these policies was against since the maps were made, over all CPUs.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn counts(&self, policies: Range<usize>) -> Result<Vec<u64>, BpfError> {
        (0..POLICIES)
            .skip(policies.start)
            .take(policies.len())
            .map(|policy| {
                let cpus = self.counters.get(&policy, 0);
                let cpus = cpus.map_err(BpfError::map("POLICY_COUNTERS", POLICIES))?;
                Ok(cpus.iter().fold(0, |sum: u64, cpu| sum.wrapping_add(*cpu)))
            })
            .collect()
    }
}

/// Puts `compiled` into the maps `RANGES` and `GENERATION` of an object that nobody has attached.
pub(super) fn install_in(chunks: &Map, generation: &mut Map, compiled: &Compiled) -> Result<(), BpfError> {
    let mut generation: Generation<&mut MapData> =
        generation.try_into().map_err(BpfError::map(GENERATION_MAP, 1))?;
    exchange(chunks, &mut generation, &Ranges::write(compiled)?)
}

/// Lines of the generation in force, and the bytes that all chunks in `RANGES` take.
pub(super) fn extent(pins: &Pins) -> Result<(u32, u64), BpfError> {
    let lines = in_force(&generation(pins.open(GENERATION_MAP)?)?)?.lines;
    let chunks: ArrayOfMaps<MapData> = pins
        .open(RANGES_MAP)?
        .try_into()
        .map_err(BpfError::map(RANGES_MAP, 0))?;
    let mut bytes = BTreeMap::new();
    for entry in 0..RANGES {
        match chunks.get(&entry, 0) {
            Ok(chunk) => {
                let id = chunk.info().map_err(BpfError::map(RANGES_MAP, 0))?.id();
                bytes.insert(id, memory(&chunk));
            }
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(BpfError::map(RANGES_MAP, 0)(error)),
        }
    }
    Ok((lines, bytes.into_values().sum()))
}

const RANGES_MAP: &str = "RANGES";
const GENERATION_MAP: &str = "GENERATION";

fn generation(map: Map) -> Result<Generation<MapData>, BpfError> {
    map.try_into().map_err(BpfError::map(GENERATION_MAP, 1))
}

fn in_force<T: Borrow<MapData>>(generation: &Generation<T>) -> Result<InForce, BpfError> {
    let Raw(in_force) = generation.get(&0, 0).map_err(BpfError::map(GENERATION_MAP, 1))?;
    Ok(in_force)
}

fn exchange<T: BorrowMut<MapData>>(
    chunks: &Map,
    generation: &mut Generation<T>,
    written: &WrittenRanges<'_>,
) -> Result<(), BpfError> {
    let before = in_force(generation)?;
    let after = InForce {
        first_chunk: before.other(),
        lines: match written.compiled.ranges {
            0 => 0,
            _ => written.compiled.lines.len() as u32,
        },
    };
    put_all(chunks, after.first_chunk, &written.chunks, &written.empty)?;
    generation
        .set(0, Raw(after), 0)
        .map_err(BpfError::map(GENERATION_MAP, 1))?;
    // After a change to an array of maps the kernel waits until no packet is judged any more that looked before it (Linux 6.18,
    // `maybe_wait_bpf_programs` in kernel/bpf/syscall.c), also when the entry stays what it was. Only then the old chunks may go.
    let first = written.chunks.first().unwrap_or(&written.empty);
    put(chunks, &[after.first_chunk], &[fd(first)])?;
    put_all(chunks, before.first_chunk, &[], &written.empty)
}

/// Puts `chunks` into the entries from `first` on, and `empty` into those of that generation that hold others. No more: before
/// Linux 6.8 the kernel waits after each.
fn put_all(map: &Map, first: u32, chunks: &[MapData], empty: &MapData) -> Result<(), BpfError> {
    let held: ArrayOfMaps<&MapData> = map.try_into().map_err(BpfError::map(RANGES_MAP, 0))?;
    let is_held = |entry: &u32| held.get(entry, 0).is_ok();
    let needed = first..first + chunks.len() as u32;
    let others = (needed.end..first + CHUNKS).filter(is_held);
    let keys: Vec<u32> = needed.chain(others).collect();
    let values = chunks.iter().chain(iter::repeat(empty)).map(fd);
    put(map, &keys, &values.take(keys.len()).collect::<Vec<_>>())
}

fn put(map: &Map, keys: &[u32], values: &[i32]) -> Result<(), BpfError> {
    let missing = || BpfError::NoSuchMap(RANGES_MAP.to_owned());
    if keys.is_empty() {
        return Ok(());
    }
    many::write_all(map_data(map).ok_or_else(missing)?, keys, values).map_err(|source| BpfError::Write {
        map: RANGES_MAP,
        source,
    })
}

fn fd(chunk: &MapData) -> i32 {
    chunk.fd().as_fd().as_raw_fd()
}

/// A new array that holds `lines`, and zeros behind them.
fn chunk(lines: &[Line]) -> Result<MapData, BpfError> {
    let definition = aya_obj::Map::new_from_params(
        BPF_MAP_TYPE_ARRAY as u32,
        size_of::<u32>() as u32,
        size_of::<Line>() as u32,
        CHUNK,
        BPF_F_MMAPABLE,
    );
    let map = MapData::create(definition, "chunk", None).map_err(BpfError::map(RANGES_MAP, 0))?;
    if !lines.is_empty() {
        let memory = Mapped::of_data(&map, RANGES_MAP, size_of_val(lines))?;
        for (index, word) in lines.as_flattened().iter().enumerate() {
            memory.word(index).store(*word, Ordering::Relaxed);
        }
    }
    Ok(map)
}
