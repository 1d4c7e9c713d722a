//! The audit trail: an append-only file of JSON lines in which each line carries the hash of the one before. It knows neither
//! the daemon nor what its events mean; whoever reads or checks a trail needs no daemon.
//!
//! A line is `{"seq":N,"at":"...","mono_ns":N,"author":{...},"event":"...", ... ,"prev":"HASH","hash":"HASH"}`. `hash` is SHA-256
//! over the bytes of the line before `,"hash":`, and `prev` is the `hash` of line `N - 1` (64 zeros in line 1), so that
//!
//! ```text
//! sed -n 7p audit.jsonl | sed 's/,"hash":"[0-9a-f]*"}$//' | tr -d '\n' | sha256sum
//! ```
//!
//! prints the hash of the seventh line. Who may write the file can write a whole new trail from any line on: what the chain
//! proves holds up to a line whose hash is kept elsewhere (`netguard audit head`).

mod about;
mod author;
mod files;
mod follow;
mod line;
mod own;
mod place;
mod queue;
mod read;
mod recorder;
mod state;
mod tail;
mod trail;
mod verify;

use std::{io, path::PathBuf};

pub use author::{Author, operator, user_name};
pub use files::{files, make_directory};
pub use follow::Follower;
pub use line::{Fault, Hash, Head, LONGEST_EVENT, Line, LineError, Record, encode, sha256};
pub use place::Place;
pub use queue::Worth;
pub use read::{RawLine, each_line};
pub use recorder::Recorder;
pub use state::AuditState;
pub use tail::head;
pub use trail::{Left, Trail};
pub use verify::{Finding, Report, verify};

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{0} is no regular file: name another one in `audit.file`")]
    NotAFile(PathBuf),
    #[error(
        "{0} is written by another process: give each instance a file of its own (`audit.file`, with {{instance}} in it)"
    )]
    Shared(PathBuf),
    #[error("{0} was changed, moved or removed by somebody else while it was written")]
    Changed(PathBuf),
}

impl AuditError {
    fn file(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
