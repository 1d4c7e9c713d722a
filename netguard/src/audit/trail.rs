//! The trail's end that is written: opened where it was left, appended to, and begun anew when a file is full. It waits for
//! the disk, so it belongs on a thread that nobody waits for.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use super::{
    AuditError, Head, Place, Record,
    about::{About, damage, torn_line},
    encode,
    files::{beside, full, full_name, make_directory},
    head,
    own::{is_same, lock, open},
    tail::{Tail, first},
};
use crate::clock::monotonic_ns;

/// Bytes that are written at once.
const CHUNK: usize = 256 * 1024;
/// Bytes of torn lines that are kept aside.
const TORN_MOST: u64 = 1024 * 1024;

/// A trail that is written by this process and no other.
#[derive(Debug)]
pub struct Trail {
    place: Place,
    file: File,
    /// Bytes of the file; everything behind is not ours.
    len: u64,
    first_seq: u64,
    left: Left,
}

/// How a process left a trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub head: Head,
    /// All lines from this number on were kept.
    pub oldest: u64,
}

impl Trail {
    /// Opens the trail where it was left. What is not as it should be there is set aside or told in the trail itself; `known` is
    /// how this process left it, if it did.
    ///
    /// # Errors
    /// When it cannot be read or written, or another process writes it.
    pub fn open(place: &Place, known: Option<Left>) -> Result<Self, AuditError> {
        let path = place.file.as_path();
        make_directory(path).map_err(AuditError::file(path))?;
        let file = lock(path, open(path))?;
        let len = file.metadata().map_err(AuditError::file(path))?.len();
        let tail = Tail::of(&file, len).map_err(AuditError::file(path))?;
        // A file that was begun and got no line yet goes on from the one before.
        let found = match tail.head {
            Some(head) => head,
            None => head(path)?.unwrap_or_default(),
        };
        let known_head = known.map(|known| known.head);
        let head = known_head.filter(|known| known.seq >= found.seq).unwrap_or(found);
        // What was kept is what was said to be, not what happens to be there.
        let begins = first(path);
        let kept = begins.or_else(|| first(&full(path).ok()?.pop()?.1));
        let oldest = known
            .map(|known| known.oldest)
            .or_else(|| kept?.oldest)
            .unwrap_or(1);
        let mut trail = Self {
            place: place.clone(),
            first_seq: begins.map_or(head.seq.saturating_add(1), |first| first.seq),
            file,
            len,
            left: Left { head, oldest },
        };
        let mut told = VecDeque::new();
        if !tail.torn.is_empty() {
            told.push_back(trail.set_aside(&tail)?.record());
        }
        told.extend(damage(tail.damaged, found, known_head).map(|damage| damage.record()));
        if trail.len == 0 {
            trail.begin()?;
        }
        trail.append(&mut told)?;
        Ok(trail)
    }

    /// Where the trail ends.
    pub fn head(&self) -> Head {
        self.left.head
    }

    /// For who opens it again.
    pub fn left(&self) -> Left {
        self.left
    }

    /// Writes `records` and takes them off the front; what stands in there after a failure was not written.
    ///
    /// # Errors
    /// When the disk is full, read-only or gone, or somebody else changed the file: then it must be opened anew.
    pub fn append(&mut self, records: &mut VecDeque<Record>) -> Result<(), AuditError> {
        while !records.is_empty() {
            self.must_be_ours()?;
            if self.len >= self.place.max_bytes {
                self.turn()?;
            }
            let (mut lines, mut head, mut count) = (Vec::new(), self.left.head, 0);
            for record in &*records {
                head = encode(record, head, &mut lines);
                count += 1;
                let full = self.len + lines.len() as u64 >= self.place.max_bytes;
                if full || lines.len() >= CHUNK {
                    break;
                }
            }
            self.write(&lines)?;
            self.left.head = head;
            records.drain(..count);
        }
        Ok(())
    }

