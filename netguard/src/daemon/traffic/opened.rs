//! How many connections others open with this machine, as the kernel counts them.

use std::net::IpAddr;

use tracing::debug;

use crate::bpf::{Connections, Pins};

/// The counts, where the kernel counts.
pub(in crate::daemon) struct Opened(Option<Connections>);

impl Opened {
    /// Without them a flood of requests is told by the segments that follow them.
    pub(in crate::daemon) fn begin(pins: &Pins, is_counted: bool) -> Self {
        let maps = is_counted.then(|| Connections::open(pins));
        let maps = maps.and_then(|opened| {
            opened
                .inspect_err(|error| debug!("it is not known how many connections come about: {error}"))
                .ok()
        });
        Self(maps)
    }

    /// Since the maps were made.
    pub(in crate::daemon) fn in_all(&self) -> Option<u64> {
        self.0.as_ref()?.opened().ok()
    }

    /// Those of the source `address`, as far as it is remembered.
    pub(in crate::daemon) fn by(&self, address: IpAddr) -> Option<u32> {
        self.0.as_ref()?.opened_by(address).ok()
    }
}
