//! Debian's xdp-filter (package xdp-tools), its objects as they are but for the size of its tables: what it costs a packet whose
//! source it lists, or does not. Its statistics and the counter of each address are part of that.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use netguard::bpf::{Target, TestObject};
use netguard_common::packet::Family;

use super::cases::{LISTED, MANY, address};

/// One of its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum XdpFilter {
    /// It looks at addresses only.
    Addresses,
    /// At everything that it knows.
    All,
}

/// A loaded xdp-filter.
pub(super) struct Peer {
    kind: XdpFilter,
    object: TestObject,
    pins: PathBuf,
}

impl XdpFilter {
    pub(super) const ALL: [Self; 2] = [Self::Addresses, Self::All];

    /// The name in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Addresses => "xdp-filter, addresses",
            Self::All => "xdp-filter, all features",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Addresses => "xdpfilt_alw_ip",
            Self::All => "xdpfilt_alw_all",
        }
    }
}

impl Peer {
    /// Loads it with the listed sources of both families; `None` when it is not installed.
    pub(super) fn load(kind: XdpFilter) -> Result<Option<Self>> {
        let Some(file) = installed(kind.program())? else {
            return Ok(None);
        };
        // It wants its maps pinned.
        let pins = PathBuf::from(format!(
            "/sys/fs/bpf/netguard-bench-{}-{}",
            std::process::id(),
            kind.program()
        ));
        fs::create_dir_all(&pins)?;
        let sizes = [("filter_ipv4", MANY), ("filter_ipv6", MANY)];
        let object = TestObject::foreign(&fs::read(&file)?, &sizes, Some(&pins));
        let mut peer = Self {
            kind,
            object: object.with_context(|| format!("loading {}", file.display()))?,
            pins,
        };
        peer.list_sources()?;
        Ok(Some(peer))
    }

    pub(super) fn target(&mut self) -> Result<Target> {
        Ok(Target::of(&mut self.object, self.kind.program(), true)?)
    }

    pub(super) fn object(&mut self) -> (&mut TestObject, &'static str) {
        (&mut self.object, self.kind.program())
    }

    fn list_sources(&mut self) -> Result<()> {
        /// The address counts as a source.
        const SOURCE: u64 = 1;
        for number in LISTED..LISTED + MANY {
            for family in [Family::V4, Family::V6] {
                match address(family, number) {
                    IpAddr::V4(ip) => self.object.insert_per_cpu("filter_ipv4", ip.octets(), SOURCE)?,
                    IpAddr::V6(ip) => self.object.insert_per_cpu("filter_ipv6", ip.octets(), SOURCE)?,
                }
            }
        }
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.pins) {
            eprintln!("bench: {}: {error}", self.pins.display());
        }
    }
}

/// Where the object of this name lies: beside the libraries of the machine.
fn installed(name: &str) -> io::Result<Option<PathBuf>> {
    let file = format!("{name}.o");
    let mut places = vec![PathBuf::from("/usr/lib/bpf"), PathBuf::from("/usr/lib64/bpf")];
    for entry in fs::read_dir(Path::new("/usr/lib"))? {
        places.push(entry?.path().join("bpf"));
    }
    Ok(places
        .into_iter()
        .map(|place| place.join(&file))
        .find(|file| file.is_file()))
}
