//! What a setting of the kernel was before anybody of ours changed it, and who has borrowed it since: one file for each setting
//! and network namespace, which all instances share. It is read and exchanged as a whole, under one lock.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::Setting;
use crate::{
    bpf::{InstanceName, Pins},
    daemon::{RUNTIME_DIRECTORY, lock},
    host,
};

const ARMED: &str = "armed";

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) original: u8,
    /// By instance: whether it makes cookies at the moment.
    pub(super) claims: BTreeMap<String, bool>,
}

/// The files, which nobody else changes until this is dropped.
pub(super) struct Shelf {
    directory: PathBuf,
    namespace: u64,
    _lock: File,
}

impl Shelf {
    /// Whether anybody has ever kept anything.
    pub(super) fn exists() -> bool {
        directory().exists()
    }

    /// Waits for whoever has it.
    pub(super) fn open() -> io::Result<Self> {
        let directory = directory();
        // Whoever may open the lock may keep it.
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(directory.join("lock"))?;
        lock.lock()?;
        Ok(Self {
            directory,
            namespace: host::network_namespace()?,
            _lock: lock,
        })
    }

    /// What is kept of `setting` in this network namespace, without claims of the dead; `None`: nothing.
    pub(super) fn read(&self, setting: Setting, own: &InstanceName) -> io::Result<Option<Kept>> {
        let path = self.file(setting);
        let Some(mut kept) = read(&path)? else {
            return Ok(None);
        };
        let own = own.to_string();
        // Not of our own lock, which looking at it would release.
        kept.claims
            .retain(|instance, _| *instance == own || lives(instance));
        Ok(Some(kept))
    }

    /// Keeps `kept`; nothing any more when nobody claims it.
    pub(super) fn write(&self, setting: Setting, kept: &Kept) -> io::Result<()> {
        let path = self.file(setting);
        if kept.claims.is_empty() {
            return fs::remove_file(path);
        }
        let unfinished = self.directory.join("unfinished");
        fs::write(&unfinished, kept.text())?;
        fs::rename(unfinished, path)
    }

    /// A file of another network namespace in which `instance` claims `setting`.
    pub(super) fn elsewhere(&self, setting: Setting, instance: &InstanceName) -> Option<PathBuf> {
        let (own, instance) = (self.file(setting), instance.to_string());
        let files = fs::read_dir(&self.directory).ok()?.filter_map(Result::ok);
        files.map(|file| file.path()).find(|path| {
            *path != own
                && path
                    .extension()
                    .is_some_and(|extension| extension == setting.word())
                && read(path).is_ok_and(|kept| kept.is_some_and(|kept| kept.claims.contains_key(&instance)))
        })
    }

    fn file(&self, setting: Setting) -> PathBuf {
        self.directory
            .join(format!("{}.{}", self.namespace, setting.word()))
    }
}

impl Kept {
    /// What nobody has changed yet.
    pub(super) const fn of(original: u8) -> Self {
        Self {
            original,
            claims: BTreeMap::new(),
        }
    }

    fn text(&self) -> String {
        let claims = self.claims.iter().map(|(instance, armed)| {
            let armed = if *armed { ARMED } else { "" };
            format!("{instance} {armed}\n")
        });
        std::iter::once(format!("{}\n", self.original))
            .chain(claims)
            .collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let original = lines.next()?.parse().ok()?;
        let claim = |line: &str| match line.split_once(' ')? {
            (instance, "") => Some((instance.to_owned(), false)),
            (instance, ARMED) => Some((instance.to_owned(), true)),
            _ => None,
        };
        let claims = lines.map(claim).collect::<Option<_>>()?;
        Some(Self { original, claims })
    }
}

fn directory() -> PathBuf {
    Path::new(RUNTIME_DIRECTORY).join("sysctls")
}

fn read(path: &Path) -> io::Result<Option<Kept>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    match Kept::parse(&text) {
        Some(kept) => Ok(Some(kept)),
        // Not ours to guess at.
        None => Err(io::Error::other(format!(
            "{} does not say what it was: set it as it should be, and remove that file",
            path.display()
        ))),
    }
}

/// Whether an instance may still make cookies: its filter outlives the daemon.
fn lives(instance: &str) -> bool {
    instance
        .parse()
        .is_ok_and(|instance| Pins::of(&instance).root().exists() || lock::is_held(&instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let mut kept = Kept::of(1);
        kept.claims = [("edge".to_owned(), true), ("default".to_owned(), false)].into();
        assert_eq!(kept.text(), "1\ndefault \nedge armed\n");
        assert_eq!(Kept::parse(&kept.text()), Some(kept));
        for broken in ["", "x\n", "1\nedge\n", "1\nedge alarmed\n", "256\n"] {
            assert_eq!(Kept::parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn who_has_no_pins_and_no_daemon_is_dead() {
        assert!(!lives("nobody-ever-had-this-name"));
        assert!(!lives("../no name"));
    }
}
