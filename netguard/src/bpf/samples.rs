//! Drains the ring buffer of samples.

use aya::maps::{MapData, RingBuf};
use netguard_common::{layout::Sample, maps::SAMPLES_BYTES, shared::Shared as _};

use super::{BpfError, Pins};

/// The consumer's end of the map `SAMPLES`. There must be one only: records are taken, not copied.
pub struct Samples {
    ring: RingBuf<MapData>,
}

impl Samples {
    /// Opens the pinned ring buffer.
    ///
    /// # Errors
    /// When nothing is pinned or it may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        let ring = pins
            .open("SAMPLES")?
            .try_into()
            .map_err(BpfError::map("SAMPLES", SAMPLES_BYTES as u32))?;
        Ok(Self { ring })
    }

    /// Takes every sample that waits, at most `limit`. Never blocks.
    pub fn drain(&mut self, limit: usize) -> Vec<Sample> {
        let mut samples = Vec::new();
        while samples.len() < limit {
            let Some(record) = self.ring.next() else {
                break;
            };
            samples.extend(Sample::from_bytes(&record));
        }
        samples
    }
}
