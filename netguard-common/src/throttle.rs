//! Throttle: a source that much is known against has a part of the limit that others have. Who that is, and how small a part, user space says by
//! reputation; each entry ends by itself, so that limits come back also where nobody looks after them.
//!
//! Few sources are throttled, and a bit for each hash of one, small enough to stay in the cache, tells nearly all others.

use crate::{Packet, layout::Rate, limit::source_key, tables::Tables};

/// Words of the filter; a power of two.
pub const FILTER_WORDS: u32 = 1_024;

const DIVISOR: u64 = 0xff;

/// By what the limits of a source are divided, and until when: one word, so that a packet meets the old one or the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle(pub u64);

impl Throttle {
    /// Until `until_ns` of the monotonic clock, in steps of 256 ns.
    pub const fn new(divisor: u8, until_ns: u64) -> Self {
        Self(until_ns & !DIVISOR | divisor as u64)
    }

    #[inline(always)]
    pub const fn until_ns(self) -> u64 {
        self.0 & !DIVISOR
    }

    /// 1 once its time is up.
    #[inline(always)]
    pub const fn divisor(self, now_ns: u64) -> u32 {
        if now_ns < self.until_ns() && self.0 & DIVISOR != 0 {
            (self.0 & DIVISOR) as u32
        } else {
            1
        }
    }
}

/// The word and the bit of the filter for the source with `hash`, see [`crate::limit::source_hash`].
#[inline(always)]
pub const fn filter_bit(hash: u64) -> (u32, u64) {
    ((hash >> 32) as u32 & (FILTER_WORDS - 1), 1 << (hash >> 58))
}

/// By what the limits of the source of `packet` are divided: at least 1.
#[inline(always)]
pub(crate) fn divisor<T: Tables>(packet: &Packet, seed: u64, tables: &T) -> u32 {
    let (word, bit) = filter_bit(packet.source_hash(seed));
    if tables.throttle_filter(word) & bit == 0 {
        return 1;
    }
    let key = source_key(packet.family(), packet.source);
    tables
        .throttled(key)
        .map_or(1, |throttle| throttle.divisor(tables.now_ns()))
}

impl Rate {
    /// A part of it, with as small a part of the burst, but for one packet: who is throttled is slow, not shut out.
    #[inline(always)]
    #[must_use]
    pub const fn divided(&self, divisor: u32) -> Self {
        let most = if self.tolerance_ns > self.interval_ns {
            self.tolerance_ns
        } else {
            self.interval_ns
        };
        let interval_ns = self.interval_ns * divisor as u64;
        Self {
            interval_ns: if interval_ns < most { interval_ns } else { most },
            tolerance_ns: self.tolerance_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        layout::CLASSES,
        limit::{self, Class},
        memory::Memory,
        packet::{Address, Family, Transport, protocol, tests::packet},
        view::SliceView,
    };

    const SECOND: u64 = 1_000_000_000;

    fn datagram(source: [u8; 4]) -> Packet {
        let transport = Transport::Udp {
            source_port: 1,
            destination_port: 53,
        };
        packet(Family::V4, Address::v4(source), protocol::UDP, transport)
    }

    /// Of a hundred packets at once, how many pass.
    fn passed(memory: &Memory, source: [u8; 4]) -> usize {
        let pass = |_: &usize| {
            let mut packet = datagram(source);
            let settings = &memory.settings;
            let divisor = divisor(&packet, settings.seed, memory);
            let view = SliceView(&[]);
            limit::check(
                &view,
                Class::Udp,
                divisor,
                &mut packet,
                settings,
                memory.now_ns.get(),
                memory,
            )
            .is_continue()
        };
        (0..100).filter(pass).count()
    }

    #[test]
    fn a_throttled_source_has_its_part_until_its_time_is_up() {
        let mut memory = Memory::new(Memory::enforcing());
        memory.settings.limits = [Rate::new(10, 60); CLASSES];
        let key = |last| source_key(Family::V4, Address::v4([192, 0, 2, last]));
        memory.throttled.insert(key(1), Throttle::new(6, 50 * SECOND));
        memory.throttled.insert(key(2), Throttle::new(255, 50 * SECOND));
        memory.now_ns.set(10 * SECOND);
        let all = |memory: &Memory| [1, 2, 3].map(|last| passed(memory, [192, 0, 2, last]));
        assert_eq!(all(&memory), [10, 1, 60]);
        memory.now_ns.set(20 * SECOND);
        assert_eq!(
            all(&memory),
            [10, 1, 60],
            "at a part of the rate, too: a packet in 0.6 s, and in 6 s"
        );
        memory.now_ns.set(50 * SECOND);
        assert_eq!(all(&memory), [60, 60, 60]);
    }

    #[test]
    fn no_divisor_shuts_anybody_out() {
        assert_eq!(Rate::new(100, 0).divided(5), Rate::new(100, 0));
        for burst in [1, 2, 7, 1_000] {
            let rate = Rate::new(100, burst);
            assert_eq!(rate.divided(1), rate);
            for divisor in 1..=255 {
                let part = rate.divided(divisor);
                assert!(
                    part.burst() >= 1 && part.burst() <= rate.burst(),
                    "{burst} {divisor}"
                );
            }
        }
        assert_eq!(Rate::UNLIMITED.divided(9), Rate::UNLIMITED);
        assert_eq!(Throttle::new(0, SECOND).divisor(0), 1);
    }
}
