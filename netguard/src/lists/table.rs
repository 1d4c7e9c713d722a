//! Tables: CSV files with a prefix, or a first and a last address, and then a country code or the number of an autonomous system. Of rows
//! that overlap the narrower one counts, as in a routing table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};
use rangemap::{RangeInclusiveMap, StepLite};

use super::{
    ListError,
    geo::{asn, country},
};
use crate::{config::Place, prefix::Prefix};

/// Which place each address belongs to, as far as a file says.
pub(super) struct Table {
    v4: RangeInclusiveMap<u32, Option<Place>>,
    v6: RangeInclusiveMap<u128, Option<Place>>,
}

/// What a row says: first address, last address, and the place; many databases have rows for no place.
struct Row<A> {
    first: A,
    last: A,
    place: Option<Place>,
}

/// A row of either family.
enum Either {
    V4(Row<u32>),
    V6(Row<u128>),
}

impl Table {
    /// The one in `bytes`, which are those of the file `name`.
    ///
    /// # Errors
    /// When a line is no row, or none is one: what names its columns and breaks off there is a table, too.
    pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Self, ListError> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        parse_rows(name, bytes, |row| match row {
            Either::V4(row) => v4.push(row),
            Either::V6(row) => v6.push(row),
        })?;
        if v4.is_empty() && v6.is_empty() {
            return Err(ListError::Empty(name.to_owned()));
        }
        Ok(Self {
            v4: painted(v4, |row| row.last - row.first),
            v6: painted(v6, |row| row.last - row.first),
        })
    }

    /// The place of `address`.
    pub(super) fn place(&self, address: IpAddr) -> Option<Place> {
        match address.to_canonical() {
            IpAddr::V4(address) => *self.v4.get(&address.to_bits())?,
            IpAddr::V6(address) => *self.v6.get(&address.to_bits())?,
        }
    }

    /// The addresses of each place, in their order; a place comes more than once.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = (Place, impl Iterator<Item = Prefix>)> {
        let v4 = self.v4.iter().map(|(range, place)| {
            let [first, last] = [range.start(), range.end()].map(|bits| Ipv4Addr::from_bits(*bits));
            (place, IpSubnets::V4(Ipv4Subnets::new(first, last, 0)))
        });
        let v6 = self.v6.iter().map(|(range, place)| {
            let [first, last] = [range.start(), range.end()].map(|bits| Ipv6Addr::from_bits(*bits));
            (place, IpSubnets::V6(Ipv6Subnets::new(first, last, 0)))
        });
        v4.chain(v6).filter_map(|(place, subnets)| {
            let prefixes = subnets.filter_map(|net| Prefix::truncated(net.addr(), net.prefix_len()));
            Some(((*place)?, prefixes))
        })
    }
}

/// The widest first, so that narrower ones are painted over them; of rows as wide the last counts.
fn painted<A: Ord + Copy + StepLite>(
    mut rows: Vec<Row<A>>,
    width: impl Fn(&Row<A>) -> A,
) -> RangeInclusiveMap<A, Option<Place>> {
    rows.sort_by_key(|row| std::cmp::Reverse(width(row)));
    rows.into_iter()
        .map(|row| (row.first..=row.last, row.place))
        .collect()
}

fn parse_rows(name: &str, bytes: &[u8], mut take: impl FnMut(Either)) -> Result<(), ListError> {
    let delimiter = if bytes.iter().take(200).any(|byte| *byte == b'\t') {
        b'\t'
    } else {
        b','
    };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .comment(Some(b'#'))
        .from_reader(bytes);
    let mut record = csv::StringRecord::new();
    let mut first = true;
    loop {
        let line = reader.position().line();
        let wrong = |why: String| ListError::Csv {
            file: name.to_owned(),
            line,
            why,
        };
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => return Err(wrong(error.to_string())),
        }
        match row(&record) {
            Some(row) => take(row),
            // The first line may name the columns.
            None if first => {}
            None => {
                return Err(wrong(
                    "expected a prefix, or a first and a last address, then a country code or the number of an \
                     autonomous system"
                        .to_owned(),
                ));
            }
        }
        first = false;
    }
}

