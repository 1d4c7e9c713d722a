//! Real traffic: what is honest passes, what is malformed has a verdict, and host and kernel agree on every frame.

use std::collections::BTreeMap;

use netguard_common::{Action, Judgement, Verdict, decide, memory::Memory, view::SliceView};
use netguard_tests::{captures::Captures, world::World};

use super::{SHORTEST, judge, kernel};

/// Longest frame that the kernel takes for a test run in one piece.
const LONGEST: usize = 3_400;

/// Frames of honest traffic that may be lost: a set of captures has its crafted ones, too.
const TOLERATED: f64 = 0.000_2;

#[test]
fn honest_traffic_passes_and_malformed_does_not() {
    let Some(captures) = Captures::unpack().expect("the archive of captures can be unpacked") else {
        println!("there are no captures beside the project: nothing was looked at");
        return;
    };
    let world = World::new();
    let mut object = kernel(&world);
    let program = object.program("netguard_judge").expect("it loads");
    let memory = world.memory(0);

    let mut lost = BTreeMap::new();
    let mut looked_at = 0_u64;
    for class in ["benign", "benign-encap", "benign-small"] {
        for capture in captures.of(class) {
            for frame in captures.frames(capture).expect("honest captures are whole") {
                looked_at += 1;
                memory.now_ns.set(netguard::clock::monotonic_ns());
                let judgement = judged(&memory, &frame);
                if frame.len() >= SHORTEST && frame.len() <= LONGEST {
                    assert_eq!(judge(&program, &frame), judgement, "{}", capture.name);
                }
                // A loopback capture has no other end, and anonymised addresses can be anything.
                let artefact = matches!(judgement.verdict, Verdict::Land | Verdict::MartianSource);
                if judgement.action() == Action::Drop && !artefact {
                    *lost
                        .entry((judgement.verdict.name(), &capture.name))
                        .or_insert(0_u64) += 1;
                }
            }
        }
    }
    assert!(
        looked_at > 70_000,
        "only {looked_at} frames of honest traffic were read"
    );
    let share = lost.values().sum::<u64>() as f64 / looked_at as f64;
    assert!(
        share <= TOLERATED,
        "{:.3} % of {looked_at} frames are lost: {lost:#?}",
        share * 100.0
    );

    for capture in captures.of("malformed-l34") {
        let frames = captures
            .frames(capture)
            .expect("malformed traffic in a whole file");
        let mut dropped = frames.is_empty();
        for frame in frames {
            memory.now_ns.set(netguard::clock::monotonic_ns());
            let judgement = judged(&memory, &frame);
            if frame.len() >= SHORTEST && frame.len() <= LONGEST {
                assert_eq!(judge(&program, &frame), judgement, "{}", capture.name);
            }
            dropped |= judgement.action() == Action::Drop;
        }
        // Linux makes such packets itself, by aggregation ("BIG TCP"): too long for their length field and yet right.
        let aggregated = capture.name.contains("bigtcp");
        assert!(
            dropped || aggregated,
            "nothing in {} is malformed to netguard",
            capture.name
        );
    }
}

fn judged(memory: &Memory, frame: &[u8]) -> Judgement {
    decide(&SliceView(frame), memory)
}
