//! Atlas: where any address is, by a database that is kept in memory; and which addresses a place has. What becomes of them it does not
//! say.

use std::{collections::HashMap, net::IpAddr, path::Path};

use maxminddb::Reader;

use super::{
    ListError, MAX_BYTES,
    geo::{Record, is_mmdb},
    read, read_places,
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
    of: Of,
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

impl Atlas {
    /// Reads `file`, in the formats of [`read_places`].
    ///
    /// # Errors
    /// When it cannot be read, is no database, or says of no address where it is.
    pub fn read(file: &Path, of: Of) -> Result<Self, ListError> {
        let bytes = read(file, MAX_BYTES)?;
        let name = file.display().to_string();
        let content = if is_mmdb(&bytes) {
            let reader =
                Reader::from_source(bytes).map_err(|source| ListError::Mmdb { file: name, source })?;
            Content::Mmdb(Box::new(reader))
        } else {
            Content::Table(Table::parse(&name, &bytes)?)
        };
        Ok(Self { of, content })
    }

    /// Where `address` is, as far as the database knows.
    pub fn place(&self, address: IpAddr) -> Option<Place> {
        match &self.content {
            Content::Mmdb(reader) => {
                let found = reader.lookup(address.to_canonical()).ok()?;
                self.of.in_record(&found.decode::<Record<'_>>().ok()??)
            }
            Content::Table(table) => table.place(address).filter(|place| self.of.is(*place)),
        }
    }

    /// The autonomous system of `address`, as far as the database knows.
    pub fn asn(&self, address: IpAddr) -> Option<u32> {
        match self.place(address)? {
            Place::Asn(number) => Some(number),
            Place::Country(_) => None,
        }
    }
}

/// The addresses of each of `places`, as `file` has them now.
///
/// # Errors
/// As [`read_places`].
pub(crate) fn prefixes_of(file: &Path, places: &[Place]) -> Result<HashMap<Place, Vec<Prefix>>, ListError> {
    read_places(file, |place| places.contains(&place))
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
        let countries = Atlas::read(&file, Of::Countries).unwrap();
        let at = |atlas: &Atlas, address: &str| {
            let place = atlas.place(address.parse().unwrap());
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
            assert_eq!(at(&countries, address).as_deref(), place, "{address}");
        }
        let asns = Atlas::read(&file, Of::Asns).unwrap();
        assert_eq!(at(&asns, "203.0.113.1").as_deref(), Some("AS64496"));
        let asn = |atlas: &Atlas, address: &str| atlas.asn(address.parse().unwrap());
        assert_eq!(
            [asn(&asns, "203.0.113.1"), asn(&countries, "192.0.2.1")],
            [Some(64_496), None]
        );
        let aq = Place::Country("AQ".parse().unwrap());
        assert_eq!(prefixes_of(&file, &[aq]).unwrap()[&aq].len(), 4);
        fs::write(&file, "<html>").unwrap();
        assert!(Atlas::read(&file, Of::Asns).is_err());
    }
}
