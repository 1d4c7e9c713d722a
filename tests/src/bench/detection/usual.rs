//! What only those recognise who know what is normal: crowds of honest clients as what they are, and carpets. It is learnt from a made-up capture of
//! five calm minutes; the attacks themselves are those of [`super::mixes`].

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{
    captures::replay,
    plots::BESIDE,
    replayed::{Replayed, honest_lost},
    told::Percentiles,
    traffic::{SECOND, SERVERS, Scene},
};
use crate::bench::report::Figure;

/// What is learnt in less is not believed.
const CALM: u64 = 330 * SECOND;
/// Services that are asked for datagrams, and how many a second each is.
const SERVICES: u16 = 16;
const EACH_PER_S: u64 = 2;
const BEGINS: u64 = 3 * SECOND;
const LASTS: u64 = 4 * SECOND;
const PLAYED: u64 = 5;

/// What happens after the calm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Nothing,
    /// Twenty times as many clients.
    Crowd,
    /// Each service is asked fifty times as often, which none of them minds.
    Carpet,
}

impl Then {
    const ALL: [Self; 3] = [Self::Nothing, Self::Crowd, Self::Carpet];

    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "as usual",
            Self::Crowd => "flash crowd",
            Self::Carpet => "carpet bombing",
        }
    }

    /// What it is to be told as.
    const fn class(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Crowd => Some("flash-crowd"),
            Self::Carpet => Some("carpet-bombing"),
        }
    }
}

/// Captures of one kind, replayed by who knows what is normal.
#[derive(Debug, Serialize)]
pub struct UsualRow {
    /// What happens in them.
    pub name: String,
    /// Captures.
    pub runs: usize,
    /// Told as what it is.
    pub told: usize,
    /// Those in which anything else was told as an attack.
    pub false_alarms: usize,
    /// How long that took.
    pub detect_ms: Option<Percentiles>,
    /// Part of the honest frames that was lost, in percent.
    pub honest_lost: f64,
    /// Honest sources that were blocked.
    pub honest_blocked: usize,
}

/// A row for each kind whose name contains `only`, and what is measured against a goal.
pub(super) fn measure(netguard: &Path, only: &str) -> Result<(Vec<UsualRow>, Vec<Figure>)> {
    let named = |then: Then| format!("{}, normal known", then.name());
    let wanted: Vec<Then> = Then::ALL
        .into_iter()
        .filter(|then| named(*then).contains(only))
        .collect();
    if wanted.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    eprintln!(
        "bench: learning what is normal, then replaying {} captures",
        2 * PLAYED * wanted.len() as u64
    );
    let directory = tempfile::tempdir()?;
    let normal = [false, true].map(|is_v6| learn(netguard, directory.path(), is_v6));
    let [v4, v6] = normal;
    let normal = [v4?, v6?];
    let mut rows = Vec::new();
    for then in wanted {
        let mut runs = Vec::new();
        for seed in 0..PLAYED {
            for is_v6 in [false, true] {
                let path = directory.path().join("then.pcap");
                let mut scene = Scene::new(1_000 + 2 * seed + u64::from(is_v6), is_v6);
                let begins = BEGINS + scene.random.u64(0..SECOND / 20);
                play(then, &mut scene, begins);
                let normal = normal[usize::from(is_v6)].display().to_string();
                let replayed = Replayed::of(netguard, scene, &path, begins, &["--normal", &normal]);
                let replayed = replayed.with_context(|| named(then))?;
                for why in replayed.why_others(then.class()) {
                    eprintln!("bench: false alarm, {}: {why}", named(then));
                }
                runs.push(replayed);
            }
        }
        rows.push(row(named(then), then, &runs));
    }
    let figures = figures(&rows);
    Ok((rows, figures))
}

/// Where what was learnt of the calm is.
fn learn(netguard: &Path, directory: &Path, is_v6: bool) -> Result<PathBuf> {
    let (calm, normal) = (
        directory.join("calm.pcap"),
        directory.join(format!("normal-{}.json", u8::from(is_v6))),
    );
    let mut scene = Scene::new(u64::from(is_v6), is_v6);
    usually(&mut scene, CALM);
    scene.write(&calm)?;
    let path = normal.display().to_string();
    replay(
        netguard,
        &calm,
        &["--server", SERVERS[usize::from(is_v6)], "--learn", &path],
    )
    .context("the calm")?;
    Ok(normal)
}

fn usually(scene: &mut Scene, end: u64) {
    scene.clients(0, end, BESIDE.0, BESIDE.1);
    scene.asked(0, end, SERVICES, EACH_PER_S, true);
}

fn play(then: Then, scene: &mut Scene, begins: u64) {
    let end = begins + LASTS;
    usually(scene, end);
    match then {
        Then::Nothing => {}
        Then::Crowd => scene.clients(begins, end, 20 * BESIDE.0, 20_000),
        Then::Carpet => scene.asked(begins, end, SERVICES, 50 * EACH_PER_S, false),
    }
}

fn row(name: String, then: Then, runs: &[Replayed]) -> UsualRow {
    let after = runs.iter().filter_map(|run| run.told_after(then.class()?));
    let after: Vec<f64> = after.collect();
    let is_otherwise = |run: &&Replayed| {
        let alarms = run.alarms();
        alarms.iter().any(|(told, _)| Some(*told) != then.class())
    };
    UsualRow {
        name,
        runs: runs.len(),
        told: after.len(),
        false_alarms: runs.iter().filter(is_otherwise).count(),
        detect_ms: Percentiles::of(after),
        honest_lost: honest_lost(runs.iter()),
        honest_blocked: runs.iter().map(Replayed::honest_blocked).sum(),
    }
}

fn figures(rows: &[UsualRow]) -> Vec<Figure> {
    let wanted = rows
        .iter()
        .filter(|row| !row.name.starts_with(Then::Nothing.name()));
    let untold: usize = wanted.map(|row| row.runs - row.told).sum();
    let sum = |of: fn(&UsualRow) -> usize| rows.iter().map(of).sum::<usize>() as f64;
    vec![
        Figure::at_most(
            "crowds and carpets not told as such, normal known",
            untold as f64,
            "",
            0.0,
        ),
        Figure::at_most("false alarms, normal known", sum(|row| row.false_alarms), "", 0.0),
        Figure::at_most(
            "honest sources that were blocked, normal known",
            sum(|row| row.honest_blocked),
            "",
            0.0,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(class: &str, harmful: bool) -> Replayed {
        let report = json!({
            "attacks": [{"class": class, "harmful": harmful, "began_ms": 1_000, "detected_after_ms": 900, "packets": 9}],
            "honest": {"packets": 100, "dropped": 1},
        });
        Replayed::new(report, 1_000.0)
    }

    #[test]
    fn what_is_told_as_something_else_is_not_told() {
        let rows = [
            row(
                "flash crowd".to_owned(),
                Then::Crowd,
                &[run("flash-crowd", false), run("syn-flood", true)],
            ),
            row("as usual".to_owned(), Then::Nothing, &[run("flash-crowd", false)]),
        ];
        assert_eq!((rows[0].told, rows[0].false_alarms), (1, 1));
        assert_eq!(rows[0].detect_ms.map(|ms| ms.p50), Some(900.0));
        assert_eq!((rows[1].told, rows[1].false_alarms), (0, 0));
        let figures = figures(&rows);
        assert_eq!((figures[0].value, figures[1].value), (1.0, 1.0));
        assert!((rows[0].honest_lost - 1.0).abs() < 1e-9);
    }
}
