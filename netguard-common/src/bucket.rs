//! Token buckets of sources and prefixes, as GCRA in a fixed array: nothing is ever inserted or evicted by a call to the kernel,
//! and each bucket costs one line of the cache.
//!
//! A source has one line of eight slots. A slot is a fingerprint and the theoretical arrival time of the source's next packet; once
//! that time has come the bucket is full again, and the slot as good as free. So only who sent just now needs a slot: a
//! flood of forged sources, each of which sends little, leaves nothing behind.
//!
//! When more than eight sources of a line are busy, a newcomer takes over the slot of the least busy one, with all that this one has
//! used; and who lost its slot takes over another, which is at least as used. So no source ever gets more than `burst + rate * t`,
//! but for chance on a busy CPU, which charges one packet for several ([`crate::pace`]).
//! Lines are read and written without a lock: two CPUs that judge packets of one line in the same nanoseconds may admit one too
//! many.

pub use crate::tables::SLOTS;
use crate::{
    hint::mix,
    layout::{Rate, UNIT_NS},
    limit::{Class, source_hash},
    pace::most_ahead_ns,
    tables::{Slots, Tables},
    view::{SliceView, View},
};

/// Lines of the sources of a class; a power of two.
const SOURCE_LINES: u32 = 8_192;
/// Lines of the prefixes of a class; a power of two.
const PREFIX_LINES: u32 = 4_096;
const CLASSES: u32 = Class::ALL.len() as u32;
/// Entries of the map `BUCKETS`: the lines of sources by class, then those of prefixes.
pub const LINES: u32 = CLASSES * (SOURCE_LINES + PREFIX_LINES);

/// Bits of a fingerprint, below the time in a slot.
const FINGERPRINT_BITS: u32 = 8;
const FINGERPRINT: u64 = (1 << FINGERPRINT_BITS) - 1;
/// The time is a multiple of [`UNIT_NS`], so that nine years have room.
const UNIT_BITS: u32 = UNIT_NS.ilog2();

crate::shared! {
    /// One entry of the map `BUCKETS`.
    pub struct BucketLine {
        pub slots: [u64; 8],
    }
}

/// Where the bucket of somebody lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its line in the map `BUCKETS`.
    pub line: u32,
    /// Tells it from others in the line; less than 256.
    pub fingerprint: u64,
}

/// The place of the source with `key`, see [`crate::limit::source_key`]. Control messages have two: `apart` says which.
#[inline(always)]
pub fn of_source(class: Class, key: u64, apart: bool, seed: u64) -> Place {
    of_hash(class, source_hash(key, seed), apart)
}

/// The place of the source with `hash`, see [`source_hash`].
///
/// Anybody may send path-MTU messages in any name: whichever name they choose, those lie in a line that no neighbour discovery
/// lies in.
#[inline(always)]
pub(crate) fn of_hash(class: Class, hash: u64, apart: bool) -> Place {
    let mut place = place(class, hash, SOURCE_LINES);
    if matches!(class, Class::Control) {
        place.line = place.line & !1 | apart as u32;
    }
    place
}

/// The place of the prefix with `key`, see [`crate::level::prefix_key`].
#[inline(always)]
pub const fn of_prefix(class: Class, key: u64, seed: u64) -> Place {
    let mut place = place(class, mix(key, seed), PREFIX_LINES);
    place.line += CLASSES * SOURCE_LINES;
    place
}

#[inline(always)]
const fn place(class: Class, hash: u64, lines: u32) -> Place {
    Place {
        line: class as u32 * lines + (hash as u32 & (lines - 1)),
        fingerprint: hash >> (u64::BITS - FINGERPRINT_BITS),
    }
}

/// Has the line of `place` fetched into the cache, while others are.
#[inline(always)]
pub(crate) fn fetch<T: Tables>(place: Place, tables: &T) {
    if let Some(line) = tables.buckets(place.line) {
        line.load(0);
    }
}

