//! The kernel tables that hold rules: hashes for exact addresses and IPv6 /64s, tries for other prefixes.

use std::net::{IpAddr, Ipv6Addr};

use aya::{
    Pod,
    maps::{HashMap, LpmTrie, Map, MapData, MapError, lpm_trie::Key},
};
use netguard_common::{
    layout::{NetworkV4, Rule},
    maps::Table,
    packet::Address,
    rule::Origin,
    shared::Field as _,
};

use super::{
    BpfError, List, Pins,
    catalogue::{capacity, map_data},
    many::read_all,
    raw::Raw,
};
use crate::prefix::Prefix;

/// A table and the map behind it.
pub(super) struct Storage {
    table: Table,
    /// Entries that the map holds at the most.
    capacity: u32,
    map: Keyed,
    /// The same map, for reading all of it.
    whole: Map,
}

/// Maps of rules, by the shape of their keys.
enum Keyed {
    V4(HashMap<MapData, [u8; 4], Raw<Rule>>),
    V6(HashMap<MapData, [u8; 16], Raw<Rule>>),
    Net64(HashMap<MapData, u64, Raw<Rule>>),
    WideV4(HashMap<MapData, Raw<NetworkV4>, Raw<Rule>>),
    NetV4(LpmTrie<MapData, [u8; 4], Raw<Rule>>),
    NetV6(LpmTrie<MapData, [u8; 16], Raw<Rule>>),
}

impl Storage {
    pub(super) fn open(pins: &Pins, table: Table) -> Result<Self, BpfError> {
        let name = table.map();
        let map = pins.open(name)?;
        let capacity = capacity(&map);
        let wrong = BpfError::map(name, 0);
        let map = match table {
            Table::BlockV4 => Keyed::V4(map.try_into().map_err(wrong)?),
            Table::BlockV6 => Keyed::V6(map.try_into().map_err(wrong)?),
            Table::BlockV6Net64 => Keyed::Net64(map.try_into().map_err(wrong)?),
            Table::BlockWideV4 => Keyed::WideV4(map.try_into().map_err(wrong)?),
            Table::AllowV4 | Table::BlockNetV4 => Keyed::NetV4(map.try_into().map_err(wrong)?),
            Table::AllowV6 | Table::BlockNetV6 => Keyed::NetV6(map.try_into().map_err(wrong)?),
        };
        Ok(Self {
            table,
            capacity,
            map,
            whole: pins.open(name)?,
        })
    }

    pub(super) const fn table(&self) -> Table {
        self.table
    }

    pub(super) const fn is_trie(&self) -> bool {
        matches!(self.map, Keyed::NetV4(_) | Keyed::NetV6(_))
    }

    /// Puts `rule` for `prefix`; answers the rule that it replaces.
    pub(super) fn insert(&mut self, prefix: Prefix, rule: Rule) -> Result<Option<Rule>, BpfError> {
        let replaced = self.replaced(prefix)?;
        match self.write(prefix, rule) {
            Ok(()) => Ok(replaced),
            Err(error) => {
                // A trie may have let go of it, see `replaced`.
                if let Some(before) = replaced.filter(|_| self.is_trie()) {
                    self.write(prefix, before)?;
                }
                Err(error)
            }
        }
    }

    /// The rule for exactly `prefix`, before another takes its place. A trie answers with the longest match and not with its
    /// length (and before Linux 6.13 ignores the flag that would tell), so where a wider rule says the same it is asked to
    /// remove the one in question: it does so for exactly this prefix only, and meanwhile the wider one says what was said.
    fn replaced(&mut self, prefix: Prefix) -> Result<Option<Rule>, BpfError> {
        let bits = u32::from(prefix.bits());
        let found = self.get(prefix, bits)?;
        if found.is_some() && self.is_trie() && bits > 0 && self.get(prefix, bits - 1)? == found {
            return Ok(if self.remove(prefix)? { found } else { None });
        }
        Ok(found)
    }

