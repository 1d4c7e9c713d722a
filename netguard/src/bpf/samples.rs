//! Drains the ring buffers: samples of dropped packets, heads of packets, connections in excess, and handshakes that were refused.

use std::marker::PhantomData;

use aya::maps::{MapData, RingBuf};
use netguard_common::{
    connection::Excess,
    head::Head,
    layout::Sample,
    maps::{EXCESS_BYTES, HANDSHAKES_BYTES, HEADS_BYTES, SAMPLES_BYTES},
    shared::Shared,
    tls::Handshake,
};

use super::{BpfError, Pins};

/// The consumer's end of a ring buffer of records of one kind. There must be one only: records are taken, not copied.
pub struct Records<T> {
    ring: RingBuf<MapData>,
    kind: PhantomData<T>,
}

/// Of the map `SAMPLES`.
pub type Samples = Records<Sample>;
/// Of the map `EXCESS`.
pub type Excesses = Records<Excess>;
/// Of the map `HEADS`.
pub type Heads = Records<Head>;
/// Of the map `HANDSHAKES`.
pub type Handshakes = Records<Handshake>;

impl Samples {
    /// Opens the pinned ring buffer.
    ///
    /// # Errors
    /// When nothing is pinned or it may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        Self::named(pins, "SAMPLES", SAMPLES_BYTES)
    }
}

impl Excesses {
    /// Opens the pinned ring buffer.
    ///
    /// # Errors
    /// When nothing is pinned or it may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        Self::named(pins, "EXCESS", EXCESS_BYTES)
    }
}

impl Heads {
    /// Opens the pinned ring buffer.
    ///
    /// # Errors
    /// When nothing is pinned or it may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        Self::named(pins, "HEADS", HEADS_BYTES)
    }
}

impl Handshakes {
    /// Opens the pinned ring buffer.
    ///
    /// # Errors
    /// When nothing is pinned or it may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        Self::named(pins, "HANDSHAKES", HANDSHAKES_BYTES)
    }
}

impl<T: Shared> Records<T> {
    fn named(pins: &Pins, name: &'static str, bytes: usize) -> Result<Self, BpfError> {
        Ok(Self {
            ring: pins
                .open(name)?
                .try_into()
                .map_err(BpfError::map(name, bytes as u32))?,
            kind: PhantomData,
        })
    }

    /// Takes every record that waits, at most `limit`. Never blocks.
    pub fn drain(&mut self, limit: usize) -> Vec<T> {
        let mut records = Vec::new();
        while records.len() < limit {
            let Some(record) = self.ring.next() else {
                break;
            };
            records.extend(T::from_bytes(&record));
        }
        records
    }
}
