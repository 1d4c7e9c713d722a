//! Buckets of those who ask, as GCRA in a table of a fixed size: nothing grows, and what gives way is counted. It knows neither whose they are
//! nor the time.
//!
//! A key has one line of eight slots. A slot is free as soon as its bucket is full again, so only who asked just now needs one. When all eight
//! are busy the least busy one gives way to a newcomer, who begins anew: who has used up what it may is the last to be forgotten, and
//! a flood of made-up keys, each of which is used once, pushes out others of its kind.

/// Slots of a line, of 64 + 64 bytes.
const SLOTS: usize = 8;

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Time that one stands for.
    pub interval_ns: u64,
    /// That many may come at once.
    pub burst: u32,
}

/// A table of buckets.
pub(super) struct Table {
    lines: Box<[Line]>,
    displaced: u64,
}

#[repr(align(64))]
#[derive(Clone, Copy, Default)]
struct Line {
    /// 0: nobody's.
    keys: [u64; SLOTS],
    /// The theoretical arrival time of the next one of each.
    arrivals_ns: [u64; SLOTS],
}

/// Room for one in a bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    line: usize,
    key: u64,
    arrival_ns: u64,
    /// More that may come at once after it.
    pub left: u32,
    /// Until the bucket is full again after it.
    pub full_in_ns: u64,
}

impl Pace {
    /// The time that a whole bucket stands for.
    pub const fn whole_ns(&self) -> u64 {
        self.interval_ns.saturating_mul(self.burst as u64)
    }
}

impl Table {
    /// A table for about `keys` buckets at a time.
    pub(super) fn new(keys: u32) -> Self {
        let lines = (keys as usize).div_ceil(SLOTS).next_power_of_two();
        Self {
            lines: vec![Line::default(); lines].into_boxed_slice(),
            displaced: 0,
        }
    }

    /// Buckets that there are.
    pub(super) fn keys(&self) -> u32 {
        u32::try_from(self.lines.len() * SLOTS).unwrap_or(u32::MAX)
    }

    /// Buckets that gave way although they were in use.
    pub(super) const fn displaced(&self) -> u64 {
        self.displaced
    }

    /// Buckets that are in use at `now_ns`.
    pub(super) fn used(&self, now_ns: u64) -> usize {
        let arrivals = self.lines.iter().flat_map(|line| &line.arrivals_ns);
        arrivals.filter(|arrival_ns| **arrival_ns > now_ns).count()
    }

    /// Room for one that counts as `cost` in the bucket of `key`; else how long from now there is some. Nothing is charged.
    ///
    /// # Errors
    /// The time until there is room, in ns.
    pub(super) fn room(&self, key: u64, pace: &Pace, cost: u32, now_ns: u64) -> Result<Room, u64> {
        let key = key.max(1);
        let line = self.line(key);
        let slots = &self.lines[line];
        // A newcomer begins with a full bucket.
        let arrival_ns = slots.of(key).map_or(0, |slot| slots.arrivals_ns[slot]);
        let cost_ns = pace
            .interval_ns
            .saturating_mul(u64::from(cost.clamp(1, pace.burst.max(1))));
        let after_ns = arrival_ns.max(now_ns).saturating_add(cost_ns);
        let latest_ns = now_ns.saturating_add(pace.whole_ns());
        if after_ns > latest_ns {
            return Err(after_ns - latest_ns);
        }
        let left = (latest_ns - after_ns) / pace.interval_ns.max(1);
        Ok(Room {
            line,
            key,
            arrival_ns: after_ns,
            left: u32::try_from(left).unwrap_or(u32::MAX),
            full_in_ns: after_ns - now_ns,
        })
    }

    /// Takes `room`.
    pub(super) fn charge(&mut self, room: &Room, now_ns: u64) {
        let slots = &mut self.lines[room.line];
        // Looked for only now: another room of the same request may be new in the same line.
        let slot = slots.of(room.key).unwrap_or_else(|| slots.least_busy());
        let is_others = slots.keys[slot] != room.key && slots.keys[slot] != 0;
        self.displaced += u64::from(is_others && slots.arrivals_ns[slot] > now_ns);
        slots.keys[slot] = room.key;
        slots.arrivals_ns[slot] = room.arrival_ns;
    }

