//! Files that lists come from: when each was looked at, what it held when it was last read, and why it cannot be read. Which
//! policies they feed is the business of `wanted`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    clock::monotonic_ns,
    lists::{self, Feed, ListError, Place},
    prefix::Prefix,
};

/// A file that lists come from.
pub(super) struct Source {
    file: PathBuf,
    /// `None`: a feed.
    places: Option<Vec<Place>>,
    content: Content,
    /// What the file was when it was last looked at, `None` while nobody has; within, `None` where it was not there.
    seen: Option<Option<Stamp>>,
    /// When the file was written that `content` comes from.
    written: Option<SystemTime>,
    /// Monotonic.
    read_ns: Option<u64>,
    fault: Option<String>,
}

/// When a file was written, and how long it is.
type Stamp = (SystemTime, u64);

enum Content {
    Feed(Feed),
    Places(HashMap<Place, Vec<Prefix>>),
}

impl Source {
    /// A feed, or with `places` a database that is asked for these.
    pub(super) const fn new(file: PathBuf, places: Option<Vec<Place>>) -> Self {
        Self {
            file,
            places,
            content: Content::Feed(Feed {
                prefixes: Vec::new(),
                skipped: 0,
                first_skipped: Vec::new(),
            }),
            seen: None,
            written: None,
            read_ns: None,
            fault: None,
        }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether the file is not what it was when it was last read, successfully or not.
    pub(super) fn has_changed(&self) -> bool {
        self.seen != Some(look(&self.file))
    }

    /// Reads the file; tells how many of its lines were left out. After a failure the content stays.
    pub(super) fn read(&mut self) -> Result<usize, ListError> {
        // A file that is not there has been looked at all the same: its fault is told once.
        let stamp = look(&self.file);
        self.seen = Some(stamp);
        match self.content() {
            Ok(content) => {
                self.content = content;
                self.written = stamp.map(|(written, _)| written);
                self.read_ns = Some(monotonic_ns());
                self.fault = None;
                Ok(self.skipped())
            }
            Err(error) => {
                self.fault = Some(error.to_string());
                Err(error)
            }
        }
    }

    /// What the file says now, unless it forgot all that it knew: that is more likely a failed download than a change of the world.
    fn content(&self) -> Result<Content, ListError> {
        let Some(wanted) = &self.places else {
            return lists::read_feed(&self.file).map(Content::Feed);
        };
        let found = lists::read_places(&self.file, |place| wanted.contains(&place))?;
        if found.values().all(Vec::is_empty) && wanted.iter().any(|place| !self.of(*place).is_empty()) {
            return Err(ListError::Forgot(self.file.display().to_string()));
        }
        Ok(Content::Places(found))
    }

    /// Monotonic; `None` while the file never could be read.
    pub(super) const fn read_ns(&self) -> Option<u64> {
        self.read_ns
    }

    /// Why the file is not in force as it is now.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// When the file was written that is in force.
    pub(super) const fn written(&self) -> Option<SystemTime> {
        self.written
    }

    pub(super) fn skipped(&self) -> usize {
        match &self.content {
            Content::Feed(feed) => feed.skipped,
            Content::Places(_) => 0,
        }
    }

    /// The prefixes of a feed.
    pub(super) fn feed(&self) -> &[Prefix] {
        match &self.content {
            Content::Feed(feed) => &feed.prefixes,
            Content::Places(_) => &[],
        }
    }

    /// The prefixes of `place`.
    pub(super) fn of(&self, place: Place) -> &[Prefix] {
        match &self.content {
            Content::Feed(_) => &[],
            Content::Places(places) => places.get(&place).map_or(&[], Vec::as_slice),
        }
    }
}

fn look(file: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found in review: a file that was gone was read every ten seconds, and counted as written in 1970.
    #[test]
    fn a_file_that_is_gone_is_told_once_and_leaves_what_it_said() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("feed");
        let mut source = Source::new(file.clone(), None);
        assert!(source.has_changed());
        assert!(source.read().is_err());
        assert!(!source.has_changed() && source.fault().is_some() && source.read_ns().is_none());

        fs::write(&file, "192.0.2.1\n").unwrap();
        assert!(source.has_changed());
        source.read().unwrap();
        let written = source.written();
        assert_eq!(written, Some(fs::metadata(&file).unwrap().modified().unwrap()));
        assert!(!source.has_changed() && source.fault().is_none());

        fs::remove_file(&file).unwrap();
        assert!(source.has_changed());
        assert!(source.read().is_err());
        assert!(!source.has_changed() && source.fault().is_some());
        assert_eq!((source.feed().len(), source.written()), (1, written));
    }

    /// Found in review: a database that was cut short to a line let everybody in, or nobody.
    #[test]
    fn a_database_that_forgot_everything_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("country.csv");
        let places = ["AQ", "BV"].map(|code| Place::Country(code.parse().unwrap()));
        let mut source = Source::new(file.clone(), Some(places.to_vec()));
        fs::write(&file, "192.0.2.0/24,AQ\n").unwrap();
        source.read().unwrap();
        fs::write(&file, "198.51.100.0/24,HM\n").unwrap();
        let error = source.read().unwrap_err().to_string();
        assert!(error.contains("country.csv has no address"), "{error}");
        assert_eq!(source.of(places[0]).len(), 1);
        // One of them may go.
        fs::write(&file, "198.51.100.0/24,BV\n").unwrap();
        source.read().unwrap();
        assert_eq!((source.of(places[0]).len(), source.of(places[1]).len()), (0, 1));
    }
}
