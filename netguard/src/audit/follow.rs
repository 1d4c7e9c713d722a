//! A trail as it grows: its whole lines, each once, also where the file that was written becomes a full one. It does not check them.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{files::files, read::LONGEST};

/// How often it is looked again for a file that got another name meanwhile; the next time will do.
const TRIES: u32 = 8;

/// A trail, and how far it was read.
#[derive(Debug)]
pub struct Follower {
    file: PathBuf,
    open: Option<Open>,
}

/// The file that was read last.
#[derive(Debug)]
struct Open {
    file: File,
    /// Device and number: a file keeps them when it gets another name.
    is: (u64, u64),
    /// Behind the last whole line.
    read: u64,
    /// Whether the line there is too long to be one of a trail.
    skips: bool,
}

impl Follower {
    /// The trail that is written to `file`, from its first line on.
    #[must_use]
    pub fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            open: None,
        }
    }

    /// Hands all lines to `each` that were written since it was asked last.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            if let Some(open) = &mut self.open {
                open.read(&mut each)?;
            }
            let Some(next) = self.next()? else {
                return Ok(());
            };
            // Whatever is in a file when a later one is there is all that will ever be.
            if let Some(open) = &mut self.open {
                open.read(&mut each)?;
            }
            self.open = Some(next);
        }
    }

    /// The file behind the one that is open, if there is one.
    fn next(&self) -> io::Result<Option<Open>> {
        for _ in 0..TRIES {
            let Some(path) = self.behind(&files(&self.file)?) else {
                return Ok(None);
            };
            match Open::begin(&path) {
                // The file that is written gets another name when it is full: this may be the one behind that.
                Ok(next) => {
                    let now = self.behind(&files(&self.file)?);
                    if now.as_deref().and_then(identity) == Some(next.is) {
                        return Ok(Some(next));
                    }
                }
                // It was just given its name, or went.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Which of `files`, the oldest first, is behind the one that is open.
    fn behind(&self, files: &[PathBuf]) -> Option<PathBuf> {
        let next = match &self.open {
            None => 0,
            // Where it is kept no longer, nobody knows which come behind it but the one that is written.
            Some(open) => files
                .iter()
                .position(|file| identity(file) == Some(open.is))
                .map_or(files.len().saturating_sub(1), |at| at + 1),
        };
        files.get(next).cloned()
    }
}

impl Open {
    fn begin(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        Ok(Self {
            is: (metadata.dev(), metadata.ino()),
            file,
            read: 0,
            skips: false,
        })
    }

    fn read(&mut self, each: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(64 * 1024, &self.file);
        reader.seek(SeekFrom::Start(self.read))?;
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader.by_ref().take(LONGEST).read_until(b'\n', &mut line)? as u64;
            let is_whole = line.pop_if(|last| *last == b'\n').is_some();
            // The rest of it is still to be written.
            if !is_whole && length < LONGEST {
                return Ok(());
            }
            self.read += length;
            if is_whole && !self.skips {
                each(&line);
            }
            self.skips = !is_whole;
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{super::files::full_name, *};

    #[test]
    fn each_line_is_read_once_whatever_its_file_is_called() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("audit.jsonl");
        let write = |text: &str| {
            let mut open = File::options()
                .create(true)
                .append(true)
                .open(&file)
                .expect("a file");
            open.write_all(text.as_bytes()).expect("written");
        };
        let full = |seq| fs::rename(&file, full_name(&file, seq)).expect("renamed");
        let mut follower = Follower::new(&file);
        let mut read = || {
            let mut lines = Vec::new();
            let each = |line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
            follower.read(each).expect("read");
            lines
        };
        assert_eq!(read(), [""; 0], "there is none yet");
        write("1\n2\n");
        full(1);
        write("3\n4");
        assert_eq!(read(), ["1", "2", "3"]);
        assert_eq!(read(), [""; 0]);
        write("4\n");
        assert_eq!(read(), ["44"]);
        // Two are full at once, and the last lines of the first were not read.
        write("5\n");
        full(3);
        write("6\n");
        full(6);
        write("7\n");
        assert_eq!(read(), ["5", "6", "7"]);
        // Between two names.
        full(7);
        assert_eq!(read(), [""; 0]);
        write(&"x".repeat(2 * LONGEST as usize));
        assert_eq!(read(), [""; 0]);
        write("\n8\n");
        assert_eq!(read(), ["8"]);
        // Found in review: one became full while those before it were read, and its lines were lost.
        write("8.1\n");
        full(81);
        write("8.2\n");
        let mut late = Follower::new(&file);
        let mut lines = 0;
        let each = |_: &[u8]| {
            lines += 1;
            if lines == 1 {
                full(82);
                write("8.3\n");
            }
        };
        late.read(each).expect("read");
        assert_eq!(lines, 11, "all of 1 to 8.3");
        assert_eq!(read(), ["8.1", "8.2", "8.3"]);
        // What was read is kept no longer.
        write("9\n");
        full(8);
        fs::remove_file(full_name(&file, 8)).expect("removed");
        write("10\n");
        assert_eq!(read(), ["9", "10"]);
    }
}
