//! Objects that others wrote, loaded for benchmarks: their maps have sizes, pins and values of their own.

use std::path::Path;

use aya::{
    EbpfLoader,
    maps::{MapData, PerCpuHashMap, PerCpuValues},
};

use super::{BpfError, TestObject, load::refused_load};

impl TestObject {
    /// Loads an object of others, with these sizes for its maps; those that it wants pinned are pinned in `pins`.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn foreign(
        object: &[u8],
        sizes: &[(&'static str, u32)],
        pins: Option<&Path>,
    ) -> Result<Self, BpfError> {
        let mut loader = EbpfLoader::new();
        for &(map, entries) in sizes {
            loader.map_max_entries(map, entries);
        }
        if let Some(pins) = pins {
            loader.default_map_pin_directory(pins);
        }
        Ok(Self {
            ebpf: loader.load(object).map_err(refused_load)?,
            announced: None,
        })
    }

    /// Puts `value` for every CPU into a hash of others that has a value for each.
    ///
    /// # Errors
    /// When the table has other keys or values, or refuses the entry.
    pub fn insert_per_cpu<const N: usize>(
        &mut self,
        map: &'static str,
        key: [u8; N],
        value: u64,
    ) -> Result<(), BpfError> {
        let failed = |source| BpfError::Read { map, source };
        let cpus = aya::util::nr_cpus().map_err(|(_, source)| failed(source))?;
        let values = PerCpuValues::try_from(vec![value; cpus]).map_err(failed)?;
        let mut hash: PerCpuHashMap<&mut MapData, [u8; N], u64> = self.map(map)?;
        hash.insert(key, values, 0).map_err(BpfError::map(map, 0))
    }
}
