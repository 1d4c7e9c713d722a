//! Reads and writes the datapath's settings. The kernel copies word by word, and every field is a word or
//! less: a packet judged during a write may see one field new and another old, never half of one.

use aya::maps::{Array, MapData};
use netguard_common::layout::Settings;

use super::{BpfError, Pins, raw::Raw};

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
        Ok(Self { map: pins.open("SETTINGS")?.try_into().map_err(BpfError::map("SETTINGS", 1))? })
    }

    /// # Errors
    /// When the kernel refuses the read.
    pub fn read(&self) -> Result<Settings, BpfError> {
        self.map.get(&0, 0).map(|raw| raw.0).map_err(BpfError::map("SETTINGS", 1))
    }

    /// # Errors
    /// When the kernel refuses the write.
    pub fn write(&mut self, settings: &Settings) -> Result<(), BpfError> {
        self.map.set(0, Raw(*settings), 0).map_err(BpfError::map("SETTINGS", 1))
    }
}
