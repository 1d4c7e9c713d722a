//! Atlas: where any address is, by a database that is kept in memory; and which addresses a place has. What becomes of them it does not
//! say.

use std::{collections::HashMap, fmt, net::IpAddr, path::Path};

use maxminddb::{Reader, WithinOptions};

use super::{
    ListError, MAX_BYTES,
    geo::{Record, is_mmdb, places_of_mmdb},
    read,
    table::Table,
};
use crate::{config::Place, prefix::Prefix};

/// What a database is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Countries,
    Asns,
}

/// A database.
pub struct Atlas {
    name: String,
    content: Content,
}

enum Content {
    Mmdb(Box<Reader<Vec<u8>>>),
    Table(Table),
}

impl Of {
    fn is(self, place: Place) -> bool {
        matches!(
            (self, place),
            (Self::Countries, Place::Country(_)) | (Self::Asns, Place::Asn(_))
        )
    }

    fn in_record(self, record: &Record<'_>) -> Option<Place> {
        match self {
            Self::Countries => record.country(),
            Self::Asns => record.asn(),
        }
    }
}

impl fmt::Display for Of {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Countries => "country",
            Self::Asns => "autonomous system",
        })
    }
}

impl Atlas {
    /// Reads `file`, an MMDB or a table, which is to be asked for all of `wanted`.
    ///
    /// # Errors
    /// When it cannot be read, is no regular file and no database, or says of no address what it is to be asked for.
    pub fn read(file: &Path, wanted: &[Of]) -> Result<Self, ListError> {
        let bytes = read(file, MAX_BYTES)?;
        let name = file.display().to_string();
        let content = if is_mmdb(&bytes) {
            let reader = Reader::from_source(bytes).map_err(mmdb_error(&name))?;
            Content::Mmdb(Box::new(reader))
        } else {
            Content::Table(Table::parse(&name, &bytes)?)
        };
        let atlas = Self { name, content };
        for of in wanted {
            if !atlas.has_any(*of)? {
                return Err(ListError::NoPlace {
                    file: atlas.name,
                    of: *of,
                });
            }
        }
        Ok(atlas)
    }

