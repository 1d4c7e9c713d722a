//! Operators' words about their rules, in the map `NOTES`; the datapath never reads them.

use std::net::IpAddr;

use aya::maps::{HashMap, MapData};
use netguard_common::{
    layout::{Note, NoteKey},
    packet::mapped,
};

use super::{BpfError, List, Pins, catalogue::capacity, raw::Raw, storage::missing};
use crate::prefix::Prefix;

/// The notes of an instance.
pub(super) struct Notes {
    map: HashMap<MapData, Raw<NoteKey>, Raw<Note>>,
    capacity: u32,
}

impl Notes {
    pub(super) fn open(pins: &Pins) -> Result<Self, BpfError> {
        let map = pins.open("NOTES")?;
        let capacity = capacity(&map);
        let map = map.try_into().map_err(BpfError::map("NOTES", 0))?;
        Ok(Self { map, capacity })
    }

    pub(super) fn read(&self, list: List, prefix: Prefix) -> Option<String> {
        let note = self.map.get(&Raw(key(list, prefix)), 0).ok()?.0;
        let len = note
            .text
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(note.text.len());
        Some(String::from_utf8_lossy(&note.text[..len]).into_owned())
    }

    /// Notes are cut at a character boundary to the 64 bytes they have.
    pub(super) fn write(&mut self, list: List, prefix: Prefix, note: Option<&str>) -> Result<(), BpfError> {
        let key = Raw(key(list, prefix));
        let Some(words) = note.filter(|words| !words.is_empty()) else {
            // Most rules have none: nothing to remove is no error.
            return match self.map.remove(&key) {
                Err(error) if !missing(&error) => Err(BpfError::map("NOTES", 0)(error)),
                _ => Ok(()),
            };
        };
        let mut text = [0; 64];
        let len = (0..=words.len().min(text.len()))
            .rev()
            .find(|&len| words.is_char_boundary(len))
            .unwrap_or(0);
        text[..len].copy_from_slice(&words.as_bytes()[..len]);
        self.map.insert(key, Raw(Note { text }), 0).map_err(|error| {
            match BpfError::map("NOTES", self.capacity)(error) {
                BpfError::Full { capacity, .. } => BpfError::NotesFull { capacity },
                other => other,
            }
        })
    }
}

fn key(list: List, prefix: Prefix) -> NoteKey {
    let bits = u32::from(prefix.bits());
    let (address, prefix_len) = match prefix.address() {
        IpAddr::V4(address) => (mapped(address.octets()), 96 + bits),
        IpAddr::V6(address) => (address.octets(), bits),
    };
    NoteKey {
        address,
        prefix_len,
        list: list as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_tell_families_and_lists_apart() {
        let prefix: Prefix = "192.0.2.0/24".parse().expect("a prefix");
        let v4 = key(List::Block, prefix);
        assert_eq!((v4.prefix_len, &v4.address[12..]), (120, &[192, 0, 2, 0][..]));
        assert_ne!(v4, key(List::Allow, prefix));
    }
}
