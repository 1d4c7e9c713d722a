//! Heads: the kernel tells the beginning of packets as they arrived, those that passed and those that did not.

use netguard_common::{
    Verdict,
    head::{HEAD_LEN, Head},
};
use netguard_tests::{frames::frame, world::World};

use super::kernel;

#[test]
fn heads_are_the_beginning_of_what_arrived() {
    // Every CPU has a budget of its own.
    netguard_tests::pin_to_cpu(0).expect("this thread can be pinned");
    let mut world = World::new();
    world.settings.telemetry.on = 1;
    let mut object = kernel(&world);
    let honest = frame()
        .vlan(7)
        .ipv4("192.0.2.1", "198.51.100.1")
        .tcp(1234, 80)
        .flags("PA")
        .payload(900)
        .build();
    let forged = frame()
        .ipv6("2001:db8::7", "2001:db8::1")
        .tcp(1, 80)
        .flags("SF")
        .build();
    for frame in [&honest, &forged] {
        let program = object.program("netguard_xdp").expect("it loads");
        program.run(frame, 800).expect("it runs");
    }
    let heads = object.heads().expect("the ring buffer can be read");
    let (passed, refused): (Vec<&Head>, Vec<&Head>) = heads
        .iter()
        .partition(|head| u32::from(head.verdict) == Verdict::Pass.number());
    // One in eight of 800, and the packets of the other kind shift whose turn it is by less than one.
    assert!((99..=101).contains(&passed.len()) && (99..=101).contains(&refused.len()));
    for (heads, frame, verdict) in [
        (passed, &honest, Verdict::Pass),
        (refused, &forged, Verdict::TcpSynFin),
    ] {
        for head in heads {
            let captured = frame.len().min(HEAD_LEN);
            assert_eq!(head.bytes[..captured], frame[..captured]);
            assert_eq!(
                (head.frame_len as usize, usize::from(head.captured), head.shadow),
                (frame.len(), captured, 0)
            );
            assert!(u32::from(head.verdict) == verdict.number() && head.at_ns > 0);
        }
    }
}
