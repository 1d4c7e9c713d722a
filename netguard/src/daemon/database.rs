//! Databases of places as their files are: each is read once, whoever asks it, beside the tick, and again when the file has changed.
//! What becomes of places they do not say.

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use tracing::{info, warn};

use super::{EventKind, State, places};
use crate::{
    config::{Config, Place},
    lists::{Atlas, ListError, Of},
};

/// When a file was changed in any way, where it lies, and how long it is.
type Stamp = (i64, i64, u64, u64);

/// The databases that are asked about single sources.
pub(crate) struct Databases(Vec<Database>);

/// What is known by a database.
#[derive(Clone, Default)]
pub(crate) struct Reading {
    pub(crate) atlas: Option<Arc<Atlas>>,
    /// Why that is not what its file says now.
    pub(crate) fault: Option<Arc<str>>,
}

struct Database {
    file: PathBuf,
    /// What it is asked for.
    of: Vec<Of>,
    reading: Reading,
    /// What the file was when it was last read.
    seen: Option<Stamp>,
    under_way: Option<mpsc::Receiver<Result<Atlas, ListError>>>,
}

impl Databases {
    /// Those that `config` names and the daemon asks itself; nothing is read yet. What policies say the lists read for themselves.
    pub(crate) fn of(config: &Config) -> Self {
        let mut databases = Vec::<Database>::new();
        let asns = config.geo.asn_database.clone().map(|file| (file, Of::Asns));
        for (file, of) in places::database(config).into_iter().chain(asns) {
            match databases.iter_mut().find(|database| database.file == file) {
                Some(database) if database.of.contains(&of) => {}
                Some(database) => database.of.push(of),
                None => databases.push(Database::new(file, vec![of])),
            }
        }
        Self(databases)
    }

    /// Reads all of them now; why that of some fails.
    pub(crate) fn read(&mut self) -> Vec<String> {
        for database in &mut self.0 {
            let read = Atlas::read(&database.file, &database.of);
            database.take(read);
        }
        self.faults()
    }

    /// Takes what was read meanwhile, and has read what has changed. What is wrong is told once.
    pub(super) fn follow(&mut self, state: &State) {
        let mut has_changed = false;
        for database in &mut self.0 {
            let before = database.reading.fault.clone();
            database.follow();
            let fault = &database.reading.fault;
            if *fault == before {
                continue;
            }
            has_changed = true;
            let file = database.file.display().to_string();
            state.journal.record(match fault {
                Some(why) => {
                    warn!("where sources are: {why}");
                    EventKind::ListFailed {
                        file,
                        why: why.to_string(),
                    }
                }
                None => EventKind::ListRead {
                    file,
                    skipped: 0,
                    trimmed: 0,
                    lines: Vec::new(),
                },
            });
        }
        if has_changed {
            state.tell_database_faults(self.faults());
        }
    }

    /// What is known by the one in `file`.
    pub(crate) fn reading(&self, file: &Path) -> Reading {
        let database = self.0.iter().find(|database| database.file == file);
        database
            .map(|database| database.reading.clone())
            .unwrap_or_default()
    }

    /// What cannot be read, in sentences.
    fn faults(&self) -> Vec<String> {
        let sentence = |database: &Database| {
            let Reading { atlas, fault } = &database.reading;
            let what = if atlas.is_some() {
                "what it said before is believed"
            } else {
                "it is not known where sources are"
            };
            Some(format!("{}: {what}", fault.as_ref()?))
        };
        self.0.iter().filter_map(sentence).collect()
    }
}

impl Reading {
    /// The country or the autonomous system of `source`, as far as the database knows.
    pub(crate) fn place(&self, of: Of, source: IpAddr) -> Option<Place> {
        self.atlas.as_ref()?.place(of, source)
    }

    /// The autonomous system of `source`, as far as the database knows.
    pub(crate) fn asn(&self, source: IpAddr) -> Option<u32> {
        self.atlas.as_ref()?.asn(source)
    }
}

impl Database {
    fn new(file: PathBuf, of: Vec<Of>) -> Self {
        Self {
            file,
            of,
            reading: Reading::default(),
            seen: None,
            under_way: None,
        }
    }

    fn follow(&mut self) {
        match self.under_way.as_ref().map(mpsc::Receiver::try_recv) {
            None | Some(Err(mpsc::TryRecvError::Empty)) => {}
            Some(Ok(read)) => self.take(read),
            Some(Err(mpsc::TryRecvError::Disconnected)) => {
                let died = io::Error::other("the thread that was to read it died");
                self.take(Err(self.unreadable(died)));
            }
        }
        match self.look() {
            Err(error) => {
                self.seen = None;
                self.fail(&error);
            }
            Ok(stamp) if self.under_way.is_none() && self.seen != Some(stamp) => match self.begin() {
                Ok(()) => self.seen = Some(stamp),
                Err(error) => self.fail(&self.unreadable(error)),
            },
            Ok(_) => {}
        }
    }