    /// Whether it says of any address where it is.
    fn has_any(&self, of: Of) -> Result<bool, ListError> {
        let reader = match &self.content {
            Content::Table(table) => return Ok(table.prefixes().any(|(place, _)| of.is(place))),
            Content::Mmdb(reader) => reader,
        };
        let wrong = mmdb_error(&self.name);
        for network in reader.networks(WithinOptions::default()).map_err(&wrong)? {
            let record = network
                .and_then(|network| network.decode::<Record<'_>>())
                .map_err(&wrong)?;
            if record.is_some_and(|record| of.in_record(&record).is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The country or the autonomous system of `address`, as far as the database knows.
    pub fn place(&self, of: Of, address: IpAddr) -> Option<Place> {
        match &self.content {
            Content::Mmdb(reader) => {
                let found = reader.lookup(address.to_canonical()).ok()?;
                of.in_record(&found.decode::<Record<'_>>().ok()??)
            }
            Content::Table(table) => table.place(address).filter(|place| of.is(*place)),
        }
    }

    /// The autonomous system of `address`, as far as the database knows.
    pub fn asn(&self, address: IpAddr) -> Option<u32> {
        match self.place(Of::Asns, address)? {
            Place::Asn(number) => Some(number),
            Place::Country(_) => None,
        }
    }

    /// The prefixes of those places that are `wanted`. Takes a second where there are many.
    ///
    /// # Errors
    /// When the database is damaged, or says of no address where it belongs.
    pub(crate) fn prefixes_of(
        &self,
        wanted: impl Fn(Place) -> bool,
    ) -> Result<HashMap<Place, Vec<Prefix>>, ListError> {
        let mut found = HashMap::<Place, Vec<Prefix>>::new();
        match &self.content {
            Content::Table(table) => {
                for (place, prefixes) in table.prefixes().filter(|(place, _)| wanted(*place)) {
                    found.entry(place).or_default().extend(prefixes);
                }
            }
            Content::Mmdb(reader) => {
                let rows = places_of_mmdb(reader, |place, prefix| {
                    if wanted(place) {
                        found.entry(place).or_default().push(prefix);
                    }
                });
                if rows.map_err(mmdb_error(&self.name))? == 0 {
                    return Err(ListError::Empty(self.name.clone()));
                }
            }
        }
        Ok(found)
    }
}

/// The prefixes of those places in `file` that are `wanted`.
///
/// # Errors
/// When the file cannot be read, is no regular file and no database, or says of no address where it belongs.
pub fn read_places(
    file: &Path,
    wanted: impl Fn(Place) -> bool,
) -> Result<HashMap<Place, Vec<Prefix>>, ListError> {
    Atlas::read(file, &[])?.prefixes_of(wanted)
}

fn mmdb_error(file: &str) -> impl Fn(maxminddb::MaxMindDbError) -> ListError {
    |source| ListError::Mmdb {
        file: file.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_table_says_where_each_address_is() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("country.csv");
        let text = "first,last,code\n192.0.2.0,192.0.2.99,AQ\n198.51.100.0/24,BV\n2001:db8:7::/48,AQ\n203.0.113.0/24,AS64496\n";
        fs::write(&file, text).unwrap();
        let atlas = Atlas::read(&file, &[Of::Countries, Of::Asns]).unwrap();
        let at = |of: Of, address: &str| {
            let place = atlas.place(of, address.parse().unwrap());
            place.map(|place| place.to_string())
        };
        for (address, place) in [
            ("192.0.1.255", None),
            ("192.0.2.0", Some("AQ")),
            ("192.0.2.99", Some("AQ")),
            ("192.0.2.100", None),
            ("::ffff:198.51.100.7", Some("BV")),
            ("2001:db8:7:1::9", Some("AQ")),
            ("2001:db8:8::", None),
            ("203.0.113.1", None),
        ] {
            assert_eq!(at(Of::Countries, address).as_deref(), place, "{address}");
        }
        assert_eq!(at(Of::Asns, "203.0.113.1").as_deref(), Some("AS64496"));
        let asn = |address: &str| atlas.asn(address.parse().unwrap());
        assert_eq!([asn("203.0.113.1"), asn("192.0.2.1")], [Some(64_496), None]);
        let aq = Place::Country("AQ".parse().unwrap());
        assert_eq!(atlas.prefixes_of(|place| place == aq).unwrap()[&aq].len(), 4);
        fs::write(&file, "<html>").unwrap();
        assert!(Atlas::read(&file, &[]).is_err());
    }

    /// Found in review: any database was taken for one of countries, and whatever could be opened was read.
    #[test]
    fn what_says_nothing_of_what_it_is_asked_for_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("asn.csv");
        fs::write(&file, "192.0.2.0/24,AS64496\n198.51.100.0/24,\n").unwrap();
        let refused = |file: &Path, of: Of| Atlas::read(file, &[of]).err().map(|error| error.to_string());
        assert_eq!(refused(&file, Of::Asns), None);
        let why = refused(&file, Of::Countries).unwrap();
        assert!(why.contains("asn.csv says of no address which country"), "{why}");
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for odd in [&pipe, directory.path()] {
            let why = refused(odd, Of::Countries).unwrap();
            assert!(why.contains("is no regular file"), "{why}");
        }
    }

    /// Found in review: a download that broke off at once emptied every policy.
    #[test]
    fn a_table_without_rows_is_no_database() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("country.csv");
        for text in ["", "\n", "# comment\n", "first,last,code\n", "<html>"] {
            fs::write(&file, text).unwrap();
            let error = read_places(&file, |_| true).unwrap_err().to_string();
            assert!(
                error.contains("country.csv holds no prefix at all"),
                "{text:?}: {error}"
            );
        }
        // A row for no place that is wanted is one all the same.
        fs::write(&file, "192.0.2.0/24,\n").unwrap();
        assert!(read_places(&file, |_| true).unwrap().is_empty());
    }
}
