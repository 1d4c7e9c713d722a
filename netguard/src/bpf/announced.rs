//! What the datapath looks at before the rule tables, and mostly instead of them: hints and lines of exact addresses.

use aya::maps::Map;
use netguard_common::{layout::Rule, maps::Table};

use super::{BpfError, Pins, exact::ExactLines, hints::Hints};
use crate::prefix::Prefix;

/// Hints and lines of an instance.
pub(super) struct Announced {
    pub(super) hints: Hints,
    pub(super) exact: ExactLines,
}

impl Announced {
    /// Those of `pins`, spread by the secret `seed`.
    pub(super) fn open(pins: &Pins, seed: u64) -> Result<Self, BpfError> {
        Self::of(&pins.open("HINTS")?, &pins.open("EXACT")?, seed)
    }

    /// Those that lie in two maps.
    pub(super) fn of(hints: &Map, exact: &Map, seed: u64) -> Result<Self, BpfError> {
        Ok(Self {
            hints: Hints::of(hints, seed)?,
            exact: ExactLines::of(exact, seed)?,
        })
    }

    /// After `rule` for `prefix` was put into `table`: only now it is in force.
    pub(super) fn put(&self, table: Table, prefix: Prefix, rule: &Rule) {
        self.hints.set(prefix, table.hint());
        if table.is_exact() {
            self.exact.put(prefix, rule);
        }
    }

    /// After the rule for `prefix` was taken out of `table`, which blocked the networks `freed` alone. Hints are left but for
    /// theirs.
    pub(super) fn remove(&self, table: Table, prefix: Prefix, freed: &[Prefix]) {
        if table.is_exact() {
            self.exact.remove(prefix);
        }
        for network in freed {
            self.hints.clear(*network, table.hint());
        }
    }
}
