//! Limits of many sources together in the kernel: prefixes, services, and what a service knows about its clients.

use std::{
    thread,
    time::{Duration, Instant},
};

use netguard::bpf::ProgramUnderTest;
use netguard_common::{
    Action, Verdict,
    layout::{CLASSES, Rate},
    limit::Class,
};
use netguard_tests::{frames::frame, world::World};

use super::{judge, kernel};

/// Where the source begins in an IPv4 frame without tags.
const SOURCE_AT: usize = 26;

fn datagram(source: &str) -> Vec<u8> {
    frame().ipv4(source, "198.51.100.1").udp(4321, 53).build()
}

fn passed(program: &ProgramUnderTest<'_>, frame: &[u8], count: usize) -> usize {
    (0..count)
        .filter(|_| judge(program, frame).verdict.action() == Action::Pass)
        .count()
}

/// One packet an hour: the clock of the kernel cannot matter.
fn hourly(burst: u64) -> Rate {
    const HOUR: u64 = 3_600_000_000_000;
    Rate {
        interval_ns: HOUR,
        tolerance_ns: burst * HOUR,
    }
}

#[test]
fn a_prefix_and_a_service_are_limited_under_their_own_verdicts() {
    let mut world = World::new();
    world.settings.levels.prefix[Class::Udp as usize] = hourly(10);
    world.settings.levels.service_udp = hourly(48);
    let mut object = kernel(&world);
    let program = object.program("netguard_judge").expect("it loads");
    assert_eq!(passed(&program, &datagram("192.0.2.1"), 20), 10);
    assert_eq!(
        judge(&program, &datagram("192.0.2.200")).verdict,
        Verdict::LimitPrefix
    );
    // Strangers fill a quarter of the bucket: two more.
    assert_eq!(passed(&program, &datagram("203.0.113.1"), 20), 2);
    assert_eq!(
        judge(&program, &datagram("198.18.0.1")).verdict,
        Verdict::LimitService
    );
    let v6 = |source: &str, port| frame().ipv6(source, "2001:db8:1::1").udp(9, port).build();
    assert_eq!(passed(&program, &v6("2001:db8:5:1::1", 54), 20), 10);
    assert_eq!(
        judge(&program, &v6("2001:db8:5:ffff::1", 54)).verdict,
        Verdict::LimitPrefix
    );
}

#[test]
fn other_protocols_have_a_limit_of_their_own() {
    let mut world = World::new();
    world.settings.limits[Class::Other as usize] = hourly(5);
    let mut object = kernel(&world);
    let program = object.program("netguard_judge").expect("it loads");
    let gre = frame()
        .ipv4("192.0.2.1", "198.51.100.1")
        .protocol(47)
        .payload(40)
        .build();
    assert_eq!(passed(&program, &gre, 20), 5);
    assert_eq!(judge(&program, &gre).verdict, Verdict::LimitOther);
    assert_eq!(passed(&program, &datagram("192.0.2.1"), 20), 20);
}

/// Each family, and none of the neighbours; what a throttled source may send at once and later are both divided.
#[test]
fn a_throttled_source_has_a_part_of_its_limit() {
    let mut world = World::new()
        .throttled("192.0.2.1", 4)
        .throttled("2001:db8:5::1", 6);
    world.settings.limits = [hourly(60); CLASSES];
    let mut object = kernel(&world);
    let program = object.program("netguard_judge").expect("it loads");
    let v6 = |source: &str| frame().ipv6(source, "2001:db8:1::1").udp(9, 53).build();
    for (datagram, part, verdict) in [
        (datagram("192.0.2.1"), 15, Verdict::LimitUdp),
        (datagram("192.0.2.2"), 60, Verdict::LimitUdp),
        (v6("2001:db8:5::99"), 10, Verdict::LimitUdp),
        (v6("2001:db8:5:1::1"), 60, Verdict::LimitUdp),
    ] {
        assert_eq!(passed(&program, &datagram, 100), part);
        assert_eq!(judge(&program, &datagram).verdict, verdict);
    }
    // Each class by itself; path-MTU messages are never divided.
    let syn = frame()
        .ipv4("192.0.2.1", "198.51.100.1")
        .tcp(1, 80)
        .flags("S")
        .build();
    assert_eq!(passed(&program, &syn, 100), 15);
    let too_big = frame()
        .ipv4("192.0.2.1", "198.51.100.1")
        .icmp(3, 4)
        .payload(28)
        .build();
    assert_eq!(passed(&program, &too_big, 100), 60);
}

/// Each source sends one: together they are too many.
#[test]
fn icmp_has_a_limit_of_all_sources_together() {
    let mut world = World::new();
    world.settings.levels.service_icmp = hourly(48);
    let mut object = kernel(&world);
    let program = object.program("netguard_judge").expect("it loads");
    let pings = (1..=20).map(|host| {
        [
            frame()
                .ipv4(&format!("192.0.2.{host}"), "198.51.100.1")
                .icmp(8, 0),
            frame()
                .ipv6(&format!("2001:db8:a{host}::1"), "2001:db8:1::1")
                .icmp6(128, 0),
        ]
    });
    let pings: Vec<Vec<u8>> = pings.flatten().map(|ping| ping.payload(56).build()).collect();
    let through: usize = pings.iter().map(|ping| passed(&program, ping, 1)).sum();
    assert_eq!(through, 12, "strangers get a quarter of what may come at once");
    assert_eq!(judge(&program, &pings[0]).verdict, Verdict::LimitIcmpAll);
    assert_eq!(judge(&program, &pings[1]).verdict, Verdict::LimitIcmpAll);
    assert_eq!(passed(&program, &datagram("192.0.2.1"), 20), 20);
}

/// What a service knows survives ten million sources, more than 19 for each place that there is.
#[test]
fn known_sources_survive_a_flood_of_ten_million() {
    let mut world = World::new();
    world.settings.levels.service_udp = Rate::new(1_000, 1_000);
    let mut object = kernel(&world);
    let program = object.program("netguard_judge").expect("it loads");
    let good: Vec<_> = (1..=20)
        .map(|host| datagram(&format!("192.0.2.{host}")))
        .collect();
    // They come again after the time that makes a stranger a regular client.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(10) {
        assert!(good.iter().all(|frame| passed(&program, frame, 1) == 1));
        thread::park_timeout(Duration::from_millis(500));
    }
    let mut forged = datagram("0.0.0.0");
    let mut through = 0;
    let begin = Instant::now();
    for source in 0..10_000_000_u32 {
        let source = 0x0a00_0000 + source;
        forged[SOURCE_AT..SOURCE_AT + 4].copy_from_slice(&source.to_be_bytes());
        through += passed(&program, &forged, 1);
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("10,000,000 sources in {seconds:.1} s, {through} packets passed");
    assert!((through as f64) < 1_000.0 * seconds * 1.05 + 1_000.0 + 10_000_000.0 / 2_000.0);
    assert!(good.iter().all(|frame| passed(&program, frame, 5) == 5));
    forged[SOURCE_AT] = 11;
    assert!(passed(&program, &forged, 100) < 50, "who is not known is refused");
}
