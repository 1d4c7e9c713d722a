//! Does the compiled program do what the host code does? Runs the kernel's programs by `BPF_PROG_TEST_RUN`. Needs
//! root; a test that cannot run fails.

mod budget;
mod captures;
mod cookies;
mod differential;
mod encapsulation;
mod ending;
mod exact;
mod fixtures;
mod fragments;
mod generated;
mod heads;
mod l7;
mod ladder;
mod levels;
mod own;
mod peers;
mod pinned;
mod reflection;
mod rules;
mod samples;
mod signatures;
mod specification;
mod telemetry;

use netguard::bpf::{ProgramUnderTest, TestObject};
use netguard_common::{Action, Judgement};
use netguard_tests::world::World;

/// The kernel refuses test frames without a whole Ethernet header.
const SHORTEST: usize = 14;
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;

/// `world` in maps of its own.
fn kernel(world: &World) -> TestObject {
    world
        .kernel()
        .unwrap_or_else(|error| panic!("the kernel rung needs root and bpffs: {error}"))
}

/// What the kernel makes of `frame`.
fn judge(program: &ProgramUnderTest<'_>, frame: &[u8]) -> Judgement {
    let counter = program.run(frame, 1).expect("the kernel runs the frame");
    Judgement::from_counter(counter).unwrap_or_else(|| panic!("no judgement has the number {counter}"))
}

/// The XDP action that belongs to `judgement`.
fn action(judgement: Judgement) -> u32 {
    match judgement.action() {
        Action::Pass => XDP_PASS,
        Action::Drop => XDP_DROP,
        Action::Answer => XDP_TX,
    }
}