    fn take(&mut self, read: Result<Atlas, ListError>) {
        self.under_way = None;
        match read {
            Ok(atlas) => {
                info!("it is known where sources are by {}", self.file.display());
                self.reading = Reading {
                    atlas: Some(Arc::new(atlas)),
                    fault: None,
                };
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &ListError) {
        self.reading.fault = Some(error.to_string().into());
    }

    fn unreadable(&self, source: io::Error) -> ListError {
        let file = self.file.display().to_string();
        ListError::Unreadable { file, source }
    }

    fn look(&self) -> Result<Stamp, ListError> {
        let metadata = fs::metadata(&self.file).map_err(|source| self.unreadable(source))?;
        if !metadata.is_file() {
            return Err(ListError::NoFile(self.file.display().to_string()));
        }
        Ok((
            metadata.ctime(),
            metadata.ctime_nsec(),
            metadata.ino(),
            metadata.len(),
        ))
    }

    /// Has it read on a thread of its own, not of the runtime: that would not end before it, and a file may be on a server that
    /// does not answer.
    fn begin(&mut self) -> io::Result<()> {
        let (tell, told) = mpsc::channel();
        let (file, of) = (self.file.clone(), self.of.clone());
        thread::Builder::new().name("places".to_owned()).spawn(move || {
            // Nobody waits any more: the daemon ends.
            let _ended = tell.send(Atlas::read(&file, &of));
        })?;
        self.under_way = Some(told);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Until what was begun has been read.
    fn follow(database: &mut Database) {
        database.follow();
        if let Some(under_way) = database.under_way.take() {
            database.take(under_way.recv().unwrap());
        }
    }

    #[test]
    fn it_is_read_again_when_it_changes_and_what_is_wrong_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("country.csv");
        let mut database = Database::new(file.clone(), vec![Of::Countries]);
        let source = "192.0.2.1".parse().unwrap();
        let told = |database: &Database| {
            let place = database.reading.place(Of::Countries, source);
            (
                place.map(|place| place.to_string()).unwrap_or_default(),
                database.reading.fault.as_deref().unwrap_or_default().to_owned(),
            )
        };
        // Found in review: this was told nowhere.
        follow(&mut database);
        let (place, fault) = told(&database);
        assert!(
            place.is_empty() && fault.contains("country.csv cannot be read: No such file"),
            "{fault}"
        );
        for (text, expected, fault) in [
            ("192.0.2.0/24,AQ\n", "AQ", ""),
            ("192.0.2.0/24,BV\n# longer\n", "BV", ""),
            // What is no database, or says nothing of countries, leaves what was known.
            ("<html>, longer still", "BV", "holds no prefix at all"),
            (
                "192.0.2.0/24,AS64496\n# or so\n",
                "BV",
                "of no address which country",
            ),
            ("192.0.2.0/24,HM\n", "HM", ""),
        ] {
            fs::write(&file, text).unwrap();
            follow(&mut database);
            let told = told(&database);
            assert_eq!(told.0, expected);
            assert!(
                told.1.contains(fault) && told.1.is_empty() == fault.is_empty(),
                "{}",
                told.1
            );
        }
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        follow(&mut database);
        let (place, fault) = told(&database);
        assert!(place == "HM" && fault.contains("is no regular file"), "{fault}");
    }

    #[test]
    fn a_file_is_read_once_whoever_asks_it() {
        let config = |text: &str| Config::parse("test", text).unwrap();
        let databases = |text: &str| {
            let Databases(databases) = Databases::of(&config(text));
            let named = databases.into_iter();
            let named = named.map(|database| (database.file.display().to_string(), database.of));
            named.collect::<Vec<_>>()
        };
        let of = |file: &str, of: &[Of]| (file.to_owned(), of.to_vec());
        let (countries, asns) = (Of::Countries, Of::Asns);
        assert_eq!(databases("[geo]\nasn_database = \"/a\"\n"), [of("/a", &[asns])]);
        let both = "[geo]\ncountry_database = \"/c\"\nasn_database = \"/a\"\n";
        assert_eq!(databases(both), [of("/c", &[countries]), of("/a", &[asns])]);
        let one = "[geo]\ncountry_database = \"/a\"\nasn_database = \"/a\"\n";
        assert_eq!(databases(one), [of("/a", &[countries, asns])]);
        let off = format!("{both}[response]\ngeo = \"off\"\n");
        assert_eq!(databases(&off), [of("/a", &[asns])]);
    }

    #[test]
    fn what_cannot_be_read_is_a_sentence() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("asn.csv");
        let mut databases = Databases(vec![Database::new(file.clone(), vec![Of::Asns])]);
        let faults = databases.read();
        assert!(
            faults[0].ends_with("(os error 2): it is not known where sources are"),
            "{faults:?}"
        );
        fs::write(&file, "192.0.2.0/24,AS64496\n").unwrap();
        assert_eq!(databases.read(), [""; 0]);
        assert_eq!(
            databases.reading(&file).asn("192.0.2.1".parse().unwrap()),
            Some(64_496)
        );
        fs::write(&file, "").unwrap();
        let faults = databases.read();
        assert!(
            faults[0].ends_with("what it said before is believed"),
            "{faults:?}"
        );
    }
}
