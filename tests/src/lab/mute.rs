//! A file on a server that does not answer: its size is known, it can be opened, and whoever reads it waits (FUSE). It has no other.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _, Write as _},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Numbers of requests (linux/fuse.h).
const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const INIT: u32 = 26;

/// Nodes.
const ROOT: u64 = 1;
const MUTE: u64 = 2;

/// Whoever closes the file is not to wait for an answer, either (`FOPEN_NOFLUSH`, Linux 5.16).
const NO_FLUSH: u64 = 1 << 5;

/// Bytes before a request, and before an answer.
const REQUEST: usize = 40;
const ANSWER: u32 = 16;

/// The mounted file system; gone on drop, and whoever reads the file goes on with an error then.
#[derive(Debug)]
pub struct Mute {
    directory: PathBuf,
    opened: Arc<AtomicBool>,
    device: Option<Arc<File>>,
}

impl Mute {
    /// Mounts it in `directory`, which is made.
    pub fn mount(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = Arc::new(device.context("opening /dev/fuse")?);
        let how = format!("fd={},rootmode=40755,user_id=0,group_id=0", device.as_raw_fd());
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("mute"), directory, Some("fuse"), flags, Some(how.as_str())).context("mounting")?;
        let mute = Self {
            directory: directory.to_owned(),
            opened: Arc::default(),
            device: Some(Arc::clone(&device)),
        };
        let opened = Arc::clone(&mute.opened);
        thread::spawn(move || serve(&device, &opened));
        Ok(mute)
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.directory.join("mute")
    }

    /// Whether somebody has opened the file. Nothing is answered any more then.
    #[must_use]
    pub fn is_opened(&self) -> bool {
        self.opened.load(Ordering::SeqCst)
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        // Without its server it ends with the mount.
        let _unmounted = umount2(&self.directory, MntFlags::MNT_DETACH);
        self.device = None;
    }
}

/// Answers until the file was opened: a request that nobody takes is one whose sender can be killed.
fn serve(mut device: &File, opened: &AtomicBool) {
    let mut buffer = vec![0; 2 << 20];
    loop {
        let length = match device.read(&mut buffer) {
            Ok(length) if length >= REQUEST => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            _ => return,
        };
        let request = &buffer[..length];
        let number =
            |at: usize| u32::from_ne_bytes([request[at], request[at + 1], request[at + 2], request[at + 3]]);
        let (operation, unique) = (number(4), &request[8..16]);
        let node = u64::from(number(16));
        let answer: Result<Vec<u8>, i32> = match operation {
            INIT => Ok(init()),
            LOOKUP if request[REQUEST..].starts_with(b"mute\0") => Ok(entry()),
            LOOKUP => Err(-libc::ENOENT),
            GETATTR => Ok([&words(&[FOREVER, 0]), attributes(node).as_slice()].concat()),
            OPEN => Ok(words(&[1, NO_FLUSH])),
            _ => Err(-libc::ENOSYS),
        };
        let (error, body) = answer.map_or_else(|error| (error, Vec::new()), |body| (0, body));
        let mut all = (ANSWER + body.len() as u32).to_ne_bytes().to_vec();
        all.extend(error.to_ne_bytes());
        all.extend(unique);
        all.extend(body);
        if device.write_all(&all).is_err() {
            return;
        }
        if operation == OPEN {
            opened.store(true, Ordering::SeqCst);
            return;
        }
    }
}

/// Seconds for which nobody asks again.
const FOREVER: u64 = 9_999;

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// `fuse_init_out`: version 7.31, and room for a page.
fn init() -> Vec<u8> {
    let numbers: [u32; 6] = [7, 31, 0, 0, 0, 4_096];
    let mut out: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
    out.resize(64, 0);
    out
}

/// `fuse_entry_out`
fn entry() -> Vec<u8> {
    [words(&[MUTE, 0, FOREVER, FOREVER, 0]), attributes(MUTE)].concat()
}

/// `fuse_attr`
fn attributes(node: u64) -> Vec<u8> {
    let mode: u32 = if node == ROOT { 0o40755 } else { 0o100_644 };
    let mut out = words(&[node, 4_096, 8, 1_700_000_000, 1_700_000_000, 1_700_000_000]);
    let rest: [u32; 10] = [0, 0, 0, mode, 1, 0, 0, 0, 4_096, 0];
    out.extend(rest.iter().flat_map(|number| number.to_ne_bytes()));
    out
}
