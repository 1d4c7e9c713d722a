//! The thread that looks at the file of a database, and reads it when it has changed. What is made of that the tick says.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::lists::{Atlas, ListError, Of};

/// When a file was changed in any way, where it lies, and how long it is.
type Stamp = (i64, i64, u64, u64);

/// How long a file that could not be read is not read again while it is as it was.
const AGAIN: Duration = Duration::from_secs(60);

/// What the file was when it was last read, and since when it is known that it could not be.
type Seen = Option<(Stamp, Option<Instant>)>;

/// A thread that looks at the file each time that it is asked to, and what is heard of it.
pub(super) struct Reader {
    pub(super) ask: mpsc::Sender<()>,
    pub(super) told: mpsc::Receiver<Look>,
    /// How often nothing was heard since it was asked; `None`: it waits to be.
    pub(super) silent: Option<u32>,
}

/// What came of a look: nothing where the file is as it was.
pub(super) type Look = Option<Result<Atlas, ListError>>;

impl Reader {
    /// Not a thread of the runtime: that would not end before it, and a file may be on a server that does not answer.
    pub(super) fn begin(file: PathBuf, of: Vec<Of>) -> io::Result<Self> {
        let (ask, asked) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let looking = move || {
            let mut seen = None;
            // Until nobody asks any more: the daemon ends.
            while let Ok(()) = asked.recv() {
                if tell.send(look(&file, &of, &mut seen, Instant::now())).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("places".to_owned()).spawn(looking)?;
        Ok(Self {
            ask,
            told,
            silent: None,
        })
    }
}

/// Reads `file` unless it is as it was `seen`.
fn look(file: &Path, of: &[Of], seen: &mut Seen, now: Instant) -> Look {
    let before = seen.take();
    let stamp = match stamp(file) {
        Ok(stamp) => stamp,
        Err(error) => return Some(Err(error)),
    };
    // What could not be read may be so for a moment only.
    let is_due = |failed: Instant| now.saturating_duration_since(failed) >= AGAIN;
    if let Some((known, failed)) = before
        && known == stamp
        && !failed.is_some_and(is_due)
    {
        *seen = before;
        return None;
    }
    let read = Atlas::read(file, of);
    *seen = Some((stamp, read.is_err().then_some(now)));
    Some(read)
}

fn stamp(file: &Path) -> Result<Stamp, ListError> {
    let metadata = fs::metadata(file).map_err(|source| unreadable(file, source))?;
    if !metadata.is_file() {
        return Err(ListError::NoFile(file.display().to_string()));
    }
    Ok((
        metadata.ctime(),
        metadata.ctime_nsec(),
        metadata.ino(),
        metadata.len(),
    ))
}

pub(super) fn unreadable(file: &Path, source: io::Error) -> ListError {
    let file = file.display().to_string();
    ListError::Unreadable { file, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_stays_as_it_is_is_not_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("country.csv");
        let mut seen = None;
        let now = Instant::now();
        let mut read_at = |now| look(&file, &[Of::Countries], &mut seen, now).map(|read| read.is_ok());
        assert_eq!(read_at(now), Some(false), "it is missing");
        fs::write(&file, "192.0.2.0/24,AQ\n").unwrap();
        assert_eq!((read_at(now), read_at(now + AGAIN)), (Some(true), None));
        fs::remove_file(&file).unwrap();
        assert_eq!((read_at(now), read_at(now)), (Some(false), Some(false)));
        // Found in review: what could not be read for a moment was not read again until it changed.
        fs::write(&file, "no database\n").unwrap();
        assert_eq!((read_at(now), read_at(now)), (Some(false), None));
        assert_eq!((read_at(now + AGAIN), read_at(now + AGAIN)), (Some(false), None));
    }
}
