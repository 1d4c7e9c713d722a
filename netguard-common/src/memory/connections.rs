//! Who holds connections, in ordinary memory.

use core::cell::RefCell;
use std::{collections::HashMap, vec::Vec};

use crate::connection::{HINTS, Held, Holder, Ledger, NOTHING};

/// The ledger of connections, and what user space would write beside it. All by key and level of the holder.
#[derive(Debug)]
pub struct Connections {
    pub held: RefCell<HashMap<(u64, u64), Held>>,
    pub hints: RefCell<Vec<u64>>,
    pub corrections: HashMap<(u64, u64), i32>,
    /// Holders that have room.
    pub capacity: usize,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            held: RefCell::default(),
            hints: RefCell::new(std::vec![0; HINTS as usize]),
            corrections: HashMap::new(),
            capacity: usize::MAX,
        }
    }
}

impl Connections {
    pub(super) fn get(&self, holder: &Holder) -> Option<Held> {
        self.held.borrow().get(&key(holder)).copied()
    }

    pub(super) fn punish(&self, holder: &Holder, penalties: u32, until_ns: u64) {
        if let Some(held) = self.held.borrow_mut().get_mut(&key(holder)) {
            (held.penalties, held.until_ns) = (penalties, until_ns);
        }
    }
}

impl Ledger for Connections {
    fn add(&self, holder: &Holder) -> Option<u64> {
        let mut held = self.held.borrow_mut();
        if held.len() >= self.capacity && !held.contains_key(&key(holder)) {
            return None;
        }
        let held = held.entry(key(holder)).or_insert(NOTHING);
        held.count += 1;
        held.opened = held.opened.wrapping_add(1);
        Some(held.count - 1)
    }

    fn take(&self, holder: &Holder) -> Option<u64> {
        let mut held = self.held.borrow_mut();
        let held = held.get_mut(&key(holder)).filter(|held| held.count > 0)?;
        held.count -= 1;
        Some(held.count + 1)
    }

    fn hint(&self, hint: u32, is_more: bool) {
        let word = &mut self.hints.borrow_mut()[hint as usize];
        *word = if is_more { *word + 1 } else { *word - 1 };
    }

    fn correction(&self, holder: &Holder) -> i32 {
        self.corrections.get(&key(holder)).copied().unwrap_or(0)
    }
}

fn key(holder: &Holder) -> (u64, u64) {
    (holder.key, holder.level)
}
