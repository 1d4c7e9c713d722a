//! `ci`: everything that must hold before a change lands, with the time that each step took.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::{
    build_ebpf, process,
    setup::{self, EVERYTHING},
    test::{self, Rung},
    tidy, workspace,
};

/// Runs all steps. Set-up and the kernel objects come first and end the run if they fail; the others all run.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    steps.vital("setup", || setup::install(EVERYTHING))?;
    steps.step("fmt", fmt);
    steps.vital("build-ebpf", || build_ebpf::run(false))?;
    steps.step("clippy", || {
        cargo(&[
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    });
    steps.step("tidy", tidy::run);
    match process::find_program("cargo-deny") {
        Some(_) => steps.step("deny", || {
            cargo(&["deny", "--locked", "check", "licenses", "bans", "sources"])
        }),
        // Not part of the set-up: it takes longer to build than netguard.
        None => steps.not_run(
            "deny",
            "cargo-deny is not installed: licences and sources of dependencies were not checked",
        ),
    }
    steps.step("doc", || {
        process::run(
            process::host_cargo()
                .args([
                    "doc",
                    "--locked",
                    "--workspace",
                    "--no-deps",
                    "--document-private-items",
                ])
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    });
    steps.tests("test", || test::climb(Rung::value_variants()));
    steps.close()
}

fn fmt() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    let fuzz = "tests/fuzz/Cargo.toml";
    // The fuzz targets are a workspace of their own.
    if workspace::root().join(fuzz).exists() {
        cargo(&["fmt", "--manifest-path", fuzz, "--check"])?;
    }
    Ok(())
}

fn cargo(args: &[&str]) -> Result<()> {
    process::run(process::host_cargo().args(args))
}

#[derive(Default)]
struct Steps {
    done: Vec<(&'static str, Duration, End)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// But for so many tests that passed only when they were run again.
    Ok {
        unsteady: usize,
    },
    Failed,
    NotRun,
}

impl Steps {
    /// A step that later ones do not build on: its failure is told at once and counted.
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) {
        self.tests(name, || work().map(|()| 0));
    }

    /// As [`Self::step`]; `work` tells how many tests are unsteady.
    fn tests(&mut self, name: &'static str, work: impl FnOnce() -> Result<usize>) {
        if let Err(error) = self.time(name, work) {
            println!("xtask: {name} failed: {error:#}");
        }
    }

    /// A step without which the rest means nothing: its failure is returned.
    fn vital(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        self.time(name, || work().map(|()| 0))
    }

    fn time(&mut self, name: &'static str, work: impl FnOnce() -> Result<usize>) -> Result<()> {
        println!("\n######## ci: {name}");
        let start = Instant::now();
        let result = work();
        let end = match &result {
            Ok(unsteady) => End::Ok { unsteady: *unsteady },
            Err(_) => End::Failed,
        };
        self.done.push((name, start.elapsed(), end));
        result.map(drop)
    }

    /// A step that cannot run here; the table says so too.
    fn not_run(&mut self, name: &'static str, why: &str) {
        println!("\n######## ci: {name} NOT RUN: {why}");
        self.done.push((name, Duration::ZERO, End::NotRun));
    }

    fn close(self) -> Result<()> {
        print!("\n{}", self.table());
        let failed: Vec<&str> = self
            .done
            .iter()
            .filter(|(.., end)| *end == End::Failed)
            .map(|(name, ..)| *name)
            .collect();
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        Ok(())
    }

    fn table(&self) -> String {
        let mut text = format!("{:<12}{:<16}{:>8}\n", "ci step", "result", "seconds");
        for (name, time, end) in &self.done {
            let result = match end {
                End::Ok { unsteady } => test::passed(*unsteady),
                End::Failed => "FAILED".to_owned(),
                End::NotRun => "NOT RUN".to_owned(),
            };
            text += &format!("{name:<12}{result:<16}{:>8.1}\n", time.as_secs_f64());
        }
        let whole: Duration = self.done.iter().map(|(_, time, _)| *time).sum();
        text + &format!("{:<28}{:>8.1}\n", "all", whole.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_step_fails_the_run_and_the_others_still_run() {
        let mut steps = Steps::default();
        let mut ran = false;
        steps.step("a", || bail!("no"));
        steps.step("b", || {
            ran = true;
            Ok(())
        });
        assert!(ran);
        assert_eq!(steps.close().unwrap_err().to_string(), "failed: a");
    }

    #[test]
    fn unsteady_tests_stand_in_the_table() {
        let mut steps = Steps::default();
        steps.step("fmt", || Ok(()));
        steps.tests("test", || Ok(2));
        let table = steps.table();
        assert!(
            table.contains("fmt         ok  ") && table.contains("test        ok, 2 unsteady"),
            "{table}"
        );
        assert!(steps.close().is_ok());
    }

    #[test]
    fn a_vital_step_ends_the_run() {
        assert!(Steps::default().vital("a", || bail!("no")).is_err());
    }
}