    /// How much of the bucket of `key` is used, in whole intervals.
    pub(super) fn used_of(&self, key: u64, pace: &Pace, now_ns: u64) -> u64 {
        let key = key.max(1);
        let slots = &self.lines[self.line(key)];
        let arrival_ns = slots.of(key).map_or(0, |slot| slots.arrivals_ns[slot]);
        arrival_ns
            .saturating_sub(now_ns)
            .div_ceil(pace.interval_ns.max(1))
    }

    fn line(&self, key: u64) -> usize {
        // The number of lines is a power of two.
        (key as usize) & (self.lines.len() - 1)
    }
}

impl Line {
    fn of(&self, key: u64) -> Option<usize> {
        self.keys.iter().position(|known| *known == key)
    }

    fn least_busy(&self) -> usize {
        let slots = self.arrivals_ns.iter().enumerate();
        slots
            .min_by_key(|(_, arrival_ns)| **arrival_ns)
            .map_or(0, |(slot, _)| slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    /// Two a second, five at once.
    const PACE: Pace = Pace {
        interval_ns: SECOND / 2,
        burst: 5,
    };

    fn take(table: &mut Table, key: u64, cost: u32, now_ns: u64) -> Result<u32, u64> {
        let room = table.room(key, &PACE, cost, now_ns)?;
        table.charge(&room, now_ns);
        Ok(room.left)
    }

    /// Found by a test that failed now and then: of two limits that a client met for the first time, one forgot it.
    #[test]
    fn what_is_new_in_the_same_line_at_once_has_slots_of_its_own() {
        let mut table = Table::new(8);
        let rooms = [1, 2].map(|key| table.room(key, &PACE, 1, SECOND).expect("room"));
        rooms.iter().for_each(|room| table.charge(room, SECOND));
        assert_eq!([1, 2].map(|key| table.used_of(key, &PACE, SECOND)), [1, 1]);
        assert_eq!((table.used(SECOND), table.displaced()), (2, 0));
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut table = Table::new(64);
        let left: Vec<_> = (0..5).map(|_| take(&mut table, 7, 1, SECOND)).collect();
        assert_eq!(left, [Ok(4), Ok(3), Ok(2), Ok(1), Ok(0)]);
        assert_eq!(take(&mut table, 7, 1, SECOND), Err(SECOND / 2));
        assert_eq!(take(&mut table, 8, 1, SECOND), Ok(4), "another key");
        assert_eq!(take(&mut table, 7, 1, SECOND + SECOND / 2), Ok(0));
        assert_eq!(take(&mut table, 7, 1, SECOND + SECOND / 2), Err(SECOND / 2));
        assert_eq!(take(&mut table, 7, 1, 9 * SECOND), Ok(4));
        assert_eq!(table.used_of(7, &PACE, 9 * SECOND), 1);
    }

    #[test]
    fn who_costs_more_gets_less_and_never_nothing() {
        let mut table = Table::new(64);
        assert_eq!(take(&mut table, 7, 4, SECOND), Ok(1));
        assert_eq!(take(&mut table, 7, 4, SECOND), Err(3 * SECOND / 2));
        assert_eq!(
            take(&mut table, 9, 1_000, SECOND),
            Ok(0),
            "more than the bucket holds"
        );
    }

    #[test]
    fn who_used_up_its_bucket_is_forgotten_last() {
        let mut table = Table::new(8);
        while take(&mut table, 1, 1, SECOND).is_ok() {}
        for key in 2..100_000 {
            assert_eq!(take(&mut table, key, 1, SECOND), Ok(4));
        }
        assert!(take(&mut table, 1, 1, SECOND).is_err());
        assert_eq!(table.displaced(), 99_998 - 7);
        assert_eq!(table.used(SECOND), 8);
        assert_eq!(table.used(9 * SECOND), 0);
    }

    #[test]
    fn strange_paces_are_survived() {
        let table = Table::new(1);
        for pace in [
            Pace {
                interval_ns: 0,
                burst: 0,
            },
            Pace {
                interval_ns: u64::MAX,
                burst: u32::MAX,
            },
        ] {
            let _room = table.room(0, &pace, 0, u64::MAX);
            table.used_of(0, &pace, 0);
        }
    }
}
