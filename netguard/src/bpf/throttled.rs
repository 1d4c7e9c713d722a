//! The maps `THROTTLED` and `THROTTLE_FILTER`: sources whose limits are divided. Entries end by themselves, and are renewed as long as they are
//! wanted.

use std::{collections::BTreeMap, net::IpAddr};

use aya::maps::{Array, HashMap, MapData, MapError};
use netguard_common::{
    limit::{source_hash, source_key},
    packet::Address,
    throttle::{FILTER_WORDS, Throttle, filter_bit},
};

use super::{BpfError, Pins, catalogue::capacity};

/// How long an entry lasts, and from when on it is renewed.
const LASTS_NS: u64 = 60_000_000_000;
const RENEWED_NS: u64 = LASTS_NS / 2;
/// Entries that are renewed at once: all that there may be are within those thirty seconds.
const RENEWED_AT_ONCE: usize = 1_024;

/// The throttled sources of an instance.
pub struct Throttled {
    map: HashMap<MapData, u64, u64>,
    filter: Array<MapData, u64>,
    capacity: usize,
    /// What was written, by key.
    written: BTreeMap<u64, Throttle>,
    /// The words of the filter.
    words: Vec<u64>,
    seed: u64,
}

impl Throttled {
    /// Opens the pinned maps of an instance with the secret `seed`; what an earlier daemon wrote counts as written.
    ///
    /// # Errors
    /// When nothing is pinned or it may not be opened.
    pub fn open(pins: &Pins, seed: u64) -> Result<Self, BpfError> {
        let map = pins.open("THROTTLED")?;
        let capacity = capacity(&map) as usize;
        let map: HashMap<_, u64, u64> = map.try_into().map_err(BpfError::map("THROTTLED", 0))?;
        let filter: Array<_, u64> = pins
            .open("THROTTLE_FILTER")?
            .try_into()
            .map_err(BpfError::map("THROTTLE_FILTER", FILTER_WORDS))?;
        let written = map
            .iter()
            .map(|entry| entry.map(|(key, word)| (key, Throttle(word))));
        let written: Result<_, MapError> = written.collect();
        let words = (0..FILTER_WORDS).map(|index| filter.get(&index, 0));
        let words: Result<_, _> = words.collect();
        Ok(Self {
            capacity,
            written: written.map_err(BpfError::map("THROTTLED", 0))?,
            words: words.map_err(BpfError::map("THROTTLE_FILTER", FILTER_WORDS))?,
            map,
            filter,
            seed,
        })
    }

    /// Has the limits of `wanted`, sources with their divisors, divided from `now_ns` on, and no others. Those beyond the room of the map keep
    /// theirs.
    ///
    /// # Errors
    /// When the kernel refuses; what was written holds.
    pub fn follow(
        &mut self,
        wanted: impl IntoIterator<Item = (IpAddr, u8)>,
        now_ns: u64,
    ) -> Result<(), BpfError> {
        let wanted = wanted.into_iter().take(self.capacity);
        let wanted: BTreeMap<u64, u8> = wanted.map(|(source, divisor)| (key(source), divisor)).collect();
        let written = self.write_entries(wanted, now_ns);
        // Each time: an error, or the end of a daemon, may have kept it behind the entries.
        self.write_filter()?;
        written
    }

    fn write_entries(&mut self, wanted: BTreeMap<u64, u8>, now_ns: u64) -> Result<(), BpfError> {
        let failed = BpfError::map("THROTTLED", 0);
        let gone = self.written.keys().filter(|key| !wanted.contains_key(key));
        for key in gone.copied().collect::<Vec<u64>>() {
            match self.map.remove(&key) {
                Ok(()) | Err(MapError::KeyNotFound) => self.written.remove(&key),
                Err(error) => return Err(failed(error)),
            };
        }
        let mut renewed = 0;
        for (key, divisor) in wanted {
            let written = self.written.get(&key).copied();
            let is_new = written.is_none_or(|written| written.divisor(now_ns) != u32::from(divisor));
            let is_old =
                written.is_some_and(|written| written.until_ns() < now_ns.saturating_add(RENEWED_NS));
            if !is_new && (!is_old || renewed >= RENEWED_AT_ONCE) {
                continue;
            }
            renewed += usize::from(!is_new);
            let throttle = Throttle::new(divisor, now_ns.saturating_add(LASTS_NS));
            self.map.insert(key, throttle.0, 0).map_err(&failed)?;
            self.written.insert(key, throttle);
        }
        Ok(())
    }

    fn write_filter(&mut self) -> Result<(), BpfError> {
        let mut words = vec![0_u64; self.words.len()];
        for key in self.written.keys() {
            let (word, bit) = filter_bit(source_hash(*key, self.seed));
            words[word as usize] |= bit;
        }
        for (index, (written, word)) in self.words.iter_mut().zip(words).enumerate() {
            if *written != word {
                self.filter
                    .set(index as u32, word, 0)
                    .map_err(BpfError::map("THROTTLE_FILTER", FILTER_WORDS))?;
                *written = word;
            }
        }
        Ok(())
    }
}

/// By what the limits of `source` are divided at `now_ns`, as the datapath sees it; 1 is not at all.
///
/// # Errors
/// When nothing is pinned or the kernel refuses the read.
pub fn divisor_of(pins: &Pins, source: IpAddr, now_ns: u64) -> Result<u32, BpfError> {
    let failed = BpfError::map("THROTTLED", 0);
    let map: HashMap<_, u64, u64> = pins.open("THROTTLED")?.try_into().map_err(&failed)?;
    match map.get(&key(source), 0) {
        Ok(word) => Ok(Throttle(word).divisor(now_ns)),
        Err(MapError::KeyNotFound) => Ok(1),
        Err(error) => Err(failed(error)),
    }
}

fn key(source: IpAddr) -> u64 {
    let (family, address) = Address::of(source.to_canonical());
    source_key(family, address)
}
