//! Lists, dumps and reads pinned maps as JSON, with the daemon dead or alive.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::maps::{HashMap, LpmTrie, Map, MapData, MapError, xdp::DevMapHash};
use netguard_common::{
    connection::{Held, Holder},
    l7::{Talk, TalkKey},
    layout::{NetworkV4, Note, NoteKey, Question, Rule},
    maps::{MAPS, MapKind, MapSpec},
    shared::Shared,
    throttle::Throttle,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{BpfError, Pins, links::number, ranges::extent, raw::Raw};

mod arrays;
mod render;

use render::render;
pub use render::{holder as holder_text, source as source_of_key};

/// A pinned map as the kernel describes it.
#[derive(Clone, Debug, Serialize)]
pub struct MapInfo {
    pub name: &'static str,
    pub kind: &'static str,
    pub max_entries: u32,
    pub key_size: u32,
    pub value_size: u32,
    /// Memory that the map occupies now.
    pub memory_bytes: u64,
    pub help: &'static str,
}

/// One entry of a map. Values of per-CPU maps are lists, one element for each CPU.
#[derive(Clone, Debug, Serialize)]
pub struct DumpedEntry {
    pub key: Value,
    pub value: Value,
}

/// Every map of the instance.
///
/// # Errors
/// When nothing is pinned or it may not be opened.
pub fn list_maps(pins: &Pins) -> Result<Vec<MapInfo>, BpfError> {
    MAPS.iter()
        .map(|spec| {
            let map = pins.open(spec.name)?;
            let (max_entries, memory_bytes) = map_data(&map).map_or((spec.max_entries, 0), |data| {
                (
                    data.info().map_or(spec.max_entries, |info| info.max_entries()),
                    memory(data),
                )
            });
            let inner = match spec.kind {
                MapKind::ArrayOfMaps => extent(pins)?.1,
                _ => 0,
            };
            Ok(MapInfo {
                name: spec.name,
                kind: kind_name(spec.kind),
                max_entries,
                key_size: spec.key_size,
                value_size: spec.value_size,
                memory_bytes: memory_bytes + inner,
                help: spec.help,
            })
        })
        .collect()
}

/// All entries of map `name`, at most `limit`; zero entries of arrays are left out.
///
/// # Errors
/// When there is no such map, or it is a ring buffer.
pub fn dump_map(pins: &Pins, name: &str, limit: usize) -> Result<Vec<DumpedEntry>, BpfError> {
    let spec = spec(name)?;
    let mut entries = match spec.name {
        "RANGES" => generation(pins)?.into_iter().collect(),
        name => read(spec, pins.open(name)?)?,
    };
    entries.truncate(limit);
    Ok(entries)
}

/// The entry of map `name` under `key`, written as `map dump` writes keys.
///
/// # Errors
/// When there is no such map, or `key` is not among its entries.
pub fn lookup_in_map(pins: &Pins, name: &str, key: &str) -> Result<DumpedEntry, BpfError> {
    let spec = spec(name)?;
    let map = pins.open(spec.name)?;
    let bad_key = |expected| BpfError::BadKey {
        map: spec.name,
        key: key.to_owned(),
        expected,
    };
    if spec.name == "RANGES" {
        let found = generation(pins)?;
        return found.ok_or_else(|| bad_key("no feed, country or autonomous system is configured"));
    }
    if matches!(spec.kind, MapKind::Array | MapKind::PerCpuArray) {
        let index: u32 = key
            .parse()
            .map_err(|_| bad_key("expected a whole number, the index of an entry"))?;
        return read_index(spec, map, index)?.ok_or_else(|| bad_key("the index is beyond the last entry"));
    }
    read(spec, map)?
        .into_iter()
        .find(|entry| entry.key.as_str().is_some_and(|text| text == key))
        .ok_or_else(|| BpfError::NoEntry {
            map: spec.name,
            key: key.to_owned(),
        })
}

/// Key size, value size and memory in bytes of `map`.
pub(super) fn describe(map: &Map) -> Option<(u32, u32, u64)> {
    let data = map_data(map)?;
    let info = data.info().ok()?;
    Some((info.key_size(), info.value_size(), memory(data)))
}

/// Entries that `map` holds at the most; 0 when the kernel does not say.
pub(super) fn capacity(map: &Map) -> u32 {
    map_data(map)
        .and_then(|data| data.info().ok())
        .map_or(0, |info| info.max_entries())
}

fn spec(name: &str) -> Result<&'static MapSpec, BpfError> {
    MAPS.iter()
        .find(|spec| spec.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| BpfError::NoSuchMap(name.to_owned()))
}