fn row(record: &csv::StringRecord) -> Option<Either> {
    let field = |index: usize| record.get(index).map(str::trim);
    let (first, last, rest) = match field(0)?.parse::<IpNet>() {
        Ok(net) => (net.network(), net.broadcast(), 1),
        Err(_) => (field(0)?.parse().ok()?, field(1)?.parse().ok()?, 2),
    };
    let text = field(rest)?;
    let place = country(text).or_else(|| asn(text));
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => Some(Either::V4(Row {
            first: first.to_bits(),
            last: last.to_bits(),
            place,
        })),
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => Some(Either::V6(Row {
            first: first.to_bits(),
            last: last.to_bits(),
            place,
        })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(text: &str) -> Result<HashMap<Place, Vec<String>>, ListError> {
        let mut found = HashMap::<Place, Vec<String>>::new();
        for (place, prefixes) in Table::parse("f", text.as_bytes())?.prefixes() {
            let prefixes = prefixes.map(|prefix| prefix.to_string());
            found.entry(place).or_default().extend(prefixes);
        }
        Ok(found)
    }

    #[test]
    fn rows_are_ranges_or_prefixes() {
        let found = read(
            "first,last,code\n1.0.1.0,1.0.3.255,CN\n2001:db8::,2001:db8::ffff,CN\n192.0.2.0/24,AS64496,\"X, Inc.\"\n9.9.9.9,9.9.9.9,\n",
        )
        .unwrap();
        let china = Place::Country("CN".parse().unwrap());
        assert_eq!(found[&china], ["1.0.1.0/24", "1.0.2.0/23", "2001:db8::/112"]);
        assert_eq!(found[&Place::Asn(64_496)], ["192.0.2.0/24"]);
        assert_eq!(found.len(), 2);
        let tabs = read("1.0.0.0\t1.0.0.255\t13335\tUS\tCLOUDFLARENET\n").unwrap();
        assert_eq!(tabs[&Place::Asn(13_335)], ["1.0.0.0/24"]);
    }

    #[test]
    fn a_row_that_is_none_is_told() {
        for text in ["a,b\nc,d\n", "x,y\n1.2.3.4,1.2.3.0,CN\n", "x\n1.2.3.4,::1,CN\n"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with("f:2: expected a prefix"), "{error}");
        }
    }

    /// Found in review: of a /15 with a /24 of somebody else's in it all that lies behind was nowhere, and the /24 belonged to both.
    #[test]
    fn the_narrower_row_counts_wherever_it_stands() {
        let nested = "198.18.5.0/24,HM\n198.18.0.0/15,AQ\n198.18.0.0/24,BV\n198.18.7.0/24,\n2001:db8::/32,AQ\n2001:db8:5::/48,HM\n";
        let table = Table::parse("f", nested.as_bytes()).unwrap();
        let at = |address: &str| {
            let place = table.place(address.parse().unwrap());
            place.map(|place| place.to_string())
        };
        for (address, place) in [
            ("198.17.255.255", None),
            ("198.18.0.9", Some("BV")),
            ("198.18.1.0", Some("AQ")),
            ("198.18.5.255", Some("HM")),
            ("198.18.6.0", Some("AQ")),
            ("198.18.7.1", None),
            ("198.19.255.255", Some("AQ")),
            ("::ffff:198.18.5.1", Some("HM")),
            ("2001:db8:5::1", Some("HM")),
            ("2001:db8:6::", Some("AQ")),
            ("2001:db9::", None),
        ] {
            assert_eq!(at(address).as_deref(), place, "{address}");
        }
        let found = read(nested).unwrap();
        let place = |code: &str| Place::Country(code.parse().unwrap());
        assert_eq!(found[&place("HM")], ["198.18.5.0/24", "2001:db8:5::/48"]);
        assert!(
            !found[&place("AQ")]
                .iter()
                .any(|prefix| prefix.starts_with("198.18.5.") || prefix == "198.18.0.0/15")
        );
        // Ranges that overlap without one holding the other, and all there is.
        let table = Table::parse(
            "f",
            b"10.0.0.0,10.0.0.99,AQ\n10.0.0.90,10.0.0.95,BV\n0.0.0.0/0,HM\n::/0,HM\n",
        )
        .unwrap();
        let place = |address: &str| {
            table
                .place(address.parse().unwrap())
                .map(|place| place.to_string())
        };
        assert_eq!(place("10.0.0.92").as_deref(), Some("BV"));
        assert_eq!(place("255.255.255.255").as_deref(), Some("HM"));
        assert_eq!(place("ffff::").as_deref(), Some("HM"));
    }
}
