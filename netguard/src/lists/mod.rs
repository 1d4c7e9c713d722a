//! The files that lists come from: feeds of prefixes, and databases that say where an address belongs.

mod atlas;
mod feed;
mod fetch;
mod gates;
mod geo;
mod misp;
mod packed;
mod protected;
mod size;
mod table;

use std::{fs::File, io, io::Read as _, os::unix::fs::OpenOptionsExt as _, path::Path};

pub use crate::config::Place;
pub use atlas::{Atlas, Of, read_places};
pub use feed::{Feed, Reading, parse_feed, read_feed};
pub use fetch::{FetchError, Fetched, Request, Validators, fetch};
pub use gates::{Told, bounded, steady};
pub use misp::{Stamp, stamp};
pub use protected::{Protected, spared};
pub use size::{Before, Size};

/// No database is longer.
const MAX_BYTES: u64 = 512 << 20;

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("{file} cannot be read: {source}")]
    Unreadable { file: String, source: io::Error },
    #[error("{0} is no regular file")]
    NoFile(String),
    #[error("{file} says of no address which {of} it belongs to: this is hardly the right database")]
    NoPlace { file: String, of: Of },
    #[error("{file} is longer than {mib} MiB: this is hardly the right file")]
    TooLong { file: String, mib: u64 },
    /// It is packed so well that there is hardly anything in it.
    #[error(
        "{file} has more than {mib} MiB when it is unpacked: if that is as it should be, write a higher `max_mib`"
    )]
    Bomb { file: String, mib: u64 },
    #[error(
        "{file} is packed with gzip in more than {most} parts: no program packs a list like that, pack it anew"
    )]
    Parts { file: String, most: usize },
    #[error("{file} is packed with gzip, and damaged or followed by something else: {source}")]
    Packed { file: String, source: io::Error },
    #[error("{0} is a directory without manifest.json: of directories only the feeds of MISP are read")]
    NoManifest(String),
    #[error("{0} names no event: this is hardly the manifest of a MISP feed")]
    NoEvents(String),
    #[error("{event}, which the manifest beside it names, cannot be read: {source}; copy the whole feed")]
    NoEvent { event: String, source: io::Error },
    #[error(
        "{0} is the manifest of a MISP feed: the addresses are in the files of its events; write the directory in which it is \
         beside them as `file`, or its address at its server as `url`"
    )]
    Manifest(String),
    #[error("{0} is not text")]
    NotText(String),
    #[error(
        "{file} has {bad} {unit} that are no prefixes, of {lines}: this is hardly a list of prefixes; the first is {first}"
    )]
    NotAFeed {
        file: String,
        bad: usize,
        /// `lines` or `entries`.
        unit: &'static str,
        lines: usize,
        first: String,
    },
    #[error("{0} holds no prefix at all: an empty list is more likely a failed download than peace on earth")]
    Empty(String),
    #[error(
        "{0} holds nothing but private space: for a list of bogons, write `keep_private = true` (and mind your own networks)"
    )]
    Private(String),
    #[error("{0} has more than 8 million prefixes")]
    TooMany(String),
    #[error("{0} is a page of the web (HTML or XML) and no list: this is more likely an error of its server")]
    Html(String),
    #[error("{file} was cut short: {why}")]
    CutShort { file: String, why: String },
    #[error("{0} is JSON of no known format: name one with `format`")]
    UnknownJson(String),
    #[error("{file} is not what its format asks for: {source}")]
    Json { file: String, source: serde_json::Error },
    #[error(
        "{0} is a MISP warninglist, which names those not to block: write `action = \"never-block\"`, or, to block them all the \
         same, `format = \"warninglist\"`"
    )]
    NotToBlock(String),
    #[error(
        "{file}: columns {first} and {second} have addresses: nobody can tell which is meant; write a file with one"
    )]
    Columns {
        file: String,
        first: usize,
        second: usize,
    },
    #[error(
        "{file} has {what} from {before} {unit} to {now}, by more than {factor} times: if that is as it should be, \
         `netguard feed accept` the feed"
    )]
    Sudden {
        file: String,
        what: &'static str,
        /// What is counted.
        unit: &'static str,
        before: u64,
        now: u64,
        factor: u32,
    },
    #[error(
        "{file} covers {percent:.2} % of all {family} addresses, and {max_percent} % is what the feed may: this is hardly a list of \
         attackers; if it is as it should be, write a higher `max_share_percent`"
    )]
    TooMuch {
        file: String,
        family: &'static str,
        percent: f64,
        max_percent: u32,
    },
    #[error(
        "{0} has no address of any place that a policy names, and had some before: this is more likely a failed download than \
         the end of the world"
    )]
    Forgot(String),
    #[error("{file}: {source}")]
    Mmdb {
        file: String,
        source: maxminddb::MaxMindDbError,
    },
    #[error("{file}:{line}: {why}")]
    Csv { file: String, line: u64, why: String },
}

impl ListError {
    /// A document that is broken, or none of its format.
    fn json(file: &str, source: serde_json::Error) -> Self {
        let file = file.to_owned();
        if source.is_eof() {
            return Self::CutShort {
                file,
                why: source.to_string(),
            };
        }
        Self::Json { file, source }
    }

    /// A list that does not have as many entries as it says.
    fn count(file: &str, told: usize, found: usize) -> Self {
        Self::CutShort {
            file: file.to_owned(),
            why: format!("it says that it has {told} entries, and has {found}"),
        }
    }
}

/// All bytes of `file`, which may be `max_bytes` long. What is no regular file may never come to its end, and is not read.
fn read(file: &Path, max_bytes: u64) -> Result<Vec<u8>, ListError> {
    let name = || file.display().to_string();
    let unreadable = |source| ListError::Unreadable { file: name(), source };
    // To open a FIFO waits for somebody who writes to it, otherwise.
    let mut how = File::options();
    let opened = how.read(true).custom_flags(libc::O_NONBLOCK).open(file);
    let opened = opened.map_err(unreadable)?;
    if !opened.metadata().map_err(unreadable)?.is_file() {
        return Err(ListError::NoFile(name()));
    }
    let mut bytes = Vec::new();
    let mut start = opened.take(max_bytes.saturating_add(1));
    start.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > max_bytes {
        return Err(ListError::TooLong {
            file: name(),
            mib: max_bytes >> 20,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Found in review: a feed that was a FIFO held up whoever asked the lists, and the end of the daemon.
    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for file in [fifo.as_path(), directory.path(), Path::new("/dev/zero")] {
            let error = read(file, 1 << 20).unwrap_err().to_string();
            assert!(error.contains("is no regular file"), "{error}");
        }
        let file = directory.path().join("file");
        let error = read(&file, 4).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
        fs::write(&file, "12345").unwrap();
        assert!(matches!(read(&file, 4), Err(ListError::TooLong { .. })));
        assert_eq!(read(&file, 5).unwrap(), b"12345");
    }
}
