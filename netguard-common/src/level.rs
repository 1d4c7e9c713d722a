//! Levels above the source: limits of many sources together, by their prefix and by the service that they ask. What they
//! are for is a flood of many sources, each within its own limit.
//!
//! A service serves in the order of what is known about its clients, by one bucket with two lines in it. Strangers fill it
//! up to a quarter, who is known ([`crate::known`]) up to three quarters, and who has proven its address
//! ([`Tables::proven`]) to the brim. So strangers get what the others leave, and no number of them takes a packet
//! from a known source while the known ones together stay within the rate of the service.

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict,
    hint::mix,
    known,
    layout::{Rate, Settings},
    limit::{self, CELLS, Class, is_link_local, source_key},
    packet::{Address, Family},
    service,
    tables::{LimitCell, Tables},
    view::View,
};

/// The first of the cells of prefixes; there are as many as of a class.
pub const PREFIXES_AT: u32 = Class::ALL.len() as u32 * CELLS;

/// What a source may fill a bucket to, in quarters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Standing {
    Stranger = 1,
    Known = 3,
    Proven = 4,
}

/// How long after a refusal a service learns no source: a flood must not make itself known.
const UNREST_NS: u64 = 10_000_000_000;
/// How late the end of the unrest may be moved on: not for every packet of a flood, all CPUs write that word.
const UNREST_STEP_NS: u64 = 1_000_000_000;

/// Breaks when the prefix of `packet`, or the service that it asks, has too much of `class`. `class` is not control messages.
#[inline(always)]
pub fn check<V: View, T: Tables>(
    view: &V,
    class: Class,
    packet: &Packet,
    settings: &Settings,
    now_ns: u64,
    tables: &T,
) -> ControlFlow<Verdict> {
    prefix(view, class, packet, settings, now_ns, tables)?;
    match class {
        Class::Udp => udp_service(view, packet, settings, now_ns, tables),
        _ => ControlFlow::Continue(()),
    }
}

/// Neighbours on the link all have one prefix, so they have no limit together.
#[inline(always)]
fn prefix<V: View, T: Tables>(
    view: &V,
    class: Class,
    packet: &Packet,
    settings: &Settings,
    now_ns: u64,
    tables: &T,
) -> ControlFlow<Verdict> {
    let Some(rate) = class.rate(view, &settings.levels.prefix) else {
        return ControlFlow::Continue(());
    };
    if matches!(packet.family(), Family::V6) && is_link_local(packet.source) {
        return ControlFlow::Continue(());
    }
    let [first, second] = prefix_cells(
        class,
        prefix_key(packet.family(), packet.source),
        settings.seed,
    );
    let (Some(first), Some(second)) = (tables.cell(first), tables.cell(second)) else {
        return ControlFlow::Continue(());
    };
    if limit::admit(&rate, &first, &second, now_ns) || is_proven(packet, now_ns, tables) {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(Verdict::LimitPrefix)
    }
}

#[inline(always)]
fn udp_service<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    settings: &Settings,
    now_ns: u64,
    tables: &T,
) -> ControlFlow<Verdict> {
    let port = packet.destination_port;
    let rate = service::udp_rate(port, settings, tables);
    if rate.interval_ns == 0 {
        return ControlFlow::Continue(());
    }
    let [bucket, unrest] = service::udp_cells(port);
    let (Some(bucket), Some(unrest)) = (tables.cell(bucket), tables.cell(unrest)) else {
        return ControlFlow::Continue(());
    };
    let admitted = fill(&rate, &bucket, Standing::Stranger, now_ns);
    let calm = unrest.load() <= now_ns;
    if admitted && !calm {
        return ControlFlow::Continue(());
    }
    let key = source_key(packet.family(), packet.source);
    let Some(seen) = known::look(view, key, port, settings.seed, now_ns, tables) else {
        return ControlFlow::Continue(());
    };
    if admitted {
        seen.learn(view, now_ns, tables);
        return ControlFlow::Continue(());
    }
    if unrest.load() < now_ns.wrapping_add(UNREST_NS - UNREST_STEP_NS) {
        unrest.store(now_ns.wrapping_add(UNREST_NS));
    }
    if seen.is_known() && fill(&rate, &bucket, Standing::Known, now_ns)
        || is_proven(packet, now_ns, tables) && fill(&rate, &bucket, Standing::Proven, now_ns)
    {
        return ControlFlow::Continue(());
    }
    ControlFlow::Break(Verdict::LimitService)
}

/// Whether the source of `packet` had an established TCP connection lately.
#[inline(always)]
fn is_proven<T: Tables>(packet: &Packet, now_ns: u64, tables: &T) -> bool {
    let key = source_key(packet.family(), packet.source);
    tables.proven(key).is_some_and(|until_ns| now_ns < until_ns)
}

/// GCRA with lines in the bucket: whether `standing` may put one packet in. The cell holds the theoretical arrival time of the
/// next packet, in ns.
#[inline(always)]
pub fn fill<C: LimitCell>(rate: &Rate, bucket: &C, standing: Standing, now_ns: u64) -> bool {
    let brim = now_ns.wrapping_add(rate.tolerance_ns);
    // Filled under a more generous limit: then it is full.
    let found = bucket.load();
    let next = found.max(now_ns).min(brim).wrapping_add(rate.interval_ns);
    // One packet always has room in an empty bucket.
    let line = (rate.tolerance_ns / 4 * standing as u64).max(rate.interval_ns);
    if next > now_ns.wrapping_add(line) {
        if found > brim {
            bucket.store(brim);
        }
        return false;
    }
    bucket.store(next);
    true
}

/// What a prefix is accounted by: the first 24 bits of an IPv4 address, the first 48 of an IPv6 one.
#[inline(always)]
pub const fn prefix_key(family: Family, source: Address) -> u64 {
    const V4: u64 = u64::from_ne_bytes([0xff; 8]) ^ u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, 0xff]);
    const V6: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    let key = source_key(family, source);
    match family {
        Family::V4 => key & V4,
        Family::V6 => key & V6,
    }
}

/// Indices of the two cells of `key` in the map `LIMIT_CELLS`. The classes share them, spread differently.
#[inline(always)]
pub fn prefix_cells(class: Class, key: u64, seed: u64) -> [u32; 2] {
    let hash = mix(key, seed.rotate_left(8 * (class as u32 + 1)));
    let mask = CELLS - 1;
    [
        PREFIXES_AT + (hash as u32 & mask),
        PREFIXES_AT + ((hash >> 32) as u32 & mask),
    ]
}
