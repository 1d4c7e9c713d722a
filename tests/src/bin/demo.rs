//! `demo`: protects a virtual network card under real floods and tells what was dropped and what an honest
//! client felt.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use netguard_tests::{demo, lab};

/// Show netguard under real floods in network namespaces (needs root, sends nothing outside)
#[derive(Parser)]
#[command(name = "demo")]
struct Cli {
    /// The netguard program to show
    #[arg(long, value_name = "PATH")]
    netguard: PathBuf,
    /// Also write the results to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match show(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: error: {error:#}");
            // What shells report of a program that an interrupt has ended.
            if lab::interrupted() {
                ExitCode::from(130)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn show(cli: &Cli) -> Result<bool> {
    let netguard = cli
        .netguard
        .canonicalize()
        .with_context(|| format!("no netguard at {}", cli.netguard.display()))?;
    lab::stop_on_interrupt()?;
    let report = demo::run(&netguard)?;
    println!("{report}");
    if let Some(path) = &cli.json {
        let json = serde_json::to_string_pretty(&report)? + "\n";
        fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(report.ok)
}
