//! Measures the datapath in the kernel: every round runs each case beside the empty program, in a random order;
//! a case's figure is the median over the rounds.
//!
//! Time is the CPU time of this thread around the test run, divided by the repeats: the kernel's own figure
//! is rounded to whole nanoseconds and counts other processes' turns.

mod cases;
mod report;

use anyhow::Result;
use netguard::bpf::{ProgramUnderTest, TestObject};
use nix::time::{ClockId, clock_gettime};

use crate::{pin_to_one_cpu, world::DEFAULT_SIZES};
use cases::{CASES, Case};
pub use report::{Report, Row};

/// Packets of one measurement: some tens of milliseconds.
const REPEATS: u32 = 200_000;

/// Measures every case in `rounds` rounds against the programs of the object `reference`.
///
/// # Errors
/// When the kernel refuses a program or a packet.
pub fn measure(reference: &[u8], rounds: u32) -> Result<Report> {
    pin_to_one_cpu()?;
    let mut floor = TestObject::load(reference, DEFAULT_SIZES)?;
    let mut hash = TestObject::load(reference, DEFAULT_SIZES)?;
    cases::list_sources(&mut hash)?;
    let mut strict = cases::strict().kernel()?;
    let mut generous = cases::generous().kernel()?;
    let empty = floor.program("empty")?;
    let parse_hash = hash.program("parse_hash")?;
    let strict = strict.program("netguard_xdp")?;
    let generous = generous.program("netguard_xdp")?;
    let judge = |case: &Case| if case.generous { &generous } else { &strict };

    for case in CASES {
        let frame = (case.frame)();
        cases::check(case, judge(case), &frame)?;
    }
    let mut figures: Vec<Figures> = CASES.iter().map(|_| Figures::default()).collect();
    for _ in 0..rounds {
        let mut order: Vec<usize> = (0..CASES.len()).collect();
        fastrand::shuffle(&mut order);
        for index in order {
            let case = &CASES[index];
            let frame = (case.frame)();
            let floor_ns = per_packet(&empty, &frame)?;
            figures[index]
                .netguard
                .push(per_packet(judge(case), &frame)? - floor_ns);
            figures[index]
                .reference
                .push(per_packet(&parse_hash, &frame)? - floor_ns);
        }
    }
    Ok(Report {
        rows: CASES
            .iter()
            .zip(figures)
            .map(|(case, figures)| figures.row(case))
            .collect(),
    })
}

/// Nanoseconds over the empty program, one figure a round.
#[derive(Default)]
struct Figures {
    netguard: Vec<f64>,
    reference: Vec<f64>,
}

impl Figures {
    fn row(mut self, case: &Case) -> Row {
        let over_empty_ns = median(&mut self.netguard);
        let reference = median(&mut self.reference);
        let ratio = over_empty_ns / reference;
        Row {
            name: case.name.to_owned(),
            over_empty_ns,
            reference,
            ratio,
            goal: case.goal,
            met: case.goal.map(|goal| ratio <= goal),
        }
    }
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn per_packet(program: &ProgramUnderTest<'_>, frame: &[u8]) -> Result<f64> {
    let before = cpu_time_ns()?;
    program.run(frame, REPEATS)?;
    Ok((cpu_time_ns()? - before) / f64::from(REPEATS))
}

fn cpu_time_ns() -> Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64)
}
