//! The limiter: never more than burst + rate x time, never less for a source that has its cells to itself.

use std::sync::atomic::AtomicU64;

use netguard_common::{
    layout::Rate,
    level::{Standing, fill},
    limit::admit,
};
use proptest::{collection::vec, prelude::*};

const STANDINGS: [Standing; 3] = [Standing::Stranger, Standing::Known, Standing::Proven];

/// Packets as pauses before them, in ns: from none to a second.
fn pauses() -> impl Strategy<Value = Vec<u64>> {
    vec(
        prop_oneof![4 => Just(0), 3 => 0u64..1_000_000, 1 => 0u64..1_000_000_000],
        1..400,
    )
}

fn rates() -> impl Strategy<Value = Rate> {
    (prop_oneof![1u32..100, 1u32..1_000_000], 1u32..500).prop_map(|(rate, burst)| Rate::new(rate, burst))
}

/// At most this many packets may pass in `span_ns`: the burst and what the rate gives meanwhile.
fn most(rate: &Rate, span_ns: u64) -> u64 {
    (rate.tolerance_ns + span_ns) / rate.interval_ns
}

fn bounded(rate: &Rate, granted: &[u64]) -> Result<(), TestCaseError> {
    for (first, start) in granted.iter().enumerate() {
        for (last, end) in granted.iter().enumerate().skip(first) {
            let count = (last - first + 1) as u64;
            prop_assert!(
                count <= most(rate, end - start),
                "{count} packets in {} ns",
                end - start
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_span_of_time_sees_more_than_burst_and_rate(rate in rates(), pauses in pauses()) {
        let (a, b) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut now = 1_000_000_000;
        let mut granted = Vec::new();
        for pause in pauses {
            now += pause;
            if admit(&rate, &&a, &&b, now) {
                granted.push(now);
            }
        }
        bounded(&rate, &granted)?;
    }

    /// Three sources, each sharing one cell with each of the others: the bound holds for every one.
    #[test]
    fn shared_cells_grant_nobody_more(rate in rates(), packets in vec((0usize..3, 0u64..2_000_000), 1..600)) {
        let cells = [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)];
        let mut granted = [const { Vec::new() }; 3];
        let mut now = 1_000_000_000;
        for (source, pause) in packets {
            now += pause;
            if admit(&rate, &&cells[source], &&cells[(source + 1) % 3], now) {
                granted[source].push(now);
            }
        }
        for granted in granted {
            bounded(&rate, &granted)?;
        }
    }

    #[test]
    fn a_source_within_its_rate_is_never_refused(rate in rates(), extra in vec(0u64..1_000_000, 1..300)) {
        let (a, b) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut now = 1_000_000_000;
        for pause in extra {
            now += rate.interval_ns + pause;
            prop_assert!(admit(&rate, &&a, &&b, now));
        }
    }

    /// A flooder in one of two cells does not cost a bystander anything.
    #[test]
    fn one_shared_cell_does_not_hurt(rate in rates(), flood in 1u32..50, extra in vec(0u64..1_000_000, 1..200)) {
        let (flooded, own, other) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let mut now = 1_000_000_000;
        for pause in extra {
            now += rate.interval_ns + pause;
            for _ in 0..flood {
                admit(&rate, &&flooded, &&other, now);
            }
            prop_assert!(admit(&rate, &&flooded, &&own, now));
        }
    }

    /// Of a bucket with lines in it nobody gets more than a bucket without gives, all standings together.
    #[test]
    fn no_span_of_time_sees_a_service_get_more(rate in rates(), packets in vec((0usize..3, 0u64..2_000_000), 1..400)) {
        let bucket = AtomicU64::new(0);
        let mut granted = Vec::new();
        let mut now = 1_000_000_000;
        for (standing, pause) in packets {
            now += pause;
            if fill(&rate, &&bucket, STANDINGS[standing], now) {
                granted.push(now);
            }
        }
        bounded(&rate, &granted)?;
    }

    /// However many strangers ask, and whenever: a known source within the rate of the service is never refused, if half the
    /// burst is a packet at least.
    #[test]
    fn strangers_take_nothing_from_the_known(rate in rates(), extra in vec((0u64..1_000_000, 0u32..100), 1..300)) {
        prop_assume!(rate.burst() >= 4);
        let bucket = AtomicU64::new(0);
        let mut now = 1_000_000_000;
        for (pause, strangers) in extra {
            now += rate.interval_ns + pause;
            for _ in 0..strangers {
                fill(&rate, &&bucket, Standing::Stranger, now);
            }
            prop_assert!(fill(&rate, &&bucket, Standing::Known, now));
        }
    }

    #[test]
    fn any_cell_and_any_clock_are_survived(rate in rates(), a in any::<u64>(), b in any::<u64>(), now in any::<u64>()) {
        let (a, b) = (AtomicU64::new(a), AtomicU64::new(b));
        admit(&rate, &&a, &&b, now);
        for standing in STANDINGS {
            fill(&rate, &&a, standing, now);
        }
    }
}
