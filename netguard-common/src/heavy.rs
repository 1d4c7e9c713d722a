//! Who has used much of its bucket. Few packets of a busy CPU are charged, for all of them ([`crate::pace`]), and only those have to
//! look into their bucket: it is one of thousands of lines, which under a flood from many sources has to come from memory each time.
//! The others pass it by, unless much of the bucket was found used, by whichever CPU, and cannot have drained yet: then each packet
//! looks, so that none passes a full one.

use crate::{
    Packet,
    bucket::{self, Place},
    layout::{Rate, Settings},
    pace, reflection,
    tables::{LimitCell, Tables},
    view::View,
};

/// Lines of buckets that share a cell of the map `LIMIT_CELLS`. No class shares one with another.
const LINES_OF_A_CELL: u32 = 32;
pub(crate) const CELLS: u32 = bucket::LINES / LINES_OF_A_CELL;
/// The first of them.
pub(crate) const CELLS_AT: u32 = reflection::FRAGMENTS_AT + 1;
/// A cell is written when it would say so much more: all CPUs read it.
const STEP_NS: u64 = 1 << 28;

/// Whether by chance `packet`, which is counted, has to look into the bucket at `place`, whose rate is `rate`.
#[inline(always)]
pub(crate) fn looks<T: Tables>(place: Place, rate: &Rate, packet: &Packet, now_ns: u64, tables: &T) -> bool {
    pace::packets_beside(packet.chance, rate, rate.tolerance_ns, false) != 0
        || is_heavy(place, now_ns, tables)
}

/// Whether the bucket at `place`, whose rate is `rate`, has room for `packet`, which then is charged.
#[inline(always)]
pub(crate) fn admit<V: View, T: Tables>(
    view: &V,
    place: Place,
    rate: &Rate,
    packet: &mut Packet,
    settings: &Settings,
    now_ns: u64,
    tables: &T,
) -> bool {
    let Some(line) = tables.buckets(place.line) else {
        return true;
    };
    let Some(room) = bucket::room(view, rate, &line, place, now_ns) else {
        remember(place, pace::most_ahead_ns(rate), now_ns, tables);
        return false;
    };
    // Unless it is counted already, only now: a flood from few sources makes no CPU busy.
    pace::count(packet, settings, tables);
    let heavy = is_heavy(place, now_ns, tables);
    room.charge(
        rate,
        pace::packets_beside(packet.chance, rate, rate.tolerance_ns, heavy),
    );
    if pace::is_much(room.used_ns, rate.tolerance_ns) {
        remember(place, room.used_ns, now_ns, tables);
    }
    true
}

/// Whether much of the bucket at `place` may be used.
#[inline(always)]
pub(crate) fn is_heavy<T: Tables>(place: Place, now_ns: u64, tables: &T) -> bool {
    tables.cell(cell(place)).is_none_or(|until| now_ns < until.load())
}

/// Remembers that `used_ns` of the bucket at `place` are used, until it must have drained.
#[inline(always)]
fn remember<T: Tables>(place: Place, used_ns: u64, now_ns: u64, tables: &T) {
    let until_ns = now_ns.wrapping_add(used_ns).wrapping_add(STEP_NS);
    if let Some(cell) = tables.cell(cell(place))
        && cell.load().wrapping_add(STEP_NS) < until_ns
    {
        cell.store(until_ns);
    }
}

#[inline(always)]
const fn cell(place: Place) -> u32 {
    CELLS_AT + place.line / LINES_OF_A_CELL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        memory::Memory,
        pace::{BUSY, Pace},
        packet::{Address, Family, Transport, protocol, tests::packet},
        shared::Field as _,
        view::SliceView,
    };

    const SECOND: u64 = 1_000_000_000;
    const PLACE: Place = Place {
        line: 7,
        fingerprint: 1,
    };
    /// Packets of a busy CPU are charged 64 for one, at first 512.
    const RATE: Rate = Rate::new(1_000, 20_000);

    fn busy() -> Memory {
        let memory = Memory::new(Memory::enforcing());
        memory.now_ns.set(100 * SECOND);
        *memory.pace.borrow_mut() = Pace {
            begun_ns: 100 * SECOND,
            packets: BUSY,
            before: BUSY + 1,
            ..Pace::ZERO
        };
        memory
    }

    fn datagram() -> Packet {
        let transport = Transport::Udp {
            source_port: 1,
            destination_port: 53,
        };
        packet(Family::V4, Address::v4([192, 0, 2, 1]), protocol::UDP, transport)
    }

    /// How many of `packets` look into the bucket, and how many pass.
    fn sent(memory: &Memory, packets: usize) -> (usize, usize) {
        let (mut looked, mut passed) = (0, 0);
        for _ in 0..packets {
            let (mut packet, now_ns) = (datagram(), memory.now_ns.get());
            let settings = &memory.settings;
            if !is_heavy(PLACE, now_ns, memory) {
                pace::count(&mut packet, settings, memory);
            }
            let looks = looks(PLACE, &RATE, &packet, now_ns, memory);
            looked += usize::from(looks);
            let passes = !looks
                || admit(
                    &SliceView(&[]),
                    PLACE,
                    &RATE,
                    &mut packet,
                    settings,
                    now_ns,
                    memory,
                );
            passed += usize::from(passes);
        }
        (looked, passed)
    }

    #[test]
    fn few_packets_look_into_a_bucket_of_which_little_is_used() {
        let memory = busy();
        let (looked, passed) = sent(&memory, 1_000);
        assert!(looked < 20, "{looked}");
        assert_eq!(passed, 1_000);
    }

    #[test]
    fn a_full_bucket_lets_nothing_pass() {
        let memory = busy();
        let (_, passed) = sent(&memory, 60_000);
        assert!((16_000..24_000).contains(&passed), "{passed}");
        assert_eq!(sent(&memory, 1_000), (1_000, 0));
    }

    /// The same after `seconds`, on another CPU, which is busy, too.
    fn later(memory: &Memory, seconds: u64) {
        let now_ns = memory.now_ns.get() + seconds * SECOND;
        memory.now_ns.set(now_ns);
        *memory.pace.borrow_mut() = Pace {
            begun_ns: now_ns,
            packets: BUSY,
            ..Pace::ZERO
        };
    }

    /// Found in review: each CPU forgot after two seconds, and let some hundred pass until it looked again.
    #[test]
    fn a_bucket_is_heavy_until_it_has_drained_and_on_each_cpu() {
        let memory = busy();
        sent(&memory, 60_000);
        later(&memory, 3);
        let (looked, passed) = sent(&memory, 10_000);
        assert_eq!(looked, 10_000);
        assert!((2_500..3_700).contains(&passed), "{passed}");
        later(&memory, 25);
        let (looked, _) = sent(&memory, 100);
        assert!(looked < 100, "{looked}");
    }

    #[test]
    fn each_packet_of_a_cpu_that_is_not_busy_looks() {
        let memory = Memory::new(Memory::enforcing());
        memory.now_ns.set(100 * SECOND);
        assert_eq!(sent(&memory, 1_000), (1_000, 1_000));
    }
}
