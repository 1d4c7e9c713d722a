//! Databases that say where an address belongs: MMDB files, and CSV files with a prefix, or a first and a last address, and
//! then a country code or the number of an autonomous system.

use std::{collections::HashMap, net::IpAddr, path::Path};

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};
use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;

use super::{ListError, MAX_BYTES, read};
use crate::{config::Place, prefix::Prefix};

/// An MMDB file has this somewhere near its end.
const MMDB_MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// The prefixes of those places in `file` that are `wanted`.
///
/// # Errors
/// When the file cannot be read, is no database, or says of no address where it belongs.
pub fn read_places(
    file: &Path,
    wanted: impl Fn(Place) -> bool,
) -> Result<HashMap<Place, Vec<Prefix>>, ListError> {
    let bytes = read(file, MAX_BYTES)?;
    let mut places = Places {
        wanted,
        found: HashMap::new(),
        rows: 0,
    };
    let name = file.display().to_string();
    if is_mmdb(&bytes) {
        let read = read_mmdb(&bytes, &mut places);
        read.map_err(|source| ListError::Mmdb {
            file: name.clone(),
            source,
        })?;
    } else {
        read_csv(&name, &bytes, &mut places)?;
    }
    // What names its columns and breaks off there is a table, too.
    if places.rows == 0 {
        return Err(ListError::Empty(name));
    }
    Ok(places.found)
}

/// Whether `bytes` are an MMDB file.
pub(super) fn is_mmdb(bytes: &[u8]) -> bool {
    let mut tails = bytes.windows(MMDB_MARK.len()).rev();
    tails.any(|bytes| bytes == MMDB_MARK)
}

struct Places<W> {
    wanted: W,
    found: HashMap<Place, Vec<Prefix>>,
    /// How many prefixes or ranges the file has, of whatever place.
    rows: u64,
}

impl<W: Fn(Place) -> bool> Places<W> {
    fn add(&mut self, place: Place, prefixes: impl Iterator<Item = Prefix>) {
        if (self.wanted)(place) {
            self.found.entry(place).or_default().extend(prefixes);
        }
    }
}

/// What the databases that are about write of an address: of MaxMind and DB-IP, of IPinfo, and of those that are flat.
#[derive(Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    country: Option<MaybeNamed<'a>>,
    country_code: Option<&'a str>,
    autonomous_system_number: Option<u32>,
    asn: Option<Number<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MaybeNamed<'a> {
    Code(&'a str),
    Named { iso_code: Option<&'a str> },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number<'a> {
    Plain(u32),
    Text(&'a str),
}

impl Record<'_> {
    pub(super) fn country(&self) -> Option<Place> {
        let code = match &self.country {
            Some(MaybeNamed::Code(code)) => Some(*code),
            Some(MaybeNamed::Named { iso_code }) => *iso_code,
            None => self.country_code,
        };
        country(code?)
    }

    pub(super) fn asn(&self) -> Option<Place> {
        match &self.asn {
            Some(Number::Text(text)) => asn(text),
            Some(Number::Plain(number)) => Some(Place::Asn(*number)),
            None => self.autonomous_system_number.map(Place::Asn),
        }
    }
}

fn read_mmdb<W: Fn(Place) -> bool>(
    bytes: &[u8],
    places: &mut Places<W>,
) -> Result<(), maxminddb::MaxMindDbError> {
    let reader = Reader::from_source(bytes)?;
    for network in reader.networks(WithinOptions::default())? {
        let network = network?;
        let Some(record) = network.decode::<Record<'_>>()? else {
            continue;
        };
        places.rows += 1;
        let net = network.network()?;
        let prefix = Prefix::truncated(net.ip(), net.prefix());
        for place in [record.country(), record.asn()].into_iter().flatten() {
            places.add(place, prefix.into_iter());
        }
    }
    Ok(())
}

fn read_csv<W: Fn(Place) -> bool>(name: &str, bytes: &[u8], places: &mut Places<W>) -> Result<(), ListError> {
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
            Some((prefixes, place)) => {
                places.rows += 1;
                if let Some(place) = place {
                    places.add(place, prefixes);
                }
            }
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

/// The prefixes of a row, and the place that it names; many databases have rows for no place.
fn row(record: &csv::StringRecord) -> Option<(Box<dyn Iterator<Item = Prefix>>, Option<Place>)> {
    let field = |index: usize| record.get(index).map(str::trim);
    let first = field(0)?;
    let (subnets, rest): (IpSubnets, _) = match first.parse::<IpNet>() {
        Ok(net) => (range(net.network(), net.broadcast())?, 1),
        Err(_) => (range(first.parse().ok()?, field(1)?.parse().ok()?)?, 2),
    };
    let text = field(rest)?;
    let place = country(text).or_else(|| asn(text));
    let prefixes = subnets.filter_map(|net| Prefix::truncated(net.addr(), net.prefix_len()));
    Some((Box::new(prefixes), place))
}

fn range(first: IpAddr, last: IpAddr) -> Option<IpSubnets> {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            Some(IpSubnets::V4(Ipv4Subnets::new(first, last, 0)))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            Some(IpSubnets::V6(Ipv6Subnets::new(first, last, 0)))
        }
        _ => None,
    }
}

fn country(text: &str) -> Option<Place> {
    text.parse().ok().map(Place::Country)
}

/// `AS64496` or `64496`.
fn asn(text: &str) -> Option<Place> {
    let digits = text.strip_prefix("AS").unwrap_or(text);
    digits.parse().ok().filter(|number| *number != 0).map(Place::Asn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HashMap<Place, Vec<String>>, ListError> {
        let mut places = Places {
            wanted: |_| true,
            found: HashMap::new(),
            rows: 0,
        };
        read_csv("f", text.as_bytes(), &mut places)?;
        let shown = |prefixes: Vec<Prefix>| prefixes.iter().map(Prefix::to_string).collect();
        Ok(places
            .found
            .into_iter()
            .map(|(place, prefixes)| (place, shown(prefixes)))
            .collect())
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

    /// Found in review: a download that broke off at once emptied every policy.
    #[test]
    fn a_table_without_rows_is_no_database() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("country.csv");
        for text in ["", "\n", "# comment\n", "first,last,code\n", "<html>"] {
            std::fs::write(&file, text).unwrap();
            let error = read_places(&file, |_| true).unwrap_err().to_string();
            assert!(
                error.contains("country.csv holds no prefix at all"),
                "{text:?}: {error}"
            );
        }
        // A row for no place that is wanted is one all the same.
        std::fs::write(&file, "192.0.2.0/24,\n").unwrap();
        assert!(read_places(&file, |_| true).unwrap().is_empty());
    }
}
