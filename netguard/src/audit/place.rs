//! Where a trail is and how big it may become; and a note of that for the command line, which may know no configuration.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    bpf::InstanceName,
    config::{Audit, AuditMode},
    daemon::RUNTIME_DIRECTORY,
};

/// Where a trail is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file that is written. Those that were full stand beside it.
    pub file: PathBuf,
    /// Bytes from which on a file is full.
    pub max_bytes: u64,
    /// Full files that are kept.
    pub keep: usize,
    /// Whether anything is written.
    pub on: bool,
}

impl Place {
    /// The place that `config` names for `instance`.
    pub fn of(config: &Audit, instance: &InstanceName) -> Self {
        Self {
            file: config.file.of_instance(&instance.to_string()),
            max_bytes: u64::from(config.max_bytes.value()),
            keep: config.keep.value() as usize,
            on: config.mode == AuditMode::On,
        }
    }

    /// Where the last daemon of `instance` wrote, or, where none ran since the machine started, where the default configuration
    /// says.
    pub fn noted(instance: &InstanceName) -> Self {
        let noted = fs::read(note(instance)).ok();
        noted
            .and_then(|note| serde_json::from_slice(&note).ok())
            .unwrap_or_else(|| Self::of(&Audit::default(), instance))
    }

    /// Leaves the note for [`Place::noted`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn leave_note(&self, instance: &InstanceName) -> io::Result<()> {
        let note = note(instance);
        let unfinished = note.with_extension("audit-unfinished");
        fs::write(&unfinished, serde_json::to_vec(self)?)?;
        fs::rename(unfinished, note)
    }
}

fn note(instance: &InstanceName) -> PathBuf {
    Path::new(RUNTIME_DIRECTORY).join(format!("{instance}.audit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instance_has_a_place_of_its_own() {
        let instance = |name: &str| name.parse::<InstanceName>().expect("a name");
        let place = Place::of(&Audit::default(), &instance("edge"));
        assert_eq!(place.file, Path::new("/var/lib/netguard/edge/audit.jsonl"));
        assert!(place.on && place.keep > 0 && place.max_bytes > 0);
        assert_ne!(place, Place::of(&Audit::default(), &instance("default")));
        assert_eq!(Place::noted(&instance("nobody-ever-had-this-name")).on, place.on);
    }
}