fn read(spec: &'static MapSpec, map: Map) -> Result<Vec<DumpedEntry>, BpfError> {
    let wrap = BpfError::map(spec.name, spec.max_entries);
    match spec.name {
        "BLOCK_V4" => {
            let map: HashMap<_, [u8; 4], Raw<Rule>> = map.try_into().map_err(&wrap)?;
            pairs(map.iter(), |key| Ipv4Addr::from(key).to_string())
        }
        "BLOCK_V6" => {
            let map: HashMap<_, [u8; 16], Raw<Rule>> = map.try_into().map_err(&wrap)?;
            pairs(map.iter(), |key| Ipv6Addr::from(key).to_string())
        }
        "BLOCK_V6_NET64" => {
            let map: HashMap<_, [u8; 8], Raw<Rule>> = map.try_into().map_err(&wrap)?;
            pairs(map.iter(), |key| {
                format!("{}/64", Ipv6Addr::from(u128::from(u64::from_be_bytes(key)) << 64))
            })
        }
        "ALLOW_V4" | "BLOCK_NET_V4" => {
            let map: LpmTrie<_, [u8; 4], Raw<Rule>> = map.try_into().map_err(&wrap)?;
            pairs(map.iter(), |key| {
                format!("{}/{}", Ipv4Addr::from(key.data()), key.prefix_len())
            })
        }
        "OWN" => {
            let map: HashMap<_, [u8; 16], u32> = map.try_into().map_err(&wrap)?;
            let entries = map.iter().map(|entry| {
                let (key, value) = entry?;
                Ok(DumpedEntry {
                    key: Value::String(IpAddr::from(key).to_canonical().to_string()),
                    value: value.into(),
                })
            });
            entries.collect()
        }
        "THROTTLED" => {
            let map: HashMap<_, u64, u64> = map.try_into().map_err(&wrap)?;
            let entries = map.iter().map(|entry| {
                let (key, word) = entry?;
                let throttle = Throttle(word);
                let until_ns = throttle.until_ns();
                // Before its time is up, whenever that is.
                let divisor = throttle.divisor(until_ns.saturating_sub(1));
                Ok(DumpedEntry {
                    key: Value::String(render::source(key)),
                    value: json!({ "divisor": divisor, "until_ns": until_ns }),
                })
            });
            entries.collect()
        }
        "PROVEN" => {
            let map: HashMap<_, u64, u64> = map.try_into().map_err(&wrap)?;
            let entries = map.iter().map(|entry| {
                let (key, until_ns) = entry?;
                Ok(DumpedEntry {
                    key: Value::String(render::source(key)),
                    value: until_ns.into(),
                })
            });
            entries.collect()
        }
        "BLOCK_WIDE_V4" => {
            let map: HashMap<_, Raw<NetworkV4>, Raw<Rule>> = map.try_into().map_err(&wrap)?;
            pairs(map.iter(), |key| {
                format!("{}/{}", Ipv4Addr::from(key.0.address), key.0.bits)
            })
        }
        "ALLOW_V6" | "BLOCK_NET_V6" => {
            let map: LpmTrie<_, [u8; 16], Raw<Rule>> = map.try_into().map_err(&wrap)?;
            pairs(map.iter(), |key| {
                format!("{}/{}", Ipv6Addr::from(key.data()), key.prefix_len())
            })
        }
        "NOTES" => {
            let map: HashMap<_, Raw<NoteKey>, Raw<Note>> = map.try_into().map_err(&wrap)?;
            pairs(map.iter(), |key| render::note_key(&key.0))
        }
        "QUESTIONS" => {
            let map: HashMap<_, Raw<Question>, u64> = map.try_into().map_err(&wrap)?;
            let entries = map.iter().map(|entry| {
                let (key, value) = entry?;
                Ok(DumpedEntry {
                    key: Value::String(render::question(&key.0)),
                    value: value.into(),
                })
            });
            entries.collect()
        }
        "CONNECTIONS" => {
            let map: HashMap<_, Raw<Holder>, Raw<Held>> = map.try_into().map_err(&wrap)?;
            pairs(map.iter(), |key| render::holder(&key.0))
        }
        "TALKS" => {
            let map: HashMap<_, Raw<TalkKey>, Raw<Talk>> = map.try_into().map_err(&wrap)?;
            pairs(map.iter(), |key| render::talk(&key.0))
        }
        "REDIRECTS" => {
            let map: DevMapHash<_> = map.try_into().map_err(&wrap)?;
            let entries = map.iter().map(|entry| {
                let (key, device) = entry?;
                Ok(DumpedEntry {
                    key: Value::String(key.to_string()),
                    value: device.if_index.into(),
                })
            });
            entries.collect()
        }
        "CORRECTIONS" => {
            let map: HashMap<_, Raw<Holder>, i32> = map.try_into().map_err(&wrap)?;
            let entries = map.iter().map(|entry| {
                let (key, value) = entry?;
                Ok(DumpedEntry {
                    key: Value::String(render::holder(&key.0)),
                    value: value.into(),
                })
            });
            entries.collect()
        }
        _ if spec.kind == MapKind::SkStorage => {
            return Err(BpfError::BadKey {
                map: spec.name,
                key: String::new(),
                expected: "its values lie at sockets, which cannot be listed; `netguard connections` shows who has how many",
            });
        }
        _ if spec.kind == MapKind::RingBuf => {
            return Err(BpfError::BadKey {
                map: spec.name,
                key: String::new(),
                expected: "a ring buffer has no entries to read; `netguard events` shows what passes through",
            });
        }
        _ => return read_array(spec, map),
    }
    .map_err(wrap)
}