    /// Waits until what was written is on the disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> Result<(), AuditError> {
        self.file.sync_data().map_err(AuditError::file(&self.place.file))
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), AuditError> {
        if let Err(error) = self.file.write_all(lines) {
            // A part may have found room. Where that cannot be taken back either, it is a torn line for who opens it next.
            let _taken_back = self.file.set_len(self.len);
            return Err(AuditError::file(&self.place.file)(error));
        }
        self.len += lines.len() as u64;
        Ok(())
    }

    /// Nobody has moved, removed or changed the file in our back.
    fn must_be_ours(&self) -> Result<(), AuditError> {
        let ours = self.file.metadata();
        let standing = fs::metadata(&self.place.file);
        let same = ours.is_ok_and(|ours| {
            standing.is_ok_and(|standing| is_same(&ours, &standing) && standing.len() == self.len)
        });
        same.then_some(())
            .ok_or_else(|| AuditError::Changed(self.place.file.clone()))
    }

    /// Puts the full file beside, and begins a new one.
    fn turn(&mut self) -> Result<(), AuditError> {
        let path = self.place.file.clone();
        self.file.sync_all().map_err(AuditError::file(&path))?;
        let mut name = full_name(&path, self.first_seq);
        if name.exists() {
            // Whoever moved files about: nothing is overwritten.
            name = beside(&name, &monotonic_ns().to_string());
        }
        fs::rename(&path, name).map_err(AuditError::file(&path))?;
        self.file = lock(&path, open(&path))?;
        self.len = 0;
        self.begin()
    }

    /// Writes the first line of a file, and removes files that are too many.
    fn begin(&mut self) -> Result<(), AuditError> {
        let path = self.place.file.clone();
        self.first_seq = self.left.head.seq.saturating_add(1);
        let full = full(&path).map_err(AuditError::file(&path))?;
        let (removed, kept) = full.split_at(full.len().saturating_sub(self.place.keep));
        if !removed.is_empty() {
            self.left.oldest = kept.first().map_or(self.first_seq, |(seq, _)| *seq);
        }
        let oldest = self.left.oldest;
        let mut line = Vec::new();
        let head = encode(&About::File { oldest }.record(), self.left.head, &mut line);
        self.write(&line)?;
        self.left.head = head;
        self.sync()?;
        // Only now: what is gone has been told.
        for (_, file) in removed {
            fs::remove_file(file).map_err(AuditError::file(file))?;
        }
        let directory = path.parent().unwrap_or(Path::new("/"));
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(AuditError::file(directory))
    }

    /// Moves a torn line out of the trail.
    fn set_aside(&mut self, tail: &Tail) -> Result<About, AuditError> {
        let torn = beside(&self.place.file, "torn");
        let keep = |file: &mut File| {
            if file.metadata()?.len() + tail.torn.len() as u64 > TORN_MOST {
                file.set_len(0)?;
            }
            file.write_all(&tail.torn)?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        open(&torn)
            .and_then(|mut file| keep(&mut file))
            .map_err(AuditError::file(&torn))?;
        let cut = self.file.set_len(tail.whole);
        cut.map_err(AuditError::file(&self.place.file))?;
        self.len = tail.whole;
        Ok(torn_line(&tail.torn, &torn))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use serde_json::json;

    use super::*;
    use crate::audit::{Author, files, verify};

    fn place(directory: &Path, max_bytes: u64, keep: usize) -> Place {
        Place {
            file: directory.join("netguard/audit.jsonl"),
            max_bytes,
            keep,
            on: true,
        }
    }

    fn records(count: u64) -> VecDeque<Record> {
        let record = |number| {
            let event = json!({"event": "blocked", "prefix": "192.0.2.1/32", "number": number});
            Record::new("2026-01-01T00:00:00Z".into(), number, Author::Time, &event)
        };
        (0..count).map(record).collect()
    }

    fn text(place: &Place) -> String {
        let all = files(&place.file).expect("files");
        all.iter()
            .map(|file| fs::read_to_string(file).expect("text"))
            .collect()
    }

    fn must_verify(place: &Place, lines: u64) {
        let report = verify(&files(&place.file).expect("files"), true, &[]).expect("read");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        assert_eq!(report.last.map(|head| head.seq), Some(lines));
    }

    #[test]
    fn a_restart_goes_on_with_the_chain() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = place(directory.path(), 1 << 20, 2);
        for lines in [11, 21, 31] {
            let mut trail = Trail::open(&place, None).expect("open");
            trail.append(&mut records(10)).expect("written");
            trail.sync().expect("synced");
            assert_eq!(trail.head().seq, lines);
        }
        must_verify(&place, 31);
        let mode = fs::metadata(&place.file).expect("a file").mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn full_files_are_kept_in_order_and_the_oldest_goes() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = place(directory.path(), 4_000, 3);
        let mut trail = Trail::open(&place, None).expect("open");
        trail.append(&mut records(100)).expect("written");
        let seq = trail.head().seq;
        drop(trail);
        let mut again = Trail::open(&place, None).expect("open");
        assert_eq!(again.head().seq, seq);
        again.append(&mut records(1)).expect("written");
        let all = files(&place.file).expect("files");
        assert_eq!(all.len(), 4, "{all:?}");
        assert!(
            all.iter()
                .all(|file| fs::metadata(file).expect("a file").len() < 5_000)
        );
        must_verify(&place, again.head().seq);
        // What a full file held is missed when it is gone.
        fs::remove_file(&all[0]).expect("removed");
        let report = verify(&all[1..], true, &[]).expect("read");
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    }

    #[test]
    fn a_torn_line_is_kept_aside_and_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = place(directory.path(), 1 << 20, 2);
        let mut trail = Trail::open(&place, None).expect("open");
        trail.append(&mut records(3)).expect("written");
        drop(trail);
        let whole = text(&place);
        for torn in ["{\"seq\":5,\"at\":\"20", "\0\0\0"] {
            let mut file = open(&place.file).expect("a file");
            file.write_all(torn.as_bytes()).expect("torn");
            drop(file);
            drop(Trail::open(&place, None).expect("open"));
        }
        let now = text(&place);
        assert!(now.starts_with(&whole) && now.contains("audit-torn"), "{now}");
        assert!(now.contains("{\\\"seq\\\":5,"), "the beginning is told: {now}");
        let aside = fs::read(beside(&place.file, "torn")).expect("kept");
        assert_eq!(aside, b"{\"seq\":5,\"at\":\"20\n\0\0\0\n");
        must_verify(&place, 6);
    }

    #[test]
    fn what_somebody_else_does_to_the_file_is_noticed_and_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = place(directory.path(), 1 << 20, 2);
        let mut trail = Trail::open(&place, None).expect("open");
        trail.append(&mut records(3)).expect("written");
        assert!(matches!(Trail::open(&place, None), Err(AuditError::Shared(_))));
        let left = trail.left();
        let whole = fs::read(&place.file).expect("a file");
        fs::write(&place.file, &whole[..whole.len() / 2]).expect("cut");
        let mut waiting = records(2);
        assert!(matches!(trail.append(&mut waiting), Err(AuditError::Changed(_))));
        assert_eq!(waiting.len(), 2, "nothing is lost");
        drop(trail);
        let mut trail = Trail::open(&place, Some(left)).expect("open");
        trail.append(&mut waiting).expect("written");
        let now = text(&place);
        assert!(
            now.contains("audit-damaged") && now.contains("but line 4:"),
            "{now}"
        );
        let report = verify(&files(&place.file).expect("files"), true, &[]).expect("read");
        assert_eq!(
            report.findings.len(),
            1,
            "what was cut out is missed: {:?}",
            report.findings
        );

        fs::remove_file(&place.file).expect("removed");
        assert!(matches!(
            trail.append(&mut records(1)),
            Err(AuditError::Changed(_))
        ));
        let left = trail.left();
        drop(trail);
        drop(Trail::open(&place, Some(left)).expect("open"));
        let report = verify(&files(&place.file).expect("files"), true, &[]).expect("read");
        assert!(
            !report.findings.is_empty(),
            "the file is new, its numbers are not"
        );
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = place(directory.path(), 1 << 20, 2);
        fs::create_dir_all(place.file.parent().expect("a directory")).expect("made");
        nix::unistd::mkfifo(&place.file, nix::sys::stat::Mode::S_IRUSR).expect("a pipe");
        let refused = Trail::open(&place, None).expect_err("no file").to_string();
        assert!(refused.contains("audit.jsonl"), "{refused}");
    }

    /// A figure for whoever looks, and a bound that only a mistake exceeds.
    #[test]
    fn a_line_costs_microseconds() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = place(directory.path(), 1 << 30, 2);
        let mut trail = Trail::open(&place, None).expect("open");
        let mut records = records(20_000);
        let before_ns = monotonic_ns();
        trail.append(&mut records).expect("written");
        let each_ns = (monotonic_ns() - before_ns) / 20_000;
        let bytes = trail.len / 20_000;
        println!("{each_ns} ns and {bytes} bytes a line");
        assert!(each_ns < 500_000);
    }
}