/// Room for one packet in a bucket.
pub struct Room<'a, L> {
    line: &'a L,
    slot: u32,
    fingerprint: u64,
    /// The theoretical arrival time of the packet, in ns.
    start_ns: u64,
    /// How far ahead that is: what is used of the room, in ns.
    pub used_ns: u64,
}

/// Room for one packet at `rate` in the bucket at `place`, which lies in `line`; `None` where it is full.
#[inline(always)]
pub fn room<'a, V: View, L: Slots<u64>>(
    view: &V,
    rate: &Rate,
    line: &'a L,
    place: Place,
    now_ns: u64,
) -> Option<Room<'a, L>> {
    let found = find(view, line, place);
    let arrival_ns = found.arrival_ns();
    // In whole units, as rates are: so nothing is ever rounded.
    let now_ns = now_ns & !(UNIT_NS - 1);
    let most = now_ns.wrapping_add(most_ahead_ns(rate));
    let start_ns = arrival_ns.max(now_ns).min(most);
    if start_ns.wrapping_add(rate.interval_ns) > now_ns.wrapping_add(rate.tolerance_ns) {
        if arrival_ns > most {
            line.store(found.slot, slot(most, found.word));
        }
        return None;
    }
    Some(Room {
        line,
        slot: found.slot,
        fingerprint: place.fingerprint,
        start_ns,
        used_ns: start_ns.wrapping_sub(now_ns),
    })
}

impl<L: Slots<u64>> Room<'_, L> {
    /// Charges the bucket, whose rate is `rate`, for `packets`: without any nothing is written. See [`crate::pace`].
    #[inline(always)]
    pub fn charge(&self, rate: &Rate, packets: u64) {
        if packets != 0 {
            let next = self.start_ns.wrapping_add(packets * rate.interval_ns);
            self.line.store(self.slot, slot(next, self.fingerprint));
        }
    }
}

impl BucketLine {
    /// The theoretical arrival time of the next packet of whose bucket lies at `place`, in ns; it may be over.
    pub fn arrival_ns(&self, place: Place) -> u64 {
        find(&SliceView(&[]), &self, place).arrival_ns()
    }
}

/// A line that only is read.
impl Slots<u64> for &BucketLine {
    fn load(&self, index: u32) -> u64 {
        self.slots[(index % SLOTS) as usize]
    }
    fn store(&self, _: u32, _: u64) {}
}

/// A slot, and what lies in it.
struct Found {
    slot: u32,
    word: u64,
}

impl Found {
    #[inline(always)]
    const fn arrival_ns(&self) -> u64 {
        self.word >> FINGERPRINT_BITS << UNIT_BITS
    }
}

/// A slot that is used until `arrival_ns` by who has the fingerprint in `word`.
#[inline(always)]
const fn slot(arrival_ns: u64, word: u64) -> u64 {
    arrival_ns >> UNIT_BITS << FINGERPRINT_BITS | word & FINGERPRINT
}

/// The slot with the fingerprint of `place`, else the least busy one. Without branches, which would be guessed wrong.
#[inline(always)]
fn find<V: View, L: Slots<u64>>(view: &V, line: &L, place: Place) -> Found {
    let mut found = Found { slot: SLOTS, word: 0 };
    for index in 0..SLOTS {
        let word = line.load(index);
        // All ones where it is the one, else zero.
        let other = (word ^ place.fingerprint) & FINGERPRINT;
        let is_it = 0_u64.wrapping_sub(other.wrapping_sub(1) >> 63);
        found.word = found.word & !is_it | word & is_it;
        found.slot = found.slot & !(is_it as u32) | index & is_it as u32;
    }
    if found.slot < SLOTS {
        found
    } else {
        least_busy(view, line)
    }
}

