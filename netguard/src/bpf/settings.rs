//! Reads and writes the datapath's settings. The kernel copies word by word, and every field is a word or
//! less: a packet judged during a write may see one field new and another old, never half of one.

use std::net::IpAddr;

use aya::maps::{Array, MapData};
use netguard_common::{
    Verdict,
    bucket::{self, BucketLine, Place},
    layout::{Rate, Settings},
    level::{has_prefix, prefix_key},
    limit::{Class, source_key},
    packet::Address,
};

use super::{BpfError, Pins, divisor_of, raw::Raw};

/// The map `SETTINGS`.
pub struct SettingsMap {
    map: Array<MapData, Raw<Settings>>,
}

impl SettingsMap {
    /// Opens the pinned map.
    ///
    /// # Errors
    /// When nothing is pinned or it may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        Ok(Self {
            map: pins
                .open("SETTINGS")?
                .try_into()
                .map_err(BpfError::map("SETTINGS", 1))?,
        })
    }

    /// # Errors
    /// When the kernel refuses the read.
    pub fn read(&self) -> Result<Settings, BpfError> {
        self.map
            .get(&0, 0)
            .map(|raw| raw.0)
            .map_err(BpfError::map("SETTINGS", 1))
    }

    /// # Errors
    /// When the kernel refuses the write.
    pub fn write(&mut self, settings: &Settings) -> Result<(), BpfError> {
        self.map
            .set(0, Raw(*settings), 0)
            .map_err(BpfError::map("SETTINGS", 1))
    }
}

/// How much of a burst a source has used, alone or with its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitLevel {
    pub class: Class,
    /// Whether it is that of the prefix.
    pub of_prefix: bool,
    /// By what reputation divides it; 1: not at all. `rate_per_s` and `burst` are what is left.
    pub divisor: u32,
    pub rate_per_s: u64,
    pub burst: u64,
    /// Packets of the burst that are used up; `burst` means that the next packet is over the limit.
    pub used: u64,
}

impl LimitLevel {
    /// The verdict on the next packet when the burst is used up.
    pub const fn verdict(&self) -> Verdict {
        if self.of_prefix {
            Verdict::LimitPrefix
        } else {
            self.class.verdict()
        }
    }

    /// Whether the next packet is over the limit.
    pub const fn is_used_up(&self) -> bool {
        self.used >= self.burst
    }
}

/// The levels of `address` at `now_ns`; without unlimited classes.
///
/// # Errors
/// When nothing is pinned or the kernel refuses the read.
pub fn limit_levels(pins: &Pins, address: IpAddr, now_ns: u64) -> Result<Vec<LimitLevel>, BpfError> {
    let settings = SettingsMap::open(pins)?.read()?;
    let buckets: Array<_, Raw<BucketLine>> = pins
        .open("BUCKETS")?
        .try_into()
        .map_err(BpfError::map("BUCKETS", bucket::LINES))?;
    let (family, source) = Address::of(address.to_canonical());
    let ahead_ns = |place: Place| {
        let line = buckets.get(&place.line, 0);
        let line = line.map_err(BpfError::map("BUCKETS", bucket::LINES))?.0;
        Ok::<_, BpfError>(line.arrival_ns(place).saturating_sub(now_ns))
    };
    let divisor = divisor_of(pins, address, now_ns)?;
    let level = |class: Class, of_prefix, divisor, rate: Rate, ahead_ns: u64| LimitLevel {
        class,
        of_prefix,
        divisor,
        // Nought would be no limit.
        rate_per_s: rate.per_second().max(1),
        burst: rate.burst(),
        used: ahead_ns.div_ceil(rate.interval_ns).min(rate.burst()),
    };
    let mut levels = Vec::new();
    for class in Class::ALL {
        let (own, prefix) = (
            settings.limits[class as usize],
            settings.levels.prefix[class as usize],
        );
        if own.interval_ns != 0 {
            // Control messages have two buckets, of which the fuller one counts; for the others both are one.
            let key = source_key(family, source);
            let of = |apart| ahead_ns(bucket::of_source(class, key, apart, settings.seed));
            // Control messages are never divided.
            let divisor = if class == Class::Control { 1 } else { divisor };
            let ahead_ns = of(false)?.max(of(true)?);
            levels.push(level(class, false, divisor, own.divided(divisor), ahead_ns));
        }
        if prefix.interval_ns != 0 && has_prefix(family, source) {
            let place = bucket::of_prefix(class, prefix_key(family, source), settings.seed);
            levels.push(level(class, true, 1, prefix, ahead_ns(place)?));
        }
    }
    Ok(levels)
}
