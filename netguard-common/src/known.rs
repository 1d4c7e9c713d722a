//! Who is known to a service: sources that asked it before, at least twice with some seconds between, in times without a
//! flood. Nothing is known about strangers, and nothing is forgotten because of them.
//!
//! A source and service have one line of eight slots in a fixed array, and in it at most one slot: a fingerprint, when it was
//! last seen, and whether it came again. Who comes for the first time takes a slot that is free, or that of
//! the oldest that has not come again; a source that is known gives way to nobody until it has stayed away for hours. New
//! sources are taken up at a limited rate.
//!
//! None of this proves an address. Who forges the same addresses for a while before a flood, slower than the service's rate,
//! can make them known; then they share what the known ones have. What needs a proof stands above ([`crate::level::Standing::Proven`]).

pub use crate::tables::SLOTS;
use crate::{
    hint::mix,
    layout::Rate,
    limit, service,
    tables::{Slots, Tables},
    view::View,
};

/// Entries of the map `KNOWN`; a power of two.
pub const LINES: u32 = 65_536;

/// The cell of `LIMIT_CELLS` that counts newcomers of all services.
pub const NEWCOMERS_AT: u32 = service::CELLS_END;
/// Newcomers that are taken up, per second and at once.
const NEWCOMERS: Rate = Rate::new(1_000, 1_000);

/// Time in a slot counts units of 2^33 ns (8.6 s).
const UNIT_SHIFT: u32 = 33;
const TIME: u32 = 0x7fff;
/// The bit of a source that came again.
const AGAIN: u32 = 0x8000;
const FINGERPRINT: u32 = 0xffff_0000;
/// Units after which a source that stays away is forgotten: 9.8 hours.
const LIFETIME: u32 = 4_096;

crate::shared! {
    /// One entry of the map `KNOWN`.
    pub struct KnownLine {
        pub slots: [u32; 8],
    }
}

/// Where a source and service lie.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    line: u32,
    /// What its slot begins with; never 0, which is a free slot.
    fingerprint: u32,
}

/// The place of the source with `key` and the UDP service at `port`.
#[inline(always)]
pub(crate) const fn place(key: u64, port: u16, seed: u64) -> Place {
    // Not a mere combination of both, or one source at one port could stand for another at another.
    let hash = mix(
        key,
        seed.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(port as u64 + 1)),
    );
    Place {
        line: (hash as u32) & (LINES - 1),
        fingerprint: ((hash >> 32) as u32 & FINGERPRINT) | 0x1_0000,
    }
}

/// Has the line of `place` fetched into the cache, while others are.
#[inline(always)]
pub(crate) fn fetch<T: Tables>(place: Place, tables: &T) {
    if let Some(line) = tables.known(place.line) {
        line.load(0);
    }
}

#[inline(always)]
const fn unit(now_ns: u64) -> u32 {
    (now_ns >> UNIT_SHIFT) as u32 & TIME
}

/// Units since the source of `slot` was seen.
#[inline(always)]
const fn age(slot: u32, now: u32) -> u32 {
    now.wrapping_sub(slot) & TIME
}

/// What a service remembers about a source.
pub(crate) struct Seen<K> {
    line: K,
    fingerprint: u32,
    slot: u32,
    /// Whether the slot is the source's.
    has_slot: bool,
    /// And it did not stay away too long.
    is_alive: bool,
}

/// What is remembered at `place`.
#[inline(always)]
pub(crate) fn look<V: View, T: Tables>(
    view: &V,
    place: Place,
    now_ns: u64,
    tables: &T,
) -> Option<Seen<impl Slots<u32>>> {
    let line = tables.known(place.line)?;
    let found = find(view, &line, place.fingerprint);
    let has_slot = found < SLOTS;
    // Unknown to the compiler, or it leaves out the bounds that the verifier needs.
    let slot = view.opaque(found);
    let is_alive = has_slot && age(line.load(slot), unit(now_ns)) <= LIFETIME;
    Some(Seen {
        line,
        fingerprint: place.fingerprint,
        slot,
        has_slot,
        is_alive,
    })
}

impl<K: Slots<u32>> Seen<K> {
    /// Whether the source came at least twice.
    #[inline(always)]
    pub(crate) fn is_known(&self) -> bool {
        self.is_alive && self.line.load(self.slot) & AGAIN != 0
    }

    /// Remembers the source.
    #[inline(always)]
    pub(crate) fn learn<V: View, T: Tables>(&self, view: &V, now_ns: u64, tables: &T) {
        let now = unit(now_ns);
        if self.is_alive {
            if age(self.line.load(self.slot), now) > 0 {
                self.line.store(self.slot, self.fingerprint | AGAIN | now);
            }
            return;
        }
        let Some(newcomers) = tables.cell(NEWCOMERS_AT) else {
            return;
        };
        if !limit::admit(&NEWCOMERS, &newcomers, 1, now_ns) {
            return;
        }
        // Who was forgotten begins anew in its own slot: it never has two.
        let free = if self.has_slot {
            self.slot
        } else {
            weakest(view, &self.line, now)
        };
        if free < SLOTS {
            self.line.store(view.opaque(free), self.fingerprint | now);
        }
    }
}

