//! The file in which what is normal outlives the daemon: written whole or not at all, and read only if it is what was written. It
//! decides nothing about when.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
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

#[cfg(test)]
mod tests {
    use netguard_common::telemetry::Kind;

    use super::*;
    use crate::engine::{Calm, Controller, baseline::tests::learnt, campaign::Target};

    const NOW: u64 = 1_800_000_000;

    fn some() -> Learnt {
        let target = Target {
            protocol: 6,
            port: 443,
        };
        Learnt {
            baselines: learnt(&[(Kind::Udp, 1_000)]),
            calm: Calm {
                served: vec![(target, NOW)],
                ..Calm::default()
            },
            ..Learnt::new(7)
        }
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x").join("normal.json");
        (directory, path)
    }

    /// With the right checksum.
    fn written(path: &Path, body: &str) {
        make_directory(path).expect("a directory");
        let header = Header {
            kind: KIND.to_owned(),
            version: VERSION,
            written_s: NOW,
            sha256: sha256(body.as_bytes()).to_string(),
        };
        let header = serde_json::to_string(&header).expect("it is JSON");
        fs::write(path, format!("{header}\n{body}")).expect("it is written");
    }

    fn why(path: &Path) -> String {
        match read(path, NOW) {
            Ok(_) => "it was taken".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_is_no_fault() {
        let (_directory, path) = place();
        assert!(matches!(read(&path, NOW), Ok(None)));
        for _ in 0..2 {
            write(&path, &some(), NOW).expect("it is written");
        }
        let kept = read(&path, NOW + 60).expect("it is read").expect("it is there");
        assert_eq!((kept.written_s, kept.from_future), (NOW, false));
        assert_eq!(kept.learnt.calm, some().calm);
        let [before, after] = [some(), kept.learnt].map(|learnt| Controller::new(learnt).normal(None));
        assert_eq!(before, after);
        assert!(!beside(&path, "unfinished").exists());
    }

    #[test]
    fn what_is_none_is_refused_in_words_and_put_aside() {
        let (_directory, path) = place();
        write(&path, &some(), NOW).expect("it is written");
        let whole = fs::read_to_string(&path).expect("it is read");
        let cut = &whole[..whole.len() / 2];
        let flipped = whole.replacen("\"learnt\":600", "\"learnt\":601", 1);
        let newer = whole.replacen("\"version\":1", "\"version\":2", 1);
        for (text, part) in [
            ("", "not a file that netguard wrote"),
            ("\n", "not a file that netguard wrote"),
            ("{}\n{}", "not a file that netguard wrote"),
            ("<html>\n", "not a file that netguard wrote"),
            (cut, "damaged: its checksum"),
            (&flipped, "damaged: its checksum"),
            (&newer, "another version of netguard (form 2"),
        ] {
            fs::write(&path, text).expect("it is written");
            let why = why(&path);
            assert!(why.contains(part) && why.contains("normal.json"), "{why}");
        }
        let aside = put_aside(&path).expect("it is moved");
        assert!(!path.exists() && aside.exists());
        fs::create_dir(&path).expect("a directory");
        assert!(why(&path).contains("not a file that netguard wrote"));
        put_aside(&path).expect_err("a directory does not take the place of a file");
        fs::remove_file(&aside).expect("it is removed");
        put_aside(&path).expect("it is moved");
    }

    /// With the right checksum, so that somebody must have meant it.
    #[test]
    fn what_cannot_have_been_learnt_is_refused() {
        let (_directory, path) = place();
        let body = |learnt: &Learnt| serde_json::to_string(learnt).expect("it is JSON");
        let good = body(&some());
        let hex_of_extremes = {
            let mut sketch = sketches_ddsketch::DDSketch::new(sketches_ddsketch::Config::defaults());
            sketch.add(f64::NAN);
            // Infinity itself is too much for the library's own arithmetic.
            sketch.add(f64::MAX);
            let bytes = sketch.to_java_bytes();
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let start = good.find("\"values\":[\"").expect("sketches") + 11;
        let end = start + good[start..].find('"').expect("their end");
        for wrong in [
            good.replacen("\"room\":3.0", "\"room\":300.0", 1),
            good.replacen("\"totals\":{\"bytes\"", "\"totals\":{\"bites\"", 1),
            good.replacen("\"points\":[]", "\"points\":[[1.0]]", 1),
            format!("{}{hex_of_extremes}{}", &good[..start], &good[end..]),
            format!("{}ffffffffffff{}", &good[..start], &good[end..]),
            "[".repeat(100_000),
            "null".to_owned(),
        ] {
            written(&path, &wrong);
            let why = why(&path);
            assert!(
                why.contains("damaged"),
                "{why}: {}",
                wrong.chars().take(80).collect::<String>()
            );
        }
    }

    #[test]
    fn what_is_huge_is_not_read() {
        let (_directory, path) = place();
        make_directory(&path).expect("a directory");
        let file = File::create(&path).expect("a file");
        file.set_len(LONGEST + 1).expect("it is sparse");
        assert!(why(&path).contains("more than what is normal ever takes"));
    }

    #[test]
    fn old_files_are_left_and_those_of_the_future_are_taken_in_part() {
        let (_directory, path) = place();
        write(&path, &some(), NOW - OLDEST_S - 1).expect("it is written");
        assert!(why(&path).contains("35 days old"), "{}", why(&path));
        write(&path, &some(), NOW - OLDEST_S).expect("it is written");
        assert!(read(&path, NOW).is_ok());
        write(&path, &some(), NOW + 10 * 86_400).expect("it is written");
        let kept = read(&path, NOW).expect("it is read").expect("it is there");
        assert!(kept.from_future);
        write(&path, &some(), u64::MAX).expect("it is written");
        assert!(read(&path, 0).is_ok());
    }

    #[test]
    fn where_nothing_can_be_written_it_says_so() {
        let path = Path::new("/proc/nowhere/normal.json");
        let error = write(path, &some(), NOW).expect_err("/proc is no place");
        let text = error.to_string();
        assert!(
            text.contains("/proc/nowhere/normal.json cannot be written"),
            "{text}"
        );
    }
}
