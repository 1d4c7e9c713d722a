//! Settings of the kernel that the daemon changes for a while. All instances of a network namespace share them: what they were,
//! and who needs them otherwise, lies in files, so that the last who detaches restores them, whether or not its daemon still lives.

mod kept;

use std::io;

use tracing::{info, warn};

use super::{EventKind, Journal};
use crate::{bpf::InstanceName, host};
use kept::{Kept, Shelf};

/// What a setting is while cookies are made.
const ARMED: u8 = 2;

/// A setting that SYN cookies need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    SynCookies,
    Timestamps,
}

impl Setting {
    const ALL: [Self; 2] = [Self::SynCookies, Self::Timestamps];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SynCookies => "net.ipv4.tcp_syncookies",
            Self::Timestamps => "net.ipv4.tcp_timestamps",
        }
    }

    /// The last part of the name.
    const fn word(self) -> &'static str {
        match self {
            Self::SynCookies => "tcp_syncookies",
            Self::Timestamps => "tcp_timestamps",
        }
    }

    /// What it is to be for all who claim it.
    fn value(self, kept: &Kept) -> u8 {
        if kept.claims.values().any(|armed| *armed) {
            return ARMED;
        }
        match (self, kept.original) {
            // Without it no socket would take a cookie.
            (Self::SynCookies, 0) if !kept.claims.is_empty() => 1,
            (_, original) => original,
        }
    }

    fn read(self) -> io::Result<u8> {
        let text = host::sysctl(self.name())?;
        text.parse()
            .map_err(|_| io::Error::other(format!("it is {text:?}, which is unknown")))
    }

    /// Sets it, unless it is `value` already; tells whether it was not.
    fn set(self, value: u8) -> io::Result<bool> {
        if self.read().is_ok_and(|found| found == value) {
            return Ok(false);
        }
        host::set_sysctl(self.name(), &value.to_string())?;
        Ok(true)
    }
}

/// A setting that is ours to change.
pub(super) struct Borrowed {
    instance: InstanceName,
    setting: Setting,
    /// What it was.
    original: u8,
    /// Whether it was needed last, by this daemon or an earlier one.
    pub(super) armed: bool,
    /// What was told last to be in the way.
    told: Option<String>,
}

impl Borrowed {
    /// Claims `setting`; `None`, and a warning, where what it is cannot be kept.
    pub(super) fn new(instance: &InstanceName, setting: Setting) -> Option<Self> {
        claim(instance, setting)
            .inspect_err(|error| {
                warn!(
                    "{} stays as it is, SYN cookies may not work: {error}",
                    setting.name()
                );
            })
            .ok()
    }

    /// Whether it changes with the need.
    pub(super) const fn changes(&self) -> bool {
        self.original != ARMED
    }

    /// Sees to it that it is what cookies need, while they are `needed`, or what it was unless others need it.
    pub(super) fn arm(&mut self, needed: bool, journal: &Journal) {
        let name = self.setting.name();
        match self.change(needed) {
            Ok(None) => {}
            Ok(Some(value)) => {
                self.told = None;
                info!("{name} = {value}");
                journal.record(EventKind::Sysctl {
                    name: name.to_owned(),
                    value: value.to_string(),
                });
            }
            Err(error) => {
                let why = error.to_string();
                if self.told.as_ref() != Some(&why) {
                    warn!("{name} cannot be set, SYN cookies may not work: {why}");
                }
                self.told = Some(why);
            }
        }
    }

    /// What it was set to, if it was not that already.
    fn change(&mut self, needed: bool) -> io::Result<Option<u8>> {
        // Looked at in every tick of a flood: somebody else may have set it back.
        if needed && self.armed && self.setting.read().is_ok_and(|found| found == ARMED) {
            return Ok(None);
        }
        let shelf = Shelf::open()?;
        let before = shelf.read(self.setting, &self.instance)?;
        // Somebody may have cleared the directory.
        let mut kept = before.clone().unwrap_or_else(|| Kept::of(self.original));
        kept.claims.insert(self.instance.to_string(), needed);
        // Even when it cannot be kept: in a flood the setting is worth more.
        let written = match before.as_ref() == Some(&kept) {
            true => Ok(()),
            false => shelf.write(self.setting, &kept),
        };
        self.armed = needed;
        let value = self.setting.value(&kept);
        let changed = self.setting.set(value)?;
        written?;
        Ok(changed.then_some(value))
    }
}

