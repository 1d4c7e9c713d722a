//! Everything that talks to the kernel's BPF subsystem; the only place that knows the aya crate.

mod announced;
mod attach;
mod batch;
mod catalogue;
mod connections;
mod counters;
mod driver;
mod egress;
mod error;
mod exact;
mod foreign;
mod hiding;
mod hints;
mod judge;
mod l7;
mod line;
mod links;
mod list;
mod load;
mod many;
mod mapped;
mod notes;
mod object;
mod own;
mod pins;
mod proven;
mod ranges;
mod raw;
mod redirects;
mod rules;
mod samples;
mod services;
mod settings;
mod signatures;
mod sock;
mod storage;
mod telemetry;
mod testrun;
mod throttled;
mod tls;
mod trace;
mod wide;

pub use attach::{AttachError, AttachMode, Attached, attach};
pub use batch::{Batch, InsertOutcome};
pub use catalogue::{DumpedEntry, MapInfo, dump_map, holder_text, list_maps, lookup_in_map, source_of_key};
pub use connections::{Connections, HeldBy, HolderKey, holders_of};
pub use counters::Counters;
pub use driver::{Driver, Enlisted, Target, drive};
pub use egress::{EgressError, forget, is_watched, watch};
pub use error::BpfError;
pub use judge::{Judge, LONGEST as LONGEST_JUDGED, ROOM as ROOM_FOR_TIME, Ready};
pub use l7::{ListenError, Listening};
pub use links::{Link, detach, follow_names};
pub use list::{Entry, List};
pub use load::{Loaded, TableSizes, load};
pub use object::{ObjectError, embedded_object, object_fingerprint, verify_object};
pub use own::OwnAddresses;
pub use pins::{InstanceName, InstanceNameError, Pins, bpffs_mounted};
pub use proven::Proven;
pub use ranges::{Ranges, WrittenRanges};
pub use redirects::redirect_answers;
pub use rules::{NotedRule, Rules};
pub use samples::{Excesses, Handshakes, Heads, Samples};
pub use services::Services;
pub use settings::{LimitLevel, SettingsMap, limit_levels};
pub use signatures::Signatures;
pub use sock::{NotCounted, count_connections, counts_connections};
pub use storage::table_of;
pub use telemetry::Telemetry;
pub use testrun::{Attachment, ProgramUnderTest, TestObject};
pub use throttled::{Throttled, divisor_of};
pub use tls::{TlsCount, tls_counts};
pub use trace::trace_log;

/// Name of the XDP program with `id`; `None` when there is no such program (any more).
pub fn program_name(id: u32) -> Option<String> {
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
}
