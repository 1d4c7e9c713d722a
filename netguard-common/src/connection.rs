//! Connection stage: a source, or its prefix, that holds as many TCP connections as it may, opens no more. Connections are counted where the
//! kernel opens and closes them, not by packets, so the numbers are exact and nobody's forged segment is in them.
//!
//! Who asks for one more is refused, and for a while afterwards, too: each time within [`FORGOTTEN_PENALTIES`] of the one before twice as long. A
//! word of many says for most sources that they hold few: under a flood of forged ones there is nothing to look up. So who lets go of all but
//! [`FEW`] connections waits no longer.

mod duration;
mod ledger;

use core::ops::ControlFlow;

use crate::{
    Packet, Verdict,
    apart::Part,
    hint::mix,
    layout::{Mode, Settings, contains},
    level::{has_prefix, prefix_key},
    limit::{source_hash, source_key},
    packet::{Address, Family},
    shared::Field as _,
    tables::Tables,
    view::View,
};

pub use duration::{mark, stood_ms};
pub use ledger::{Ledger, closed, opened};

crate::shared! {
    /// What the stage goes by; a part of the settings.
    pub struct ConnectionLimits {
        /// Mode of the stage: a [`Mode`] as number.
        pub mode: u32,
        /// Connections of a source (IPv4 address, IPv6 /64); 0: any number.
        pub per_source: u32,
        /// Connections of a prefix (IPv4 /24, IPv6 /48), likewise.
        pub per_prefix: u32,
        /// 1: the hints are not to be believed, since counts are corrected, see [`Tables::correction`], or a limit is below [`FEW`].
        pub unhinted: u32,
        /// How long who asked for too many is refused, the first time, and at the most.
        pub first_penalty_ns: u64,
        pub longest_penalty_ns: u64,
        /// Cookie of the network namespace whose connections are counted; 0: none are.
        pub namespace: u64,
        /// Sources for which nothing of this holds, by [`source_key`]; 0 for none.
        pub spared: [u64; 8],
        /// Own ports to which anybody may connect however many they hold: by these people log in; 0 for none.
        pub spared_ports: [u16; 4],
    }

    /// Key of the map `CONNECTIONS`: a source or a prefix.
    pub struct Holder {
        /// See [`source_key`] and [`prefix_key`].
        pub key: u64,
        /// A [`Level`] as number.
        pub level: u64,
    }

    /// Value of the map `CONNECTIONS`: what a holder has.
    pub struct Held {
        /// Connections that stand; those that stood before anybody counted are not among them.
        pub count: u64,
        /// When the last penalty ends.
        pub until_ns: u64,
        /// Penalties in a row.
        pub penalties: u32,
        /// Connections that it opened since the entry was made; begins anew after the largest number.
        pub opened: u32,
    }

    /// A connection above the limit that was under way when the limit was reached, told to user space through the ring buffer `EXCESS`, which
    /// ends it.
    pub struct Excess {
        pub own: Address,
        pub peer: Address,
        /// The kernel's number of the socket.
        pub cookie: u64,
        pub own_port: u16,
        pub peer_port: u16,
        pub reserved: u32,
    }
}

/// Who holds connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Level {
    Source = 0,
    Prefix = 1,
}

/// Cells of the map `CONNECTION_SUMS`, each a sum since it was made: connections that were opened, and those among them that were not counted,
/// since there was no room.
pub const OPENED: u32 = 0;
pub const UNCOUNTED: u32 = 1;

/// From how many connections on a holder shows in the hints.
pub const FEW: u32 = 8;
/// Words of hints, each how many holders that share it hold [`FEW`] or more: 32 KiB, which stay in a cache.
pub const HINTS: u32 = 4096;
/// Penalties count as in a row while the next begins within so many times the longest one.
pub const FORGOTTEN_PENALTIES: u64 = 8;

impl Holder {
    /// Those of `source`: itself, and its prefix if it has one.
    #[inline(always)]
    pub const fn of(family: Family, source: Address) -> (Self, Option<Self>) {
        let of_source = Self {
            key: source_key(family, source),
            level: Level::Source as u64,
        };
        let of_prefix = Self {
            key: prefix_key(family, source),
            level: Level::Prefix as u64,
        };
        (
            of_source,
            if has_prefix(family, source) {
                Some(of_prefix)
            } else {
                None
            },
        )
    }

