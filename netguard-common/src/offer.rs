//! What an answer in a service's name offers besides the maximum segment size: a cookie remembers nothing else, so window scale,
//! SACK and ECN travel in the low bits of the answer's timestamp, as the kernel's own cookies do it
//! (`cookie_init_timestamp()` in net/ipv4/syncookies.c), and come back with the acknowledgement.
//!
//! The kernel takes an offset off the timestamp that comes back, a secret of both addresses unless
//! `net.ipv4.tcp_timestamps` is 2: only then can these bits be meant for it.

use crate::{
    Packet,
    layout::{Offer, Settings},
    packet::{Family, TcpFlags},
    rule::has_ended,
    syn_ack::{SynAck, TCP_AT, V4_WORDS, V6_WORDS, WITH_TIMESTAMPS},
    view::View,
};

/// Option words (RFC 9293 section 3.1): kinds and lengths.
const MAX_SEGMENT: u32 = 0x0204;
const SACK_PERMITTED: u32 = 0x0402;
const TIMESTAMPS: u32 = 0x080a;
const WINDOW_SCALE: u32 = 0x01_0303;
const PADDING: u32 = 0x0101;

/// In the place of a window scale: none was asked for, or is offered.
pub const UNSCALED: u32 = 15;
/// Selective acknowledgements, as a bit of the timestamp.
pub const SACK: u32 = 1 << 4;
/// Explicit congestion notification, as a bit of the timestamp.
pub const ECN: u32 = 1 << 5;

/// More than any bit of a timestamp: there is none.
const NO_TIMESTAMPS: u32 = 1 << 6;

const BITS: u32 = 6;
/// The largest window scale (RFC 7323 section 2.3); what is larger counts as this.
const MAX_SCALE: u32 = 14;

/// The timestamps of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamps {
    /// The answer's own, with [`Timestamps::options`] in it.
    pub(crate) value: u32,
    /// That of the SYN, as its bytes lie in memory.
    pub(crate) echo: u32,
    /// Their window scale or [`UNSCALED`], [`SACK`] and [`ECN`]: what both sides are to use; more than these for none.
    pub(crate) options: u32,
    /// Ours, if they have one.
    pub(crate) window_scale: u32,
}

impl Timestamps {
    /// Not an option: what lies in none is not even zero, and the kernel's verifier refuses to see it copied.
    const NONE: Self = Self {
        value: 0,
        echo: 0,
        options: NO_TIMESTAMPS,
        window_scale: 0,
    };

    /// Whether there are any.
    #[inline(always)]
    pub(crate) const fn are_some(&self) -> bool {
        self.options & NO_TIMESTAMPS == 0
    }

    /// For the SYN `packet`, whose headers lie in `answer`; none where only the maximum segment size can be offered.
    #[inline(always)]
    pub(crate) fn of<V: View>(view: &V, packet: &Packet, offer: &Offer, answer: &SynAck) -> Self {
        // Who made the offer may be dead, and the kernel's settings others. The budget's time, which this answer was just granted
        // by, is now or a moment later: no clock is read for it.
        if offer.timestamps == 0 || has_ended(offer.expires_at, answer.due_ns) {
            return Self::NONE;
        }
        let asked = asked(answer);
        // Where it was found is of no matter from here on.
        let (options, echo) = (view.opaque(asked.options), view.opaque(asked.echo));
        if options & NO_TIMESTAMPS != 0 {
            return Self::NONE;
        }
        let ecn = view.opaque(if asks_for_ecn(packet, answer) { ECN } else { 0 });
        let options = view.opaque(agreed(offer, options | ecn));
        Self {
            value: timestamp(answer.now_ms, options),
            echo,
            options,
            window_scale: offer.window_scale,
        }
    }
}

/// What a SYN asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    /// Its window scale or [`UNSCALED`], and [`SACK`]; [`NO_TIMESTAMPS`] without them.
    options: u32,
    /// The value of its timestamp, as the bytes lie in memory.
    echo: u32,
}

