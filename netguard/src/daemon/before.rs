//! What an earlier daemon left in force, to be put back when a start fails after it has begun to change it.

use std::collections::BTreeSet;

use netguard_common::{
    layout::{Service, Settings},
    rule::Origin,
};

use crate::{
    bpf::{self, BpfError, Entry, List, Pins, Rules, Services, SettingsMap},
    clock::monotonic_ns,
    host::Interface,
    prefix::Prefix,
};

const LISTS: [List; 2] = [List::Allow, List::Block];

/// What stood before a start.
pub(super) enum Before {
    Nothing,
    Daemon(Box<Left>),
}

/// What an earlier daemon left.
pub(super) struct Left {
    settings: Settings,
    services: Vec<Service>,
    /// The rules of its configuration, by [`LISTS`].
    rules: [Vec<Entry>; 2],
    /// Interfaces where what leaves is watched.
    watched: Vec<Interface>,
}

impl Before {
    /// What stands now, if the pins were `adopted`.
    pub(super) fn of(pins: &Pins, adopted: bool, interfaces: &[Interface]) -> Result<Self, BpfError> {
        if !adopted {
            return Ok(Self::Nothing);
        }
        let rules = Rules::open(pins)?;
        let watched = interfaces
            .iter()
            .filter(|interface| bpf::is_watched(pins, interface));
        Ok(Self::Daemon(Box::new(Left {
            settings: SettingsMap::open(pins)?.read()?,
            services: Services::open(pins)?.list()?,
            rules: [configured(&rules, LISTS[0])?, configured(&rules, LISTS[1])?],
            watched: watched.cloned().collect(),
        })))
    }

    pub(super) const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Puts it back; tells what cannot be.
    pub(super) fn restore(&self, pins: &Pins) -> Vec<String> {
        let restored = match self {
            Self::Nothing => vec![pins.remove().map(drop)],
            // The settings before the watch that they need.
            Self::Daemon(left) => vec![
                left.restore_settings(pins),
                left.restore_rules(pins),
                bpf::forget(pins, &left.watched),
            ],
        };
        let failed = restored.into_iter().filter_map(Result::err);
        failed.map(|error| error.to_string()).collect()
    }
}

impl Left {
    fn restore_settings(&self, pins: &Pins) -> Result<(), BpfError> {
        SettingsMap::open(pins)?.write(&self.settings)?;
        Services::open(pins)?.replace(&self.services)
    }

    fn restore_rules(&self, pins: &Pins) -> Result<(), BpfError> {
        let mut rules = Rules::open(pins)?;
        for (list, wanted) in LISTS.into_iter().zip(&self.rules) {
            let standing = prefixes(&configured(&rules, list)?);
            let before = prefixes(wanted);
            for new in standing.difference(&before) {
                rules.remove(list, *new)?;
            }
            if let Some(entry) = wanted.first() {
                // All of them are the same but for their prefix.
                rules.insert_all(list, before.difference(&standing).copied(), entry.rule)?;
            }
        }
        Ok(())
    }
}

/// The rules of a configuration on `list`.
fn configured(rules: &Rules, list: List) -> Result<Vec<Entry>, BpfError> {
    let mut entries = rules.list(list, monotonic_ns())?;
    entries.retain(|entry| entry.rule.origin == Origin::Config as u8);
    Ok(entries)
}

fn prefixes(entries: &[Entry]) -> BTreeSet<Prefix> {
    entries.iter().map(|entry| entry.prefix).collect()
}
