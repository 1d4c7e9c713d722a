//! The limiter: never more than burst + rate x time, never less for a source that has room in its line.

use std::sync::atomic::AtomicU64;

use netguard_common::{
    bucket::{self, Place, SLOTS},
    layout::{Rate, UNIT_NS},
    level::{Standing, fill},
    limit,
    pace::{is_much, packets, packets_beside},
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

/// Whether the line has room for one packet of whose bucket has the `fingerprint`, with this `chance`.
fn admit(
    rate: &Rate,
    line: &[AtomicU64; SLOTS as usize],
    fingerprint: u64,
    chance: u64,
    now_ns: u64,
) -> bool {
    let room = bucket::room(&VIEW, rate, &line, Place { line: 0, fingerprint }, now_ns);
    room.inspect(|room| {
        let heavy = is_much(room.used_ns, rate.tolerance_ns);
        room.charge(rate, packets_beside(chance, rate, rate.tolerance_ns, heavy));
    })
    .is_some()
}

/// Chances of packets on a busy CPU, see [`netguard_common::pace`].
fn chances(mut dice: u64) -> impl FnMut() -> u64 {
    move || {
        dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        dice >> 48 | 1 << 16
    }
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
            if limit::admit(&rate, &&cell, 1, now) {
                by_cell.push(now);
            }
            if admit(&rate, &line, 7, 0, now) {
                by_line.push(now);
            }
        }
        bounded(&rate, &by_cell)?;
        bounded(&rate, &by_line)?;
    }

    /// On a busy CPU few packets are charged, for all of them: a flood gets burst and rate but for chance, six standard deviations
    /// of it (so many are charged at once), and whoever is far from its burst is never refused.
    #[test]
    fn packets_that_stand_for_others_count_as_many_as_they_are(
        (rate, at_once) in (10_000u32..1_000_000, prop_oneof![
            (1_000u32..2_000).prop_map(|burst| (burst, 4)),
            (4_096u32..6_000).prop_map(|burst| (burst, 16)),
            (16_384u32..20_000).prop_map(|burst| (burst, 64)),
        ]).prop_map(|(rate, (burst, at_once))| (Rate::new(rate, burst), at_once)),
        per_interval in 2u64..10,
        dice in any::<u64>(),
    ) {
        let (cell, line) = (AtomicU64::new(0), line());
        let mut chances = chances(dice);
        let (mut by_cell, mut by_line) = (0, 0);
        let span = 4 * rate.burst() / per_interval * per_interval;
        for number in 0..span * per_interval {
            let now = 1_000_000_000 + number * rate.interval_ns / per_interval;
            let chance = chances();
            let packets = packets(chance, &rate, rate.tolerance_ns);
            by_cell += u64::from(fill(&rate, &&cell, Standing::Proven, packets, now));
            by_line += u64::from(admit(&rate, &line, 7, chance, now));
        }
        let wanted = (rate.burst() + span) as f64;
        // In a bucket that nobody used so far, eight times as many are put in at first.
        let first = 8.0 * f64::from(at_once);
        let variance = f64::from(at_once) * wanted + first * rate.burst() as f64 / 8.0;
        let deviation = 6.0 * variance.sqrt() + first;
        for granted in [by_cell, by_line] {
            prop_assert!((granted as f64 - wanted).abs() < deviation, "{granted} of {wanted}");
        }
    }

    /// More sources than a line has slots: they take each other's, and the bound holds for every one.
    #[test]
    fn a_crowded_line_grants_nobody_more(rate in rates(), packets in vec((0usize..20, 0u64..2_000_000), 1..800)) {
        let line = line();
        let mut granted = [const { Vec::new() }; 20];
        let mut now = 1_000_000_000;
        for (number, pause) in packets {
            now += pause;
            if admit(&rate, &line, number as u64, 0, now) {
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
            prop_assert!(limit::admit(&rate, &&cell, 1, now));
            prop_assert!(admit(&rate, &line, 7, 0, now));
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
                    admit(&rate, &line, flooder, 0, now);
                }
            }
            prop_assert!(admit(&rate, &line, 99, 0, now));
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
        limit::admit(&rate, &&a, 1, now);
        admit(&rate, &std::array::from_fn(|slot| AtomicU64::new(b << slot)), b % 256, 0, now);
        for standing in STANDINGS {
            fill(&rate, &&a, standing, 1, now);
        }
    }
}