/// Reads the options of the SYN in `answer`, in one of the orders in which systems write
/// them, in words: to follow any order the kernel's verifier would walk every one. Behind them others may come.
#[inline(always)]
fn asked(answer: &SynAck) -> Asked {
    let len = answer.asked_len;
    let word = |index: usize| answer.headers[TCP_AT + 5 + index];
    let option = |index: usize| u32::from_be(word(index));
    let found = |scale: u32, sack: bool, at: usize| Asked {
        options: scale | if sack { SACK } else { 0 },
        echo: word(at),
    };
    let nothing = Asked {
        options: NO_TIMESTAMPS,
        echo: 0,
    };
    if len < WITH_TIMESTAMPS || option(0) >> 16 != MAX_SEGMENT {
        return nothing;
    }
    // Linux, Android.
    if let Some(sack) = timestamps_begin(option(1)) {
        let scale = if len < 40 { UNSCALED } else { scale(option(4)) };
        return found(scale, sack, 2);
    }
    // FreeBSD, Windows; Apple, with SACK at the end.
    if len >= 40
        && let Some(sack) = timestamps_begin(option(2))
    {
        let late = len >= 44 && option(5) >> 16 == SACK_PERMITTED;
        return found(scale(option(1)), sack || late, 3);
    }
    // OpenBSD.
    if len >= 44
        && let Some(false) = timestamps_begin(option(3))
    {
        return found(scale(option(2)), option(1) & 0xffff == SACK_PERMITTED, 4);
    }
    nothing
}

/// Whether SACK is permitted in the word that timestamps begin with; `None` if none do.
#[inline(always)]
const fn timestamps_begin(word: u32) -> Option<bool> {
    match (word >> 16, word & 0xffff) {
        (SACK_PERMITTED, TIMESTAMPS) => Some(true),
        (PADDING, TIMESTAMPS) => Some(false),
        _ => None,
    }
}

/// The window scale in a word.
#[inline(always)]
const fn scale(word: u32) -> u32 {
    match word >> 8 {
        WINDOW_SCALE if word & 0xff < MAX_SCALE => word & 0xff,
        WINDOW_SCALE => MAX_SCALE,
        _ => UNSCALED,
    }
}

/// RFC 3168 section 6.1.1: both flags, and a header that does not use it yet.
#[inline(always)]
fn asks_for_ecn(packet: &Packet, answer: &SynAck) -> bool {
    let marked = match packet.family() {
        Family::V4 => u32::from_be(answer.headers[TCP_AT - V4_WORDS]) >> 16 & 3,
        Family::V6 => u32::from_be(answer.headers[TCP_AT - V6_WORDS]) >> 20 & 3,
    };
    packet.tcp_flags().has(TcpFlags::ECE | TcpFlags::CWR) && marked == 0
}

/// Options of the timestamp that answers a SYN: of what was `asked` for what `offer` allows.
#[inline(always)]
pub(crate) const fn agreed(offer: &Offer, asked: u32) -> u32 {
    let scale = if offer.window_scale < UNSCALED {
        asked & UNSCALED
    } else {
        UNSCALED
    };
    scale | asked & offer.allowed & (SACK | ECN)
}

/// What the answer asks the client for: no more than the client takes itself, as its cookie has it, nor than this machine can.
#[inline(always)]
pub(crate) fn segment_size(of_cookie: u32, packet: &Packet, settings: &Settings) -> u32 {
    let own = match packet.family() {
        Family::V4 => settings.segments.v4,
        Family::V6 => settings.segments.v6,
    };
    if own == 0 || of_cookie <= own {
        of_cookie
    } else {
        own
    }
}

/// The clock of timestamps, as the kernel counts (`tcp_clock_ms()`).
#[inline(always)]
pub(crate) const fn milliseconds(now_ns: u64) -> u32 {
    (now_ns / 1_000_000) as u32
}

