//! Where an instance's links, programs and maps are pinned: they outlive the daemon there.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use aya::maps::{Map, MapData, MapError};
use netguard_common::maps::MAPS;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::BpfError;

const BPFFS: &str = "/sys/fs/bpf";

/// Name of an instance: several can run on one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceName(String);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no instance name: use 1 to 64 letters, digits, '-' and '_'")]
pub struct InstanceNameError(String);

impl FromStr for InstanceName {
    type Err = InstanceNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InstanceNameError(text.to_owned()))
        }
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The directory `/sys/fs/bpf/netguard/<instance>`.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
}

impl Pins {
    pub fn of(instance: &InstanceName) -> Self {
        Self {
            root: Path::new(BPFFS).join("netguard").join(&instance.0),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn map(&self, name: &str) -> PathBuf {
        self.root.join("maps").join(name)
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.root.join("progs").join(name)
    }

    /// Pin of the link that attaches the filter to `interface`.
    pub fn link(&self, interface: &str) -> PathBuf {
        self.root.join("links").join(interface)
    }

    /// Where the links are pinned by which questions are remembered, see [`super::egress`].
    pub(super) fn egress(&self) -> PathBuf {
        self.root.join("egress")
    }

    /// Pin of the link by which connections are counted, see [`super::sock`].
    pub(super) fn sock(&self) -> PathBuf {
        self.root.join("sock").join("connections")
    }

    /// Whether maps are pinned: a daemon ran here and did not detach.
    pub fn exist(&self) -> bool {
        MAPS.iter().any(|spec| self.map(spec.name).exists())
    }

    /// Whether links can be pinned: a detach removes the directory.
    pub fn have_links(&self) -> bool {
        self.root.join("links").is_dir()
    }

    /// Interfaces with a pinned link, sorted.
    pub fn interfaces(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.root.join("links"))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Makes the directories.
    ///
    /// # Errors
    /// When there is no bpffs, or no right to write to it.
    pub fn create(&self) -> Result<(), BpfError> {
        require_bpffs()?;
        for directory in ["links", "egress", "sock", "progs", "maps"] {
            let path = self.root.join(directory);
            fs::create_dir_all(&path).map_err(|source| BpfError::Pin { path, source })?;
        }
        Ok(())
    }

    /// Opens the pinned map `name`.
    ///
    /// # Errors
    /// When nothing is pinned, or the caller may not open it.
    pub fn open(&self, name: &'static str) -> Result<Map, BpfError> {
        let path = self.map(name);
        match MapData::from_pin(&path).and_then(Map::from_map_data) {
            Ok(map) => Ok(map),
            Err(error) => Err(self.cannot_open(name, error)),
        }
    }

    /// Removes every pin: links first, so that nothing is filtered by maps that are gone. Answers the
    /// interfaces that were attached.
    ///
    /// # Errors
    /// When a pin cannot be removed.
    pub fn remove(&self) -> Result<Vec<String>, BpfError> {
        let interfaces = self.interfaces();
        for directory in ["links", "egress", "sock", "progs", "maps"] {
            remove_tree(&self.root.join(directory))?;
        }
        remove_tree(&self.root)?;
        Ok(interfaces)
    }

    fn cannot_open(&self, name: &'static str, error: MapError) -> BpfError {
        let code = match &error {
            MapError::SyscallError(error) => error.io_error.raw_os_error(),
            MapError::PinError {
                error: aya::pin::PinError::SyscallError(error),
                ..
            } => error.io_error.raw_os_error(),
            _ => None,
        };
        match code {
            Some(libc::ENOENT | libc::ENOTDIR) => match require_bpffs() {
                Err(error) => error,
                Ok(()) if self.exist() => BpfError::MapGone {
                    map: name,
                    path: self.root.clone(),
                },
                Ok(()) => BpfError::NothingPinned(self.root.clone()),
            },
            Some(libc::EPERM | libc::EACCES) => BpfError::NotRoot,
            _ => BpfError::Map {
                map: name,
                source: error,
            },
        }
    }
}

/// Refuses when bpffs is not mounted: pins made elsewhere would not keep anything alive.
///
/// # Errors
/// [`BpfError::NoBpffs`].
fn require_bpffs() -> Result<(), BpfError> {
    if bpffs_mounted() {
        Ok(())
    } else {
        Err(BpfError::NoBpffs)
    }
}

/// Whether the BPF filesystem is mounted where pins go.
pub fn bpffs_mounted() -> bool {
    statfs(BPFFS).is_ok_and(|status| status.filesystem_type() == BPF_FS_MAGIC)
}

fn remove_tree(path: &Path) -> Result<(), BpfError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(BpfError::Pin {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_names() {
        assert!("default".parse::<InstanceName>().is_ok());
        for bad in ["", "..", "a/b", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<InstanceName>().is_err(), "{bad:?}");
        }
    }
}
