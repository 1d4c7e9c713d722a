//! A database of places as its file is: read beside the tick, and again when the file has changed. What becomes of places it does not
//! say.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::{
    config::Place,
    lists::{Atlas, ListError, Of},
};

/// When a file was written, and how long it is.
type Stamp = (SystemTime, u64);

/// A database, and what is known of it.
pub(crate) struct Database {
    file: PathBuf,
    of: Of,
    atlas: Option<Arc<Atlas>>,
    /// What the file was when it was last looked at.
    seen: Option<Stamp>,
    reading: Option<JoinHandle<Result<Atlas, ListError>>>,
    /// It was told that there is no such file.
    is_missing: bool,
}

impl Database {
    /// That of `file`; nothing is read yet.
    pub(crate) const fn new(file: PathBuf, of: Of) -> Self {
        Self {
            file,
            of,
            atlas: None,
            seen: None,
            reading: None,
            is_missing: false,
        }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Reads it now.
    ///
    /// # Errors
    /// When it cannot be read; it is not known where sources are then.
    pub(crate) fn read(&mut self) -> Result<(), ListError> {
        self.atlas = Some(Arc::new(Atlas::read(&self.file, self.of)?));
        Ok(())
    }

    /// Takes what was read meanwhile, and has it read when its file has changed: a large one takes a second.
    pub(crate) async fn follow(&mut self) {
        if let Some(reading) = self.reading.take_if(|reading| reading.is_finished()) {
            match reading.await {
                Ok(Ok(atlas)) => {
                    info!("it is known where sources are by {}", self.file.display());
                    self.atlas = Some(Arc::new(atlas));
                }
                Ok(Err(error)) => warn!("it is not known anew where sources are: {error}"),
                Err(_) => warn!("{} was not read", self.file.display()),
            }
        }
        let stamp = look(&self.file);
        if stamp.is_none() && !self.is_missing {
            warn!(
                "it is not known where sources are: {} is no file that can be read",
                self.file.display()
            );
        }
        self.is_missing = stamp.is_none();
        if self.reading.is_none() && stamp.is_some() && stamp != self.seen {
            self.seen = stamp;
            let (file, of) = (self.file.clone(), self.of);
            self.reading = Some(tokio::task::spawn_blocking(move || Atlas::read(&file, of)));
        }
    }

    /// Whether it was read once.
    pub(crate) const fn is_known(&self) -> bool {
        self.atlas.is_some()
    }

    /// Where `source` is, as far as it knows.
    pub(crate) fn place(&self, source: IpAddr) -> Option<Place> {
        self.atlas.as_ref()?.place(source)
    }

    /// The autonomous system of `source`, as far as it knows.
    pub(crate) fn asn(&self, source: IpAddr) -> Option<u32> {
        self.atlas.as_ref()?.asn(source)
    }
}

fn look(file: &Path) -> Option<Stamp> {
    // Anything else may never come to its end.
    let metadata = fs::metadata(file).ok().filter(fs::Metadata::is_file)?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_read_beside_the_tick_and_again_when_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("country.csv");
        let mut database = Database::new(file.clone(), Of::Countries);
        let source = "192.0.2.1".parse().unwrap();
        for (text, expected) in [
            ("192.0.2.0/24,AQ\n", "AQ"),
            ("192.0.2.0/24,BV\n# longer\n", "BV"),
            // What is no database leaves what was known.
            ("<html>, longer still", "BV"),
        ] {
            database.follow().await;
            fs::write(&file, text).unwrap();
            database.follow().await;
            while database
                .reading
                .as_ref()
                .is_some_and(|reading| !reading.is_finished())
            {
                tokio::task::yield_now().await;
            }
            database.follow().await;
            let place = database.place(source).map(|place| place.to_string());
            assert_eq!(place.as_deref(), Some(expected));
        }
        assert!(database.is_known());
    }
}