    /// The number of its word among the hints. `seed` is the secret of the instance.
    #[inline(always)]
    pub const fn hint(&self, seed: u64) -> u32 {
        let hash = if self.level == Level::Source as u64 {
            source_hash(self.key, seed)
        } else {
            mix(self.key ^ u64::MAX, seed)
        };
        (hash >> 52) as u32
    }
}

impl ConnectionLimits {
    /// Whether the source with `key` is spared.
    #[inline(always)]
    pub fn spares(&self, key: u64) -> bool {
        contains(&self.spared, key)
    }

    /// Whether connections to `port` are spared.
    #[inline(always)]
    pub fn spares_port(&self, port: u16) -> bool {
        contains(&self.spared_ports, port)
    }

    /// What `holder` may hold; 0: any number.
    #[inline(always)]
    pub const fn most(&self, holder: &Holder) -> u32 {
        if holder.level == Level::Source as u64 {
            self.per_source
        } else {
            self.per_prefix
        }
    }
}

/// Breaks when `packet`, which opens a connection, is one too many of its source or prefix.
#[inline(always)]
pub fn check<V: View, T: Tables>(
    view: &V,
    packet: &Packet,
    settings: &Settings,
    tables: &T,
) -> ControlFlow<Verdict> {
    let limits = &settings.connections;
    let (source, prefix) = Holder::of(packet.family(), packet.source);
    let looks = |holder: Holder| {
        limits.most(&holder) != 0 && (limits.unhinted != 0 || tables.holders(holder.hint(settings.seed)) != 0)
    };
    let looks = looks(source) || prefix.is_some_and(looks);
    if view.opaque(u32::from(looks)) != 0 && tables.apart(Part::Connection, view, packet, settings) != 0 {
        ControlFlow::Break(Verdict::ConnectionLimit)
    } else {
        ControlFlow::Continue(())
    }
}

/// Whether `packet` is one too many; the part that few packets reach.
#[inline(always)]
pub(crate) fn is_over<T: Tables>(packet: &Packet, settings: &Settings, tables: &T) -> bool {
    let (source, prefix) = Holder::of(packet.family(), packet.source);
    // Connections of others that pass through this machine are not counted.
    let limits = &settings.connections;
    if limits.spares(source.key)
        || limits.spares_port(packet.destination_port)
        || !tables.is_own(packet.destination)
    {
        return false;
    }
    holds_too_many(&source, settings, tables)
        || prefix.is_some_and(|prefix| holds_too_many(&prefix, settings, tables))
}

#[inline(always)]
fn holds_too_many<T: Tables>(holder: &Holder, settings: &Settings, tables: &T) -> bool {
    let limits = &settings.connections;
    let most = limits.most(holder);
    if most == 0 {
        return false;
    }
    let held = tables.held(holder).unwrap_or(NOTHING);
    let count = corrected(held.count, tables.correction(holder));
    let now_ns = tables.now_ns();
    if now_ns < held.until_ns {
        return true;
    }
    if count < most {
        return false;
    }
    // What is only counted has no consequences.
    if limits.mode == Mode::Enforce as u32 {
        let (penalties, until_ns) = next_penalty(&held, limits, now_ns);
        tables.punish(holder, penalties, until_ns);
    }
    true
}

/// The penalties in a row of who is refused at `now_ns`, and when the new one ends.
#[inline(always)]
fn next_penalty(held: &Held, limits: &ConnectionLimits, now_ns: u64) -> (u32, u64) {
    // No penalty lasts years: nothing overflows.
    let forgotten_ns = held
        .until_ns
        .saturating_add(limits.longest_penalty_ns.wrapping_mul(FORGOTTEN_PENALTIES));
    let before = if now_ns < forgotten_ns { held.penalties } else { 0 };
    let doublings = if before < 32 { before } else { 32 };
    let length_ns = if limits.first_penalty_ns > limits.longest_penalty_ns >> doublings {
        limits.longest_penalty_ns
    } else {
        limits.first_penalty_ns << doublings
    };
    (before.saturating_add(1), now_ns.saturating_add(length_ns))
}

/// `count`, with what user space found it to be wrong by.
#[inline(always)]
pub const fn corrected(count: u64, correction: i32) -> u32 {
    let count = count.saturating_add_signed(correction as i64);
    if count > u32::MAX as u64 {
        u32::MAX
    } else {
        count as u32
    }
}

/// Who holds nothing, and is not refused.
pub const NOTHING: Held = Held::ZERO;

const _: () = assert!(HINTS == 1 << 12, "a hint is 12 bits of a hash");

#[cfg(test)]
mod tests;
