//! What cookies may offer besides the maximum segment size: what the settings of the kernel in this network namespace let it
//! take. It refuses a connection that uses what is switched off, so they are looked at in every tick.

use netguard_common::{
    layout::{Offer, Rule},
    offer::{ECN, SACK, UNSCALED},
    shared::Field as _,
};
use serde::{Deserialize, Serialize};

use super::sysctls::Setting;
use crate::host;

/// What connections that are made through a cookie can use, as it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CookieOptions {
    /// `None`: windows of at most 64 KiB.
    pub window_scale: Option<u32>,
    pub sack: bool,
    pub ecn: bool,
}

impl From<&Offer> for CookieOptions {
    fn from(offer: &Offer) -> Self {
        let offer = if offer.timestamps == 0 { &NOTHING } else { offer };
        Self {
            window_scale: (offer.window_scale < UNSCALED).then_some(offer.window_scale),
            sack: offer.allowed & SACK != 0,
            ecn: offer.allowed & ECN != 0,
        }
    }
}

/// Nothing.
pub(super) const NOTHING: Offer = Offer {
    window_scale: UNSCALED,
    ..Offer::ZERO
};

/// How long an offer holds, ns. When the daemon is dead nobody sees that the settings change.
const HOLDS_NS: u64 = 4_000_000_000;

/// `offer` for a while from `now_ns` on; the same for about a second, and to be made again then.
pub(super) fn until(offer: Offer, now_ns: u64) -> Offer {
    Offer {
        expires_at: match offer.timestamps {
            0 => 0,
            _ => Rule::expiry(now_ns, HOLDS_NS),
        },
        ..offer
    }
}

/// The largest window scale (RFC 7323 section 2.3).
const MAX_SCALE: u32 = 14;

/// What the kernel takes at this moment.
pub(super) fn offer() -> Offer {
    // Any other value: no timestamps, or with an offset that only the kernel knows. Unreadable: nobody knows.
    if !host::sysctl(Setting::Timestamps.name()).is_ok_and(|value| value == "2") {
        return NOTHING;
    }
    let allows = |name: &str, option: u32| match host::sysctl(name) {
        Ok(value) if value != "0" => option,
        _ => 0,
    };
    let scaling = allows("net.ipv4.tcp_window_scaling", 1) != 0;
    Offer {
        timestamps: 1,
        allowed: allows("net.ipv4.tcp_sack", SACK) | allows("net.ipv4.tcp_ecn", ECN),
        window_scale: receive_space().filter(|_| scaling).map_or(UNSCALED, scale),
        expires_at: 0,
    }
}

/// The largest receive buffer in bytes; `None` where the kernel does not show it (before Linux 6.10, outside of the first
/// network namespace).
fn receive_space() -> Option<u32> {
    let memory = host::sysctl("net.ipv4.tcp_rmem").ok()?;
    let own = memory.split_whitespace().nth(2)?.parse().ok()?;
    let all: u32 = host::sysctl("net.core.rmem_max").ok()?.parse().ok()?;
    Some(all.max(own))
}

/// The window scale that the kernel gives a socket with room for `space` bytes, and gives it again when the cookie comes back
/// (`tcp_select_initial_window()` in net/ipv4/tcp_output.c).
fn scale(space: u32) -> u32 {
    space.max(1).ilog2().saturating_sub(15).min(MAX_SCALE)
}

#[cfg(test)]
mod tests {
    use netguard_common::rule::has_ended;

    use super::*;

    #[test]
    fn an_offer_ends_soon_after_whoever_made_it() {
        let offer = Offer {
            timestamps: 1,
            ..NOTHING
        };
        let now_ns = 1_000_000_000_000;
        let made = until(offer, now_ns);
        assert!(!has_ended(made.expires_at, now_ns + HOLDS_NS - 1));
        assert!(has_ended(made.expires_at, now_ns + 2 * HOLDS_NS));
        assert_eq!(until(NOTHING, now_ns), NOTHING, "nothing is not told each second");
    }

    #[test]
    fn the_scale_is_that_of_the_kernel() {
        let scales = [
            0,
            65_535,
            65_536,
            131_072,
            212_992,
            6_291_456,
            33_554_432,
            u32::MAX,
        ]
        .map(scale);
        assert_eq!(scales, [0, 0, 1, 2, 2, 7, 10, 14]);
    }
}