/// The table of the compiled lists, described: its words say nothing to people. `None` when there never was one.
fn generation(pins: &Pins) -> Result<Option<DumpedEntry>, BpfError> {
    let (lines, memory_bytes) = extent(pins)?;
    Ok((lines != 0).then(|| DumpedEntry {
        key: Value::from(0),
        value: serde_json::json!({ "lines": lines, "memory_bytes": memory_bytes }),
    }))
}

fn pairs<K, V: Shared>(
    entries: impl Iterator<Item = Result<(K, Raw<V>), MapError>>,
    name: impl Fn(K) -> String,
) -> Result<Vec<DumpedEntry>, MapError> {
    entries
        .map(|entry| {
            let (key, value) = entry?;
            Ok(DumpedEntry {
                key: Value::String(name(key)),
                value: render(&value.0),
            })
        })
        .collect()
}

/// Arrays are dumped without their zero entries: `LIMIT_CELLS` has a quarter of a million.
fn read_array(spec: &'static MapSpec, map: Map) -> Result<Vec<DumpedEntry>, BpfError> {
    let array = arrays::open(spec, map)?;
    let mut entries = Vec::new();
    for index in 0..spec.max_entries {
        let value = array.read(index, true);
        if let Some(value) = value.map_err(BpfError::map(spec.name, 0))? {
            entries.push(DumpedEntry {
                key: Value::from(index),
                value,
            });
        }
    }
    Ok(entries)
}

fn read_index(spec: &'static MapSpec, map: Map, index: u32) -> Result<Option<DumpedEntry>, BpfError> {
    if index >= spec.max_entries {
        return Ok(None);
    }
    let value = arrays::open(spec, map)?.read(index, false);
    Ok(value
        .map_err(BpfError::map(spec.name, 0))?
        .map(|value| DumpedEntry {
            key: Value::from(index),
            value,
        }))
}

const fn kind_name(kind: MapKind) -> &'static str {
    match kind {
        MapKind::Array => "array",
        MapKind::PerCpuArray => "per-cpu array",
        MapKind::Hash => "hash",
        MapKind::LpmTrie => "lpm trie",
        MapKind::RingBuf => "ring buffer",
        MapKind::ArrayOfMaps => "array of maps",
        MapKind::LruHash => "lru hash",
        MapKind::SkStorage => "socket storage",
        MapKind::DevMapHash => "hash of interfaces",
    }
}

pub(super) fn map_data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::HashMap(data)
        | Map::LpmTrie(data)
        | Map::ArrayOfMaps(data)
        | Map::RingBuf(data)
        | Map::SkStorage(data)
        | Map::DevMapHash(data) => Some(data),
        _ => None,
    }
}

/// What the kernel accounts for the map; 0 when it does not say.
pub(super) fn memory(data: &MapData) -> u64 {
    let path = format!("/proc/self/fdinfo/{}", data.fd().as_fd().as_raw_fd());
    fs::read_to_string(path)
        .ok()
        .and_then(|info| number(&info, "memlock:"))
        .unwrap_or(0)
}
