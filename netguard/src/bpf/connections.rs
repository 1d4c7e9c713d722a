//! The maps of the connection stage: who holds how many connections, what corrects these numbers, and which connections are in excess.

use std::{collections::HashMap, net::IpAddr};

use aya::maps::{HashMap as KernelMap, Map, MapData, MapError, PerCpuArray};
use netguard_common::{
    connection::{Held, Holder, NOTHING, OPENED, UNCOUNTED, corrected},
    packet::Address,
};

use super::{BpfError, Pins, catalogue::map_data, many::read_all, raw::Raw, storage::missing};

/// The counts of an instance.
pub struct Connections {
    held: KernelMap<MapData, Raw<Holder>, Raw<Held>>,
    /// Again, for reading all of it at once.
    all_held: Map,
    corrections: KernelMap<MapData, Raw<Holder>, i32>,
    /// Of those that had nothing at the last look, how many they had opened.
    idle: HashMap<HolderKey, u32>,
    sums: PerCpuArray<MapData, u64>,
}

/// Key and level of a [`Holder`].
pub type HolderKey = (u64, u64);

/// What one holder has, as [`Connections::list`] tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBy {
    pub holder: Holder,
    /// What the kernel counted, and what there is with the correction.
    counted: u64,
    pub count: u32,
    pub penalties: u32,
    /// Until when (monotonic) no connection more is admitted.
    pub until_ns: u64,
}

impl HeldBy {
    /// What the kernel counted.
    pub fn counted(&self) -> (HolderKey, u32) {
        (key(&self.holder), u32::try_from(self.counted).unwrap_or(u32::MAX))
    }
}

