//! The map `OWN`: the addresses of this machine, for which it may be answered and which nobody else may use.

use std::net::IpAddr;

use aya::maps::{HashMap, MapData};
use netguard_common::{hint, packet::Address};

use super::{BpfError, Pins, SettingsMap, catalogue::capacity, hints::Hints};
use crate::prefix::Prefix;

/// The own addresses of an instance.
pub struct OwnAddresses {
    map: HashMap<MapData, [u8; 16], u32>,
    hints: Hints,
    capacity: u32,
}

impl OwnAddresses {
    /// Opens the pinned map.
    ///
    /// # Errors
    /// When nothing is pinned or it may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        let map = pins.open("OWN")?;
        let capacity = capacity(&map);
        let map = map.try_into().map_err(BpfError::map("OWN", 0))?;
        let seed = SettingsMap::open(pins)?.read()?.seed;
        let hints = Hints::open(pins, seed)?;
        Ok(Self { map, hints, capacity })
    }

    /// Makes the map hold `addresses` and no others.
    ///
    /// # Errors
    /// When it is full, or the kernel refuses.
    pub fn set(&mut self, addresses: &[IpAddr]) -> Result<(), BpfError> {
        let failed = BpfError::map("OWN", self.capacity);
        let wanted: Vec<[u8; 16]> = addresses
            .iter()
            .map(|address| Address::of(address.to_canonical()).1.octets())
            .collect();
        let standing = self.standing()?;
        for gone in standing.iter().filter(|address| !wanted.contains(address)) {
            self.map.remove(gone).map_err(&failed)?;
        }
        for new in wanted.iter().filter(|address| !standing.contains(address)) {
            self.map.insert(new, 1, 0).map_err(&failed)?;
        }
        for prefix in self.prefixes()? {
            self.hints.set(prefix, hint::OWN);
        }
        Ok(())
    }

    /// The addresses, as prefixes.
    pub(super) fn prefixes(&self) -> Result<Vec<Prefix>, BpfError> {
        let own = |octets| Prefix::from(IpAddr::from(octets).to_canonical());
        Ok(self.standing()?.into_iter().map(own).collect())
    }

    fn standing(&self) -> Result<Vec<[u8; 16]>, BpfError> {
        let keys = self.map.keys().collect::<Result<_, _>>();
        keys.map_err(BpfError::map("OWN", self.capacity))
    }
}
