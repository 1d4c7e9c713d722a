//! Who has used much of its bucket lately. Few packets of a busy CPU are charged, for all of them ([`crate::pace`]), and only those
//! have to look into their bucket: it is one of thousands of lines, which under a flood from many sources has to come from memory
//! each time. The others pass it by, unless much of the bucket was used within the last second or two: then each packet looks, so
//! that none passes a full one.

use crate::{
    Packet,
    bucket::{self, Place},
    layout::{Rate, Settings},
    pace,
    tables::Tables,
    view::View,
};

/// Entries; a power of two.
const ENTRIES: u32 = 512;
/// An entry is a time in units of some 1.07 s, cut to a byte: one of minutes ago may pass for one of just now, and then a bucket
/// is looked into without need.
const UNIT_BITS: u32 = 30;
/// Units that are lately: this one and the one before.
const LATELY: u8 = 2;

crate::shared! {
    /// When much of a bucket was found used, by where it lies.
    pub struct Heavy {
        units: [u8; 512],
    }
}

/// Whether `packet` has to look into the bucket at `place`, whose rate is `rate`. Where that is for chance to say, it is counted.
#[inline(always)]
pub(crate) fn looks<T: Tables>(
    place: Place,
    rate: &Rate,
    packet: &mut Packet,
    settings: &Settings,
    now_ns: u64,
    tables: &T,
) -> bool {
    if is_heavy(place, now_ns, tables) {
        return true;
    }
    pace::count(packet, settings, tables);
    pace::packets_beside(packet.chance, rate, rate.tolerance_ns, false) != 0
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
        remember(place, now_ns, tables);
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
        remember(place, now_ns, tables);
    }
    true
}

/// Whether much of the bucket at `place` was used lately.
#[inline(always)]
fn is_heavy<T: Tables>(place: Place, now_ns: u64, tables: &T) -> bool {
    tables
        .pace()
        .is_none_or(|pace| unit(now_ns).wrapping_sub(pace.heavy.units[entry(place)]) < LATELY)
}

/// Remembers that much of the bucket at `place` is used.
#[inline(always)]
fn remember<T: Tables>(place: Place, now_ns: u64, tables: &T) {
    if let Some(mut pace) = tables.pace() {
        pace.heavy.units[entry(place)] = unit(now_ns);
    }
}

#[inline(always)]
const fn entry(place: Place) -> usize {
    (place.line % ENTRIES) as usize
}

#[inline(always)]
const fn unit(now_ns: u64) -> u8 {
    (now_ns >> UNIT_BITS) as u8
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
            let looks = looks(PLACE, &RATE, &mut packet, settings, now_ns, memory);
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

    #[test]
    fn who_was_quiet_for_some_seconds_is_no_longer_heavy() {
        let memory = busy();
        sent(&memory, 60_000);
        memory.now_ns.set(103 * SECOND);
        memory.pace.borrow_mut().begun_ns = 103 * SECOND;
        memory.pace.borrow_mut().packets = BUSY;
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
