//! The store: what is remembered of sources, in one file that survives a kill at any moment (redb). A file that is damaged is put
//! beside and a new one begun. It knows no thread and no clock.

mod fault;

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition};

use crate::{
    engine::{Account, reputation::Record},
    prefix::Prefix,
};
use fault::Fault;

/// A record as JSON by its account, such as `192.0.2.1/32`.
const SOURCES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sources");
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
const SAVED_NS: &str = "saved_ns";
const FORMAT: &str = "format";
/// Of the records; a file of another is not read.
const THIS_FORMAT: u64 = 1;
const CACHE_BYTES: usize = 8 << 20;
/// Records that are read at the most: twice what any configuration remembers, so that a file which others have filled takes bounded memory.
const MOST: usize = 2_000_000;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{file} cannot be opened: {source}; what is remembered of sources ends with this daemon")]
    Open { file: PathBuf, source: io::Error },
    #[error(
        "{file} is used by another process (`fuser {file}`): each instance needs a file of its own (`reputation.file`)"
    )]
    Used { file: PathBuf },
    #[error("{file} was written by another version (format {found}): move it away, or run that version")]
    Format { file: PathBuf, found: u64 },
    #[error("{file} cannot be used: {why}; a daemon that starts puts a damaged file beside and begins anew")]
    Unusable { file: PathBuf, why: String },
    #[error("{file} is damaged ({why}) and could not be put beside ({source}): move it away")]
    Stuck {
        file: PathBuf,
        why: String,
        source: io::Error,
    },
    #[error("{file}: {why}; is the disk full or read-only? What is remembered of sources is only in memory")]
    Broken { file: PathBuf, why: String },
}

/// What is kept of one process for the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub records: Vec<(Account, Record)>,
    /// When it was written last, in the time of the records.
    pub saved_ns: u64,
    /// Entries that cannot be read.
    pub unreadable: usize,
    /// Where a damaged file was put.
    pub damaged: Option<PathBuf>,
}

/// The open file.
#[derive(Debug)]
pub struct Store {
    database: Database,
    file: PathBuf,
}

impl Store {
    /// Opens `file`, or begins it, and reads its records.
    ///
    /// # Errors
    /// When nothing can be kept there.
    pub fn open(file: &Path) -> Result<(Self, Kept), StoreError> {
        let is_new = fs::metadata(file).map_or(true, |about| about.len() == 0);
        match Self::try_open(file) {
            // On a full disk a new file is begun and not completed: nothing was kept in it, so nothing is damaged.
            Err(fault @ (Fault::Damaged(_) | Fault::Broken(_))) if is_new => {
                let _gone = fs::remove_file(file);
                Err(fault.told(file))
            }
            Err(Fault::Damaged(why)) => {
                let damaged = beside(file);
                fs::rename(file, &damaged).map_err(|source| StoreError::Stuck {
                    file: file.to_owned(),
                    why,
                    source,
                })?;
                let (store, kept) = Self::try_open(file).map_err(|fault| fault.told(file))?;
                let damaged = Some(damaged);
                Ok((store, Kept { damaged, ..kept }))
            }
            opened => opened.map_err(|fault| fault.told(file)),
        }
    }

    /// Opens `file` as it stands; `None`: it is not there. Whatever is wrong with it, it stays where it is.
    ///
    /// # Errors
    /// When it cannot be read, or another process uses it.
    pub fn standing(file: &Path) -> Result<Option<(Self, Kept)>, StoreError> {
        let unusable = |why: String| StoreError::Unusable {
            file: file.to_owned(),
            why,
        };
        if !file.try_exists().map_err(|error| unusable(error.to_string()))? {
            return Ok(None);
        }
        Self::try_open(file).map(Some).map_err(|fault| match fault {
            Fault::Open(source) => unusable(source.to_string()),
            Fault::Damaged(why) | Fault::Broken(why) => unusable(why),
            Fault::Used | Fault::Format(_) => fault.told(file),
        })
    }