    fn write(&mut self, prefix: Prefix, rule: Rule) -> Result<(), BpfError> {
        let (v4, v6, bits) = key(prefix);
        match &mut self.map {
            Keyed::V4(map) => map.insert(v4, Raw(rule), 0),
            Keyed::V6(map) => map.insert(v6, Raw(rule), 0),
            Keyed::Net64(map) => map.insert(Address::v6(v6).high, Raw(rule), 0),
            Keyed::WideV4(map) => map.insert(wide(prefix), Raw(rule), 0),
            Keyed::NetV4(map) => map.insert(&Key::new(bits, v4), Raw(rule), 0),
            Keyed::NetV6(map) => map.insert(&Key::new(bits, v6), Raw(rule), 0),
        }
        .map_err(self.failed())
    }

    /// The rule of a hash for exactly `prefix`; the longest rule of a trie for a prefix of `bits` or fewer that covers it.
    pub(super) fn get(&self, prefix: Prefix, bits: u32) -> Result<Option<Rule>, BpfError> {
        let (v4, v6, _) = key(prefix);
        let found = match &self.map {
            Keyed::V4(map) => map.get(&v4, 0),
            Keyed::V6(map) => map.get(&v6, 0),
            Keyed::Net64(map) => map.get(&Address::v6(v6).high, 0),
            Keyed::WideV4(map) => map.get(&wide(prefix), 0),
            Keyed::NetV4(map) => map.get(&Key::new(bits, v4), 0),
            Keyed::NetV6(map) => map.get(&Key::new(bits, v6), 0),
        };
        match found {
            Ok(rule) => Ok(Some(rule.0)),
            Err(error) if missing(&error) => Ok(None),
            Err(error) => Err(self.failed()(error)),
        }
    }

    /// The rule of a hash for exactly `prefix`; `None` in tries, where a look-up is no proof of a key.
    pub(super) fn exact(&self, prefix: Prefix) -> Result<Option<Rule>, BpfError> {
        if self.is_trie() {
            return Ok(None);
        }
        self.get(prefix, u32::from(prefix.bits()))
    }

    /// Removes the rule for exactly `prefix`; false when there is none.
    pub(super) fn remove(&mut self, prefix: Prefix) -> Result<bool, BpfError> {
        let (v4, v6, bits) = key(prefix);
        let removed = match &mut self.map {
            Keyed::V4(map) => map.remove(&v4),
            Keyed::V6(map) => map.remove(&v6),
            Keyed::Net64(map) => map.remove(&Address::v6(v6).high),
            Keyed::WideV4(map) => map.remove(&wide(prefix)),
            Keyed::NetV4(map) => map.remove(&Key::new(bits, v4)),
            Keyed::NetV6(map) => map.remove(&Key::new(bits, v6)),
        };
        match removed {
            Ok(()) => Ok(true),
            Err(error) if missing(&error) => Ok(false),
            Err(error) => Err(self.failed()(error)),
        }
    }

    fn failed(&self) -> impl Fn(MapError) -> BpfError + use<> {
        BpfError::map(self.table.map(), self.capacity)
    }

    /// All rules, in no order.
    pub(super) fn read(&self, entries: &mut Vec<(Prefix, Rule)>) -> Result<(), BpfError> {
        match self.map {
            Keyed::V4(_) => self.collect([0; 4], entries, |key: [u8; 4]| host(key.into())),
            Keyed::V6(_) => self.collect([0; 16], entries, |key: [u8; 16]| host(key.into())),
            Keyed::Net64(_) => self.collect(0, entries, net64),
            Keyed::WideV4(_) => self.collect(Raw(NetworkV4::ZERO), entries, |Raw(key)| {
                net(key.address.into(), key.bits)
            }),
            Keyed::NetV4(_) => self.collect(Key::new(0, [0; 4]), entries, |key: Key<[u8; 4]>| {
                net(key.data().into(), key.prefix_len())
            }),
            Keyed::NetV6(_) => self.collect(Key::new(0, [0; 16]), entries, |key: Key<[u8; 16]>| {
                net(key.data().into(), key.prefix_len())
            }),
        }
    }

    /// Adds all entries, whose prefixes `name` tells, to `entries`; `zero` is any key.
    fn collect<K: Pod>(
        &self,
        zero: K,
        entries: &mut Vec<(Prefix, Rule)>,
        name: impl Fn(K) -> Option<Prefix>,
    ) -> Result<(), BpfError> {
        let map = self.table.map();
        let Some(data) = map_data(&self.whole) else {
            return Err(BpfError::NoSuchMap(map.to_owned()));
        };
        let found =
            read_all(data, (zero, Raw(Rule::ZERO))).map_err(|source| BpfError::Read { map, source })?;
        entries.extend(
            found
                .into_iter()
                .filter_map(|(key, Raw(rule))| Some((name(key)?, rule))),
        );
        Ok(())
    }
}