/// The slot with `fingerprint`, alive or not; [`SLOTS`] if there is none. Without branches, which would be guessed wrong.
#[inline(always)]
fn find<V: View, K: Slots<u32>>(view: &V, line: &K, fingerprint: u32) -> u32 {
    let mut found = SLOTS;
    for index in 0..SLOTS {
        // All ones where it is the one, else zero.
        let other = u64::from((line.load(index) ^ fingerprint) & FINGERPRINT);
        let is_it = 0_u32.wrapping_sub((other.wrapping_sub(1) >> 63) as u32);
        found = found & !is_it | index & is_it;
    }
    view.opaque(found)
}

/// The slot that a newcomer may take: one that is free or has ended, else the oldest of those that did not come again;
/// [`SLOTS`] if there is none.
#[inline(always)]
fn weakest<V: View, K: Slots<u32>>(view: &V, line: &K, now: u32) -> u32 {
    // The age above the index, so that one comparison finds both.
    let mut weakest = 0;
    for index in 0..SLOTS {
        let slot = line.load(index);
        let age = if slot == 0 { TIME } else { age(slot, now) };
        if slot & AGAIN == 0 || age > LIFETIME {
            weakest = weakest.max((age + 1) << 3 | index);
        }
        weakest = view.opaque(weakest);
    }
    if weakest == 0 {
        SLOTS
    } else {
        weakest & (SLOTS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{memory::Memory, view::SliceView};

    const SECOND: u64 = 1_000_000_000;
    const HOUR: u64 = 3_600 * SECOND;
    const VIEW: SliceView<'_> = SliceView(&[]);

    fn sight(memory: &Memory, key: u64, port: u16, now_ns: u64) {
        let seen = look(&VIEW, place(key, port, 7), now_ns, memory).expect("a line");
        seen.learn(&VIEW, now_ns, memory);
    }

    fn knows(memory: &Memory, key: u64, port: u16, now_ns: u64) -> bool {
        look(&VIEW, place(key, port, 7), now_ns, memory).is_some_and(|seen| seen.is_known())
    }

    fn memory() -> Memory {
        Memory::new(Memory::enforcing())
    }

    #[test]
    fn who_comes_again_is_known_for_hours_and_to_that_service_only() {
        let memory = memory();
        sight(&memory, 1, 53, HOUR);
        sight(&memory, 1, 53, HOUR + SECOND / 1_000);
        assert!(!knows(&memory, 1, 53, HOUR), "at once is not again");
        sight(&memory, 1, 53, HOUR + 9 * SECOND);
        assert!(knows(&memory, 1, 53, HOUR + 9 * SECOND));
        assert!(knows(&memory, 1, 53, 10 * HOUR));
        assert!(!knows(&memory, 1, 54, HOUR + 9 * SECOND));
        assert!(!knows(&memory, 2, 53, HOUR + 9 * SECOND));
        assert!(!knows(&memory, 1, 53, 11 * HOUR), "it stayed away too long");
    }

    #[test]
    fn who_was_forgotten_begins_anew_in_its_own_slot() {
        let memory = memory();
        for (now_ns, known) in [
            (HOUR, false),
            (HOUR + 9 * SECOND, true),
            (11 * HOUR, false),
            (11 * HOUR + 9 * SECOND, true),
        ] {
            sight(&memory, 1, 53, now_ns);
            assert_eq!(knows(&memory, 1, 53, now_ns), known, "{now_ns}");
        }
        let slots = memory.known.iter().flatten();
        let taken = slots.filter(|slot| slot.load(core::sync::atomic::Ordering::Relaxed) != 0);
        assert_eq!(taken.count(), 1);
    }

    /// The kernel rung does it with ten million.
    #[test]
    fn no_number_of_strangers_pushes_a_known_source_out() {
        let memory = memory();
        let good: std::vec::Vec<u64> = (0..1_000).collect();
        let mut now_ns = HOUR;
        for _ in 0..2 {
            now_ns += 9 * SECOND;
            good.iter().for_each(|key| sight(&memory, *key, 53, now_ns));
        }
        for stranger in 0..2_000_000 {
            now_ns += SECOND / 10_000;
            sight(&memory, 1_000_000 + stranger, 53, now_ns);
        }
        let kept = good
            .iter()
            .filter(|key| knows(&memory, **key, 53, now_ns))
            .count();
        assert_eq!(kept, good.len());
    }

    #[test]
    fn newcomers_are_taken_up_at_a_limited_rate() {
        let memory = memory();
        for stranger in 0..100_000 {
            sight(&memory, stranger, 53, HOUR);
        }
        let slots = memory.known.iter().flatten();
        let taken = slots
            .filter(|slot| slot.load(core::sync::atomic::Ordering::Relaxed) != 0)
            .count();
        assert_eq!(taken, 1_000);
    }

    /// A stranger is taken for somebody known by chance only.
    #[test]
    fn strangers_are_seldom_mistaken() {
        let memory = memory();
        let mut now_ns = HOUR;
        for round in 0..2 {
            for key in 0..200_000 {
                // No faster than newcomers are taken up.
                now_ns = HOUR + round * 300 * SECOND + key * SECOND / 1_000;
                sight(&memory, key, 53, now_ns);
            }
        }
        let mistaken = (1_000_000..2_000_000)
            .filter(|key| knows(&memory, *key, 53, now_ns))
            .count();
        assert!(mistaken < 500, "{mistaken} of a million");
        let known = (0..200_000)
            .filter(|key| knows(&memory, *key, 53, now_ns))
            .count();
        assert!(known > 195_000, "{known} of 200000");
    }
}