#[inline(always)]
fn least_busy<V: View, L: Slots<u64>>(view: &V, line: &L) -> Found {
    let mut least = Found {
        slot: 0,
        word: line.load(0),
    };
    for index in 1..SLOTS {
        let word = line.load(index);
        if word < least.word {
            least = Found { slot: index, word };
        }
        least.slot = view.opaque(least.slot);
    }
    least
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;

    use super::*;

    const MS: u64 = 1_000_000;
    const NOW: u64 = 1_000 * MS;
    const VIEW: SliceView<'_> = SliceView(&[]);

    #[derive(Default)]
    struct Line(RefCell<[u64; 8]>);

    impl Slots<u64> for Line {
        fn load(&self, index: u32) -> u64 {
            self.0.borrow()[index as usize]
        }
        fn store(&self, index: u32, slot: u64) {
            self.0.borrow_mut()[index as usize] = slot;
        }
    }

    fn admit(rate: &Rate, line: &Line, fingerprint: u64, now_ns: u64) -> bool {
        let place = Place { line: 0, fingerprint };
        let room = room(&VIEW, rate, line, place, now_ns);
        room.inspect(|room| room.charge(rate, 1)).is_some()
    }

    fn granted(rate: &Rate, line: &Line, fingerprint: u64, now_ns: u64) -> usize {
        (0..100)
            .filter(|_| admit(rate, line, fingerprint, now_ns))
            .count()
    }

    #[test]
    fn grants_the_burst_then_the_rate() {
        let (rate, line) = (Rate::new(10, 5), Line::default());
        assert_eq!(granted(&rate, &line, 7, NOW), 5);
        assert_eq!(granted(&rate, &line, 7, NOW + 99 * MS), 0);
        assert_eq!(granted(&rate, &line, 7, NOW + 101 * MS), 1);
    }

    #[test]
    fn eight_sources_of_a_line_have_nothing_to_do_with_each_other() {
        let (rate, line) = (Rate::new(10, 5), Line::default());
        for fingerprint in 0..8 {
            assert_eq!(granted(&rate, &line, fingerprint, NOW), 5, "{fingerprint}");
        }
        assert_eq!(granted(&rate, &line, 8, NOW), 0, "all are busy");
        let later = NOW + 501 * MS;
        for fingerprint in 100..108 {
            assert_eq!(
                granted(&rate, &line, fingerprint, later),
                5,
                "all slots are free again"
            );
        }
    }

    #[test]
    fn who_lost_its_slot_does_not_begin_anew() {
        let (rate, line) = (Rate::new(10, 5), Line::default());
        for fingerprint in 0..8 {
            assert!(admit(&rate, &line, fingerprint, NOW));
        }
        // Each of a hundred newcomers takes somebody's place.
        let newcomers = (100..200)
            .filter(|other| admit(&rate, &line, *other, NOW))
            .count();
        assert_eq!(newcomers, 8 * 4);
        assert!((0..8).all(|fingerprint| !admit(&rate, &line, fingerprint, NOW)));
    }

    #[test]
    fn a_bucket_filled_under_a_larger_limit_comes_back() {
        let (rate, line) = (Rate::new(10, 5), Line(RefCell::new([u64::MAX; 8])));
        assert_eq!(granted(&rate, &line, FINGERPRINT, NOW), 0);
        assert_eq!(granted(&rate, &line, FINGERPRINT, NOW + 520 * MS), 5);
    }

    #[test]
    fn classes_and_prefixes_have_lines_of_their_own() {
        let mut seen = std::collections::BTreeMap::new();
        for class in Class::ALL {
            for key in 0..50_000 {
                for (place, owner) in [
                    (of_source(class, key, false, 7), (class as u32, 0)),
                    (
                        of_source(Class::Control, key, true, 7),
                        (Class::Control as u32, 1),
                    ),
                    (of_prefix(class, key, 7), (class as u32, 2)),
                ] {
                    assert!(place.line < LINES && place.fingerprint <= FINGERPRINT);
                    assert_eq!(*seen.entry(place.line).or_insert(owner), owner);
                }
            }
        }
    }
}
