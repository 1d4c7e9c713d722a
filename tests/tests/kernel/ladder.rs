//! Whom the upper rungs of the ladder spare: a service that takes nobody new, and a country that is held at a rate.

use netguard::clock::monotonic_ns;
use netguard_common::{Judgement, Verdict, decide, view::SliceView};
use netguard_tests::{
    frames::{Frame, frame},
    world::{World, held_country},
};

use super::{judge, kernel};

/// What host and kernel both make of `frame` in `world`.
fn judged(world: &World, frame: Frame) -> Verdict {
    let frame = frame.build();
    let mut object = kernel(world);
    let judgement: Judgement = judge(&object.program("netguard_judge").expect("it loads"), &frame);
    assert_eq!(
        decide(&SliceView(&frame), &world.memory(monotonic_ns())),
        judgement
    );
    judgement.verdict
}

fn syn(source: &str, flags: &str) -> Frame {
    let start = if source.contains(':') {
        frame().ipv6(source, "2001:db8:1::1")
    } else {
        frame().ipv4(source, "198.51.100.1")
    };
    start.tcp(1234, 80).flags(flags)
}

#[test]
fn a_service_that_takes_nobody_new_serves_who_has_proven_itself() {
    let world = || World::new().broken("tcp/80");
    for source in ["192.0.2.1", "2001:db8::1"] {
        assert_eq!(judged(&world(), syn(source, "S")), Verdict::Signature);
        assert_eq!(judged(&world().proven(source), syn(source, "S")), Verdict::Pass);
        assert_eq!(
            judged(&world().allow(source), syn(source, "S")),
            Verdict::PassAllow
        );
        // What opens nothing goes on, whosever it is: a cookie that is returned, too.
        for flags in ["A", "PA", "SA", "R"] {
            assert_eq!(judged(&world(), syn(source, flags)), Verdict::Pass, "{flags}");
        }
    }
    let other = frame()
        .ipv4("192.0.2.1", "198.51.100.1")
        .tcp(1234, 443)
        .flags("S");
    assert_eq!(judged(&world(), other), Verdict::Pass);
    let udp = World::new().broken("udp/53");
    let query = || {
        frame()
            .ipv4("192.0.2.1", "198.51.100.1")
            .udp(1234, 53)
            .payload(30)
    };
    assert_eq!(judged(&udp, query()), Verdict::Signature);
    assert_eq!(judged(&udp.proven("192.0.2.1"), query()), Verdict::Pass);
}

#[test]
fn a_country_that_is_held_lets_pass_who_has_proven_itself() {
    for (country, source) in [("192.0.2.0/24", "192.0.2.1"), ("2001:db8::/48", "2001:db8::1")] {
        let world = || World::new().list(held_country(), &[country]);
        for flags in ["S", "PA"] {
            assert_eq!(
                judged(&world(), syn(source, flags)),
                Verdict::LimitCountry,
                "{flags}"
            );
            assert_eq!(judged(&world().proven(source), syn(source, flags)), Verdict::Pass);
        }
    }
}
