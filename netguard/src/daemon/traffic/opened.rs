//! How many connections others open with this machine, as the kernel counts them.

use std::net::IpAddr;

use netguard_common::layout::Mode;
use tracing::debug;

use crate::bpf::{Connections, Pins, SettingsMap, counts_connections};

/// The counts.
pub(in crate::daemon) struct Opened {
    pins: Pins,
    maps: Option<Connections>,
    /// Whether anything counts now.
    stands: bool,
}

impl Opened {
    /// Without what counts, a flood of requests is told by the segments that follow them.
    pub(in crate::daemon) fn begin(pins: &Pins) -> Self {
        let maps = Connections::open(pins)
            .inspect_err(|error| debug!("it is not known how many connections come about: {error}"));
        let mut opened = Self {
            pins: pins.clone(),
            maps: maps.ok(),
            stands: false,
        };
        opened.look();
        opened
    }

    /// Looks whether it is counted: what nobody counts stands still, as if nothing came about.
    pub(in crate::daemon) fn look(&mut self) {
        self.stands = is_meant(&self.pins) && counts_connections(&self.pins);
    }

    /// Since the maps were made.
    pub(in crate::daemon) fn in_all(&self) -> Option<u64> {
        self.counting()?.opened().ok()
    }

    /// Those of the source `address`, as far as it is remembered.
    pub(in crate::daemon) fn by(&self, address: IpAddr) -> Option<u32> {
        self.counting()?.opened_by(address).ok()
    }

    fn counting(&self) -> Option<&Connections> {
        self.maps.as_ref().filter(|_| self.stands)
    }
}

/// Whether the program counts anything, where it stands: an earlier daemon's may stand though connections are off now.
fn is_meant(pins: &Pins) -> bool {
    let settings = SettingsMap::open(pins).and_then(|map| map.read());
    settings.is_ok_and(|settings| settings.connections.mode != Mode::Off as u32)
}