/// The tables in which a rule for `prefix` can live: first that of a rule for good which holds for every packet, then that of
/// any other.
pub(super) fn tables_of(list: List, prefix: Prefix) -> [Table; 2] {
    match (list, prefix.address(), prefix.bits()) {
        (List::Allow, IpAddr::V4(_), _) => [Table::AllowV4; 2],
        (List::Allow, IpAddr::V6(_), _) => [Table::AllowV6; 2],
        (List::Block, IpAddr::V4(_), 32) => [Table::BlockV4; 2],
        (List::Block, IpAddr::V4(_), 25..) => [Table::BlockNetV4; 2],
        (List::Block, IpAddr::V4(_), _) => [Table::BlockWideV4, Table::BlockNetV4],
        (List::Block, IpAddr::V6(_), 128) => [Table::BlockV6; 2],
        (List::Block, IpAddr::V6(_), 64) => [Table::BlockV6Net64; 2],
        (List::Block, IpAddr::V6(_), _) => [Table::BlockNetV6; 2],
    }
}

/// The table in which `rule` for `prefix` lives.
pub fn table_of(list: List, prefix: Prefix, rule: &Rule) -> Table {
    let [unconditional, other] = tables_of(list, prefix);
    if rule.is_permanent() && rule.origin != Origin::Detector as u8 {
        unconditional
    } else {
        other
    }
}

/// The key of an IPv4 prefix among those that are blocked for good.
fn wide(prefix: Prefix) -> Raw<NetworkV4> {
    let (address, _, bits) = key(prefix);
    Raw(NetworkV4 { address, bits })
}

/// The address as IPv4 and as IPv6 key (the family's own one is meant), and the length in bits.
fn key(prefix: Prefix) -> ([u8; 4], [u8; 16], u32) {
    let bits = u32::from(prefix.bits());
    match prefix.address() {
        IpAddr::V4(address) => (address.octets(), [0; 16], bits),
        IpAddr::V6(address) => ([0; 4], address.octets(), bits),
    }
}

fn host(address: IpAddr) -> Option<Prefix> {
    Some(Prefix::from(address))
}

fn net(address: IpAddr, bits: u32) -> Option<Prefix> {
    Prefix::new(address, u8::try_from(bits).ok()?).ok()
}

fn net64(network: u64) -> Option<Prefix> {
    net(
        IpAddr::from(Ipv6Addr::from(u128::from(u64::from_be(network)) << 64)),
        64,
    )
}

/// Whether the kernel says that there is no such entry.
pub(super) fn missing(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound | MapError::ElementNotFound => true,
        MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::ENOENT),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_find_their_tables() {
        let of = |text: &str| tables_of(List::Block, text.parse().expect("a prefix"))[0];
        assert_eq!(of("192.0.2.1"), Table::BlockV4);
        assert_eq!(of("192.0.2.0/31"), Table::BlockNetV4);
        assert_eq!(of("192.0.2.0/24"), Table::BlockWideV4);
        assert_eq!(of("2001:db8::1"), Table::BlockV6);
        assert_eq!(of("2001:db8::/64"), Table::BlockV6Net64);
        assert_eq!(of("2001:db8::/63"), Table::BlockNetV6);
        let rule = |expires_at, origin| Rule {
            expires_at,
            reason: 0,
            origin,
            proof: 0,
        };
        let wide = |rule| table_of(List::Block, "10.0.0.0/8".parse().expect("a prefix"), &rule);
        assert_eq!(wide(rule(0, Origin::Operator as u8)), Table::BlockWideV4);
        assert_eq!(wide(rule(0, Origin::Detector as u8)), Table::BlockNetV4);
        assert_eq!(wide(rule(7, Origin::Operator as u8)), Table::BlockNetV4);
        assert_eq!(
            net64(u64::from_ne_bytes([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 7])),
            "2001:db8:0:7::/64".parse().ok()
        );
    }
}
