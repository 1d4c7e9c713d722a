//! The map `OWN`: the addresses of this machine, for which it may be answered and which nobody else may use.

use std::{collections::BTreeSet, net::IpAddr};

use aya::maps::{HashMap, MapData, MapError};
use netguard_common::{hint, packet::Address};

use super::{BpfError, Pins, SettingsMap, catalogue::capacity, hints::Hints};
use crate::prefix::Prefix;

/// An address as the map has it.
type Key = [u8; 16];

/// The own addresses of an instance.
pub struct OwnAddresses {
    map: HashMap<MapData, Key, u32>,
    hints: Hints,
    capacity: u32,
    /// What the map holds, once it was written: one read of a large one takes as many system calls as it has entries.
    held: Option<BTreeSet<Key>>,
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
        Ok(Self {
            map,
            hints,
            capacity,
            held: None,
        })
    }

    /// Makes the map hold `addresses` and no others, and tells how many found no room. Nobody else may write it meanwhile.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set(&mut self, addresses: &[IpAddr]) -> Result<usize, BpfError> {
        let failed = BpfError::map("OWN", self.capacity);
        let mut held = match self.held.take() {
            Some(held) => held,
            None => self.read()?.into_iter().collect(),
        };
        let wanted = addresses
            .iter()
            .map(IpAddr::to_canonical)
            // Nothing from a network is for these: whoever asks them must not be answered.
            .filter(|address| !address.is_loopback())
            .map(|address| Address::of(address).1.octets())
            .collect();
        let change = Change::between(&held, &wanted, self.capacity as usize);
        for gone in &change.gone {
            self.map.remove(gone).map_err(&failed)?;
            held.remove(gone);
        }
        for new in &change.new {
            self.map.insert(new, 1, 0).map_err(&failed)?;
            held.insert(*new);
        }
        // All of them: who rebuilt the hints meanwhile may not have known the new ones.
        for key in &held {
            self.hints.set(prefix(*key), hint::OWN);
        }
        self.held = Some(held);
        Ok(change.left_out)
    }

    /// Whether `address` is one of them.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn contains(&self, address: IpAddr) -> Result<bool, BpfError> {
        let key = Address::of(address.to_canonical()).1.octets();
        match self.map.get(&key, 0) {
            Ok(_) => Ok(true),
            Err(MapError::KeyNotFound) => Ok(false),
            Err(error) => Err(BpfError::map("OWN", self.capacity)(error)),
        }
    }

    /// The addresses, as prefixes.
    pub(super) fn prefixes(&self) -> Result<Vec<Prefix>, BpfError> {
        Ok(self.read()?.into_iter().map(prefix).collect())
    }

    fn read(&self) -> Result<Vec<Key>, BpfError> {
        let keys = self.map.keys().collect::<Result<_, _>>();
        keys.map_err(BpfError::map("OWN", self.capacity))
    }
}

fn prefix(key: Key) -> Prefix {
    Prefix::from(IpAddr::from(key).to_canonical())
}

/// What is to be done to a table.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    gone: Vec<Key>,
    new: Vec<Key>,
    /// How many find no room.
    left_out: usize,
}

impl Change {
    /// That makes a table with `held` hold `wanted`, or as many as it has room for. Who is in it stays: what is in force for an
    /// address must not come and go with its neighbours. IPv4 goes before IPv6.
    fn between(held: &BTreeSet<Key>, wanted: &BTreeSet<Key>, capacity: usize) -> Self {
        let gone: Vec<Key> = held.difference(wanted).copied().collect();
        let room = capacity.saturating_sub(held.len() - gone.len());
        let mut new: Vec<Key> = wanted.difference(held).copied().collect();
        let left_out = new.len().saturating_sub(room);
        new.truncate(room);
        Self { gone, new, left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(texts: &[&str]) -> BTreeSet<Key> {
        let key = |text: &&str| Address::of(text.parse::<IpAddr>().unwrap()).1.octets();
        texts.iter().map(key).collect()
    }

    #[test]
    fn who_is_in_the_table_stays_and_ipv4_comes_first() {
        let held = keys(&["192.0.2.9", "2001:db8::9", "198.51.100.1"]);
        let wanted = keys(&[
            "2001:db8::1",
            "2001:db8::9",
            "192.0.2.1",
            "192.0.2.9",
            "198.51.100.7",
        ]);
        let change = |capacity| Change::between(&held, &wanted, capacity);
        let gone: Vec<Key> = keys(&["198.51.100.1"]).into_iter().collect();
        let new = |texts: &[&str]| -> Vec<Key> { keys(texts).into_iter().collect() };
        for (capacity, entering, left_out) in [
            (3, &["192.0.2.1"][..], 2),
            (4, &["192.0.2.1", "198.51.100.7"], 1),
            (5, &["192.0.2.1", "198.51.100.7", "2001:db8::1"], 0),
            (65_536, &["192.0.2.1", "198.51.100.7", "2001:db8::1"], 0),
            (1, &[], 3),
        ] {
            let expected = Change {
                gone: gone.clone(),
                new: new(entering),
                left_out,
            };
            assert_eq!(change(capacity), expected, "{capacity}");
        }
    }
}
