//! Where the limits of a packet look.

use super::prefix_key;
use crate::{
    Packet, bucket, heavy, known,
    layout::{Rate, Settings},
    limit::{Class, source_key},
    pace,
    tables::Tables,
    view::View,
};

/// Bits of [`Places::look`]: the bucket of the source, that of its prefix.
pub(crate) const SOURCE: u32 = 1;
pub(crate) const PREFIX: u32 = 1 << 1;

/// Where the levels of a packet look, and the limit of its source.
#[derive(Clone, Copy)]
pub struct Places {
    source: bucket::Place,
    pub(super) prefix: bucket::Place,
    pub(super) known: known::Place,
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
        }
    }

    /// Which buckets `packet` has to look into, as bits: `SOURCE`, `PREFIX`. Their lines are fetched into the cache: they lie anywhere in
    /// memory, and one after the other each would be waited for. Where chance has a say, `packet` is counted: not that of a source
    /// which may be over its limit, so that a flood from few sources makes no CPU busy. The limit of the source is divided by `divisor`.
    #[inline(always)]
    pub fn look<V: View, T: Tables>(
        &self,
        view: &V,
        class: Class,
        divisor: u32,
        packet: &mut Packet,
        settings: &Settings,
        tables: &T,
    ) -> u32 {
        let now_ns = tables.now_ns();
        let source = class
            .rate(view, &settings.limits)
            .map(|rate| rate.divided(divisor));
        let prefix = class.rate(view, &settings.levels.prefix);
        let mut looks = SOURCE | PREFIX;
        if source.is_none() || !heavy::is_heavy(self.source, now_ns, tables) {
            pace::count(packet, settings, tables);
            let looks_into = |place, rate: Option<Rate>| {
                rate.is_some_and(|rate| heavy::looks(place, &rate, packet, now_ns, tables))
            };
            looks = 0;
            if looks_into(self.source, source) {
                looks |= SOURCE;
            }
            if looks_into(self.prefix, prefix) {
                looks |= PREFIX;
            }
        }
        let looks = view.opaque(looks);
        if looks & SOURCE != 0 && source.is_some() {
            bucket::fetch(self.source, tables);
        }
        if looks & PREFIX != 0 && prefix.is_some() {
            bucket::fetch(self.prefix, tables);
        }
        looks
    }

    /// Has that of known sources fetched, if it will be asked: what decides that must have been counted.
    #[inline(always)]
    pub fn fetch_known<T: Tables>(&self, class: Class, packet: &Packet, settings: &Settings, tables: &T) {
        let levels = &settings.levels;
        let is_learnt = pace::is_learnt(packet.chance);
        if matches!(class, Class::Udp) && is_learnt && levels.service_udp.interval_ns != 0 {
            known::fetch(self.known, tables);
        }
    }
}
