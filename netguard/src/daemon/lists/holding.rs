//! Places that are held among the lists: their numbers, and how they come in force and go. Which are held the response says.

use std::{
    borrow::Cow,
    collections::HashMap,
    ops::Range,
    sync::{Arc, atomic::AtomicBool},
};

use netguard_common::ranges::POLICIES;
use tracing::{info, warn};

use super::{
    Lists,
    held::{HELD, Held, Hold},
};
use crate::{
    config::Place,
    prefix::Prefix,
    ranges::{Effect, Listing},
};

impl Lists {
    /// Has exactly `holds` held, for a quarter of an hour unless this is asked for again; `prefixes` has the addresses of those that are
    /// not held yet. Nothing is always possible: see [`Self::let_go`].
    ///
    /// # Errors
    /// A sentence; what was held before stays then.
    pub fn hold(
        &mut self,
        holds: &[Hold],
        prefixes: &HashMap<Place, Vec<Prefix>>,
        now_ns: u64,
    ) -> Result<(), String> {
        if holds.is_empty() {
            self.let_go(now_ns)
        } else {
            self.exchange(holds, prefixes, now_ns)
        }
    }

    /// Puts lists in force that hold exactly `holds`.
    fn exchange(
        &mut self,
        holds: &[Hold],
        prefixes: &HashMap<Place, Vec<Prefix>>,
        now_ns: u64,
    ) -> Result<(), String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if !self.in_force {
            return Err("the lists of the configuration are not in force yet".to_owned());
        }
        let numbers = numbers(self.wanted.len());
        let counts = self.table.counts(numbers.clone()).unwrap_or_default();
        let held = self.held.with(holds, prefixes, &counts, numbers.len(), now_ns)?;
        let before = std::mem::replace(&mut self.held, held);
        match self.install() {
            Ok(_) => Ok(()),
            Err(error) => {
                self.held = before;
                Err(error.to_string())
            }
        }
    }

    /// Lets all places go, also where no other lists can take the place of these.
    ///
    /// # Errors
    /// A sentence; they stay held for a quarter of an hour at most.
    pub fn let_go(&mut self, now_ns: u64) -> Result<(), String> {
        if self.exchange(&[], &HashMap::new(), now_ns).is_err() {
            self.table.end_sparing().map_err(|error| error.to_string())?;
            self.held = Held::default();
        }
        Ok(())
    }

    /// Where to say that nothing is to be held any more, without the lists themselves.
    pub(crate) fn over(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.over)
    }

    /// Whether `place` is held.
    pub fn holds(&self, place: Place) -> bool {
        self.held.has(place)
    }

    /// Packets that each place that is held was refused.
    pub fn held_packets(&self) -> Vec<(Hold, u64)> {
        self.held.packets(&self.held_counts()).collect()
    }

    pub(super) fn held_counts(&self) -> Vec<u64> {
        let Range { start, .. } = numbers(self.wanted.len());
        let numbers = start..start + self.held.len();
        self.table.counts(numbers).unwrap_or_default()
    }

    /// Lets the places go that an earlier daemon held, whatever becomes of its lists: it was killed, and nobody else will.
    pub(crate) fn let_go_of_earlier(&self) {
        match self.table.end_sparing() {
            Ok(0) => {}
            Ok(_) => info!("countries that an earlier daemon held because of attacks are held no longer"),
            Err(error) => warn!(
                "countries that an earlier daemon held because of attacks stay so for a quarter of an hour at most: {error}"
            ),
        }
    }

    /// `listings`, and behind them what is held, at its numbers.
    pub(super) fn add_held<'a>(&'a self, mut listings: Vec<Listing<'a>>) -> Vec<Listing<'a>> {
        if self.held.len() == 0 {
            return listings;
        }
        let nobodys = Listing {
            effect: Effect::Spare,
            prefixes: Cow::Borrowed(&[]),
        };
        listings.resize(numbers(self.wanted.len()).start, nobodys);
        listings.extend(self.held.listings());
        listings
    }
}

/// The last numbers that policies can have, as far as `lists` and what no list touches do not need them: lists of another configuration
/// have none of them then, and nothing is counted as theirs.
fn numbers(lists: usize) -> Range<usize> {
    let end = POLICIES as usize;
    (end - HELD).max(lists + 1).min(end)..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_has_the_last_numbers() {
        assert_eq!(numbers(0), 1_008..1_024);
        assert_eq!(numbers(1_007), 1_008..1_024);
        assert_eq!(numbers(1_010), 1_011..1_024);
        assert_eq!(numbers(1_023).len(), 0);
        assert_eq!(numbers(9_999).len(), 0);
    }
}
