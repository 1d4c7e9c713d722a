//! ICMP as a service of its own, which has no ports: what all sources send together. Control messages are not counted.

use core::ops::ControlFlow;

use super::{Standing, fill, is_proven};
use crate::{Packet, Verdict, layout::Settings, pace, service, tables::Tables};

/// Breaks when all sources together send too much. Whoever has proven its address has the last word, everybody else is a stranger.
#[inline(always)]
pub(super) fn check<T: Tables>(
    packet: &Packet,
    settings: &Settings,
    now_ns: u64,
    tables: &T,
) -> ControlFlow<Verdict> {
    let rate = settings.levels.service_icmp;
    if rate.interval_ns == 0 {
        return ControlFlow::Continue(());
    }
    let Some(bucket) = tables.cell(service::ICMP_AT) else {
        return ControlFlow::Continue(());
    };
    let packets = pace::packets(packet.chance, &rate, rate.tolerance_ns / 4);
    if fill(&rate, &bucket, Standing::Stranger, packets, now_ns)
        || is_proven(packet, now_ns, tables) && fill(&rate, &bucket, Standing::Proven, packets, now_ns)
    {
        return ControlFlow::Continue(());
    }
    ControlFlow::Break(Verdict::LimitService)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        layout::Rate,
        limit::source_key,
        memory::Memory,
        packet::{Address, Family, Transport, protocol, tests::packet},
    };

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn pings_of_many_are_limited_together_and_a_proven_source_has_the_last_word() {
        let mut memory = Memory::new(Memory::enforcing());
        memory.settings.levels.service_icmp = Rate::new(100, 100);
        memory.now_ns.set(1_000 * SECOND);
        let ping = |family, source: u32| match family {
            Family::V4 => packet(
                family,
                Address::v4(source.to_be_bytes()),
                protocol::ICMP,
                Transport::Icmp { kind: 8, code: 0 },
            ),
            Family::V6 => packet(
                family,
                Address {
                    high: u64::from(source),
                    low: 1,
                },
                protocol::ICMPV6,
                Transport::Icmp6 { kind: 128, code: 0 },
            ),
        };
        let passes = |memory: &Memory, packet: &Packet| {
            check(packet, &memory.settings, memory.now_ns.get(), memory).is_continue()
        };
        let passed = (0..500).filter(|source| passes(&memory, &ping(Family::V4, *source)));
        assert_eq!(passed.count(), 25, "strangers get a quarter of the burst");
        assert!(
            !passes(&memory, &ping(Family::V6, 7)),
            "of both families together"
        );
        let proven = ping(Family::V6, 8);
        memory
            .proven
            .insert(source_key(Family::V6, proven.source), 2_000 * SECOND);
        assert_eq!((0..500).filter(|_| passes(&memory, &proven)).count(), 75);
        memory.settings.levels.service_icmp.interval_ns = 0;
        assert!(
            (0..500).all(|source| passes(&memory, &ping(Family::V4, source))),
            "unlimited"
        );
    }
}
