//! Connections that are no longer followed, or never were, and have not ended: what they say next begins in the middle. It knows them by a hash.

use std::collections::HashSet;

/// Connections of a generation; the one before is kept, too. About 1.5 MiB when both are full.
const GENERATION: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Forgotten {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl Forgotten {
    /// Notes a connection; tells whether it is new here.
    pub(super) fn insert(&mut self, hash: u64) -> bool {
        if self.contains(hash) {
            return false;
        }
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash)
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        self.young.contains(&hash) || self.old.contains(&hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_first() {
        let mut forgotten = Forgotten::default();
        assert!(forgotten.insert(1) && !forgotten.insert(1));
        let generation = GENERATION as u64;
        for hash in 2..=generation + 1 {
            forgotten.insert(hash);
        }
        assert!(forgotten.contains(1) && !forgotten.insert(1));
        for hash in generation + 2..=2 * generation + 1 {
            forgotten.insert(hash);
        }
        assert!(!forgotten.contains(1) && forgotten.contains(generation + 1));
        assert!(forgotten.young.len() + forgotten.old.len() <= 2 * GENERATION);
    }
}
