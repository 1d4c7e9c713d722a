//! What the trail tells of itself, in lines of its own.

use std::path::Path;

use serde::Serialize;

use super::{Author, Hash, Head, Record, sha256};
use crate::clock::{monotonic_ns, wall_clock_text};

/// Characters of a torn line that stand in the trail.
const TORN_SHOWN: usize = 400;

/// Something that happened to the trail.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event")]
pub(super) enum About {
    /// The first line of every file. All lines from number `oldest` on are kept; those before were removed when files were full.
    #[serde(rename = "audit-file")]
    File { oldest: u64 },
    /// The last line was cut off, by a crash or a full disk. It was moved out of the trail.
    #[serde(rename = "audit-torn")]
    Torn {
        bytes: usize,
        sha256: Hash,
        /// Its beginning.
        text: String,
        kept_in: String,
    },
    /// The trail is not as it was left.
    #[serde(rename = "audit-damaged")]
    Damaged { why: String },
    /// It could not be written for so long.
    #[serde(rename = "audit-outage")]
    Outage { why: String, for_ms: u64 },
    /// So many events found no room in memory while it could not be written.
    #[serde(rename = "audit-lost")]
    Lost { count: u64 },
    /// So many events that strangers can cause at will were not told one by one.
    #[serde(rename = "audit-left-out")]
    LeftOut { count: u64 },
}

impl About {
    /// This as what happened now.
    pub(super) fn record(&self) -> Record {
        Record::new(wall_clock_text(), monotonic_ns(), Author::Daemon, self)
    }
}

/// What is told of a line of which only these `bytes` were there.
pub(super) fn torn_line(bytes: &[u8], kept_in: &Path) -> About {
    let text = String::from_utf8_lossy(bytes);
    About::Torn {
        bytes: bytes.len(),
        sha256: sha256(bytes),
        text: text.chars().take(TORN_SHOWN).collect(),
        kept_in: kept_in.display().to_string(),
    }
}

/// What is told of an end at `found`, with so many bad lines behind it, when this process left it at `known`.
pub(super) fn damage(bad: usize, found: Head, known: Option<Head>) -> Option<About> {
    let mut sentences = Vec::new();
    if bad > 0 {
        sentences.push(format!(
            "behind line {} there are {bad} that are not as they were written",
            found.seq
        ));
    }
    if let Some(known) = known.filter(|known| *known != found) {
        sentences.push(format!("it ends with line {found}, but line {known} was written"));
    }
    let why = sentences.join("; ");
    (!why.is_empty()).then_some(About::Damaged { why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_damage_is_told() {
        let known = Head {
            seq: 9,
            ..Head::default()
        };
        let found = Head {
            seq: 4,
            ..Head::default()
        };
        assert!(damage(0, found, None).is_none() && damage(0, found, Some(found)).is_none());
        let Some(About::Damaged { why }) = damage(2, found, Some(known)) else {
            panic!("nothing");
        };
        assert!(
            why.contains("behind line 4 there are 2") && why.contains("but line 9:"),
            "{why}"
        );
    }
}
