//! The files that lists come from: feeds of prefixes, and databases that say where an address belongs.

mod feed;
mod geo;

use std::{fs::File, io, io::Read as _, path::Path};

pub use feed::{Feed, read_feed};
pub use geo::{Place, read_places};

/// No list that fits the kernel's tables is longer.
const MAX_BYTES: u64 = 512 << 20;

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("{file} cannot be read: {source}")]
    Unreadable { file: String, source: io::Error },
    #[error("{0} is longer than 512 MiB: this is hardly the right file")]
    TooLong(String),
    #[error("{0} is not text")]
    NotText(String),
    #[error(
        "{file} has {bad} lines that are no prefixes, of {lines}: this is hardly a list of prefixes; the first is {first}"
    )]
    NotAFeed {
        file: String,
        bad: usize,
        lines: usize,
        first: String,
    },
    #[error("{0} holds no prefix at all: an empty list is more likely a failed download than peace on earth")]
    Empty(String),
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

/// All bytes of `file`.
fn read(file: &Path) -> Result<Vec<u8>, ListError> {
    let name = || file.display().to_string();
    let unreadable = |source| ListError::Unreadable { file: name(), source };
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ListError::TooLong(name()));
    }
    Ok(bytes)
}

/// All of `file` as text.
fn read_text(file: &Path) -> Result<String, ListError> {
    String::from_utf8(read(file)?).map_err(|_| ListError::NotText(file.display().to_string()))
}
