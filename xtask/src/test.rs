//! `test`: the rungs of the test ladder, from those that need nothing to those that need root and real floods.

mod e2e;
mod tally;

use std::{collections::BTreeSet, fs, process::Command, time::Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

pub(crate) use self::tally::passed;
use self::tally::{Outcome, Tally, table};
use crate::{
    build_ebpf, process,
    setup::{self, Purpose},
    workspace,
};

/// One rung; the order is that of a full run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Rung {
    /// Is this stage right? Tests at the bottom of each file
    Unit,
    /// Is it right for everything? Random input against laws and an independent parser
    Property,
    /// Does the compiled program do the same? Needs root
    Kernel,
    /// Does it stop an attack and spare the rest? Real tools in namespaces, needs root
    E2e,
    /// What did nobody think of? Each fuzz target for a short while
    FuzzSmoke,
}

/// Sets up, builds the kernel objects and climbs one rung or all of them.
pub(crate) fn run(only: Option<Rung>) -> Result<()> {
    let rungs = match &only {
        Some(rung) => std::slice::from_ref(rung),
        None => Rung::value_variants(),
    };
    let mut purposes = vec![Purpose::Build];
    purposes.extend(rungs.iter().filter_map(|rung| rung.purpose()));
    setup::install(&purposes)?;
    build_ebpf::run(false)?;
    climb(rungs).map(drop)
}

/// Runs rungs on a machine that is set up, all of them whatever fails, and sums up in a table; tells how many tests passed only when
/// they were run again.
pub(crate) fn climb(rungs: &[Rung]) -> Result<usize> {
    let mut results = Vec::new();
    for rung in rungs {
        println!("\n==== test {}: {} ====", rung.name(), rung.question());
        let start = Instant::now();
        let mut tally = Tally::default();
        let mut end = rung.run(&mut tally);
        if end.is_ok() && tally.passed == 0 {
            end = Err(anyhow::anyhow!("it found no test to run"));
        }
        results.push(Outcome {
            rung: rung.name(),
            tally,
            time: start.elapsed(),
            error: end.err().map(|e| format!("{e:#}")),
        });
    }
    print!("\n{}", table(&results));
    let failed: Vec<&str> = results
        .iter()
        .filter(|result| result.error.is_some())
        .map(|result| result.rung)
        .collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(results.iter().map(|result| result.tally.unsteady()).sum())
}

impl Rung {
    fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Property => "property",
            Self::Kernel => "kernel",
            Self::E2e => "e2e",
            Self::FuzzSmoke => "fuzz-smoke",
        }
    }

    fn question(self) -> &'static str {
        match self {
            Self::Unit => "is this stage right?",
            Self::Property => "is it right for everything?",
            Self::Kernel => "does the compiled program do the same?",
            Self::E2e => "does the system stop an attack and spare the rest?",
            Self::FuzzSmoke => "what did nobody think of?",
        }
    }

    /// What it needs beside a build.
    fn purpose(self) -> Option<Purpose> {
        match self {
            Self::Unit | Self::Property => None,
            Self::Kernel | Self::E2e => Some(Purpose::Run),
            Self::FuzzSmoke => Some(Purpose::Fuzz),
        }
    }

    fn run(self, tally: &mut Tally) -> Result<()> {
        match self {
            Self::Unit => {
                let packages = cargo_test(&["--workspace", "--exclude", "netguard-tests"], tally);
                // As the other rungs build it: it takes longer than its tests.
                let laboratory = ["--release", "--package", "netguard-tests", "--lib"];
                packages.and(cargo_test(&laboratory, tally))
            }
            Self::Property => cargo_test(
                &["--release", "--package", "netguard-tests", "--test", "property"],
                tally,
            ),
            Self::Kernel => {
                setup::require_root("the kernel rung")?;
                cargo_test(
                    &["--release", "--package", "netguard-tests", "--test", "kernel"],
                    tally,
                )
            }
            Self::E2e => e2e::run(tally),
            Self::FuzzSmoke => fuzz_smoke(tally),
        }
    }
}

/// What a failed test said is told, not where it was: the table has room for a few lines.
const BACKTRACE: (&str, &str) = ("RUST_BACKTRACE", "0");

fn cargo_test(args: &[&str], tally: &mut Tally) -> Result<()> {
    process::watch(
        process::host_cargo()
            .args(["test", "--locked", "--no-fail-fast"])
            .args(args)
            .env(BACKTRACE.0, BACKTRACE.1),
        |line| tally.read(line),
    )
}

/// Every target, briefly, from its committed seeds and with a fixed random seed. New inputs go to the first
/// folder named, in the target directory, not into the repository.
fn fuzz_smoke(tally: &mut Tally) -> Result<()> {
    let mut crashed = Vec::new();
    for target in fuzz_targets()? {
        let corpus = workspace::host_target().join("fuzz-corpus").join(&target);
        fs::create_dir_all(&corpus)?;
        println!("-- {target}");
        let seeds = workspace::root().join("tests/fuzz/seeds").join(&target);
        match process::run(fuzz(&target).arg(&corpus).arg(&seeds).args([
            "--",
            "-runs=200000",
            "-max_total_time=20",
            "-seed=1",
            // What was found before is kept, and tried first: with it the decision endpoint, made anew for each input, leaves 2 GiB to the
            // allocator.
            "-rss_limit_mb=6144",
        ])) {
            Ok(()) => tally.passed += 1,
            Err(error) => {
                println!("{error:#}");
                tally.failed += 1;
                crashed.push(target);
            }
        }
    }
    if !crashed.is_empty() {
        bail!(
            "crashed: {}; the inputs are in tests/fuzz/artifacts",
            crashed.join(", ")
        );
    }
    Ok(())
}

fn fuzz(target: &str) -> Command {
    let mut cargo = process::host_cargo();
    // Without a sanitizer cargo-fuzz needs no nightly.
    cargo.args([
        "fuzz",
        "run",
        "--fuzz-dir",
        "tests/fuzz",
        "--sanitizer",
        "none",
        // By itself it asks for one, which leaves a processor idle.
        "--codegen-units",
        "16",
        target,
    ]);
    cargo
}

fn fuzz_targets() -> Result<BTreeSet<String>> {
    let dir = workspace::root().join("tests/fuzz/fuzz_targets");
    let entries = fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut targets = BTreeSet::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
        {
            targets.insert(stem.to_owned());
        }
    }
    Ok(targets)
}
