//! The limiter: never more than burst + rate x time, never less for a source that has room in its line.

use std::sync::atomic::AtomicU64;

use netguard_common::{
    bucket::{self, Place, SLOTS},
    layout::{Rate, UNIT_NS},
    level::{Standing, fill},
    limit,
    view::SliceView,
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

const VIEW: SliceView<'_> = SliceView(&[]);

fn line() -> [AtomicU64; SLOTS as usize] {
    Default::default()
}

const fn source(fingerprint: u64) -> Place {
    Place { line: 0, fingerprint }
}

/// At most this many packets may pass in `span_ns`: the burst and what the rate gives meanwhile.
fn most(rate: &Rate, span_ns: u64) -> u64 {
    (rate.tolerance_ns + span_ns) / rate.interval_ns
}

/// A line sees the time in units, so a span can be longer to it than it is.
fn bounded(rate: &Rate, granted: &[u64]) -> Result<(), TestCaseError> {
    for (first, start) in granted.iter().enumerate() {
        for (last, end) in granted.iter().enumerate().skip(first) {
            let count = (last - first + 1) as u64;
            prop_assert!(
                count <= most(rate, end - start + UNIT_NS - 1),
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
        let (cell, line) = (AtomicU64::new(0), line());
        let mut now = 1_000_000_000;
        let (mut by_cell, mut by_line) = (Vec::new(), Vec::new());
        for pause in pauses {
            now += pause;
            if limit::admit(&rate, &&cell, now) {
                by_cell.push(now);
            }
            if bucket::admit(&VIEW, &rate, &&line, source(7), now) {
                by_line.push(now);
            }
        }
        bounded(&rate, &by_cell)?;
        bounded(&rate, &by_line)?;
    }

    /// More sources than a line has slots: they take each other's, and the bound holds for every one.
    #[test]
    fn a_crowded_line_grants_nobody_more(rate in rates(), packets in vec((0usize..20, 0u64..2_000_000), 1..800)) {
        let line = line();
        let mut granted = [const { Vec::new() }; 20];
        let mut now = 1_000_000_000;
        for (number, pause) in packets {
            now += pause;
            if bucket::admit(&VIEW, &rate, &&line, source(number as u64), now) {
                granted[number].push(now);
            }
        }
        for granted in granted {
            bounded(&rate, &granted)?;
        }
    }

    #[test]
    fn a_source_within_its_rate_is_never_refused(rate in rates(), extra in vec(0u64..1_000_000, 1..300)) {
        let (cell, line) = (AtomicU64::new(0), line());
        let mut now = 1_000_000_000;
        for pause in extra {
            now += rate.interval_ns + pause;
            prop_assert!(limit::admit(&rate, &&cell, now));
            prop_assert!(bucket::admit(&VIEW, &rate, &&line, source(7), now));
        }
    }

    /// Flooders in all other slots of its line do not cost a bystander anything.
    #[test]
    fn a_line_of_flooders_does_not_hurt(rate in rates(), flood in 1u32..50, extra in vec(0u64..1_000_000, 1..100)) {
        let line = line();
        let mut now = 1_000_000_000;
        for pause in extra {
            now += rate.interval_ns + pause;
            for flooder in 0..u64::from(SLOTS) - 1 {
                for _ in 0..flood {
                    bucket::admit(&VIEW, &rate, &&line, source(flooder), now);
                }
            }
            prop_assert!(bucket::admit(&VIEW, &rate, &&line, source(99), now));
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
            if fill(&rate, &&bucket, STANDINGS[standing], 1, now) {
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
                fill(&rate, &&bucket, Standing::Stranger, 1, now);
            }
            prop_assert!(fill(&rate, &&bucket, Standing::Known, 1, now));
        }
    }

    #[test]
    fn any_cell_and_any_clock_are_survived(rate in rates(), a in any::<u64>(), b in any::<u64>(), now in any::<u64>()) {
        let a = AtomicU64::new(a);
        limit::admit(&rate, &&a, now);
        bucket::admit(&VIEW, &rate, &&std::array::from_fn(|slot| AtomicU64::new(b << slot)), source(b % 256), now);
        for standing in STANDINGS {
            fill(&rate, &&a, standing, 1, now);
        }
    }
}
