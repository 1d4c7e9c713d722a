//! How fast a capture is replayed, all of it: reading, judging, recognising, telling. What is recognised in it is not looked at.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};

use super::{
    captures::PATIENCE,
    plots::{Attack, BESIDE},
    traffic::{SECOND, SERVERS, Scene},
};
use crate::{bench::report::Figure, lab::output};

/// What it must reach on one core.
const GOAL: f64 = 200_000.0;
const TURNS: usize = 5;
/// A flood of a million frames beside ordinary clients.
const LASTS: u64 = 20 * SECOND;
const PER_SECOND: u64 = 50_000;

/// Frames a second of one core, the median, for each kind of flood whose name contains `only`.
pub(super) fn measure(netguard: &Path, only: &str) -> Result<Vec<Figure>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("long.pcap");
    let mut figures = Vec::new();
    for attack in [Attack::SynForged, Attack::Dns] {
        let name = format!("replayed, {}", attack.name());
        if !name.contains(only) {
            continue;
        }
        let mut scene = Scene::new(1, false);
        scene.clients(0, LASTS, BESIDE.0, BESIDE.1);
        scene.flood(attack, SECOND, LASTS, PER_SECOND);
        scene.write(&path).context("writing a capture")?;
        let mut rates = (0..TURNS)
            .map(|_| replayed_per_s(netguard, &path))
            .collect::<Result<Vec<f64>>>()?;
        rates.sort_by(f64::total_cmp);
        let median = rates.get(TURNS / 2).copied().context("no turn")?;
        figures.push(Figure::at_least(&name, median / 1e3, "k/s", GOAL / 1e3));
    }
    Ok(figures)
}

fn replayed_per_s(netguard: &Path, file: &Path) -> Result<f64> {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]).arg(netguard);
    command
        .args(["replay", "--json", "--server", SERVERS[0]])
        .arg(file);
    let begin = Instant::now();
    let told = output(&mut command, PATIENCE)?;
    let lasted = begin.elapsed();
    ensure!(told.status == 0, "{}", told.stderr.trim());
    let report: serde_json::Value = serde_json::from_str(&told.stdout)?;
    let frames = report["frames"].as_f64().context("a report has no `frames`")?;
    Ok(frames / lasted.as_secs_f64())
}
