//! What the trail tells of itself, in lines of its own.

use serde::Serialize;

use super::{Author, Hash, Record};
use crate::clock::{monotonic_ns, wall_clock};

/// Something that happened to the trail.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum About {
    /// The first line of every file. All lines from number `oldest` on are kept; those before were removed when files were full.
    AuditFile { oldest: u64 },
    /// The last line was cut off, by a crash or a full disk. It was moved out of the trail.
    AuditTorn {
        bytes: usize,
        sha256: Hash,
        /// Its beginning.
        text: String,
        kept_in: String,
    },
    /// The trail is not as it was left.
    AuditDamaged { why: String },
    /// It could not be written for so long.
    AuditOutage { why: String, for_ms: u64 },
    /// So many events found no room in memory while it could not be written.
    AuditLost { count: u64 },
    /// So many events that strangers can cause at will were not told one by one.
    AuditLeftOut { count: u64 },
}

impl About {
    /// This as what happened now.
    pub(super) fn record(&self) -> Record {
        Record::new(wall_clock(), monotonic_ns(), Author::Daemon, self)
    }
}