impl Connections {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// When nothing is pinned or they may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        let held = pins.open(HELD)?.try_into().map_err(BpfError::map(HELD, 0))?;
        let corrections = pins.open(CORRECTIONS)?;
        let sums = pins.open(SUMS)?;
        Ok(Self {
            held,
            all_held: pins.open(HELD)?,
            corrections: corrections.try_into().map_err(BpfError::map(CORRECTIONS, 0))?,
            idle: HashMap::new(),
            sums: sums.try_into().map_err(BpfError::map(SUMS, 0))?,
        })
    }

    /// Every holder that has connections, had some lately, or is refused.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn list(&self) -> Result<Vec<HeldBy>, BpfError> {
        let mut corrections = self.corrections()?;
        let mut list: Vec<HeldBy> = self
            .held()?
            .into_iter()
            .map(|(holder, held)| told(holder, held, corrections.remove(&key(&holder)).unwrap_or(0)))
            .collect();
        // Whose connections all stood before they were counted.
        list.extend(
            corrections
                .into_iter()
                .map(|(at, correction)| told(holder(at), NOTHING, correction)),
        );
        Ok(list)
    }

    /// What `source` has, and what its prefix has, if it has one.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn of(&self, source: IpAddr) -> Result<(HeldBy, Option<HeldBy>), BpfError> {
        let (family, source) = Address::of(source.to_canonical());
        let (source, prefix) = Holder::of(family, source);
        Ok((
            self.one(source)?,
            prefix.map(|prefix| self.one(prefix)).transpose()?,
        ))
    }

    /// What the kernel counted, by holder, without corrections.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn counted(&self) -> Result<HashMap<HolderKey, u32>, BpfError> {
        let held = self.held()?.into_iter();
        Ok(held
            .map(|(holder, held)| told(holder, held, 0).counted())
            .collect())
    }

    /// Makes `corrections` hold, and no others. Where there is no room, those that stand stay.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn correct(&mut self, corrections: &HashMap<HolderKey, i32>) -> Result<(), BpfError> {
        let standing = self.corrections()?;
        let failed = BpfError::map(CORRECTIONS, 0);
        for gone in standing.keys().filter(|key| !corrections.contains_key(key)) {
            self.corrections.remove(&Raw(holder(*gone))).map_err(&failed)?;
        }
        for (key, correction) in corrections {
            if standing.get(key) == Some(correction) {
                continue;
            }
            match self.corrections.insert(Raw(holder(*key)), correction, 0) {
                Ok(()) => {}
                // Those that have room are right; the others are counted from now on only.
                Err(_) if !standing.contains_key(key) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Forgets holders that have nothing any more, opened nothing since the last time, and are not refused at `now_ns`, nor were for
    /// `remember_ns` before. (Behind an address that many share hardly any two are connected at the same moment, and at some moments nobody.)
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn forget(&mut self, now_ns: u64, remember_ns: u64) -> Result<(), BpfError> {
        let has_nothing = |held: &Held| held.count == 0 && held.until_ns.saturating_add(remember_ns) < now_ns;
        let idle: Vec<(Holder, u32)> = self
            .held()?
            .into_iter()
            .filter(|(_, held)| has_nothing(held))
            .map(|(holder, held)| (holder, held.opened))
            .collect();
        let before = std::mem::take(&mut self.idle);
        for (holder, opened) in idle {
            if before.get(&key(&holder)) != Some(&opened) {
                self.idle.insert(key(&holder), opened);
                continue;
            }
            // Who opened one just now keeps its entry; in the moment between these two calls it is put right by a correction.
            let still = self.held.get(&Raw(holder), 0).is_ok_and(|held| held.0.count == 0);
            if still {
                // One that is gone by now is no matter.
                let _ = self.held.remove(&Raw(holder));
            }
        }
        Ok(())
    }

    /// Connections that were not counted since the maps were made, since there was no room.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn uncounted(&self) -> Result<u64, BpfError> {
        self.sum(UNCOUNTED)
    }

    /// Connections that others opened with this machine since the maps were made.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn opened(&self) -> Result<u64, BpfError> {
        self.sum(OPENED)
    }

    /// The same of the source `address` (IPv4 address, IPv6 /64), as far as it is remembered; begins anew after the largest number.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn opened_by(&self, address: IpAddr) -> Result<u32, BpfError> {
        let (family, address) = Address::of(address.to_canonical());
        let (source, _) = Holder::of(family, address);
        let held = found(HELD, self.held.get(&Raw(source), 0))?;
        Ok(held.map_or(0, |held| held.0.opened))
    }

    fn sum(&self, cell: u32) -> Result<u64, BpfError> {
        let cpus = self.sums.get(&cell, 0).map_err(BpfError::map(SUMS, 0))?;
        Ok(cpus.iter().fold(0, |sum: u64, cpu| sum.wrapping_add(*cpu)))
    }

    fn one(&self, holder: Holder) -> Result<HeldBy, BpfError> {
        let held = found(HELD, self.held.get(&Raw(holder), 0))?;
        let correction = found(CORRECTIONS, self.corrections.get(&Raw(holder), 0))?;
        Ok(told(
            holder,
            held.map_or(NOTHING, |held| held.0),
            correction.unwrap_or(0),
        ))
    }

    fn held(&self) -> Result<Vec<(Holder, Held)>, BpfError> {
        let Some(data) = map_data(&self.all_held) else {
            return Err(BpfError::NoSuchMap(HELD.to_owned()));
        };
        let all = read_all(data, (Raw(holder((0, 0))), Raw(NOTHING)));
        let all = all.map_err(|source| BpfError::Read { map: HELD, source })?;
        Ok(all.into_iter().map(|(holder, held)| (holder.0, held.0)).collect())
    }

    /// By what counts are corrected.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn corrections(&self) -> Result<HashMap<HolderKey, i32>, BpfError> {
        self.corrections
            .iter()
            .map(|entry| entry.map(|(holder, correction)| (key(&holder.0), correction)))
            .collect::<Result<_, _>>()
            .map_err(BpfError::map(CORRECTIONS, 0))
    }
}

const HELD: &str = "CONNECTIONS";
const CORRECTIONS: &str = "CORRECTIONS";
const SUMS: &str = "CONNECTION_SUMS";

fn told(holder: Holder, held: Held, correction: i32) -> HeldBy {
    HeldBy {
        holder,
        counted: held.count,
        count: corrected(held.count, correction),
        penalties: held.penalties,
        until_ns: held.until_ns,
    }
}

/// What was found in `map`; `None` where there is nothing.
fn found<T>(map: &'static str, found: Result<T, MapError>) -> Result<Option<T>, BpfError> {
    match found {
        Ok(value) => Ok(Some(value)),
        Err(error) if missing(&error) => Ok(None),
        Err(error) => Err(BpfError::map(map, 0)(error)),
    }
}

const fn key(holder: &Holder) -> HolderKey {
    (holder.key, holder.level)
}

const fn holder((key, level): HolderKey) -> Holder {
    Holder { key, level }
}

/// The numbers under which the connections of `peer` are counted, see [`Holder::of`].
pub fn holders_of(peer: IpAddr) -> impl Iterator<Item = HolderKey> {
    let (family, peer) = Address::of(peer.to_canonical());
    let (source, prefix) = Holder::of(family, peer);
    [Some(source), prefix]
        .into_iter()
        .flatten()
        .map(|holder| key(&holder))
}
