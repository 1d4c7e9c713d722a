//! Reads a file of the trail line by line, whatever is in it, in bounded memory.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::Path,
};

/// Bytes of a line that are looked at; no line of a trail is longer.
pub(super) const LONGEST: u64 = 256 * 1024;

/// A line as it is found.
#[derive(Clone, Copy, Debug)]
pub struct RawLine<'a> {
    /// From 1.
    pub number: u64,
    /// Without its end; the beginning of one that is too long.
    pub bytes: &'a [u8],
    /// Whether it has an end.
    pub ended: bool,
}

/// Hands the lines of the file at `path` to `each`, in their order.
///
/// # Errors
/// When the file cannot be read.
pub fn each_line(path: &Path, mut each: impl FnMut(RawLine)) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(64 * 1024, File::open(path)?);
    let mut buffer = Vec::new();
    for number in 1.. {
        buffer.clear();
        if reader.by_ref().take(LONGEST).read_until(b'\n', &mut buffer)? == 0 {
            break;
        }
        let mut ended = buffer.last() == Some(&b'\n');
        if ended {
            buffer.pop();
        } else if buffer.len() as u64 == LONGEST {
            ended = skip_line(&mut reader)?;
        }
        each(RawLine {
            number,
            bytes: &buffer,
            ended,
        });
    }
    Ok(())
}

/// Goes behind the end of the line; tells whether it has one.
fn skip_line(reader: &mut BufReader<File>) -> io::Result<bool> {
    loop {
        let buffered = reader.fill_buf()?;
        if buffered.is_empty() {
            return Ok(false);
        }
        let end = buffered.iter().position(|byte| *byte == b'\n');
        let passed = end.map_or(buffered.len(), |end| end + 1);
        reader.consume(passed);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_as_they_are() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lines");
        let long = "x".repeat(3 * LONGEST as usize);
        std::fs::write(&path, format!("a\n\n{long}\nb\ntorn")).expect("a file");
        let mut found = Vec::new();
        each_line(&path, |line| {
            found.push((line.number, line.bytes.len(), line.ended))
        })
        .expect("read");
        let kept = LONGEST as usize;
        assert_eq!(
            found,
            [
                (1, 1, true),
                (2, 0, true),
                (3, kept, true),
                (4, 1, true),
                (5, 4, false)
            ]
        );
    }
}
