//! Where the limits of a packet look, and for how many packets it stands there.

use super::prefix_key;
use crate::{
    Packet, bucket, known,
    layout::{Rate, Settings},
    limit::{Class, source_key},
    tables::Tables,
    view::View,
};

/// A busy CPU puts so many packets at once into the bucket of a service, for one packet in as many: all CPUs write that word,
/// and its line of the cache would go to another one with each packet. A power of two.
const AT_ONCE: u64 = 16;
/// Only where so many have room that it is of no matter.
const ROOM: u64 = 64 * AT_ONCE;
/// A busy CPU remembers the source of one packet in so many.
const LEARNT: u64 = 8;

/// Where the levels of a packet look, and the limit of its source.
#[derive(Clone, Copy)]
pub struct Places {
    source: bucket::Place,
    pub(super) prefix: bucket::Place,
    pub(super) known: known::Place,
    /// What decides whether this is the one packet that stands for others; 0 if none does.
    chance: u64,
}

impl Places {
    /// Those of `packet`, which is of `class`.
    #[inline(always)]
    pub fn of(class: Class, packet: &Packet, settings: &Settings) -> Self {
        let (family, seed) = (packet.family(), settings.seed);
        Self {
            source: bucket::of_hash(class, packet.source_hash(seed), false),
            prefix: bucket::of_prefix(class, prefix_key(family, packet.source), seed),
            known: known::place(source_key(family, packet.source), packet.destination_port, seed),
            chance: packet.chance,
        }
    }

    /// Whether the source is remembered, should the service have time for it.
    #[inline(always)]
    pub(super) const fn is_learnt(&self) -> bool {
        self.chance.is_multiple_of(LEARNT)
    }

    /// For how many packets this one stands in the bucket of a service of `rate`: one, or [`AT_ONCE`] or none by chance.
    #[inline(always)]
    pub(super) const fn packets(&self, rate: &Rate) -> u64 {
        if self.chance == 0 || rate.tolerance_ns / ROOM < rate.interval_ns {
            1
        } else if (self.chance / LEARNT).is_multiple_of(AT_ONCE) {
            AT_ONCE
        } else {
            0
        }
    }

    /// Has the lines of source and prefix fetched into the cache. They lie anywhere in memory: one after the other each would be
    /// waited for.
    #[inline(always)]
    pub fn fetch<V: View, T: Tables>(&self, view: &V, class: Class, settings: &Settings, tables: &T) {
        let levels = &settings.levels;
        if class.rate(view, &settings.limits).is_some() {
            bucket::fetch(self.source, tables);
        }
        if class.rate(view, &levels.prefix).is_some() {
            bucket::fetch(self.prefix, tables);
        }
    }

    /// Has that of known sources fetched, if it will be asked: what decides that must have been counted.
    #[inline(always)]
    pub fn fetch_known<T: Tables>(&self, class: Class, settings: &Settings, tables: &T) {
        let levels = &settings.levels;
        if matches!(class, Class::Udp) && self.is_learnt() && levels.service_udp.interval_ns != 0 {
            known::fetch(self.known, tables);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        level::{Standing, fill},
        memory::Memory,
        packet::{Address, Family, Transport, protocol, tests::packet},
    };

    /// Places of packets on a CPU, by its chance.
    fn places() -> impl Fn(u64) -> Places {
        let memory = Memory::new(Memory::enforcing());
        let packet = packet(
            Family::V4,
            Address::v4([192, 0, 2, 1]),
            protocol::UDP,
            Transport::Other,
        );
        let places = Places::of(Class::Udp, &packet, &memory.settings);
        move |chance| Places { chance, ..places }
    }

    #[test]
    fn a_packet_stands_for_itself_where_few_have_room_or_little_goes_on() {
        let places = places();
        let (narrow, wide) = (Rate::new(1_000, 100), Rate::new(1_000_000, 100_000));
        assert_eq!([0, 128].map(|chance| places(chance).packets(&narrow)), [1, 1]);
        assert_eq!(places(0).packets(&wide), 1);
        assert!(places(0).is_learnt());
    }

    #[test]
    fn packets_of_a_busy_cpu_count_as_many_as_they_are() {
        let places = places();
        let rate = Rate::new(1_000_000, 100_000);
        let bucket = core::sync::atomic::AtomicU64::new(0);
        let (mut counted, mut learnt) = (0, 0);
        for chance in 1 << 16..1 << 17 {
            learnt += u64::from(places(chance).is_learnt());
            counted += places(chance).packets(&rate);
        }
        assert_eq!((counted, learnt), (1 << 16, 1 << 13));
        // A quarter of the burst is for strangers; none gets in beyond it but those who came with the last one that counted.
        let (mut admitted, mut chance) = (0, 1 << 16);
        while fill(
            &rate,
            &&bucket,
            Standing::Stranger,
            places(chance).packets(&rate),
            1_000_000_000,
        ) {
            (admitted, chance) = (admitted + 1, chance + 1);
        }
        assert!((24_900..25_200).contains(&admitted), "{admitted}");
    }
}
