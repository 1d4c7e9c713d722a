//! `cargo xtask`: everything done to this repository, one file per task; it knows the packages only by name.

mod build_ebpf;
mod ci;
mod demo;
mod process;
mod release;
mod setup;
mod test;
mod tidy;
mod workspace;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set up, build, test and check netguard")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and testing need, or only list what is missing
    Setup {
        /// Change nothing; list what is missing and exit 1 if anything is
        #[arg(long)]
        check: bool,
    },
    /// Build the kernel objects into target/bpf
    BuildEbpf {
        /// Compile per-packet logging in (slow; for debugging only)
        #[arg(long)]
        trace: bool,
    },
    /// Set up, build and protect a virtual NIC in namespaces under real floods
    Demo {
        /// Arguments of the demo itself, such as --json FILE
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Set up, build and test: one rung, or all of them
    Test {
        /// Climb only this rung
        rung: Option<test::Rung>,
    },
    /// Set up, build and measure what a packet costs
    Bench {
        /// Arguments of the benchmark itself, such as --json FILE
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Check the rules of the repository: who imports what, file sizes, links in the documents
    Tidy,
    /// Everything that must hold before a change lands
    Ci,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup { check: true } => setup::check(),
        Task::Setup { check: false } => setup::install(setup::EVERYTHING),
        Task::BuildEbpf { trace } => build_ebpf::run(trace),
        Task::Demo { args } => demo::demo(&args),
        Task::Test { rung } => test::run(rung),
        Task::Bench { args } => demo::bench(&args),
        Task::Tidy => tidy::run(),
        Task::Ci => ci::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
