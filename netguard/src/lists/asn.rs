//! A database of autonomous systems that is asked for single addresses (MMDB; a CSV file has to be read whole and is not). What policies name
//! is compiled elsewhere ([`super::geo`]).

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::SystemTime,
};

use maxminddb::Reader;

use super::{ListError, MAX_BYTES, Place, geo, read};

/// A database, as its file was when it was last read.
pub struct AsnDatabase {
    file: PathBuf,
    modified: Option<SystemTime>,
    reader: Reader<Vec<u8>>,
}

impl AsnDatabase {
    /// Reads `file`.
    ///
    /// # Errors
    /// When it cannot be read, or is no MMDB file.
    pub fn open(file: &Path) -> Result<Self, ListError> {
        let modified = modified(file).ok();
        let bytes = read(file, MAX_BYTES)?;
        let reader = Reader::from_source(bytes).map_err(|source| ListError::Mmdb {
            file: file.display().to_string(),
            source,
        })?;
        Ok(Self {
            file: file.to_owned(),
            modified,
            reader,
        })
    }

    /// Reads the file again if it has changed; what cannot be read leaves what was known.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn follow(&mut self) -> Result<(), ListError> {
        if modified(&self.file).ok() != self.modified {
            *self = Self::open(&self.file)?;
        }
        Ok(())
    }

    /// The number of the system that `address` belongs to, where it says.
    pub fn of(&self, address: IpAddr) -> Option<u32> {
        let found = self.reader.lookup(address).ok()?;
        match geo::asn_of(&found)? {
            Place::Asn(number) => Some(number),
            Place::Country(_) => None,
        }
    }
}

fn modified(file: &Path) -> io::Result<SystemTime> {
    fs::metadata(file)?.modified()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_database_is_an_error_in_words() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("asn.mmdb");
        let error = AsnDatabase::open(&file).err().unwrap().to_string();
        assert!(error.contains("asn.mmdb cannot be read"), "{error}");
        fs::write(&file, "192.0.2.0/24,AS64496\n").unwrap();
        let error = AsnDatabase::open(&file).err().unwrap().to_string();
        assert!(error.contains("asn.mmdb"), "{error}");
    }
}
