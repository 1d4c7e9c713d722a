//! `cargo xtask bench`: what a packet costs in the kernel, beside reference programs, in one run.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use netguard_tests::bench::{self, Report};

#[derive(Parser)]
#[command(
    name = "bench",
    about = "Nanoseconds per packet by BPF_PROG_TEST_RUN, as ratios in one run"
)]
struct Args {
    /// Also write the table as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Rounds; each row's figure is the median over them.
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(11..))]
    rounds: u32,
    /// The reference object that `cargo xtask build-ebpf` made.
    #[arg(long, value_name = "FILE")]
    reference: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(report) if report.rows.iter().all(|row| row.met != Some(false)) => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("bench: a goal was missed");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn run(args: &Args) -> Result<Report> {
    let reference = fs::read(&args.reference)
        .with_context(|| format!("{}: run `cargo xtask build-ebpf`", args.reference.display()))?;
    let report = bench::measure(&reference, args.rounds)?;
    print!("{report}");
    if let Some(path) = &args.json {
        fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(report)
}
