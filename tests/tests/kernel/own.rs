//! Packets in the name of this machine: refused, but for what might be another's.

use netguard_common::{Verdict, decide, layout::Mode, view::SliceView};
use netguard_tests::{
    frames::{Frame, frame},
    world::World,
};

use super::{judge, kernel};

const OWN: [&str; 4] = ["203.0.113.10", "2001:db8:3::10", "fe80::10", "169.254.1.1"];

fn world() -> World {
    OWN.into_iter().fold(World::new(), World::own)
}

fn from(source: &str) -> Frame {
    if source.contains(':') {
        frame().ipv6(source, "2001:db8:3::99")
    } else {
        frame().ipv4(source, "203.0.113.99")
    }
}

/// What host and kernel both make of `frame` in `world`.
fn verdict(world: &World, frame: Frame) -> Verdict {
    let frame = frame.build();
    let mut object = kernel(world);
    let judgement = judge(&object.program("netguard_judge").expect("it loads"), &frame);
    assert_eq!(decide(&SliceView(&frame), &world.memory(1)), judgement);
    judgement.verdict
}

#[test]
fn own_sources_are_refused_and_neighbours_are_not() {
    let world = world();
    for source in &OWN[..2] {
        assert_eq!(verdict(&world, from(source).udp(1, 2)), Verdict::OwnSource);
        assert_eq!(
            verdict(&world, from(source).tcp(1, 2).flags("S")),
            Verdict::OwnSource
        );
    }
    for neighbour in ["203.0.113.11", "2001:db8:3::11"] {
        assert_eq!(verdict(&world, from(neighbour).udp(1, 2)), Verdict::Pass);
    }
}

#[test]
fn what_may_be_right_is_spared() {
    let world = world();
    for source in &OWN[2..] {
        assert_eq!(verdict(&world, from(source).udp(1, 2)), Verdict::Pass, "{source}");
    }
    // Another host that has our address, or looks for one.
    let advertisement = || from("2001:db8:3::10").ttl(255).icmp6(136, 0).payload(16);
    assert_eq!(verdict(&world, advertisement()), Verdict::PassControl);
    let detection = frame()
        .ipv6("::", "ff02::1:ff00:10")
        .ttl(255)
        .icmp6(135, 0)
        .payload(16);
    assert_eq!(verdict(&world, detection), Verdict::PassControl);
    let allowed = world.clone().allow("203.0.113.10");
    assert_eq!(
        verdict(&allowed, from("203.0.113.10").udp(1, 2)),
        Verdict::PassAllow
    );
    let off = world.in_modes([Mode::Off, Mode::Enforce, Mode::Enforce]);
    assert_eq!(verdict(&off, from("203.0.113.10").udp(1, 2)), Verdict::Pass);
}
