//! Rules and limits in the kernel: which table answers, who wins, and that no encapsulation slips by.

use netguard_common::{
    Verdict,
    layout::{CLASSES, Mode, Rate},
};
use netguard_tests::{
    frames::{Frame, frame},
    world::{DISTANT, EXPIRED, World},
};

use super::{judge, kernel};

fn udp_v4(source: &str) -> Frame {
    frame().ipv4(source, "198.51.100.1").udp(1, 2)
}

fn udp_v6(source: &str) -> Frame {
    frame().ipv6(source, "2001:db8:1::1").udp(1, 2)
}

/// The verdict that the kernel gives one frame in `world`.
fn verdict(world: &World, frame: Frame) -> Verdict {
    judge(
        &kernel(world).program("netguard_judge").expect("it loads"),
        &frame.build(),
    )
    .verdict
}

#[test]
fn rules_of_every_kind() {
    for (rule, source, expected) in [
        ("192.0.2.66", "192.0.2.66", Verdict::BlockAddress),
        ("192.0.2.66", "192.0.2.67", Verdict::Pass),
        ("192.0.2.0/24", "192.0.2.255", Verdict::BlockPrefix),
        ("192.0.2.0/24", "192.0.3.0", Verdict::Pass),
        ("128.0.0.0/1", "255.0.0.1", Verdict::MartianSource),
        ("2001:db8::66", "2001:db8::66", Verdict::BlockAddress),
        ("2001:db8::66", "2001:db8::67", Verdict::Pass),
        ("2001:db8:0:7::/64", "2001:db8:0:7:ffff::1", Verdict::BlockAddress),
        ("2001:db8:0:7::/64", "2001:db8:0:8::1", Verdict::Pass),
        ("2001:db8::/36", "2001:db8:fff:1::1", Verdict::BlockPrefix),
        ("2001:db8::/36", "2001:db8:1000::1", Verdict::Pass),
        ("2001:db8::/127", "2001:db8::1", Verdict::BlockPrefix),
    ] {
        let frame = if source.contains(':') {
            udp_v6(source)
        } else {
            udp_v4(source)
        };
        assert_eq!(
            verdict(&World::new().block(rule), frame),
            expected,
            "{source} against {rule}"
        );
    }
}

/// Found in review: what could not be followed was passed before the blocklist was asked.
#[test]
fn faulty_headers_do_not_hide_a_blocked_source() {
    let mut deep = frame().ipv6("2001:db8::66", "2001:db8:1::1");
    for _ in 0..9 {
        deep = deep.dest_options();
    }
    let v4 = || frame().ipv4("192.0.2.66", "198.51.100.1");
    let faulty = [
        v4().udp(1, 2).udp_len(7),
        v4().udp(1, 2).total_len(2_000),
        v4().tcp(1, 2).flags("A").doff(4),
        v4().fragment(0, true).udp(1, 2).truncate(38),
        deep.udp(1, 2),
    ];
    for frame in faulty {
        let world = World::new().block("192.0.2.66").block("2001:db8::66");
        let in_sanity = |mode| world.clone().in_modes([mode, Mode::Enforce, Mode::Enforce]);
        assert_ne!(
            verdict(&in_sanity(Mode::Enforce), frame.clone()),
            Verdict::BlockAddress
        );
        for mode in [Mode::Off, Mode::Shadow] {
            assert_eq!(
                verdict(&in_sanity(mode), frame.clone()),
                Verdict::BlockAddress,
                "{mode:?}"
            );
        }
    }
}

#[test]
fn a_detectors_block_spares_existing_connections() {
    let flooder = World::new()
        .block_flooder("192.0.2.66")
        .block_flooder("2001:db8::/64");
    let v4 = || frame().ipv4("192.0.2.66", "198.51.100.1");
    let v6 = || frame().ipv6("2001:db8::66", "2001:db8:1::1");
    for flags in ["A", "PA", "FA", "R", "SA"] {
        assert_eq!(
            verdict(&flooder, v4().tcp(1, 2).flags(flags)),
            Verdict::Pass,
            "{flags}"
        );
        assert_eq!(
            verdict(&flooder, v6().tcp(1, 2).flags(flags)),
            Verdict::Pass,
            "{flags}"
        );
    }
    for refused in [
        v4().tcp(1, 2).flags("S"),
        v4().udp(1, 2),
        v6().icmp6(128, 0),
        v6().tcp(1, 2).flags("S"),
    ] {
        assert_eq!(verdict(&flooder, refused), Verdict::BlockAddress);
    }
    let operators = World::new().block("192.0.2.66");
    assert_eq!(
        verdict(&operators, v4().tcp(1, 2).flags("A")),
        Verdict::BlockAddress
    );
}

