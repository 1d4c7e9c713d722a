//! What lies beside the project and not in it: captures of real traffic, unpacked once per run and read frame by frame, and
//! what other projects test themselves with.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use pcap_parser::{
    Block, Linktype, PcapBlockOwned, PcapError, create_reader, traits::PcapNGPacketBlock as _,
};
use tempfile::TempDir;

/// Where all of it lies, seen from the root of the repository.
const BESIDE: &str = "../shared";
const ARCHIVE: &str = "data/pcaps-shared.tar.xz";
/// Room for the longest block.
const BUFFER: usize = 1 << 20;

/// Labelled captures.
pub struct Captures {
    directory: PathBuf,
    files: Vec<Capture>,
    /// Removed with it.
    _unpacked: Option<TempDir>,
}

/// A file, as the list of captures describes it.
#[derive(Clone, Debug)]
pub struct Capture {
    /// Path in the directory.
    pub name: String,
    /// What its traffic is, such as `benign` or `malformed-l34`.
    pub class: String,
}

impl Captures {
    /// Of the archive beside the project; `None` when there is none.
    ///
    /// # Errors
    /// When the archive or its list cannot be read.
    pub fn unpack() -> Result<Option<Self>> {
        let Some(archive) = beside(ARCHIVE) else {
            return Ok(None);
        };
        let directory = tempfile::tempdir()?;
        let tar = Command::new("tar")
            .arg("-xJf")
            .arg(&archive)
            .arg("-C")
            .arg(directory.path())
            .status()?;
        ensure!(tar.success(), "{} cannot be unpacked", archive.display());
        let captures = Self::in_directory(directory.path())?;
        Ok(Some(Self {
            _unpacked: Some(directory),
            ..captures
        }))
    }

    /// Of a directory with a `MANIFEST.tsv`, which has the columns `file` and `class`.
    ///
    /// # Errors
    /// When the list cannot be read, lacks a column or names no file that is there.
    pub fn in_directory(directory: &Path) -> Result<Self> {
        let path = directory.join("MANIFEST.tsv");
        let list = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut lines = list.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let head = lines.next().unwrap_or_default();
        let column = |name| {
            let found = head.iter().position(|column| *column == name);
            found.with_context(|| format!("{}: no column `{name}`", path.display()))
        };
        let (name, class) = (column("file")?, column("class")?);
        let files = lines.filter_map(|line| {
            Some(Capture {
                name: (*line.get(name)?).to_owned(),
                class: (*line.get(class)?).to_owned(),
            })
        });
        // Some classes have no capture beside the list.
        let files: Vec<Capture> = files
            .filter(|capture| directory.join(&capture.name).is_file())
            .collect();
        ensure!(
            !files.is_empty(),
            "{}: none of its files is there",
            path.display()
        );
        Ok(Self {
            directory: directory.to_owned(),
            files,
            _unpacked: None,
        })
    }

    /// All that are there.
    #[must_use]
    pub fn all(&self) -> &[Capture] {
        &self.files
    }

    /// Where `capture` is.
    #[must_use]
    pub fn path(&self, capture: &Capture) -> PathBuf {
        self.directory.join(&capture.name)
    }

    /// The captures of `class` that are not compressed.
    pub fn of<'a>(&'a self, class: &'a str) -> impl Iterator<Item = &'a Capture> {
        let plain = |capture: &&Capture| !capture.name.ends_with(".gz");
        self.files
            .iter()
            .filter(move |capture| capture.class == class)
            .filter(plain)
    }

    /// The whole Ethernet frames of `capture`, in their order; those that were cut when they were taken are left out.
    ///
    /// # Errors
    /// When the file is broken.
    pub fn frames(&self, capture: &Capture) -> Result<Vec<Vec<u8>>> {
        read(&self.path(capture)).with_context(|| capture.name.clone())
    }
}

/// A file beside the project; `None` when it is not there.
#[must_use]
pub fn beside(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Some(root.join(BESIDE).join(name)).filter(|path| path.exists())
}

/// The whole Ethernet frames of a file, in their order.
///
/// # Errors
/// When the file is broken.
pub fn read(path: &Path) -> Result<Vec<Vec<u8>>> {
    let mut reader =
        create_reader(BUFFER, File::open(path)?).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let mut links = Vec::new();
    let mut frames = Vec::new();
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => links = vec![header.network],
                    PcapBlockOwned::Legacy(packet) => {
                        let whole = packet.caplen == packet.origlen;
                        if whole && links.first() == Some(&Linktype::ETHERNET) {
                            frames.push(packet.data[..packet.caplen as usize].to_vec());
                        }
                    }
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => links.clear(),
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                        links.push(interface.linktype)
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        let whole = packet.caplen == packet.origlen;
                        if whole && links.get(packet.if_id as usize) == Some(&Linktype::ETHERNET) {
                            frames.push(packet.packet_data()[..packet.caplen as usize].to_vec());
                        }
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => return Ok(frames),
            Err(PcapError::Incomplete(_)) => reader.refill().map_err(|error| anyhow::anyhow!("{error:?}"))?,
            // What comes after a broken block is lost, as it is to every reader.
            Err(_) => return Ok(frames),
        }
    }
}
