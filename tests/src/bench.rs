//! Measures netguard beside reference programs in one run: what a packet costs in the kernel, what memory the filter takes.

mod applications;
mod cases;
mod datapath;
mod decision;
mod detection;
mod end_to_end;
mod filters;
mod firewalls;
mod full;
mod headline;
mod lists;
mod memory;
mod normal;
mod outlier;
mod peers;
mod report;
mod scaling;
mod serving;
mod timing;
mod wrk;

use std::path::PathBuf;

use anyhow::Result;
pub use detection::{Detected, LiveRow, MixRow, Percentiles, Recognised, UsualRow};
use full::Full;
pub use report::{EndToEnd, Figure, Headline, Report, Row, Served};

use crate::lab::Lab;

/// Rounds of what takes seconds each.
const MOST_ROUNDS: u32 = 5;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Section {
    /// Nanoseconds per packet, in test runs.
    Datapath,
    /// Kernel memory and load time.
    Memory,
    /// CPU time for each packet that a virtual network card receives.
    E2e,
    /// What honest clients get under floods.
    Headline,
    /// What it takes to know what is normal, and what the outlier score is worth, on made-up traffic.
    Normal,
    /// What a check of the decision endpoint costs (needs wrk).
    Decision,
    /// What an nginx under full load loses by netguard (needs wrk).
    Serving,
    /// What honest clients get of a web server beside slow attacks and floods of requests (needs slowhttptest and wrk).
    Applications,
    /// What labelled captures (--captures) and made-up attacks are recognised as, and how soon.
    Detection,
}

/// What the benchmark loads besides netguard.
#[derive(Clone, Debug)]
pub struct Objects {
    /// `driver.bpf.o`
    pub driver: Vec<u8>,
    /// `reference.bpf.o`
    pub reference: Vec<u8>,
    /// The program `netguard`.
    pub netguard: PathBuf,
    /// Labelled captures: a directory with a `MANIFEST.tsv`.
    pub captures: Option<PathBuf>,
}

/// Measures `sections`, in `rounds` rounds each; of the rows of packets those whose name contains `only`.
///
/// # Errors
/// When the kernel refuses a program or a packet, or a packet is not treated as its row says.
pub fn measure(sections: &[Section], objects: &Objects, only: &str, rounds: u32) -> Result<Report> {
    let mut report = Report::default();
    if sections.contains(&Section::Datapath) || sections.contains(&Section::Memory) {
        let (ns, _alone) = Lab::bare()?;
        eprintln!("bench: loading a million prefixes");
        let full = Full::new(&format!("{}-full", ns.name()))?;
        if sections.contains(&Section::Memory) {
            report.figures = memory::measure(ns.name(), &full)?;
        }
        if sections.contains(&Section::Datapath) {
            eprintln!("bench: measuring the datapath, {rounds} rounds");
            datapath::become_a_server(&ns)?;
            report.rows = datapath::measure(&ns, objects, &full, only, rounds)?;
            let scaling = scaling::measure(&ns, objects, &full, only, rounds)?;
            report.figures.extend(scaling);
        }
    }
    if sections.contains(&Section::Normal) {
        report.figures.extend(normal::measure()?);
        report.figures.extend(outlier::measure(rounds)?);
    }
    if sections.contains(&Section::Decision) {
        report
            .figures
            .extend(decision::measure(objects, rounds.min(MOST_ROUNDS))?);
    }
    if sections.contains(&Section::Serving) {
        report
            .figures
            .extend(serving::measure(objects, rounds.min(MOST_ROUNDS))?);
    }
    if sections.contains(&Section::Applications) {
        report.figures.extend(applications::measure(objects, only)?);
    }
    if sections.contains(&Section::E2e) {
        report.end_to_end = end_to_end::measure(objects, only, rounds)?;
    }
    if sections.contains(&Section::Headline) {
        report.headline = headline::measure(objects, &objects.netguard, rounds)?;
    }
    if sections.contains(&Section::Detection) {
        let detection = detection::measure(objects, only)?;
        report.detection = detection.captures;
        report.detected = Some(detection.detected);
        report.figures.extend(detection.figures);
    }
    Ok(report)
}
