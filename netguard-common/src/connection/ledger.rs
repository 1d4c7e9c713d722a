//! How connections are counted: what opens and closes them says so here.

use super::{FEW, Holder, corrected};
use crate::{
    layout::{Mode, Settings},
    packet::{Address, Family},
};

/// Where connections are counted. All CPUs do so at once: each step is one that nothing comes between.
pub trait Ledger {
    /// Adds one to what `holder` has and to what it opened, and tells what it had before; `None` when there is no room for another holder.
    fn add(&self, holder: &Holder) -> Option<u64>;
    /// Takes one away, and tells what it had before; `None` when there is nothing to take.
    fn take(&self, holder: &Holder) -> Option<u64>;
    /// Adds one to the word `hint` of the hints, or takes one away.
    fn hint(&self, hint: u32, is_more: bool);
    /// By what user space found the count of `holder` to be wrong.
    fn correction(&self, holder: &Holder) -> i32;
}

/// Counts a connection that `source` opened to `port`. `None` when there is no room for it; otherwise whether it is one too many.
#[inline(always)]
pub fn opened<L: Ledger>(
    family: Family,
    source: Address,
    port: u16,
    settings: &Settings,
    ledger: &L,
) -> Option<bool> {
    let limits = &settings.connections;
    let (of_source, of_prefix) = Holder::of(family, source);
    let is_excess = |holder: &Holder, before: u64| {
        let most = limits.most(holder);
        most != 0 && corrected(before, ledger.correction(holder)) >= most
    };
    let before = add(&of_source, settings.seed, ledger)?;
    let mut excess = is_excess(&of_source, before);
    if let Some(of_prefix) = of_prefix
        && let Some(before) = add(&of_prefix, settings.seed, ledger)
    {
        excess |= is_excess(&of_prefix, before);
    }
    let is_spared = limits.spares(of_source.key) || limits.spares_port(port);
    Some(excess && limits.mode == Mode::Enforce as u32 && !is_spared)
}

/// Counts that a connection of `source` closed that was counted.
#[inline(always)]
pub fn closed<L: Ledger>(family: Family, source: Address, settings: &Settings, ledger: &L) {
    let (of_source, of_prefix) = Holder::of(family, source);
    take(&of_source, settings.seed, ledger);
    if let Some(of_prefix) = of_prefix {
        take(&of_prefix, settings.seed, ledger);
    }
}

#[inline(always)]
fn add<L: Ledger>(holder: &Holder, seed: u64, ledger: &L) -> Option<u64> {
    let before = ledger.add(holder)?;
    if before + 1 == u64::from(FEW) {
        ledger.hint(holder.hint(seed), true);
    }
    Some(before)
}

#[inline(always)]
fn take<L: Ledger>(holder: &Holder, seed: u64, ledger: &L) {
    if ledger.take(holder) == Some(u64::from(FEW)) {
        ledger.hint(holder.hint(seed), false);
    }
}
