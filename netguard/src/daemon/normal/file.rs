//! The file in which what is normal outlives the daemon: written whole or not at all, and read only if it is what was written. It
//! decides nothing about when.

#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{
    audit::{make_directory, sha256},
    bpf::InstanceName,
    engine::Learnt,
};

/// What the first line says that it is.
const KIND: &str = "netguard-normal";
/// Changes when what was written before means something else.
const VERSION: u32 = 1;
/// No file is longer: 512 services with five weeks each take a quarter of it.
const LONGEST: u64 = 64 << 20;
/// What is older says little about today.
const OLDEST_S: u64 = 35 * 86_400;
/// Clocks of one machine before and after a restart may differ by so much.
const AHEAD_S: u64 = 3_600;

/// The first line; the rest is [`Learnt`] as JSON.
#[derive(Serialize, Deserialize)]
struct Header {
    kind: String,
    version: u32,
    /// Seconds since 1970.
    written_s: u64,
    /// Over the rest.
    sha256: String,
}

/// What was read.
pub struct Kept {
    pub learnt: Learnt,
    /// Seconds since 1970.
    pub written_s: u64,
    /// Whether it says that it was written later than now: then its hours after now are left out.
    pub from_future: bool,
}

impl Kept {
    /// When it was written, RFC 3339; empty where no calendar has such a day.
    pub fn written(&self) -> String {
        let written = Duration::from_secs(self.written_s);
        let written = UNIX_EPOCH
            .checked_add(written)
            .filter(|_| self.written_s < 253_370_764_800);
        written.map_or_else(String::new, |at| {
            humantime::format_rfc3339_seconds(at).to_string()
        })
    }
}

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NormalFileError {
    #[error("{path} cannot be read: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} cannot be written: {source}; learning goes on in memory, and it is tried again")]
    Write { path: PathBuf, source: io::Error },
    #[error("{0} is not a file that netguard wrote about what is normal")]
    Foreign(PathBuf),
    #[error("{path} has {bytes} bytes, more than what is normal ever takes")]
    Huge { path: PathBuf, bytes: u64 },
    #[error(
        "{path} was written by another version of netguard (form {version}, this one reads form {VERSION})"
    )]
    Version { path: PathBuf, version: u32 },
    #[error("{path} is damaged: {why}")]
    Damaged { path: PathBuf, why: String },
    #[error("{path} is {days} days old, and what was normal then says little about today")]
    Outdated { path: PathBuf, days: u64 },
}

/// The file of `instance`.
pub fn normal_file(instance: &InstanceName) -> PathBuf {
    Path::new("/var/lib/netguard")
        .join(instance.to_string())
        .join("normal.json")
}

/// Reads `path` at `now_s` of the wall clock; `None` where there is none.
///
/// # Errors
/// When it is not what [`write()`] wrote, or too old.
pub fn read(path: &Path, now_s: u64) -> Result<Option<Kept>, NormalFileError> {
    take(path, Some(now_s))
}

/// The same, whenever it was written, and with all of its hours.
///
/// # Errors
/// When it is not what [`write()`] wrote.
pub fn read_of_any_age(path: &Path) -> Result<Option<Kept>, NormalFileError> {
    take(path, None)
}

fn take(path: &Path, now_s: Option<u64>) -> Result<Option<Kept>, NormalFileError> {
    let read = |source| NormalFileError::Read {
        path: path.to_owned(),
        source,
    };
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(read)?,
    };
    // Nothing is opened that would not end.
    if !found.is_file() {
        return Err(NormalFileError::Foreign(path.to_owned()));
    }
    if found.len() > LONGEST {
        return Err(NormalFileError::Huge {
            path: path.to_owned(),
            bytes: found.len(),
        });
    }
    let bytes = fs::read(path).map_err(read)?;
    let (header, body) = parted(path, &bytes)?;
    let now_s = now_s.unwrap_or(header.written_s);
    let days = now_s.saturating_sub(header.written_s) / 86_400;
    if now_s.saturating_sub(header.written_s) > OLDEST_S {
        return Err(NormalFileError::Outdated {
            path: path.to_owned(),
            days,
        });
    }
    let mut learnt = parsed(path, body)?;
    let from_future = header.written_s > now_s.saturating_add(AHEAD_S);
    if from_future {
        learnt.baselines.forget_after(now_s);
    }
    Ok(Some(Kept {
        learnt,
        written_s: header.written_s,
        from_future,
    }))
}

fn parted<'a>(path: &Path, bytes: &'a [u8]) -> Result<(Header, &'a [u8]), NormalFileError> {
    let foreign = || NormalFileError::Foreign(path.to_owned());
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(foreign)?;
    let (line, body) = (&bytes[..end], &bytes[end + 1..]);
    // Of another version nothing is known but these two.
    #[derive(Deserialize)]
    struct Any {
        kind: String,
        version: u32,
    }
    let any: Any = serde_json::from_slice(line).map_err(|_| foreign())?;
    if any.kind != KIND {
        return Err(foreign());
    }
    if any.version != VERSION {
        return Err(NormalFileError::Version {
            path: path.to_owned(),
            version: any.version,
        });
    }
    let damaged = |why: String| NormalFileError::Damaged {
        path: path.to_owned(),
        why,
    };
    let header: Header = serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))?;
    if sha256(body).to_string() != header.sha256 {
        return Err(damaged("its checksum is another".to_owned()));
    }
    Ok((header, body))
}

/// On a thread of its own, since a sketch that somebody made up could have the library panic.
fn parsed(path: &Path, body: &[u8]) -> Result<Learnt, NormalFileError> {
    let damaged = |why: String| NormalFileError::Damaged {
        path: path.to_owned(),
        why,
    };
    let parsed = thread::scope(|scope| scope.spawn(|| serde_json::from_slice::<Learnt>(body)).join());
    let learnt = parsed
        .map_err(|_| damaged("what it says cannot be".to_owned()))?
        .map_err(|error| damaged(error.to_string()))?;
    if !learnt.is_sound() {
        return Err(damaged("what it says cannot have been learnt".to_owned()));
    }
    Ok(learnt)
}

/// Writes `learnt` to `path` at `now_s` of the wall clock: whoever dies in between leaves what was there before.
///
/// # Errors
/// When it cannot be written; what was there before is there still.
pub fn write(path: &Path, learnt: &Learnt, now_s: u64) -> Result<(), NormalFileError> {
    let unfinished = beside(path, "unfinished");
    let written = exchange(path, &unfinished, learnt, now_s);
    written.map_err(|source| {
        // It may take the room that is missing.
        let _gone = fs::remove_file(&unfinished);
        NormalFileError::Write {
            path: path.to_owned(),
            source,
        }
    })
}

fn exchange(path: &Path, unfinished: &Path, learnt: &Learnt, now_s: u64) -> io::Result<()> {
    let body = serde_json::to_vec(learnt)?;
    let header = Header {
        kind: KIND.to_owned(),
        version: VERSION,
        written_s: now_s,
        sha256: sha256(&body).to_string(),
    };
    make_directory(path)?;
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(unfinished)?;
    serde_json::to_writer(&mut file, &header)?;
    file.write_all(b"\n")?;
    file.write_all(&body)?;
    file.sync_all()?;
    fs::rename(unfinished, path)?;
    path.parent()
        .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// Puts a file that is not taken beside, in place of one that was before; where it is then.
///
/// # Errors
/// When it cannot be moved.
pub(super) fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = beside(path, "refused");
    // A directory gives way to nothing.
    if aside.is_dir() {
        fs::remove_dir(&aside)?;
    }
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}
