//! A map of the kernel as memory of this process: its bytes and words one by one, since the datapath reads them meanwhile.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    sync::atomic::{AtomicU8, AtomicU64},
};

use aya::maps::{Map, MapData};
use memmap2::{MmapOptions, MmapRaw};

use super::{BpfError, catalogue::map_data};

/// The values of a mappable array.
pub(super) struct Mapped(MmapRaw);

impl Mapped {
    /// The first `bytes` of `map`, which is called `name`.
    pub(super) fn of(map: &Map, name: &'static str, bytes: usize) -> Result<Self, BpfError> {
        let missing = || BpfError::NoSuchMap(name.to_owned());
        Self::of_data(map_data(map).ok_or_else(missing)?, name, bytes)
    }

    /// As [`Mapped::of`].
    pub(super) fn of_data(map: &MapData, name: &'static str, bytes: usize) -> Result<Self, BpfError> {
        let memory = MmapOptions::new()
            .len(bytes)
            .map_raw(map.fd().as_fd().as_raw_fd());
        let memory = memory.map_err(|source| BpfError::Memory { map: name, source })?;
        Ok(Self(memory))
    }

    /// Memory of no map.
    #[cfg(test)]
    pub(super) fn anonymous(bytes: usize) -> std::io::Result<Self> {
        let memory = MmapOptions::new().len(bytes).map_anon()?;
        Ok(Self(memory.into()))
    }

    /// Byte `index`.
    ///
    /// # Panics
    /// When the memory is shorter.
    pub(super) fn byte(&self, index: usize) -> &AtomicU8 {
        assert!(index < self.0.len(), "the byte lies in the map");
        // SAFETY: inside the mapping, which lives as long as `self`; processes and the kernel use single bytes of such a map.
        unsafe { AtomicU8::from_ptr(self.0.as_mut_ptr().add(index)) }
    }

    /// Word `index`.
    ///
    /// # Panics
    /// When the memory is shorter.
    pub(super) fn word(&self, index: usize) -> &AtomicU64 {
        assert!(
            index < self.0.len() / size_of::<u64>(),
            "the word lies in the map"
        );
        // SAFETY: inside the mapping, which is page-aligned and lives as long as `self`; processes and the kernel use single
        // words of such a map.
        unsafe { AtomicU64::from_ptr(self.0.as_mut_ptr().cast::<u64>().add(index)) }
    }
}
