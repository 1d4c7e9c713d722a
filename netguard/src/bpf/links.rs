//! Pinned links: which interfaces run the filter now. A pin is called as its interface was when the filter was attached;
//! the link goes where the interface goes, whatever that is called, and outlives it without filtering anything.

use std::{fs, io};

use aya::programs::links::{FdLink, LinkError, PinnedLink};

use super::{BpfError, Pins, attach::root_cause};
use crate::host::Interface;

/// What a pinned link says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The name of the pin.
    pub name: String,
    /// The number of the interface, 0 when that is gone; `None` when the kernel's description cannot be read, as when no
    /// descriptors are left.
    index: Option<u32>,
    program_id: u32,
}

impl Link {
    /// The link pinned for the interface that was called `name`; `None` when there is none that can be read.
    pub fn pinned(pins: &Pins, name: &str) -> Option<Self> {
        Self::read(pins, name).ok().flatten()
    }

    /// [`Link::pinned`], that tells what is unknown from what is not there.
    ///
    /// # Errors
    /// When there is a pin, and it cannot be read.
    pub fn read(pins: &Pins, name: &str) -> Result<Option<Self>, BpfError> {
        let path = pins.link(name);
        if !path.exists() {
            return Ok(None);
        }
        let unreadable = |error: &dyn std::error::Error| BpfError::Pin {
            path: path.clone(),
            source: io::Error::other(root_cause(error)),
        };
        let link = FdLink::from(PinnedLink::from_pin(&path).map_err(|error| unreadable(&error))?);
        let link = Self::of(name, &link).map_err(|error| unreadable(&error))?;
        Ok(Some(link))
    }

    /// All links of an instance, sorted by name.
    pub fn all(pins: &Pins) -> Vec<Self> {
        let names = pins.interfaces();
        names.iter().filter_map(|name| Self::pinned(pins, name)).collect()
    }

    /// `link`, whose pin is called `name`.
    pub(super) fn of(name: &str, link: &FdLink) -> Result<Self, LinkError> {
        let info = link.info()?;
        Ok(Self {
            name: name.to_owned(),
            index: interface_index(info.id()),
            program_id: info.program_id(),
        })
    }

    /// Whether `interface` runs the filter through this link. What cannot be read is taken to filter the one that it is called
    /// after, which runs its program.
    pub fn filters(&self, interface: &Interface) -> bool {
        let same = match self.index {
            Some(index) => index == interface.index,
            None => self.name == interface.name,
        };
        same && interface.program_id() == Some(self.program_id)
    }

    /// Whether it is known what it filters.
    pub(super) const fn is_known(&self) -> bool {
        self.index.is_some()
    }

    /// The one of `interfaces` that runs the filter through this link.
    pub fn filtered<'a>(&self, interfaces: &'a [Interface]) -> Option<&'a Interface> {
        interfaces.iter().find(|interface| self.filters(interface))
    }
}

/// Gives every pin the name that its interface has among `interfaces` now, so that the filter is found there. A pin that
/// stands in the way keeps its place when its link filters one of them, and is removed when it filters nothing.
///
/// # Errors
/// When a pin cannot be read or renamed.
pub fn follow_names(pins: &Pins, interfaces: &[Interface]) -> Result<(), BpfError> {
    let names = pins.interfaces();
    let links = names.iter().map(|name| Link::read(pins, name));
    let links: Vec<Link> = links.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    if !links.iter().all(Link::is_known) {
        // One of them could stand in the way that protects something. There is another look.
        return Ok(());
    }
    let moved: Vec<(String, &str)> = links
        .into_iter()
        .filter_map(|link| {
            let name = link.filtered(interfaces)?.name.as_str();
            (link.name != name).then_some((link.name, name))
        })
        .collect();
    // Names can be swapped: all step aside first.
    for (old, _) in &moved {
        rename(pins, old, &aside(old))?;
    }
    for (old, new) in &moved {
        if pins.link(new).exists() {
            detach(pins, new)?;
        }
        rename(pins, &aside(old), new)?;
    }
    Ok(())
}

/// No interface has a name of more than 15 bytes.
fn aside(name: &str) -> String {
    format!("renamed-interface-{name}")
}

fn rename(pins: &Pins, from: &str, to: &str) -> Result<(), BpfError> {
    let path = pins.link(from);
    fs::rename(&path, pins.link(to)).map_err(|source| BpfError::Pin { path, source })
}

/// Detaches the filter from the interface that was called `interface` when it was attached.
///
/// # Errors
/// When the pin of the link cannot be removed.
pub fn detach(pins: &Pins, interface: &str) -> Result<(), BpfError> {
    let path = pins.link(interface);
    fs::remove_file(&path).map_err(|source| BpfError::Pin { path, source })
}

/// The number of the interface of a link that this process has open. aya tells neither that number nor its descriptor,
/// but the kernel describes each descriptor under `/proc`. `None` when that cannot be read.
pub(super) fn interface_index(link_id: u32) -> Option<u32> {
    let numbers = fs::read_dir("/proc/self/fdinfo")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut numbers: Vec<u32> = numbers.collect();
    // The link was opened just now: mostly it has the last one, and the kernel describes no other.
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    numbers
        .into_iter()
        .filter_map(|number| fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok())
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
