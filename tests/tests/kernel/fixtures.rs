//! Holds the specification of frames against the host code and the kernel's programs.

use netguard_common::{Action, Judgement, Verdict, decide, layout::Mode, view::SliceView};
use netguard_tests::world::World;

use super::{SHORTEST, action, judge, kernel, specification::fixtures};

#[test]
fn every_frame_gets_its_verdict_on_host_and_kernel() {
    let world = World::new();
    let mut object = kernel(&world);
    let mut wrong = Vec::new();
    for (name, frame, verdict) in fixtures() {
        let frame = frame().build();
        let expected = Judgement {
            verdict: *verdict,
            shadow: false,
        };
        let host = decide(&SliceView(&frame), &world.memory(1));
        if host != expected {
            wrong.push(format!(
                "{name}: the host says {}, not {}",
                host.verdict.name(),
                verdict.name()
            ));
        }
        if frame.len() < SHORTEST {
            continue;
        }
        let kernel = judge(&object.program("netguard_judge").expect("it loads"), &frame);
        if kernel != expected {
            wrong.push(format!(
                "{name}: the kernel says {}, not {}",
                kernel.verdict.name(),
                verdict.name()
            ));
        }
        let done = object
            .program("netguard_xdp")
            .expect("it loads")
            .run(&frame, 1)
            .expect("it runs");
        if done != action(expected) {
            wrong.push(format!("{name}: netguard_xdp answers {done}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_attached_program_counts_what_it_judges() {
    let world = World::new();
    let mut object = kernel(&world);
    let counters = object.take_counters().expect("the object has counters");
    let program = object.program("netguard_xdp").expect("it loads");
    for (name, frame, verdict) in fixtures() {
        let frame = frame().build();
        let before = counters.read().expect("counters can be read");
        program.run(&frame, 1).expect("the kernel runs the frame");
        let after = counters.read().expect("counters can be read");
        for ((judgement, then), (_, now)) in before.iter().zip(&after) {
            let expected = u64::from(judgement.verdict == *verdict && !judgement.shadow);
            assert_eq!(
                now.packets - then.packets,
                expected,
                "{name}: packets under {judgement:?}"
            );
            assert_eq!(
                now.bytes - then.bytes,
                expected * frame.len() as u64,
                "{name}: bytes"
            );
        }
    }
}

#[test]
fn shadow_passes_and_off_does_not_look() {
    for mode in [Mode::Shadow, Mode::Off] {
        let world = World::new().in_mode(mode);
        let mut object = kernel(&world);
        for (name, frame, verdict) in fixtures() {
            let frame = frame().build();
            let judgement = judge(&object.program("netguard_judge").expect("it loads"), &frame);
            assert_eq!(judgement, decide(&SliceView(&frame), &world.memory(1)), "{name}");
            assert_eq!(action(judgement), super::XDP_PASS, "{name}");
            if verdict.action() == Action::Drop {
                assert_eq!(judgement.shadow, mode == Mode::Shadow, "{name}");
            }
        }
    }
}

#[test]
fn every_malformed_verdict_has_a_fixture() {
    for verdict in &Verdict::ALL[..Verdict::BlockAddress.number() as usize] {
        if *verdict != Verdict::PassAllow {
            assert!(
                fixtures().any(|(_, _, known)| known == verdict),
                "{} has none",
                verdict.name()
            );
        }
    }
}
