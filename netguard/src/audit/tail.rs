//! Where a file of a trail begins and ends: its first line, its last one that is as it was written, and what stands behind that.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

use serde::Deserialize;

use super::{AuditError, Head, Line, files::files};

/// Bytes of a file's end that are read first, and at most: behind a line there is rarely anything.
const FIRST: u64 = 128 * 1024;
const MOST: u64 = 64 * 1024 * 1024;

/// The end of a file.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The last line that is as it was written.
    pub(super) head: Option<Head>,
    /// Whole lines behind it that are not.
    pub(super) damaged: usize,
    /// Bytes of the file without `torn`.
    pub(super) whole: u64,
    /// What stands behind the last end of a line.
    pub(super) torn: Vec<u8>,
}

impl Tail {
    /// The end of `file`, which has `len` bytes.
    pub(super) fn of(file: &File, len: u64) -> io::Result<Self> {
        let mut window = FIRST;
        loop {
            let start = len.saturating_sub(window);
            let mut bytes = vec![0; usize::try_from(len - start).unwrap_or(0)];
            file.read_exact_at(&mut bytes, start)?;
            let tail = Self::in_window(&bytes, start);
            if tail.head.is_some() || start == 0 {
                return Ok(tail);
            }
            if window >= MOST {
                return Err(io::Error::other("its last 64 MiB are no trail: move it away"));
            }
            window *= 4;
        }
    }

    /// The end of a file whose `bytes` from `start` on are these.
    fn in_window(bytes: &[u8], start: u64) -> Self {
        let ended = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let (lines, torn) = bytes.split_at(ended);
        let mut tail = Self {
            whole: start + ended as u64,
            torn: torn.to_vec(),
            ..Self::default()
        };
        let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
        // A line that begins before the window reads as none.
        for line in lines.rsplit(|byte| *byte == b'\n').filter(|_| ended > 0) {
            match Line::read(line) {
                Ok(line) => {
                    tail.head = Some(line.head);
                    break;
                }
                Err(_) => tail.damaged += 1,
            }
        }
        tail
    }
}

/// The first line of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) seq: u64,
    /// All lines from this number on were kept when the file began.
    pub(super) oldest: Option<u64>,
}

/// The first line of the file at `path`, if it has one that is as it was written.
pub(super) fn first(path: &Path) -> Option<First> {
    #[derive(Deserialize)]
    struct Begin {
        oldest: Option<u64>,
    }
    let mut line = Vec::new();
    let file = File::open(path).ok()?.take(FIRST);
    BufReader::new(file).read_until(b'\n', &mut line).ok()?;
    line.pop();
    let seq = Line::read(&line).ok()?.head.seq;
    let begin: Begin = serde_json::from_slice(&line).ok()?;
    Some(First {
        seq,
        oldest: begin.oldest,
    })
}

/// Where the trail that is written to `path` ends; `None`: it has no line yet.
///
/// # Errors
/// When its files cannot be read.
pub fn head(path: &Path) -> Result<Option<Head>, AuditError> {
    for file in files(path).map_err(AuditError::file(path))?.iter().rev() {
        let read = || {
            let open = File::open(file)?;
            let len = open.metadata()?.len();
            Tail::of(&open, len)
        };
        if let Some(head) = read().map_err(AuditError::file(file))?.head {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Author, Record, encode};

    fn lines(count: u64) -> (Vec<u8>, Head) {
        let (mut bytes, mut head) = (Vec::new(), Head::default());
        for at in 0..count {
            let event = serde_json::json!({"event": "x"});
            head = encode(
                &Record::new(String::new(), at, Author::Daemon, &event),
                head,
                &mut bytes,
            );
        }
        (bytes, head)
    }

    fn tail(bytes: &[u8]) -> Tail {
        let mut file = tempfile::tempfile().expect("a file");
        io::Write::write_all(&mut file, bytes).expect("written");
        Tail::of(&file, bytes.len() as u64).expect("read")
    }

    #[test]
    fn the_end_is_found_behind_anything() {
        let (bytes, head) = lines(3);
        let whole = bytes.len() as u64;
        for (behind, damaged, torn) in [
            (&b""[..], 0, 0),
            (b"{\"seq\":4,", 0, 9),
            (b"\0\0\0\0", 0, 4),
            (b"no line\n{\n", 2, 0),
            (b"no line\ntorn", 1, 4),
        ] {
            let tail = tail(&[&bytes, behind].concat());
            assert_eq!(tail.head, Some(head), "{behind:?}");
            assert_eq!((tail.damaged, tail.torn.len()), (damaged, torn), "{behind:?}");
            assert_eq!(tail.whole, whole + (behind.len() - torn) as u64);
        }
    }

    #[test]
    fn a_file_without_lines_has_no_head() {
        for (bytes, torn) in [(&b""[..], 0), (b"torn", 4), (b"\n", 0)] {
            let tail = tail(bytes);
            assert_eq!((tail.head, tail.torn.len()), (None, torn), "{bytes:?}");
        }
    }

    #[test]
    fn the_end_is_found_far_from_it() {
        let (mut bytes, head) = lines(2_000);
        bytes.resize(bytes.len() + 3 * FIRST as usize, b'x');
        let found = tail(&bytes);
        assert_eq!(found.head, Some(head));
        assert_eq!(found.torn.len(), 3 * FIRST as usize);
    }
}
