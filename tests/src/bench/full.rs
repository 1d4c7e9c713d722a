//! An instance of netguard as a daemon sets it up, with everything on: its lists (a million IPv4 prefixes, 250,000 IPv6 ones),
//! every level of limits, state, and a signature for one port. What loading the lists takes, and what memory.

use std::{
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use netguard::{
    bpf::{
        self, Counters, InstanceName, OwnAddresses, Pins, Ranges, SettingsMap, Signatures, Target, list_maps,
    },
    clock::monotonic_ns,
    config::Config,
    daemon::settings,
    lists::{Reading, read_feed},
    prefix::Prefix,
    ranges::{Listing, compile},
    signature,
};
use netguard_common::{
    layout::{CLASSES, Mode, Settings},
    packet::Family,
    shared::Field as _,
    signature::Signature,
    state::Reach,
};

use super::{
    cases::{OWN_V4, OWN_V6, SIGNED},
    lists::{NEVER, feed},
};
use crate::world::{DEFAULT_SIZES, feed as feed_policy};

/// The instance; removed on drop.
pub(super) struct Full {
    pins: Pins,
    pub(super) load: Load,
    /// Bytes of kernel memory in all maps with the IPv4 list, and with both.
    pub(super) memory: [u64; 2],
}

/// How long each step took that puts a million IPv4 prefixes in force.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub(super) parse: Duration,
    pub(super) compile: Duration,
    pub(super) write: Duration,
    /// The kernel waits until no packet is judged by the lists before.
    pub(super) exchange: Duration,
}

impl Full {
    /// Sets the instance `name` up and loads the lists into it.
    pub(super) fn new(name: &str) -> Result<Self> {
        let instance: InstanceName = name.parse()?;
        let mut full = Self {
            pins: Pins::of(&instance),
            load: Load::default(),
            memory: [0; 2],
        };
        // Dropped, it would take its maps with it: they are pinned.
        drop(bpf::load(&full.pins, DEFAULT_SIZES)?);
        SettingsMap::open(&full.pins)?.write(&everything_on())?;
        OwnAddresses::open(&full.pins)?.set(&[OWN_V4.parse()?, OWN_V6.parse()?])?;
        let conditions = [format!("port={SIGNED}"), "ttl=1".to_owned()];
        Signatures::open(&full.pins)?.add(
            Signature {
                mode: Mode::Enforce as u32,
                ..signature::parse(&conditions, false)?
            },
            monotonic_ns(),
        )?;
        let mut ranges = Ranges::open(&full.pins)?;
        let v4 = feed(Family::V4);
        full.load = load(&mut ranges, &v4).context("loading a million prefixes")?;
        full.memory[0] = memory(&full.pins)?;
        let both = [v4, feed(Family::V6)].concat();
        ranges.install(&compile(&listings(&both), ranges.seed())?)?;
        full.memory[1] = memory(&full.pins)?;
        Ok(full)
    }

    pub(super) fn target(&self) -> Result<Target> {
        Ok(Target::pinned(&self.pins)?)
    }

    pub(super) fn counters(&self) -> Result<Counters> {
        Ok(Counters::open(&self.pins)?)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        if let Err(error) = self.pins.remove() {
            eprintln!("bench: {error}");
        }
    }
}

impl Load {
    pub(super) fn total(&self) -> Duration {
        self.parse + self.compile + self.write + self.exchange
    }
}

/// Bytes of kernel memory in the maps of the instance of `pins`.
pub(super) fn memory(pins: &Pins) -> Result<u64> {
    Ok(list_maps(pins)?.iter().map(|map| map.memory_bytes).sum())
}

/// The default configuration with every level of limits, each of them counted and never reached by all sources together.
fn everything_on() -> Settings {
    let mut settings = settings(&Config::default(), &Settings::ZERO, Reach::All);
    settings.service_syn = NEVER;
    settings.levels.prefix = [NEVER; CLASSES];
    settings.levels.service_udp = NEVER;
    settings.suspicion.strays = NEVER;
    settings
}

/// Does what the daemon does with the file of a feed.
fn load(ranges: &mut Ranges, prefixes: &[Prefix]) -> Result<Load> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("feed");
    let mut text = String::new();
    prefixes
        .iter()
        .try_for_each(|prefix| writeln!(text, "{prefix}"))?;
    fs::write(&file, text)?;
    let mut watch = Instant::now();
    let mut lap = || {
        let begun = std::mem::replace(&mut watch, Instant::now());
        watch - begun
    };
    let feed = read_feed(&file, &Reading::default())?;
    let parse = lap();
    let compiled = compile(&listings(&feed.prefixes), ranges.seed())?;
    let compile = lap();
    let written = Ranges::write(&compiled)?;
    let write = lap();
    ranges.exchange(&written)?;
    Ok(Load {
        parse,
        compile,
        write,
        exchange: lap(),
    })
}

fn listings(prefixes: &[Prefix]) -> [Listing<'_>; 1] {
    [Listing {
        effect: feed_policy(false),
        prefixes: prefixes.into(),
    }]
}