    fn try_open(file: &Path) -> Result<(Self, Kept), Fault> {
        make(file).map_err(Fault::Open)?;
        // A file that was altered by other hands can make the library panic: that is damage, too.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = Database::builder()
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(true)
                .create(file)?;
            let kept = read(&database)?;
            Ok((database, kept))
        }));
        let (database, kept) =
            opened.unwrap_or_else(|_| Err(Fault::Damaged("it makes no sense".to_owned())))?;
        let file = file.to_owned();
        Ok((Self { database, file }, kept))
    }

    /// Writes `changes`, without a record: it goes. With `is_whole` all others go. When this returns, it is on the disk as a whole.
    ///
    /// # Errors
    /// When it is not: nothing of it is.
    pub fn write(
        &mut self,
        changes: &[(Account, Option<Record>)],
        is_whole: bool,
        saved_ns: u64,
    ) -> Result<(), StoreError> {
        let written = without_panic(|| self.try_write(changes, is_whole, saved_ns));
        let file = self.file.clone();
        written.map_err(|why| StoreError::Broken { file, why })
    }

    /// Closes the file, whatever became of it.
    pub fn close(self) {
        // What is wrong with the file was told when it was written.
        let _closed = catch_unwind(AssertUnwindSafe(move || drop(self)));
    }

    fn try_write(
        &mut self,
        changes: &[(Account, Option<Record>)],
        is_whole: bool,
        saved_ns: u64,
    ) -> Result<(), redb::Error> {
        let writing = self.database.begin_write()?;
        {
            let mut sources = writing.open_table(SOURCES)?;
            if is_whole {
                sources.retain(|_, _| false)?;
            }
            for (account, record) in changes {
                let account = account.to_string();
                match record {
                    Some(record) => {
                        let json = serde_json::to_vec(record).map_err(|error| {
                            redb::Error::from(StorageError::from(io::Error::other(error)))
                        })?;
                        sources.insert(account.as_str(), json.as_slice())?;
                    }
                    None => {
                        sources.remove(account.as_str())?;
                    }
                }
            }
            let mut about = writing.open_table(ABOUT)?;
            about.insert(FORMAT, THIS_FORMAT)?;
            about.insert(SAVED_NS, saved_ns)?;
        }
        writing.commit()?;
        Ok(())
    }
}

/// A file that others alter while it is open makes the library panic: that is an error of the file's, not the end of who keeps it.
fn without_panic(work: impl FnOnce() -> Result<(), redb::Error>) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("the file was altered by others while it was open, and makes no sense".to_owned()),
    }
}

/// Makes the directory and the file, for the daemon's own eyes.
fn make(file: &Path) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file)?;
    Ok(())
}

fn read(database: &Database) -> Result<Kept, Fault> {
    let mut kept = Kept::default();
    let reading = database.begin_read().map_err(redb::Error::from)?;
    let about = match reading.open_table(ABOUT) {
        Ok(about) => about,
        // It was just begun.
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(kept),
        Err(error) => return Err(Fault::Damaged(error.to_string())),
    };
    let number =
        |name| -> Result<Option<u64>, redb::Error> { Ok(about.get(name)?.map(|value| value.value())) };
    match number(FORMAT)? {
        Some(THIS_FORMAT) => {}
        found => return Err(Fault::Format(found.unwrap_or(0))),
    }
    kept.saved_ns = number(SAVED_NS)?.unwrap_or(0);
    let sources = reading
        .open_table(SOURCES)
        .map_err(|error| Fault::Damaged(error.to_string()))?;
    for entry in sources.iter().map_err(redb::Error::from)? {
        let (account, record) = entry.map_err(redb::Error::from)?;
        let account = account.value().parse::<Prefix>().ok();
        let record = Record::parse(record.value()).ok();
        match (account, record) {
            (Some(prefix), Some(record)) if kept.records.len() < MOST => {
                kept.records.push((Account::from(prefix), record));
            }
            _ => kept.unreadable += 1,
        }
    }
    Ok(kept)
}

