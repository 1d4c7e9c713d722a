//! Telemetry: the kernel counts what the host counts, to the bit.

use netguard_common::{
    decide,
    layout::Mode,
    service::slot,
    shared::Field as _,
    telemetry::{EXACT, Sketch, Telemetry},
    view::SliceView,
};
use netguard_tests::world::{DISTANT, PERMANENT, World};

use super::{generated::Generated, judge, kernel};

/// So many that part of them is chosen by chance.
const FRAMES: u64 = 4 * EXACT;

#[test]
fn the_kernel_counts_what_the_host_counts() {
    // Every CPU counts by itself.
    netguard_tests::pin_to_cpu(0).expect("this thread can be pinned");
    let mut world = World::populated()
        .still_limits()
        .signature(Mode::Shadow, PERMANENT, &["ttl=128/0x80"])
        .signature(Mode::Enforce, DISTANT, &["protocol=udp", "payload=000102"]);
    world.settings.telemetry.on = 1;
    world.settings.telemetry.generation = 1;
    let frames = Generated::frames("telemetry");
    let seed = frames.seed();
    let mut object = kernel(&world);
    let mut telemetry = object.take_telemetry().expect("the object has telemetry");
    let watched: Vec<(u32, u8)> = [(6, 80, 1), (17, 53, 2), (17, 443, 255)]
        .into_iter()
        .filter_map(|(protocol, port, number)| Some((slot(protocol, port)?, number)))
        .collect();
    telemetry.watch(&watched).expect("services can be watched");
    let mut memory = world.memory(netguard::clock::monotonic_ns());
    memory.watched.extend(watched);

    let program = object.program("netguard_judge").expect("it loads");
    for frame in frames {
        assert_eq!(
            judge(&program, &frame),
            decide(&SliceView(&frame), &memory),
            "NETGUARD_SEED={seed}"
        );
        if memory.sketches[1].borrow().seen >= FRAMES {
            break;
        }
    }
    let host = Telemetry {
        dice: 0,
        ..**memory.telemetry.borrow()
    };
    assert!(
        *telemetry.read().expect("it can be read") == host,
        "NETGUARD_SEED={seed}"
    );
    for service in [0, 1, 2, 255] {
        assert!(host.services[service].packets > 0, "{service}");
    }
    let sketches = telemetry.sketches(1).expect("they can be read");
    let written: Vec<&Sketch> = sketches.iter().filter(|sketch| sketch.seen > 0).collect();
    assert!(
        written == [&**memory.sketches[1].borrow()],
        "NETGUARD_SEED={seed}"
    );
    let other = telemetry.sketches(0).expect("they can be read");
    assert!(other.iter().all(|sketch| *sketch == Sketch::ZERO));

    telemetry.empty(1).expect("it can be emptied");
    let emptied = telemetry.sketches(1).expect("they can be read");
    assert!(emptied.iter().all(|sketch| *sketch == Sketch::ZERO));
}

#[test]
fn off_counts_nothing() {
    let mut object = kernel(&World::new());
    let telemetry = object.take_telemetry().expect("the object has telemetry");
    let frame = netguard_tests::frames::frame()
        .ipv4("192.0.2.1", "198.51.100.1")
        .udp(1, 2)
        .build();
    judge(&object.program("netguard_judge").expect("it loads"), &frame);
    assert!(*telemetry.read().expect("it can be read") == Telemetry::ZERO);
}
