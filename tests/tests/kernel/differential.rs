//! Host and kernel against each other on generated frames.

use netguard_common::{decide, layout::Mode, view::SliceView};
use netguard_tests::world::{DISTANT, EXPIRED, PERMANENT, World};

use super::{generated::Generated, judge, kernel};

/// Frames for each world.
const FRAMES: usize = 20_000;

#[test]
fn enforced_rules() {
    agree("enforced rules", &World::populated());
}

#[test]
fn shadow_rules() {
    agree("shadow rules", &World::populated().in_mode(Mode::Shadow));
}

#[test]
fn mixed_modes() {
    agree(
        "mixed modes",
        &World::populated().in_modes([Mode::Shadow, Mode::Enforce, Mode::Off]),
    );
}

#[test]
fn limits_that_are_exhausted_and_limits_that_are_not() {
    let mut world = World::populated().still_limits();
    // A third of all lines is full, and another half full of others: some sources have nothing left, and so have some prefixes.
    for index in 0..netguard_common::bucket::LINES {
        let full = u64::MAX >> 1;
        match index % 3 {
            0 => world = world.line(index, [full; 8]),
            1 => world = world.line(index, [full, 0, full, 1 << 10, full, 2, full, 0x3ff]),
            _ => {}
        }
    }
    // And so have some services.
    for index in (0..netguard_common::maps::LIMIT_CELLS as u32).filter(|index| index % 3 == 0) {
        world = world.cell(index, u64::MAX >> 1);
    }
    agree("limits", &world);
}

#[test]
fn signatures_enforced_and_in_shadow() {
    let world = World::populated()
        .signature(Mode::Shadow, PERMANENT, &["ttl=128/0x80"])
        .signature(Mode::Enforce, DISTANT, &["protocol=udp", "payload=000102"])
        .signature(Mode::Enforce, EXPIRED, &["family=6"])
        .signature(Mode::Enforce, PERMANENT, &["port=80", "flags=S", "window=64240"])
        .signature(Mode::Enforce, PERMANENT, &["fragment=1", "length=0/1"])
        .signature(Mode::Shadow, PERMANENT, &["payload-length=0", "source-port=443"])
        .signature(
            Mode::Enforce,
            PERMANENT,
            &["payload=1011121314151617", "family=4", "df=0", "id=1"],
        );
    agree("signatures", &world);
}

fn agree(name: &str, world: &World) {
    let frames = Generated::frames(&format!("differential, {name}"));
    let seed = frames.seed();
    let mut object = kernel(world);
    let program = object.program("netguard_judge").expect("it loads");
    // The clock differs by what this process was late; no rule or cell of these worlds is near its end.
    let memory = world.memory(netguard::clock::monotonic_ns());
    for (number, frame) in frames.take(FRAMES).enumerate() {
        let host = decide(&SliceView(&frame), &memory);
        let kernel = judge(&program, &frame);
        assert_eq!(
            kernel, host,
            "NETGUARD_SEED={seed}, frame {number} of {name}: kernel (left) and host disagree on {frame:02x?}"
        );
    }
}