fn claim(instance: &InstanceName, setting: Setting) -> io::Result<Borrowed> {
    let shelf = Shelf::open()?;
    let mut kept = match shelf.read(setting, instance)? {
        Some(kept) => kept,
        None => Kept::of(setting.read()?),
    };
    let armed = *kept.claims.entry(instance.to_string()).or_insert(false);
    shelf.write(setting, &kept)?;
    Ok(Borrowed {
        instance: instance.clone(),
        setting,
        original: kept.original,
        armed,
        // `faults` tells it at the start.
        told: host::can_set_sysctl(setting.name())
            .err()
            .map(|error| error.to_string()),
    })
}

/// Gives back what `instance` has borrowed: all settings are what they were, unless other instances need them.
///
/// # Errors
/// When one may not be set, or was changed in another network namespace; the others are restored all the same.
pub fn restore_sysctls(instance: &InstanceName) -> io::Result<()> {
    let restored = Setting::ALL.map(|setting| restore(instance, setting));
    let failed: Vec<String> = restored
        .into_iter()
        .filter_map(|restored| Some(restored.err()?.to_string()))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(failed.join("; ")))
}

/// [`restore_sysctls`], of one setting.
pub(super) fn restore(instance: &InstanceName, setting: Setting) -> io::Result<()> {
    give_back(instance, setting)
        .map_err(|error| io::Error::other(format!("{} is not what it was: {error}", setting.name())))
}

fn give_back(instance: &InstanceName, setting: Setting) -> io::Result<()> {
    if !Shelf::exists() {
        return Ok(());
    }
    let shelf = Shelf::open()?;
    if let Some(mut kept) = shelf.read(setting, instance)?
        && kept.claims.remove(&instance.to_string()).is_some()
    {
        // First: what could not be restored stays claimed, for another attempt.
        setting.set(setting.value(&kept))?;
        shelf.write(setting, &kept)?;
    }
    match shelf.elsewhere(setting, instance) {
        None => Ok(()),
        Some(path) => Err(io::Error::other(format!(
            "it was changed in another network namespace: run the command there, or remove {} if that is gone",
            path.display()
        ))),
    }
}

/// What stands in the way of SYN cookies, in sentences, when `managed` settings are to be changed as they are needed. Their
/// files cannot be written in most containers.
pub(super) fn faults(managed: &[Setting]) -> Vec<String> {
    let fault = |setting: &Setting| {
        let name = setting.name();
        let value = setting.read().ok().filter(|value| *value != ARMED)?;
        let why = host::can_set_sysctl(name).err()?;
        let effect = match (setting, value) {
            (Setting::SynCookies, 0) => "SYN cookies do not work",
            (Setting::SynCookies, _) => "SYN cookies begin only when the queue of a socket is full",
            (Setting::Timestamps, _) => "SYN cookies carry no window scale, SACK or ECN",
        };
        Some(format!(
            "{effect}: {name} is {value} and cannot be set ({why}); set it to 2 from outside (`--sysctl {name}=2` for a \
             container)"
        ))
    };
    managed.iter().filter_map(fault).collect()
}

/// What stands in the way of SYN cookies where nothing is configured, in sentences.
pub fn sysctl_faults() -> Vec<String> {
    faults(&[Setting::SynCookies])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_what_all_need() {
        let mut kept = Kept::of(0);
        let value = |kept: &Kept| Setting::ALL.map(|setting| setting.value(kept));
        assert_eq!(value(&kept), [0, 0], "nobody needs it");
        kept.claims.insert("a".to_owned(), false);
        assert_eq!(value(&kept), [1, 0], "sockets take cookies");
        kept.claims.insert("b".to_owned(), true);
        assert_eq!(value(&kept), [2, 2]);
        kept.claims.remove("a");
        assert_eq!(value(&kept), [2, 2], "the other still makes cookies");
        kept.claims.insert("b".to_owned(), false);
        kept.original = 1;
        assert_eq!(value(&kept), [1, 1]);
    }
}
