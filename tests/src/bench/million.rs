//! An instance of netguard as a daemon sets it up, with default settings and a list of a million IPv4 prefixes: what loading it
//! takes, and what memory.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use netguard::{
    bpf::{self, Counters, InstanceName, List, Pins, Rules, SettingsMap, TableSizes, Target, list_maps},
    config::Config,
    daemon::settings,
    prefix::Prefix,
};
use netguard_common::{
    layout::{Rate, Settings},
    packet::Family,
    shared::Field as _,
    state::Reach,
};

use super::cases::address;
use crate::world::{DEFAULT_SIZES, PERMANENT, rule};

pub(super) const PREFIXES: u32 = 1_000_000;

/// How many of a thousand prefixes have which length: mostly addresses, as lists of abusers have them.
const LENGTHS: [(u8, u32); 4] = [(32, 900), (24, 92), (22, 6), (20, 2)];

/// The instance; removed on drop.
pub(super) struct Million {
    pins: Pins,
    pub(super) load_time: Duration,
    /// Bytes of kernel memory in all maps.
    pub(super) memory: u64,
}

impl Million {
    /// Sets the instance `name` up and loads the list into it.
    pub(super) fn new(name: &str) -> Result<Self> {
        let instance: InstanceName = name.parse()?;
        let pins = Pins::of(&instance);
        let mut million = Self {
            pins,
            load_time: Duration::ZERO,
            memory: 0,
        };
        // Dropped, it would take its maps with it: they are pinned.
        drop(bpf::load(
            &million.pins,
            TableSizes {
                block_addresses: PREFIXES,
                block_prefixes: PREFIXES,
                ..DEFAULT_SIZES
            },
        )?);
        let settings = Settings {
            // Counted, and never reached.
            service_syn: Rate::new(100_000_000, 10_000_000),
            ..settings(&Config::default(), &Settings::ZERO, Reach::All)
        };
        SettingsMap::open(&million.pins)?.write(&settings)?;
        let list: Vec<Prefix> = prefixes().collect();
        let mut rules = Rules::open(&million.pins)?;
        let start = Instant::now();
        rules
            .insert_all(List::Block, list, rule(PERMANENT))
            .context("loading a million prefixes")?;
        million.load_time = start.elapsed();
        million.memory = memory(&million.pins)?;
        Ok(million)
    }

    pub(super) fn target(&self) -> Result<Target> {
        Ok(Target::pinned(&self.pins)?)
    }

    pub(super) fn counters(&self) -> Result<Counters> {
        Ok(Counters::open(&self.pins)?)
    }
}

impl Drop for Million {
    fn drop(&mut self) {
        if let Err(error) = self.pins.remove() {
            eprintln!("bench: {error}");
        }
    }
}

/// Bytes of kernel memory in the maps of the instance of `pins`.
pub(super) fn memory(pins: &Pins) -> Result<u64> {
    Ok(list_maps(pins)?.iter().map(|map| map.memory_bytes).sum())
}

/// Prefix `n` covers source `n`.
fn prefixes() -> impl Iterator<Item = Prefix> {
    (0..PREFIXES).filter_map(|number| Prefix::truncated(address(Family::V4, number), bits(number)))
}

fn bits(number: u32) -> u8 {
    let mut rank = number % 1000;
    for (bits, share) in LENGTHS {
        if rank < share {
            return bits;
        }
        rank -= share;
    }
    32
}
