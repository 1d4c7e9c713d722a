//! `cargo xtask bench`: what a packet costs, beside reference programs and other filters, in one run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Parser;
use netguard_tests::{
    bench::{self, Objects, Report, Section},
    lab,
};

/// Measure netguard beside reference programs and other filters (needs root, sends nothing outside)
#[derive(Parser)]
#[command(name = "bench")]
struct Args {
    /// What to measure [default: datapath memory e2e headline]
    #[arg(value_enum, value_name = "SECTION")]
    sections: Vec<Section>,
    /// Tables as JSON, instead of those for people, or in a file beside them.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    json: Option<Option<PathBuf>>,
    /// Rounds; each row's figure is the median over them.
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Of the packets (in test runs and end to end), captures and made-up attacks, only those whose name contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Where `cargo xtask build-ebpf` puts the objects.
    #[arg(long, value_name = "DIR")]
    objects: PathBuf,
    /// The netguard to run [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    netguard: Option<PathBuf>,
    /// Labelled captures for `detection`, beside those that it makes up: `MANIFEST.tsv` with the columns `file` and `class`, and the files
    /// [default: the archive that lies beside the project].
    #[arg(long, value_name = "DIR")]
    captures: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(report) if report.all_met() => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("bench: a goal was missed");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("bench: error: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn run(args: &Args) -> Result<Report> {
    let objects = Objects {
        driver: read(&args.objects, "driver.bpf.o")?,
        reference: read(&args.objects, "reference.bpf.o")?,
        netguard: args.netguard.clone().map_or_else(lab::binary, Ok)?,
        captures: args.captures.clone(),
    };
    let sections = match &args.sections[..] {
        [] => &[
            Section::Datapath,
            Section::Memory,
            Section::E2e,
            Section::Headline,
        ],
        chosen => chosen,
    };
    lab::stop_on_interrupt()?;
    let report = bench::measure(sections, &objects, &args.only, args.rounds)?;
    let json = serde_json::to_string_pretty(&report)?;
    match &args.json {
        Some(None) => println!("{json}"),
        None => print!("{report}"),
        Some(Some(path)) => {
            print!("{report}");
            fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(report)
}

fn read(objects: &Path, name: &str) -> Result<Vec<u8>> {
    let path = objects.join(name);
    fs::read(&path).with_context(|| format!("{}: run `cargo xtask build-ebpf`", path.display()))
}
