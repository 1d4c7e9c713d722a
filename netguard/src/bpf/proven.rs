//! The map `PROVEN`: sources that have an established TCP connection, so that their address is their own.

use std::net::IpAddr;

use aya::maps::{HashMap, MapData};
use netguard_common::{limit::source_key, packet::Address};

use super::{BpfError, Pins, catalogue::capacity};

/// The proven sources of an instance.
pub struct Proven {
    map: HashMap<MapData, u64, u64>,
    capacity: usize,
}

impl Proven {
    /// Opens the pinned map.
    ///
    /// # Errors
    /// When nothing is pinned or it may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        let map = pins.open("PROVEN")?;
        let capacity = capacity(&map) as usize;
        let map = map.try_into().map_err(BpfError::map("PROVEN", 0))?;
        Ok(Self { map, capacity })
    }

    /// Lets the sources of `peers` count as proven until `until_ns`, and forgets those whose time is up at `now_ns`. Where there
    /// is no room, those that stand stay. Tells how many found no room.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn refresh(
        &mut self,
        peers: impl Iterator<Item = IpAddr>,
        now_ns: u64,
        until_ns: u64,
    ) -> Result<usize, BpfError> {
        let failed = BpfError::map("PROVEN", 0);
        let mut standing = 0;
        let keys: Vec<u64> = self.map.keys().collect::<Result<_, _>>().map_err(&failed)?;
        for key in keys {
            if self.map.get(&key, 0).is_ok_and(|until| until > now_ns) {
                standing += 1;
            } else {
                self.map.remove(&key).map_err(&failed)?;
            }
        }
        let mut without = 0;
        for peer in peers {
            let (family, address) = Address::of(peer);
            let key = source_key(family, address);
            let known = self.map.get(&key, 0).is_ok();
            if !known && standing >= self.capacity {
                without += 1;
                continue;
            }
            self.map.insert(key, until_ns, 0).map_err(&failed)?;
            standing += usize::from(!known);
        }
        Ok(without)
    }

    /// Until when `source` counts as proven, monotonic ns.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn until_ns(&self, source: IpAddr) -> Result<Option<u64>, BpfError> {
        let (family, address) = Address::of(source.to_canonical());
        match self.map.get(&source_key(family, address), 0) {
            Ok(until_ns) => Ok(Some(until_ns)),
            Err(aya::maps::MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(BpfError::map("PROVEN", 0)(error)),
        }
    }
}
