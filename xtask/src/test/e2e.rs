//! The e2e rung: which of its tests take turns and which need not, and what becomes of a few that fail.

use std::path::Path;

use anyhow::Result;

use super::{BACKTRACE, tally::Tally};
use crate::{process, release, setup};

/// The module of the tests that need no quiet machine (`tests/tests/e2e/calm.rs`): they wait for daemons most of the time.
const CALM: &str = "calm::";
/// So many of them at the same time.
const COMPANY: usize = 4;

/// So many tests are run again at most: more did not fail by chance.
const RUN_AGAIN: usize = 5;

/// The system under test is the release binary. Tests in which packets come as fast as they can have the machine to themselves.
///
/// They pit real tools against each other in real time, on cores that other machines may use meanwhile. So a few that failed are run
/// again, by themselves: one that fails twice is broken, and one that does not is told in the table.
pub(super) fn run(tally: &mut Tally) -> Result<()> {
    setup::require_root("the e2e rung")?;
    let netguard = release::build(&["netguard"])?.join("netguard");
    println!("\n---- {COMPANY} at a time ----");
    let calm = tests(&netguard, COMPANY, &[CALM], tally);
    println!("\n---- one after the other ----");
    let alone = tests(&netguard, 1, &["--skip", CALM], tally);
    let first = calm.and(alone);
    let Some(failed) = first.as_ref().err().and(tally.to_run_again(RUN_AGAIN)) else {
        return first;
    };
    println!("\n---- run again: {} ----", failed.join(", "));
    let mut again = Tally::default();
    let names = failed.iter().map(String::as_str);
    let exactly: Vec<&str> = ["--exact"].into_iter().chain(names).collect();
    let second = tests(&netguard, 1, &exactly, &mut again);
    if second.is_err() || again.passed != failed.len() as u64 {
        return first;
    }
    tally.forgive();
    Ok(())
}

/// Runs the tests that `which` says, so many at a time.
fn tests(netguard: &Path, at_a_time: usize, which: &[&str], tally: &mut Tally) -> Result<()> {
    const ALL: [&str; 8] = [
        "test",
        "--locked",
        "--release",
        "--package",
        "netguard-tests",
        "--test",
        "e2e",
        "--",
    ];
    let mut cargo = process::host_cargo();
    cargo
        .args(ALL)
        .arg(format!("--test-threads={at_a_time}"))
        .args(which)
        .env(BACKTRACE.0, BACKTRACE.1)
        .env("NETGUARD_BIN", netguard);
    process::watch(&mut cargo, |line| tally.read(line))
}
