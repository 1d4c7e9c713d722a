//! Where the limits of a packet look.

use super::prefix_key;
use crate::{
    Packet, bucket, known,
    layout::Settings,
    limit::{Class, source_key},
    pace,
    tables::Tables,
    view::View,
};

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
    pub fn fetch_known<T: Tables>(&self, class: Class, packet: &Packet, settings: &Settings, tables: &T) {
        let levels = &settings.levels;
        let is_learnt = pace::is_learnt(packet.chance);
        if matches!(class, Class::Udp) && is_learnt && levels.service_udp.interval_ns != 0 {
            known::fetch(self.known, tables);
        }
    }
}