/// The timestamp at `now_ms` that carries `options`; never in the future, where the next one would seem old.
#[inline(always)]
pub(crate) const fn timestamp(now_ms: u32, options: u32) -> u32 {
    let whole = now_ms >> BITS << BITS;
    // Without a branch: 1 if the options are more than the bits that they replace.
    let early = (now_ms - whole).wrapping_sub(options) >> 31;
    (whole | options).wrapping_sub(early << BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{shared::Field as _, view::SliceView};

    const STAMP: [u8; 8] = [1, 2, 3, 4, 0, 0, 0, 0];

    /// The options that a SYN with these asks for; `None` without timestamps.
    fn options(pieces: &[&[u8]]) -> Option<u32> {
        let bytes = pieces.concat();
        let mut answer = SynAck::ZERO;
        // Rests of another packet.
        let rests = [&[2, 4, 5, 180, 4, 2, 8, 10][..], &[7; 8], &[1, 3, 3, 5]];
        for bytes in [&rests.concat(), &bytes] {
            for (word, bytes) in answer.headers[TCP_AT + 5..].iter_mut().zip(bytes.as_chunks().0) {
                *word = u32::from_ne_bytes(*bytes);
            }
        }
        answer.asked_len = 20 + bytes.len() as u32;
        let asked = asked(&answer);
        if asked.options & NO_TIMESTAMPS != 0 {
            return None;
        }
        assert_eq!(asked.echo.to_ne_bytes(), STAMP[..4], "{bytes:?}");
        Some(asked.options)
    }

    #[test]
    fn options_are_found_in_the_order_of_every_system() {
        let mss: &[u8] = &[2, 4, 5, 180];
        let (permitted, padded): (&[u8], &[u8]) = (&[4, 2, 8, 10], &[1, 1, 8, 10]);
        let scale: &[u8] = &[1, 3, 3, 7];
        for (pieces, found, what) in [
            (&[mss, permitted, &STAMP, scale][..], SACK | 7, "Linux"),
            (&[mss, padded, &STAMP, scale], 7, "Linux without SACK"),
            (&[mss, permitted, &STAMP], SACK | UNSCALED, "Linux without scale"),
            (&[mss, padded, &STAMP], UNSCALED, "Linux without either"),
            (
                &[mss, permitted, &STAMP, scale, &[34, 2, 1, 1]],
                SACK | 7,
                "Linux with fast open",
            ),
            (&[mss, scale, permitted, &STAMP], SACK | 7, "FreeBSD"),
            (&[mss, scale, padded, &STAMP, &[4, 2, 0, 0]], SACK | 7, "Apple"),
            (&[mss, scale, padded, &STAMP], 7, "without SACK"),
            (&[mss, &[1, 1, 4, 2], scale, padded, &STAMP], SACK | 7, "OpenBSD"),
            (
                &[mss, permitted, &STAMP, &[1, 3, 3, 200]],
                SACK | 14,
                "a scale too large",
            ),
        ] {
            assert_eq!(options(pieces), Some(found), "{what}");
        }
        for (pieces, what) in [
            (&[][..], "no options, and rests"),
            (&[mss][..], "one option, and rests"),
            (&[mss, scale, &[1, 1, 4, 2]], "Windows"),
            (&[mss, permitted, &STAMP[..4]], "cut off"),
            (&[permitted, &STAMP, scale], "no segment size"),
        ] {
            assert_eq!(options(pieces), None, "{what}");
        }
    }

    #[test]
    fn an_offer_that_has_ended_offers_nothing() {
        let mut answer = SynAck::ZERO;
        let bytes = [&[2, 4, 5, 180, 4, 2, 8, 10][..], &STAMP, &[1, 3, 3, 7]].concat();
        for (word, bytes) in answer.headers[TCP_AT + 5..].iter_mut().zip(bytes.as_chunks().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        answer.asked_len = 40;
        // The clock of milliseconds begins anew after 50 days, that of the end does not.
        let end = 1 << 23;
        for (expires_at, due_ns, offered) in [
            (0, u64::MAX, true),
            (end, (u64::from(end) << 30) - 1, true),
            (end, u64::from(end) << 30, false),
            (1, u64::MAX, false),
        ] {
            let offer = Offer {
                timestamps: 1,
                expires_at,
                ..Offer::ZERO
            };
            answer.due_ns = due_ns;
            let made = Timestamps::of(&SliceView(&[]), &Packet::ZERO, &offer, &answer);
            assert_eq!(made.are_some(), offered, "{expires_at} {due_ns}");
        }
    }

    #[test]
    fn only_what_is_allowed_is_agreed() {
        let offer = |allowed, window_scale| Offer {
            allowed,
            window_scale,
            ..Offer::ZERO
        };
        assert_eq!(agreed(&offer(SACK | ECN, 7), SACK | ECN | 3), SACK | ECN | 3);
        assert_eq!(agreed(&offer(SACK, 7), SACK | ECN | 3), SACK | 3);
        assert_eq!(agreed(&offer(0, 7), SACK | UNSCALED), UNSCALED);
        assert_eq!(agreed(&offer(ECN, UNSCALED), SACK | ECN | 3), ECN | UNSCALED);
    }

    #[test]
    fn a_timestamp_is_never_in_the_future_nor_much_older() {
        for now_ms in (1_000..1_200).chain([0, u32::MAX]) {
            for options in 0..64 {
                let made = timestamp(now_ms, options);
                let age = now_ms.wrapping_sub(made);
                assert!(age < 64, "{now_ms} {options} {made}");
                assert_eq!(made & 63, options);
            }
        }
        assert_eq!(milliseconds((1 << 32) * 1_000_000 + 1_999_999), 1);
    }
}
