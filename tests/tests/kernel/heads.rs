//! Heads: the kernel tells the beginning of packets as they arrived, those that passed and those that did not; and counts those that found the
//! ring buffer full.

use netguard::bpf::{Counters, Heads, ROOM_FOR_TIME, SettingsMap};
use netguard_common::{
    Verdict,
    head::{HEAD_LEN, Head},
    maps::HEADS_BYTES,
};
use netguard_tests::{frames::frame, world::World};

use super::{ending::with_instance, kernel};

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

/// Nobody takes them, and each is told that is due: as many as find room, and the others are counted.
#[test]
fn a_full_ring_buffer_is_counted() {
    // A budget of 128 a second allows each eighth packet then.
    const BETWEEN_NS: u64 = 2_000_000;
    const ONE_IN: usize = 8;
    // Each record has a header of eight bytes.
    let fits = HEADS_BYTES / (size_of::<Head>() + 8);
    let frames = [
        frame().ipv4("192.0.2.1", "198.51.100.1").udp(1, 2).build(),
        frame().ipv6("2001:db8::1", "2001:db8:1::1").udp(1, 2).build(),
    ];
    with_instance("heads", |_, instance, judge| {
        netguard_tests::pin_to_cpu(0).expect("this thread can be pinned");
        let mut settings = SettingsMap::open(&instance.0).expect("settings are pinned");
        let mut telling = settings.read().expect("settings");
        telling.telemetry.on = 1;
        settings.write(&telling).expect("they can be written");
        let counters = Counters::open(&instance.0).expect("counters are pinned");
        let mut heads = Heads::open(&instance.0).expect("the ring buffer is pinned");
        let ready = judge.ready().expect("the program is loaded");
        let mut now_ns = 1 << 40;
        let mut pass = |packets: usize| {
            for frame in frames.iter().cycle().take(packets) {
                let mut bytes = vec![0; ROOM_FOR_TIME];
                bytes.extend(frame);
                now_ns += BETWEEN_NS;
                ready.judge(&mut bytes, now_ns).expect("it is judged");
            }
            counters.sampler().expect("the sampler can be read").heads_lost as usize
        };
        assert_eq!(pass(ONE_IN * 100), 0, "there is room");
        let lost = pass(ONE_IN * fits);
        let told = heads.drain(usize::MAX).len();
        assert!((99..=101).contains(&lost), "{lost} of {fits}");
        assert!((fits - 1..=fits).contains(&told), "{told} of {fits}");
        // What was taken makes room.
        assert_eq!(pass(ONE_IN * 100), lost);
        assert!((99..=101).contains(&heads.drain(usize::MAX).len()));
    });
}
