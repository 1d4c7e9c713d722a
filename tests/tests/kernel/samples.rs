//! Samples: what they tell, how they are weighted, and that a full ring buffer is counted.

use netguard_common::{
    Verdict,
    layout::Rate,
    maps::{SAMPLE_SIZE, SAMPLES_BYTES},
    packet::{TcpFlags, mapped},
};
use netguard_tests::{frames::frame, world::World};

use super::kernel;

/// A world that samples every dropped packet.
fn sampling(world: World) -> World {
    let mut world = world;
    world.settings.sample = Rate {
        interval_ns: 1,
        tolerance_ns: u64::MAX / 2,
    };
    world
}

#[test]
fn a_sample_tells_what_was_dropped() {
    let world = sampling(World::new().block("192.0.2.66").block("2001:db8::66"));
    let mut object = kernel(&world);
    let syn = frame()
        .vlan(7)
        .ipv4("192.0.2.66", "198.51.100.1")
        .ttl(33)
        .tcp(1234, 80)
        .flags("S")
        .build();
    let ping = frame()
        .ipv6("2001:db8::66", "2001:db8:1::1")
        .icmp6(128, 0)
        .payload(8)
        .build();
    let pass = frame().ipv4("192.0.2.1", "198.51.100.1").udp(1, 2).build();
    for frame in [&syn, &ping, &pass] {
        object
            .program("netguard_xdp")
            .expect("it loads")
            .run(frame, 1)
            .expect("it runs");
    }
    let samples = object.samples().expect("the ring buffer can be read");
    let [first, second] = samples.as_slice() else {
        panic!("two packets were dropped, {} samples came", samples.len());
    };
    assert_eq!(
        (first.source, first.destination),
        (mapped([192, 0, 2, 66]), mapped([198, 51, 100, 1]))
    );
    assert_eq!(
        (first.source_port, first.destination_port, first.protocol),
        (1234, 80, 6)
    );
    assert_eq!(
        (first.tcp_flags, first.hop_limit, first.frame_len),
        (TcpFlags::SYN, 33, syn.len() as u32)
    );
    assert_eq!(
        (u32::from(first.verdict), first.shadow, first.weight),
        (Verdict::BlockAddress.number(), 0, 1)
    );
    assert_eq!(
        (second.protocol, second.icmp_type, second.source[..4].to_vec()),
        (58, 128, vec![0x20, 1, 0x0d, 0xb8])
    );
    assert!(second.at_ns >= first.at_ns && first.at_ns > 0);
}

#[test]
fn what_is_not_sampled_is_weighed() {
    let mut world = World::new().block("192.0.2.66");
    // Every CPU has a budget of its own.
    netguard_tests::pin_to_cpu(0).expect("this thread can be pinned");
    // Two samples at once, then none for an hour.
    const HOUR: u64 = 3_600_000_000_000;
    world.settings.sample = Rate {
        interval_ns: HOUR,
        tolerance_ns: 2 * HOUR,
    };
    let mut object = kernel(&world);
    let frame = frame().ipv4("192.0.2.66", "198.51.100.1").udp(1, 2).build();
    object
        .program("netguard_xdp")
        .expect("it loads")
        .run(&frame, 50)
        .expect("it runs");
    let samples = object.samples().expect("the ring buffer can be read");
    assert_eq!(
        samples.iter().map(|sample| sample.weight).collect::<Vec<_>>(),
        [1, 1]
    );
    // The budget opens again: a sample soon stands for all that were passed over.
    world.settings.sample = Rate {
        interval_ns: 1,
        tolerance_ns: u64::MAX / 2,
    };
    object
        .write_settings(&world.settings)
        .expect("settings can be written");
    object
        .program("netguard_xdp")
        .expect("it loads")
        .run(&frame, 8)
        .expect("it runs");
    let samples = object.samples().expect("the ring buffer can be read");
    let weights: Vec<u32> = samples.iter().map(|sample| sample.weight).collect();
    assert_eq!(weights, [56]);
}

#[test]
fn a_full_ring_buffer_is_counted() {
    let world = sampling(World::new().block("192.0.2.66"));
    let mut object = kernel(&world);
    let counters = object.take_counters().expect("the object has counters");
    let frame = frame().ipv4("192.0.2.66", "198.51.100.1").udp(1, 2).build();
    // Each record has a header of eight bytes.
    let fits = SAMPLES_BYTES / (SAMPLE_SIZE + 8);
    let runs = fits as u32 + 100;
    object
        .program("netguard_xdp")
        .expect("it loads")
        .run(&frame, runs)
        .expect("it runs");
    let sampler = counters.sampler().expect("the sampler can be read");
    assert!(
        sampler.lost > 0 && sampler.sent + sampler.lost <= u64::from(runs),
        "{sampler:?}"
    );
    assert_eq!(
        object.samples().expect("the ring buffer can be read").len() as u64,
        sampler.sent
    );
}
