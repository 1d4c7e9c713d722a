//! Allow and block stages: exact addresses and IPv6 /64s in hashes, other prefixes in longest-prefix tries, and IPv4 networks
//! that are blocked for good as a mere bit. Only tables that the source's hints name are asked. Expiry is compared in the kernel, so that rules end on time even when the daemon is dead.

use core::ops::ControlFlow;

use crate::{Packet, Verdict, hint, layout::Rule, packet::Family, tables::Tables};

/// A rule's expiry counts units of 2^30 ns: a shift is cheaper in the kernel than a division.
pub const EXPIRY_SHIFT: u32 = 30;

macro_rules! named {
    ($(#[$meta:meta])* pub enum $enum:ident: $repr:ty { $( $(#[$variant_meta:meta])* $variant:ident = $number:literal $name:literal, )* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr($repr)]
        pub enum $enum { $( $(#[$variant_meta])* $variant = $number, )* }

        impl $enum {
            /// The member with `number`; `None` when there is none.
            pub const fn from_number(number: $repr) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$variant), )*
                    _ => None,
                }
            }

            /// The word that the command line and JSON use.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }
    };
}

named! {
    /// Who made a rule.
    pub enum Origin: u8 {
        Operator = 0 "operator",
        Config = 1 "config",
        Detector = 2 "detector",
    }
}

named! {
    /// Why a rule was made.
    pub enum Reason: u16 {
        /// Somebody asked for it.
        Requested = 0 "requested",
        /// The source kept sending far over its limits.
        Flooder = 1 "flooder",
    }
}

named! {
    /// How sure it is that a source address is not forged.
    pub enum Proof: u8 {
        None = 0 "none",
        /// It completed a TCP handshake with this host.
        Handshake = 1 "handshake",
        /// An operator vouches for the rule.
        Operator = 2 "operator",
    }
}

/// Whether what lasts until `expires_at` (0: for good) has ended at `now_ns` of the monotonic clock.
#[inline(always)]
pub const fn has_ended(expires_at: u32, now_ns: u64) -> bool {
    expires_at != 0 && expires_at as u64 <= now_ns >> EXPIRY_SHIFT
}

impl Rule {
    /// Whether the rule has ended at `now_ns` of the monotonic clock.
    #[inline(always)]
    pub const fn expired(&self, now_ns: u64) -> bool {
        has_ended(self.expires_at, now_ns)
    }

    #[inline(always)]
    pub const fn is_permanent(&self) -> bool {
        self.expires_at == 0
    }

    /// The `expires_at` of a rule that lasts at least `ttl_ns` from `now_ns`, at most 2.2 s longer.
    pub const fn expiry(now_ns: u64, ttl_ns: u64) -> u32 {
        let unit = (now_ns.saturating_add(ttl_ns) >> EXPIRY_SHIFT) + 1;
        if unit > u32::MAX as u64 {
            u32::MAX
        } else {
            unit as u32
        }
    }

    /// Time left at `now_ns`; `None` for a permanent rule.
    pub const fn remaining_ns(&self, now_ns: u64) -> Option<u64> {
        if self.is_permanent() {
            return None;
        }
        Some(((self.expires_at as u64) << EXPIRY_SHIFT).saturating_sub(now_ns))
    }
}

/// Whether the operator promised `packet`'s source passage. `hints` are those of the source.
#[inline(always)]
pub fn allow<T: Tables>(packet: &Packet, hints: u8, tables: &T) -> ControlFlow<Verdict> {
    if hints & hint::ALLOW == 0 {
        return ControlFlow::Continue(());
    }
    let rule = match packet.family() {
        Family::V4 => tables.allow_v4(packet.source.word_v4()),
        Family::V6 => tables.allow_v6(packet.source),
    };
    if live(rule, tables) {
        ControlFlow::Break(Verdict::PassAllow)
    } else {
        ControlFlow::Continue(())
    }
}

/// Whether `packet`'s source is blocked. `hints` are those of the source.
#[inline(always)]
pub fn block<T: Tables>(packet: &Packet, hints: u8, tables: &T) -> ControlFlow<Verdict> {
    let source = packet.source;
    if hints & hint::ADDRESS != 0 {
        let blocked = match packet.family() {
            Family::V4 => holds(tables.block_v4(source.word_v4()), packet, tables),
            Family::V6 => {
                holds(tables.block_v6(source), packet, tables)
                    || holds(tables.block_v6_net64(source.high), packet, tables)
            }
        };
        if blocked {
            return ControlFlow::Break(Verdict::BlockAddress);
        }
    }
    if hints & hint::BLOCKED != 0 {
        return ControlFlow::Break(Verdict::BlockPrefix);
    }
    if hints & hint::PREFIX != 0 {
        let rule = match packet.family() {
            Family::V4 => tables.block_net_v4(source.word_v4()),
            Family::V6 => tables.block_net_v6(source),
        };
        if holds(rule, packet, tables) {
            return ControlFlow::Break(Verdict::BlockPrefix);
        }
    }
    ControlFlow::Continue(())
}

/// Whether `rule` blocks `packet`. A detector's rule spares TCP segments that open nothing: it rests on floods that
/// somebody else may have sent in the source's name, and must not cut the connections that the source really has.
#[inline(always)]
fn holds<T: Tables>(rule: Option<Rule>, packet: &Packet, tables: &T) -> bool {
    let Some(found) = rule else {
        return false;
    };
    let spared = found.origin == Origin::Detector as u8 && packet.continues_tcp();
    !spared && live(rule, tables)
}

/// Reads the clock only for a rule that can expire.
#[inline(always)]
fn live<T: Tables>(rule: Option<Rule>, tables: &T) -> bool {
    rule.is_some_and(|rule| rule.is_permanent() || !rule.expired(tables.now_ns()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_rule_lasts_at_least_its_ttl_and_little_longer() {
        for now in [0, 1, SECOND, 123_456_789_012_345] {
            let rule = Rule {
                expires_at: Rule::expiry(now, 60 * SECOND),
                reason: 0,
                origin: 0,
                proof: 0,
            };
            assert!(!rule.expired(now + 60 * SECOND - 1));
            assert!(rule.expired(now + 60 * SECOND + (2 << EXPIRY_SHIFT)));
            assert!(rule.remaining_ns(now).unwrap() >= 60 * SECOND);
        }
    }

    #[test]
    fn a_permanent_rule_never_ends() {
        let rule = Rule {
            expires_at: 0,
            reason: 0,
            origin: 0,
            proof: 0,
        };
        assert!(rule.is_permanent());
        assert_eq!(rule.remaining_ns(u64::MAX), None);
    }
}
