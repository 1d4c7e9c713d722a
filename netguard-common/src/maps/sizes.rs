//! How many entries maps have, and ring buffers bytes.

use crate::{fragment, heavy, l7, verdict::Verdict};

/// Default capacities of the rule tables; `tables` in the configuration changes them.
pub const BLOCK_ADDRESSES: usize = 131_072;
pub const BLOCK_PREFIXES: usize = 16_384;
pub const ALLOW_PREFIXES: usize = 4_096;
pub const NOTES: usize = 16_384;
/// Bytes of the ring buffer; a power of two and a multiple of the page size.
pub const SAMPLES_BYTES: usize = 262_144;
pub const HEADS_BYTES: usize = 524_288;
pub const HANDSHAKES_BYTES: usize = 65_536;
/// Two banks of counters: verdicts enforced, verdicts in shadow.
pub const COUNTERS: usize = Verdict::ALL.len() * 2;
/// A machine with thousands of containers or anycast addresses has as many; `tables` in the configuration changes it.
pub const OWN: usize = 65_536;
/// Interfaces whose answers are redirected.
pub const REDIRECTS: usize = 256;
pub const FRAGMENT_CELLS: usize = fragment::CELLS as usize;
/// Words of a bit for each port.
pub const PORT_WORDS: usize = 65_536 / 64;
/// The word behind those of the ports: a bit for each signature that there is.
pub const SIGNATURES_USED_AT: usize = PORT_WORDS;
/// Cells of services, the one of newcomers, that of fragments nobody asked for, and those of buckets of which much is used.
pub const LIMIT_CELLS: usize = (heavy::CELLS_AT + heavy::CELLS) as usize;
/// Sources that have proven their address.
pub const PROVEN: usize = 16_384;
/// Sources whose limits are divided, see [`crate::throttle`].
pub const THROTTLED: usize = 16_384;
/// Sources and prefixes that hold connections; `tables` in the configuration changes it.
pub const HOLDERS: usize = 131_072;
pub const CORRECTIONS: usize = 16_384;
pub const EXCESS_BYTES: usize = 65_536;
/// Each question to a new peer takes two.
pub const QUESTIONS: usize = 16_384;
/// Conversations that are followed; the one that was silent longest goes for another.
pub const TALKS: usize = 65_536;
pub const OPENINGS: usize = l7::OPENINGS as usize;
pub const PIECES_BYTES: usize = 2 << 20;
