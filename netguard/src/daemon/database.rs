//! Databases of places as their files are: each is read once, whoever asks it, and again when the file has changed; looked at beside the
//! tick, too. What becomes of places they do not say.

mod reader;

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use tracing::{info, warn};

use super::{EventKind, State, places};
use crate::{
    config::{Config, KeyPart, Place},
    lists::{Atlas, ListError, Of},
};
use reader::{Look, Reader, unreadable};

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
    reader: Option<Reader>,
    /// The fault is that nothing is heard of it.
    is_missed: bool,
    /// The fault as it was told last.
    told: Option<Arc<str>>,
}

/// Times that a look may take, each a second: a million lines take two or three.
const PATIENCE: u32 = 30;

impl Databases {
    /// Those that `config` names and the daemon asks itself; nothing is read yet. What policies say the lists read for themselves.
    pub(crate) fn of(config: &Config) -> Self {
        let mut databases = Vec::<Database>::new();
        let asns = config.geo.asn_database.clone().map(|file| (file, Of::Asns));
        let countries = config.geo.country_database.clone();
        let counted = countries.filter(|_| config.decision.limit.uses(KeyPart::Country));
        let counted = counted.map(|file| (file, Of::Countries));
        for (file, of) in places::database(config).into_iter().chain(counted).chain(asns) {
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

    /// Has them looked at again; what comes of it [`Databases::follow`] takes.
    pub(super) fn ask(&mut self) {
        for database in &mut self.0 {
            database.ask();
        }
    }

    /// Takes what was read meanwhile. What is wrong is told once. This waits for no file.
    pub(super) fn follow(&mut self, state: &State) {
        let mut has_changed = false;
        for database in &mut self.0 {
            database.hear();
            let Some(fault) = database.news() else {
                continue;
            };
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
            reader: None,
            is_missed: false,
            told: None,
        }
    }

    /// The fault, or that there is none any more, where that was not told yet.
    fn news(&mut self) -> Option<Option<Arc<str>>> {
        let fault = &self.reading.fault;
        if *fault == self.told {
            return None;
        }
        self.told.clone_from(fault);
        Some(fault.clone())
    }

    fn hear(&mut self) {
        let Some(reader) = &mut self.reader else {
            return;
        };
        match reader.told.try_recv() {
            Ok(look) => {
                reader.silent = None;
                self.heard(look);
            }
            Err(mpsc::TryRecvError::Empty) => {}
            Err(mpsc::TryRecvError::Disconnected) => {
                self.reader = None;
                let died = io::Error::other("the thread that was to read it died");
                self.fail(&unreadable(&self.file, died));
            }
        }
    }

    fn heard(&mut self, look: Look) {
        if std::mem::take(&mut self.is_missed) {
            self.reading.fault = None;
        }
        if let Some(read) = look {
            self.take(read);
        }
    }

    fn ask(&mut self) {
        let begun = match self.reader.take() {
            Some(reader) => Ok(reader),
            None => Reader::begin(self.file.clone(), self.of.clone()),
        };
        let reader = match begun {
            Ok(reader) => self.reader.insert(reader),
            Err(error) => return self.fail(&unreadable(&self.file, error)),
        };
        let Some(silent) = &mut reader.silent else {
            // Where it died, that is heard next.
            let _died = reader.ask.send(());
            reader.silent = Some(0);
            return;
        };
        *silent = silent.saturating_add(1);
        if *silent >= PATIENCE && self.reading.fault.is_none() {
            let late = format!("nothing was heard of it for {PATIENCE} seconds: does its server answer?");
            self.fail(&unreadable(&self.file, io::Error::other(late)));
            self.is_missed = true;
        }
    }

    fn take(&mut self, read: Result<Atlas, ListError>) {
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
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn second(database: &mut Database) {
        database.hear();
        database.ask();
    }

    /// Until what was begun has been read.
    fn follow(database: &mut Database) {
        second(database);
        let reader = database.reader.as_mut().unwrap();
        let look = reader.told.recv().unwrap();
        reader.silent = None;
        database.heard(look);
    }

    /// Found in review: whether the file had changed was asked on the thread of the tick, which waits for a server then.
    #[test]
    fn a_server_that_does_not_answer_holds_nobody_up_and_is_told() {
        let file = PathBuf::from("/nowhere/country.csv");
        let mut database = Database::new(file, vec![Of::Countries]);
        let (ask, asked) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let silent = None;
        database.reader = Some(Reader { ask, told, silent });
        let fault = |database: &Database| database.reading.fault.as_deref().unwrap_or_default().to_owned();
        for _ in 0..PATIENCE {
            second(&mut database);
            // Who looked would have told that there is no such file.
            assert_eq!(fault(&database), "");
        }
        assert_eq!(database.news(), None);
        second(&mut database);
        assert!(fault(&database).contains("nothing was heard of it for 30 seconds"));
        // Found in review: what is asked for finds it, and what is heard told it: nobody did.
        database.hear();
        assert!(
            database
                .news()
                .flatten()
                .is_some_and(|why| why.contains("30 seconds"))
        );
        assert_eq!(database.news(), None, "it is told once");
        assert_eq!(asked.try_iter().count(), 1, "it is not asked again");
        // It is as it was.
        tell.send(None).unwrap();
        second(&mut database);
        assert_eq!((fault(&database), asked.try_iter().count()), (String::new(), 1));
        assert_eq!(database.news(), Some(None));
        drop(tell);
        second(&mut database);
        assert!(fault(&database).contains("died"), "{}", fault(&database));
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
