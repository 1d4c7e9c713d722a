//! Where the limits of a packet look.

use super::prefix_key;
use crate::{
    Packet, bucket, heavy, known,
    layout::Settings,
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

    /// Which buckets `packet` has to look into: [`SOURCE`], [`PREFIX`]. Their lines are fetched into the cache: they lie anywhere in
    /// memory, and one after the other each would be waited for.
    #[inline(always)]
    pub fn look<V: View, T: Tables>(
        &self,
        view: &V,
        class: Class,
        packet: &mut Packet,
        settings: &Settings,
        tables: &T,
    ) -> u32 {
        let now_ns = tables.now_ns();
        let mut looks = 0;
        for (which, rates, place) in [
            (SOURCE, &settings.limits, self.source),
            (PREFIX, &settings.levels.prefix, self.prefix),
        ] {
            if let Some(rate) = class.rate(view, rates)
                && heavy::looks(place, &rate, packet, settings, now_ns, tables)
            {
                bucket::fetch(place, tables);
                looks |= which;
            }
            looks = view.opaque(looks);
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
