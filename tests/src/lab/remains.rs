//! Names of labs, and what is left of labs whose process is gone: namespaces, pins, sockets, files.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{namespace, netguard::TRAILS, wait_until};

/// Where things named after a lab can be: network namespaces, netguard's pins, sockets, audit trails and copies of feeds, and (by
/// `temp_dir`) files.
const PLACES: [&str; 4] = ["/run/netns", "/sys/fs/bpf/netguard", "/run/netguard", TRAILS];

/// How long another lab may take: a whole run of the demo.
const PATIENCE: Duration = Duration::from_secs(600);

/// `ngt<process id>-<number>`: unique on this machine, and it tells whose lab it was.
pub(super) fn next_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("ngt{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Takes the machine-wide lock on being the only lab; it is held as long as the file is open.
pub(super) fn wait_for_others() -> Result<File> {
    wait_for("another lab", File::try_lock)
}

/// Takes the same lock beside all who take it like this.
pub(super) fn wait_for_floods() -> Result<File> {
    wait_for("a lab that must be alone", File::try_lock_shared)
}

fn wait_for(whom: &str, try_lock: impl Fn(&File) -> Result<(), TryLockError>) -> Result<File> {
    let path = "/run/netguard-lab.lock";
    let file = File::create(path).with_context(|| format!("creating {path}: is this root?"))?;
    if try_lock(&file).is_err() {
        eprintln!("lab: waiting for {whom} on this machine to end ({path})");
        wait_until("the other lab to end", PATIENCE, || Ok(try_lock(&file).ok()))?;
    }
    Ok(file)
}

/// Removes what labs of ended processes left.
pub(super) fn remove_of_dead() -> Result<()> {
    let gone = |pid: u32| !Path::new("/proc").join(pid.to_string()).exists();
    let temp_dir = std::env::temp_dir();
    for place in PLACES.iter().map(Path::new).chain([temp_dir.as_path()]) {
        let Ok(entries) = fs::read_dir(place) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if !owner(&name).is_some_and(gone) {
                continue;
            }
            if path.starts_with(PLACES[0]) {
                namespace::remove(&name);
            } else if path.is_dir() {
                fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
            } else {
                fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
            }
        }
    }
    Ok(())
}

/// The process id in the name of a lab's belonging; `None` for what is not ours.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix("ngt")?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lab_names_have_an_owner() {
        assert_eq!(owner(&next_name()), Some(process::id()));
        assert_eq!(owner("ngt77-0-vic"), Some(77));
        assert_eq!(owner("ngt-77"), None);
        assert_eq!(owner("other77-0"), None);
    }
}
