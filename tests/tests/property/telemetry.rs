//! Telemetry: estimates err no more than they say, whatever the sources and the seed; bounds of heavy sources hold.

use std::collections::HashMap;

use netguard::engine::{
    sketch::{DISTINCT_ERROR, distinct, estimate, heavy},
    traffic::compare,
};
use netguard_common::{
    decide,
    layout::Settings,
    limit::source_key,
    memory::Memory,
    packet::{Address, Family},
    shared::Field as _,
    telemetry::{EIGHTH, EXACT, Sketch, Telemetry, back, heavy_buckets, source_hash},
    view::SliceView,
};
use netguard_tests::frames::frame;
use proptest::{collection::vec, prelude::*};

/// A packet of nine bytes from each of these IPv4 sources in turn, as one CPU with this seed counts them.
fn counted(seed: u64, sources: impl Iterator<Item = u32>) -> Memory {
    let mut settings = Settings {
        seed,
        ..Settings::ZERO
    };
    settings.telemetry.on = 1;
    let memory = Memory::new(settings);
    let mut bytes = frame()
        .ipv4("192.0.2.1", "198.51.100.1")
        .udp(1234, 443)
        .payload(9)
        .build();
    for source in sources {
        bytes[26..30].copy_from_slice(&source.to_be_bytes());
        decide(&SliceView(&bytes), &memory);
    }
    memory
}

fn sketch(memory: &Memory) -> [Sketch; 1] {
    [**memory.sketches[0].borrow()]
}

fn key(source: u32) -> u64 {
    source_key(Family::V4, Address::v4(source.to_be_bytes()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Five standard errors: one case in a million may fail.
    #[test]
    fn distinct_sources_are_told_within_the_error(
        seed in any::<u64>(),
        start in any::<u32>(),
        step in prop_oneof![Just(1u32), Just(256), any::<u32>().prop_map(|step| step | 1)],
        count in prop_oneof![0u32..50, 50u32..5_000, 5_000u32..60_000],
    ) {
        let memory = counted(seed, (0..count).map(|index| start.wrapping_add(index.wrapping_mul(step))));
        let told = distinct(&sketch(&memory));
        let count = f64::from(count);
        prop_assert!((told - count).abs() <= 5.0 * DISTINCT_ERROR * count + 0.5, "{told} for {count}");
    }

    /// However they are spread over CPUs: what a source certainly sent is no more than it did, what it sent at most no less.
    #[test]
    fn bounds_of_heavy_sources_hold(
        seed in any::<u64>(),
        packets in vec((0usize..3, prop_oneof![2 => 0u64..4, 3 => 0u64..5_000]), 1..4_000),
    ) {
        let mut sketches = [Sketch::ZERO; 3];
        let mut sent: HashMap<u64, u64> = HashMap::new();
        for (cpu, key) in &packets {
            let [first, second] = heavy_buckets(source_hash(*key, seed));
            let sketch = &mut sketches[*cpu];
            sketch.seen += 1;
            back(&mut sketch.heavy[0][first], *key, 1);
            back(&mut sketch.heavy[1][second], *key, 1);
            *sent.entry(*key).or_default() += 1;
        }
        for (key, sent) in &sent {
            let told = estimate(&sketches, *key, seed);
            prop_assert!(told.at_least <= *sent && *sent <= told.at_most, "{told:?} for {sent}");
        }
        // Who sent most of all packets is found, and nobody is made up.
        let told = heavy(&sketches, seed);
        if let Some((key, _)) = sent.iter().find(|(_, sent)| **sent * 2 > packets.len() as u64) {
            prop_assert_eq!(told[0].key, *key);
        }
        prop_assert!(told.iter().all(|source| sent.contains_key(&source.key) || source.at_least == 0));
    }

    /// A source among many others, at a rate at which packets are chosen by chance: five standard deviations.
    #[test]
    fn sampling_keeps_counts_unbiased(seed in any::<u64>(), part in 2u32..12) {
        const PACKETS: u32 = 150_000;
        const HEAVY: u32 = 0x0a00_0001;
        let own = |index: &u32| index.is_multiple_of(part);
        let memory = counted(seed, (0..PACKETS).map(|index| if own(&index) { HEAVY } else { index.wrapping_mul(0x9e37_79b9) }));
        let sent = f64::from((0..PACKETS).filter(own).count() as u32);
        let told = estimate(&sketch(&memory), key(HEAVY), seed);
        let deviation = (f64::from(EIGHTH - 1) * sent).sqrt();
        // Others in its bucket add to what it sent at most.
        let others = f64::from(PACKETS) / 100.0;
        prop_assert!(told.at_least as f64 <= sent + 5.0 * deviation, "{told:?} for {sent}");
        prop_assert!(told.at_most as f64 >= sent - 5.0 * deviation, "{told:?} for {sent}");
        prop_assert!((told.at_most - told.at_least) as f64 <= others, "{told:?} for {sent}");

        let counted = **memory.telemetry.borrow();
        let sum: u64 = counted.source.iter().copied().map(u64::from).sum();
        let spread = 5.0 * (f64::from(EIGHTH - 1) * f64::from(PACKETS)).sqrt();
        prop_assert!((sum as f64 - f64::from(PACKETS)).abs() < spread, "{sum}");
        let exact: u64 = counted.traffic.iter().flatten().map(|kind| kind.packets).sum();
        prop_assert_eq!((exact, counted.services[0].packets), (u64::from(PACKETS), u64::from(PACKETS)));
    }

    /// As many networks as there are, evenly: the bits that this makes, less what sharing buckets costs.
    #[test]
    fn entropies_are_what_was_sent(seed in any::<u64>(), networks in 1u32..300) {
        let packets = 3 * EXACT as u32;
        let memory = counted(seed, (0..packets).map(|index| 0x0a00_0001 + ((index % networks) << 8)));
        let window = compare(&Telemetry::ZERO, &memory.telemetry.borrow(), 1_000_000_000);
        let sent = f64::from(networks).log2();
        // On average a bit for each 1024 networks.
        let lost = 3.0 * f64::from(networks) / 1024.0 + 0.25;
        prop_assert!(window.source.bits <= sent + 0.05 && window.source.bits >= sent - lost, "{:?} for {sent}", window.source);
        for same in [window.source_port, window.destination_port, window.size, window.ttl] {
            prop_assert!(same.bits < 0.01, "{same:?}");
        }
    }
}