/// Where a damaged file goes; one that was put there before gives way.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".damaged");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{
        Reputation,
        reputation::{Evidence, Kind, Settings},
    };

    fn known(count: u8) -> Vec<(Account, Option<Record>)> {
        let mut reputation = Reputation::new(Settings::default(), 0, 0);
        for host in 0..count {
            let evidence = Evidence {
                kind: Kind::Flood,
                proven: true,
                detail: "limit-syn".to_owned(),
                packets: 5,
            };
            reputation.take(Account::of([192, 0, 2, host].into()), &evidence, 7);
        }
        reputation.changes()
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("edge/reputation.redb");
        (directory, file)
    }

    #[test]
    fn what_is_written_is_read() {
        let (_directory, file) = place();
        let (mut store, kept) = Store::open(&file).expect("it is begun");
        assert_eq!(kept, Kept::default());
        let mut changes = known(20);
        store.write(&changes, false, 99).expect("written");
        changes[3].1 = None;
        store.write(&changes[3..4], false, 100).expect("written");
        assert!(matches!(Store::open(&file), Err(StoreError::Used { .. })));
        drop(store);
        let (mut store, kept) = Store::open(&file).expect("it is there");
        changes.remove(3);
        let read: Vec<_> = kept
            .records
            .iter()
            .map(|(account, record)| (*account, Some(record.clone())))
            .collect();
        assert_eq!((read.len(), kept.saved_ns, kept.unreadable), (19, 100, 0));
        assert!(changes.iter().all(|change| read.contains(change)));
        store.write(&changes[..2], true, 101).expect("written");
        drop(store);
        let (_store, kept) = Store::open(&file).expect("it is there");
        assert_eq!(kept.records.len(), 2, "as a whole");
    }

    #[test]
    fn a_damaged_file_is_put_beside() {
        let (_directory, file) = place();
        let (mut store, _) = Store::open(&file).expect("it is begun");
        store.write(&known(200), false, 99).expect("written");
        drop(store);
        let good = fs::read(&file).expect("a file");
        let mut damages: Vec<Vec<u8>> = vec![
            b"no database at all".repeat(1_000),
            good[..good.len() / 3].to_vec(),
        ];
        for at in (0..good.len()).step_by(good.len() / 40) {
            let mut bytes = good.clone();
            let end = (at + 600).min(bytes.len());
            bytes[at..end].fill(0x5a);
            damages.push(bytes);
        }
        let mut put_beside = 0;
        for bytes in damages {
            fs::write(&file, &bytes).expect("a file");
            let (mut store, kept) = Store::open(&file).expect("the work goes on");
            if let Some(damaged) = &kept.damaged {
                put_beside += 1;
                assert_eq!(fs::read(damaged).expect("it is kept"), bytes);
                assert!(kept.records.is_empty());
            }
            store.write(&known(3), true, 5).expect("it can be written");
        }
        assert!(put_beside >= 3, "{put_beside}");
    }

    /// Found in review: a file that was altered under the daemon ended the thread that keeps it.
    #[test]
    fn the_work_goes_on_with_a_file_that_was_altered_while_it_was_open() {
        let (_directory, file) = place();
        let (mut store, _) = Store::open(&file).expect("it is begun");
        store.write(&known(200), false, 99).expect("written");
        let good = fs::read(&file).expect("a file");
        for round in 0..20_u8 {
            let bytes: Vec<u8> = (4_096..good.len())
                .map(|at| (at as u8).wrapping_mul(31) ^ round)
                .collect();
            let damaged = OpenOptions::new().write(true).open(&file).expect("a file");
            std::os::unix::fs::FileExt::write_all_at(&damaged, &bytes, 4_096).expect("written");
            // What of it is still in memory can be written; the rest is an error.
            let _written = store.write(&known(200), false, 100);
            store.close();
            (store, _) = Store::open(&file).expect("the work goes on");
            store.write(&known(200), true, 101).expect("it can be written");
        }
        store.close();
        assert_eq!(Store::open(&file).expect("it is sound").1.records.len(), 200);
    }

    #[test]
    fn a_panic_of_the_library_is_an_error_of_the_file() {
        let told = without_panic(|| unreachable!("a page that makes no sense"));
        assert!(told.is_err_and(|why| why.contains("altered by others")));
        assert_eq!(without_panic(|| Ok(())), Ok(()));
    }

    #[test]
    fn another_format_is_not_touched() {
        let (_directory, file) = place();
        let (store, _) = Store::open(&file).expect("it is begun");
        let writing = store.database.begin_write().expect("a turn");
        {
            let mut about = writing.open_table(ABOUT).expect("a table");
            about.insert(FORMAT, 2).expect("a number");
        }
        writing.commit().expect("written");
        drop(store);
        let error = Store::open(&file).expect_err("a newer one").to_string();
        assert!(error.contains("another version (format 2)"), "{error}");
        assert!(file.exists());
    }

    #[test]
    fn what_is_in_the_way_is_told() {
        let (directory, file) = place();
        fs::write(directory.path().join("edge"), "a file").expect("a file");
        let error = Store::open(&file).expect_err("no directory").to_string();
        assert!(
            error.contains("reputation.redb cannot be opened") && error.contains("ends with this daemon"),
            "{error}"
        );
    }
}
