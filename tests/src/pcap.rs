//! Writes captures for tests: pcap with nanoseconds. It reads nothing.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
};

/// Where the time of these captures begins, seconds since 1970.
pub const BEGIN_S: u64 = 1_700_000_000;

/// Link layer of captures that hold Ethernet frames.
pub const ETHERNET: u32 = 1;

/// A capture that is being written.
pub struct Writer {
    file: BufWriter<File>,
}

impl Writer {
    /// Begins a capture of frames of the link layer `link` at `path`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path, link: u32) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&0xa1b2_3c4d_u32.to_le_bytes())?;
        file.write_all(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
        file.write_all(&65_535_u32.to_le_bytes())?;
        file.write_all(&link.to_le_bytes())?;
        Ok(Self { file })
    }

    /// Adds a frame that was captured `at_ns` after the beginning, whole.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn frame(&mut self, at_ns: u64, frame: &[u8]) -> io::Result<()> {
        self.cut(at_ns, frame, frame.len())
    }

    /// Adds a frame of which the first `kept` bytes were captured.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn cut(&mut self, at_ns: u64, frame: &[u8], kept: usize) -> io::Result<()> {
        let (seconds, part) = (BEGIN_S + at_ns / 1_000_000_000, at_ns % 1_000_000_000);
        let kept = &frame[..kept.min(frame.len())];
        for word in [seconds as u32, part as u32, kept.len() as u32, frame.len() as u32] {
            self.file.write_all(&word.to_le_bytes())?;
        }
        self.file.write_all(kept)
    }

    /// Ends the capture.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end(mut self) -> io::Result<()> {
        self.file.flush()
    }
}
