//! What the catalogue says of a map.

use crate::shared::fnv1a;

/// The kinds of map that netguard uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    Array,
    PerCpuArray,
    Hash,
    LpmTrie,
    RingBuf,
    /// An array of arrays.
    ArrayOfMaps,
    LruHash,
    /// What sockets carry; it goes with them.
    SkStorage,
    /// Interfaces that frames are redirected to; the kernel removes those that are gone.
    DevMapHash,
}

/// One map of the catalogue. Sizes are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct MapSpec {
    pub name: &'static str,
    pub kind: MapKind,
    pub key_size: u32,
    pub value_size: u32,
    /// Default number of entries (bytes for a ring buffer); rule tables can be resized by configuration.
    pub max_entries: u32,
    pub help: &'static str,
}

impl MapSpec {
    /// Folds what must agree between object, pins and daemon into `hash`. The size does not: it is configurable.
    pub(crate) const fn fold(&self, hash: u64) -> u64 {
        let hash = fnv1a(hash, self.name.as_bytes());
        let hash = fnv1a(hash, &(self.kind as u32).to_le_bytes());
        let hash = fnv1a(hash, &self.key_size.to_le_bytes());
        fnv1a(hash, &self.value_size.to_le_bytes())
    }
}

/// Size of an LPM trie key: a 32-bit prefix length before the data.
#[repr(C, packed)]
pub(super) struct Lpm<K>(u32, K);

/// A single value for each CPU.
pub(super) const fn of_each_cpu<V>(name: &'static str, help: &'static str) -> MapSpec {
    spec::<u32, V>(name, MapKind::PerCpuArray, 1, help)
}

pub(super) const fn spec<K, V>(
    name: &'static str,
    kind: MapKind,
    max_entries: usize,
    help: &'static str,
) -> MapSpec {
    MapSpec {
        name,
        kind,
        key_size: size_of::<K>() as u32,
        value_size: size_of::<V>() as u32,
        max_entries: max_entries as u32,
        help,
    }
}

pub(super) const fn ring(name: &'static str, bytes: usize, help: &'static str) -> MapSpec {
    MapSpec {
        name,
        kind: MapKind::RingBuf,
        key_size: 0,
        value_size: 0,
        max_entries: bytes as u32,
        help,
    }
}
