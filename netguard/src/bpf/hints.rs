//! The map `HINTS` as memory, see `netguard_common::hint`. Of the hints only that of blocked networks is cleared with its rule:
//! another one too many costs the datapath a look-up. What a process that died left wrong, the next daemon puts right.

use std::sync::atomic::{AtomicU8, Ordering};

use aya::maps::Map;
use netguard_common::{
    hint::{LINE, LINES, RANGE, SLOTS, before, behind, coarse, fine, refined},
    packet::Address,
};

use super::{BpfError, Pins, mapped::Mapped};
use crate::prefix::Prefix;

const BYTES: usize = (LINES * LINE) as usize;

/// The hints of an instance.
pub(super) struct Hints {
    memory: Mapped,
    /// The secret by which IPv6 networks are spread.
    seed: u64,
}

impl Hints {
    pub(super) fn open(pins: &Pins, seed: u64) -> Result<Self, BpfError> {
        Self::of(&pins.open("HINTS")?, seed)
    }

    /// Those that lie in `map`.
    pub(super) fn of(map: &Map, seed: u64) -> Result<Self, BpfError> {
        let memory = Mapped::of(map, "HINTS", BYTES)?;
        Ok(Self { memory, seed })
    }

    /// Sets `hint` for every source in `prefix`.
    pub(super) fn set(&self, prefix: Prefix, hint: u8) {
        for slot in self.slots(prefix, hint) {
            self.add(slot, hint);
        }
    }

    /// Clears the fine `hint` for every source in the networks that hold `prefix`. The coarse one may be another rule's, too.
    pub(super) fn clear(&self, prefix: Prefix, hint: u8) {
        for slot in self.fine(prefix) {
            self.byte(slot).fetch_and(!hint, Ordering::Relaxed);
        }
    }

    /// Sets `hint` in each place of the set `slots`, which is a bit for each.
    pub(super) fn raise(&self, hint: u8, slots: &[u64]) {
        for (number, word) in (0..).zip(slots).filter(|(_, word)| **word != 0) {
            for slot in (number * u64::BITS..).take(u64::BITS as usize) {
                if word >> (slot % u64::BITS) & 1 == 1 {
                    self.add(slot, hint);
                }
            }
        }
    }

    /// Clears `hint` in each place outside the set `slots`.
    pub(super) fn lower(&self, hint: u8, slots: &[u64]) {
        for slot in 0..SLOTS {
            let wanted = slots[(slot / u64::BITS) as usize] >> (slot % u64::BITS) & 1 == 1;
            let byte = self.byte(slot);
            if !wanted && byte.load(Ordering::Relaxed) & hint != 0 {
                byte.fetch_and(!hint, Ordering::Relaxed);
            }
        }
        self.tidy();
    }

    /// Makes the hints those of `rules`, each a prefix and its hint, and no others but those of the compiled lists, which end
    /// with their generation. Nobody else may write rules meanwhile.
    pub(super) fn rebuild(&self, rules: impl Iterator<Item = (Prefix, u8)>) {
        let mut right = vec![0_u8; SLOTS as usize];
        for (prefix, hint) in rules {
            for slot in self.slots(prefix, hint) {
                right[slot as usize] |= hint;
            }
        }
        for (slot, right) in (0..).zip(right) {
            let byte = self.byte(slot);
            // Bit by bit: a list that is exchanged meanwhile sets those of its own.
            if byte.load(Ordering::Relaxed) & !RANGE != right {
                self.add(slot, right);
                byte.fetch_and(right | RANGE, Ordering::Relaxed);
            }
        }
        self.tidy();
    }

    /// Adds `hints` to those in `slot`.
    fn add(&self, slot: u32, hints: u8) {
        self.byte(slot).fetch_or(hints, Ordering::SeqCst);
        if let Some((byte, mask)) = before(slot) {
            self.byte(byte).fetch_or(mask, Ordering::SeqCst);
        }
    }

    /// Makes the bits before the places right: of those that nobody needs any more, and those that a process that died did not set.
    fn tidy(&self) {
        for number in 0..BYTES as u32 - SLOTS {
            for bit in 0..u8::BITS {
                let places = behind(number, bit);
                let has_hints = || {
                    places
                        .iter()
                        .any(|slot| self.byte(*slot).load(Ordering::SeqCst) != 0)
                };
                let (byte, mask) = (self.byte(SLOTS + number), 1 << bit);
                let is_set = byte.load(Ordering::SeqCst) & mask != 0;
                if is_set && !has_hints() {
                    byte.fetch_and(!mask, Ordering::SeqCst);
                }
                // Again: others add hints meanwhile, and this bit after them.
                if has_hints() {
                    byte.fetch_or(mask, Ordering::SeqCst);
                }
            }
        }
    }

    /// Where the datapath looks for `hint` of sources in `prefix`.
    fn slots(&self, prefix: Prefix, hint: u8) -> impl Iterator<Item = u32> {
        let (family, address) = Address::of(prefix.address());
        let refined = (hint & refined(family) != 0).then(|| self.fine(prefix));
        let coarse = coarse(family, address, prefix.bits(), self.seed);
        refined.into_iter().flatten().chain(coarse)
    }

    fn fine(&self, prefix: Prefix) -> impl Iterator<Item = u32> + use<> {
        let (family, address) = Address::of(prefix.address());
        fine(family, address, prefix.bits(), self.seed)
    }

    fn byte(&self, slot: u32) -> &AtomicU8 {
        self.memory.byte(slot as usize)
    }
}
