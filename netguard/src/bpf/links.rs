//! Pinned links: which interfaces run the filter now. A pin is called as its interface was when the filter was attached;
//! the link goes where the interface goes, whatever that is called, and outlives it without filtering anything.

use std::fs;

use aya::programs::links::{FdLink, PinnedLink};

use super::Pins;
use crate::host::Interface;

/// What a pinned link says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The name of the pin.
    pub name: String,
    /// The number of the interface; 0 when that is gone.
    index: u32,
    program_id: u32,
}

impl Link {
    /// The link pinned for the interface that was called `name`; `None` when there is none that can be read.
    pub fn pinned(pins: &Pins, name: &str) -> Option<Self> {
        Self::of(name, &FdLink::from(PinnedLink::from_pin(pins.link(name)).ok()?))
    }

    /// All links of an instance, sorted by name.
    pub fn all(pins: &Pins) -> Vec<Self> {
        let names = pins.interfaces();
        names.iter().filter_map(|name| Self::pinned(pins, name)).collect()
    }

    /// `link`, whose pin is called `name`.
    pub(super) fn of(name: &str, link: &FdLink) -> Option<Self> {
        let info = link.info().ok()?;
        Some(Self {
            name: name.to_owned(),
            index: interface_index(info.id())?,
            program_id: info.program_id(),
        })
    }

    /// Whether `interface` runs the filter through this link.
    pub fn filters(&self, interface: &Interface) -> bool {
        self.index == interface.index && interface.program_id() == Some(self.program_id)
    }

    /// The one of `interfaces` that runs the filter through this link.
    pub fn filtered<'a>(&self, interfaces: &'a [Interface]) -> Option<&'a Interface> {
        interfaces.iter().find(|interface| self.filters(interface))
    }
}

/// The number of the interface of an XDP link that this process has open. aya tells neither that number nor its descriptor,
/// but the kernel describes each descriptor under `/proc`.
fn interface_index(link_id: u32) -> Option<u32> {
    fs::read_dir("/proc/self/fdinfo")
        .ok()?
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .find(|info| number(info, "link_id:") == Some(u64::from(link_id)))
        .and_then(|info| u32::try_from(number(&info, "ifindex:")?).ok())
}

/// The number behind `field` in the kernel's description of a descriptor.
pub(super) fn number(info: &str, field: &str) -> Option<u64> {
    info.lines()
        .find_map(|line| line.strip_prefix(field)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_behind_their_fields() {
        let info = "pos:\t0\nlink_type:\txdp\nlink_id:\t12\nprog_id:\t7\nifindex:\t3\n";
        assert_eq!(number(info, "link_id:"), Some(12));
        assert_eq!(number(info, "ifindex:"), Some(3));
        assert_eq!(number(info, "memlock:"), None);
    }
}