#[test]
fn allow_wins_and_ended_rules_do_nothing() {
    let blocked = World::new().block("192.0.2.66").block("2001:db8::/32");
    assert_eq!(
        verdict(&blocked.clone().allow("192.0.2.64/29"), udp_v4("192.0.2.66")),
        Verdict::PassAllow
    );
    assert_eq!(
        verdict(&blocked.clone().allow("2001:db8::1"), udp_v6("2001:db8::1")),
        Verdict::PassAllow
    );
    let ended = blocked.allow_until("192.0.2.66", EXPIRED);
    assert_eq!(verdict(&ended, udp_v4("192.0.2.66")), Verdict::BlockAddress);
    assert_eq!(
        verdict(
            &World::new().block_until("192.0.2.66", EXPIRED),
            udp_v4("192.0.2.66")
        ),
        Verdict::Pass
    );
    assert_eq!(
        verdict(
            &World::new().block_until("192.0.2.66", DISTANT),
            udp_v4("192.0.2.66")
        ),
        Verdict::BlockAddress
    );
}

#[test]
fn no_encapsulation_slips_by() {
    let world = World::new().block("192.0.2.66").block("2001:db8:bad::/48");
    let (v4, v6) = ("192.0.2.66", "2001:db8:bad::1");
    let d = ("198.51.100.1", "2001:db8:1::1");
    let frames = [
        frame().vlan(7).ipv4(v4, d.0).udp(1, 2),
        frame().qinq(7, 8).ipv4(v4, d.0).tcp(1, 2).flags("S"),
        frame().qinq(7, 8).vlan(9).ipv4(v4, d.0).icmp(8, 0),
        frame().ipv4(v4, d.0).ip_options(&[1; 40]).udp(1, 2),
        frame()
            .ipv4(v4, d.0)
            .fragment(1480, false)
            .protocol(17)
            .payload(64),
        frame().ipv4(v4, d.0).protocol(47).payload(64),
        frame().vlan(7).ipv6(v6, d.1).udp(1, 2),
        frame()
            .ipv6(v6, d.1)
            .hop_by_hop()
            .dest_options()
            .tcp(1, 2)
            .flags("A"),
        frame()
            .ipv6(v6, d.1)
            .fragment(1448, true)
            .protocol(17)
            .payload(64),
        frame().ipv6(v6, d.1).protocol(59),
    ];
    for frame in frames {
        let verdict = verdict(&world, frame.clone());
        assert!(
            matches!(verdict, Verdict::BlockAddress | Verdict::BlockPrefix),
            "{verdict:?} for {frame:?}"
        );
    }
}

#[test]
fn control_messages_of_a_blocked_neighbour_pass() {
    let world = World::new().block("2001:db8::1").block("192.0.2.66");
    let nd = frame()
        .ipv6("2001:db8::1", "ff02::1")
        .ttl(255)
        .icmp6(135, 0)
        .payload(16);
    assert_eq!(verdict(&world, nd), Verdict::PassControl);
    let mtu = frame().ipv4("192.0.2.66", "198.51.100.1").icmp(3, 4).payload(28);
    assert_eq!(verdict(&world, mtu), Verdict::PassControl);
}

#[test]
fn a_burst_passes_then_the_limit_holds_and_classes_are_apart() {
    // One packet an hour: the clock of the kernel cannot matter.
    let hourly = Rate {
        interval_ns: 3_600_000_000_000,
        tolerance_ns: 10 * 3_600_000_000_000,
    };
    let world = World::new().limits([hourly; CLASSES]);
    let mut object = kernel(&world);
    let program = object.program("netguard_judge").expect("it loads");
    let passed = |frame: Frame| {
        let frame = frame.build();
        (0..25)
            .filter(|_| judge(&program, &frame).verdict.action() == netguard_common::Action::Pass)
            .count()
    };
    let v4 = || frame().ipv4("192.0.2.1", "198.51.100.1");
    assert_eq!(passed(v4().udp(1, 2)), 10);
    assert_eq!(passed(v4().udp(3, 4)), 0, "other ports, the same source");
    assert_eq!(passed(v4().tcp(1, 2).flags("S")), 10, "another class");
    assert_eq!(
        passed(v4().tcp(1, 2).flags("A")),
        25,
        "established traffic is not limited"
    );
    assert_eq!(passed(v4().icmp(8, 0)), 10);
    assert_eq!(
        passed(v4().icmp(3, 4).payload(28)),
        10,
        "control messages have a cap of their own"
    );
    assert_eq!(passed(udp_v4("192.0.2.2")), 10, "another source");
    assert_eq!(passed(udp_v6("2001:db8::1")), 10);
    assert_eq!(passed(udp_v6("2001:db8::ffff")), 0, "an IPv6 /64 is one source");
    assert_eq!(
        passed(frame().vlan(7).ipv6("2001:db8:0:1::1", "2001:db8:1::1").udp(1, 2)),
        10
    );
}
