//! Signatures: each field, whatever stands before it in the frame; ports that are not flagged; what is spared.

use netguard::clock::monotonic_ns;
use netguard_common::{Judgement, Verdict, decide, layout::Mode, view::SliceView};
use netguard_tests::{
    frames::{Frame, frame},
    world::{EXPIRED, PERMANENT, World},
};

use super::{judge, kernel};

/// What host and kernel both make of `frame` in `world`.
fn judged(world: &World, frame: Frame) -> Judgement {
    let frame = frame.build();
    let mut object = kernel(world);
    let judgement = judge(&object.program("netguard_judge").expect("it loads"), &frame);
    assert_eq!(
        decide(&SliceView(&frame), &world.memory(monotonic_ns())),
        judgement
    );
    judgement
}

fn fits(frame: Frame, conditions: &[&str]) -> bool {
    let world = World::new().signature(Mode::Enforce, PERMANENT, conditions);
    judged(&world, frame).verdict == Verdict::Signature
}

fn syn() -> Frame {
    let ip = frame()
        .ipv4("192.0.2.1", "198.51.100.1")
        .ttl(57)
        .tos(8)
        .dont_fragment();
    ip.tcp(1234, 80).flags("SP").seq(7).ack(9).data(b"attack")
}

fn query() -> Frame {
    let ip = frame()
        .qinq(5, 6)
        .ipv6("2001:db8::1", "2001:db8:1::1")
        .ttl(57)
        .tos(8);
    ip.hop_by_hop().udp(1234, 53).payload(40)
}

#[test]
fn every_field_is_read() {
    for condition in [
        "family=4",
        "protocol=tcp",
        "ttl=57",
        "flags=SP",
        "tos=8",
        "df=1",
        "fragment=0",
        "length=46",
        "id=1",
        "source-port=1234",
        "port=80",
        "window=64240",
        "payload-length=6",
        "sequence=7",
        "acknowledgement=9",
        "header-length=20",
        "payload=61747461636b0000",
        "payload=0074/00ff",
        "ttl=0x31/0xf7",
        "icmp-type=0",
    ] {
        assert!(fits(syn(), &[condition]), "{condition}");
    }
    for condition in [
        "family=6",
        "protocol=udp",
        "ttl=57",
        "flags=0",
        "tos=8",
        "df=0",
        "length=96",
        "id=0",
        "source-port=1234",
        "port=53",
        "payload-length=40",
        "window=0",
        "payload=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    ] {
        assert!(fits(query(), &[condition]), "{condition}");
    }
    for condition in [
        "family=6",
        "ttl=58",
        "flags=S",
        "length=45",
        "payload=62",
        "port=81",
        "icmp-code=1",
    ] {
        assert!(!fits(syn(), &[condition]), "{condition}");
    }
    let ping = || frame().ipv4("192.0.2.1", "198.51.100.1").icmp(8, 0).payload(56);
    assert!(fits(
        ping(),
        &["icmp-type=8", "icmp-code=0", "payload-length=56", "payload=0001"]
    ));
    let padded = || {
        frame()
            .ipv4("192.0.2.1", "198.51.100.1")
            .udp(1, 2)
            .data(b"a")
            .pad(60)
    };
    assert!(fits(padded(), &["payload-length=1", "payload=6100"]));
}

#[test]
fn all_conditions_must_fit() {
    assert!(fits(syn(), &["ttl=57", "port=80"]));
    assert!(!fits(syn(), &["ttl=57", "port=443"]));
}

#[test]
fn the_last_of_32_signatures_counts_and_ended_ones_do_not() {
    let fill = |world: World| {
        (0..30).fold(world, |world, port| {
            world.signature(
                Mode::Enforce,
                PERMANENT,
                &["ttl=57", &format!("port={}", 1_000 + port)],
            )
        })
    };
    let full = fill(World::new())
        .signature(Mode::Enforce, EXPIRED, &["ttl=57"])
        .signature(Mode::Enforce, PERMANENT, &["ttl=57", "port=80"]);
    assert_eq!(judged(&full, syn()).verdict, Verdict::Signature);
    assert_eq!(
        judged(&full, query()).verdict,
        Verdict::Pass,
        "the one without a port has ended"
    );
}

#[test]
fn shadow_passes_and_control_messages_are_spared() {
    let shadow = World::new().signature(Mode::Shadow, PERMANENT, &["ttl=57"]);
    let judgement = judged(&shadow, syn());
    assert_eq!((judgement.verdict, judgement.shadow), (Verdict::Signature, true));
    let enforced = shadow.clone().signature(Mode::Enforce, PERMANENT, &["port=80"]);
    assert!(!judged(&enforced, syn()).shadow, "the one behind it is in force");
    let mut counted = enforced;
    counted.settings.suspicion.signatures = Mode::Shadow as u32;
    assert!(judged(&counted, syn()).shadow);
    counted.settings.suspicion.signatures = Mode::Off as u32;
    assert_eq!(judged(&counted, syn()).verdict, Verdict::Pass);
    let all = World::new()
        .signature(Mode::Enforce, PERMANENT, &["ttl=0/0"])
        .allow("192.0.2.1");
    let too_big = frame()
        .ipv6("2001:db8::1", "2001:db8:1::1")
        .icmp6(2, 0)
        .payload(48);
    assert_eq!(judged(&all, too_big).verdict, Verdict::PassControl);
    assert_eq!(judged(&all, syn()).verdict, Verdict::PassAllow);
    assert_eq!(judged(&all, query()).verdict, Verdict::Signature);
}
