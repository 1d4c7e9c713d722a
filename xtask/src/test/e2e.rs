//! The e2e rung: which of its tests take turns and which need not, and what becomes of a few that fail.

use std::path::Path;

use anyhow::Result;

use super::{BACKTRACE, tally::Tally};
use crate::{process, release, setup};

/// The module of the tests that need no quiet machine (`tests/tests/e2e/calm.rs`): they wait for daemons most of the time.
const CALM: &str = "calm::";
/// So many of them at the same time.
const COMPANY: usize = 4;
/// Modules that measure nothing and wait most of the time for what becomes of a flood: two of their tests may be under way.
const IN_PAIRS: [&str; 6] = [
    "audit::",
    "cookie_options::",
    "ladder::",
    "reputation::",
    "response::",
    "sysctls::",
];

/// So many tests are run again at most: more did not fail by chance.
const RUN_AGAIN: usize = 5;

/// The system under test is the release binary. Tests in which packets come as fast as they can for long have the machine to themselves.
///
/// They pit real tools against each other in real time, on cores that other machines may use meanwhile. So a few that failed are run
/// again, by themselves: one that fails twice is broken, and one that does not is told in the table.
pub(super) fn run(tally: &mut Tally) -> Result<()> {
    setup::require_root("the e2e rung")?;
    // Both, as the tests do: alone it would be built with other features, all anew.
    let netguard = release::build(&["netguard", "netguard-tests"])?.join("netguard");
    println!("\n---- {COMPANY} at a time ----");
    let calm = tests(&netguard, COMPANY, &[CALM], tally);
    let no_calm = ["--skip", CALM];
    println!("\n---- two at a time ----");
    let pairs = tests(&netguard, 2, &[&no_calm[..], &IN_PAIRS].concat(), tally);
    println!("\n---- one after the other ----");
    let no_pairs = IN_PAIRS.iter().flat_map(|module| ["--skip", module]);
    let neither: Vec<&str> = no_calm.into_iter().chain(no_pairs).collect();
    let alone = tests(&netguard, 1, &neither, tally);
    let first = calm.and(pairs).and(alone);
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
