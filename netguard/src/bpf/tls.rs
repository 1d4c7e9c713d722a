//! Reads the counters of handshakes.

use aya::maps::{MapData, PerCpuArray};
use netguard_common::tls::{COUNTERS, Outcome, counter};

use super::{BpfError, Pins};

/// What became of handshakes since the maps were made, one outcome of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsCount {
    pub outcome: Outcome,
    /// At services that enforce.
    pub enforced: u64,
    /// At services in shadow.
    pub shadow: u64,
}

/// Every outcome with its counts.
///
/// # Errors
/// When nothing is pinned, or the kernel refuses the read.
pub fn tls_counts(pins: &Pins) -> Result<Vec<TlsCount>, BpfError> {
    let wrap = BpfError::map("TLS", COUNTERS as u32);
    let counters: PerCpuArray<MapData, u64> = pins.open("TLS")?.try_into().map_err(&wrap)?;
    let count = |outcome, shadow| -> Result<u64, BpfError> {
        let cpus = counters.get(&counter(outcome, shadow), 0).map_err(&wrap)?;
        Ok(cpus.iter().fold(0, |sum: u64, cpu| sum.wrapping_add(*cpu)))
    };
    Outcome::ALL
        .into_iter()
        .map(|outcome| {
            Ok(TlsCount {
                outcome,
                enforced: count(outcome, false)?,
                shadow: count(outcome, true)?,
            })
        })
        .collect()
}
