//! Attacks of every kind and rate, with and without honest clients beside, and crowds without any: what netguard recognises in them, by its
//! replay of made-up captures. It measures no live daemon.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};

use super::{
    plots::{Attack, Plot},
    replayed::{Replayed, honest_lost},
    told::{Detected, MixRow, Percentiles},
    traffic::{SECOND, Scene},
};

/// When an attack begins, give or take half a tenth of a second: after two seconds that are as usual.
const BEGINS: u64 = 27 * SECOND / 10;
/// How often each is played over each family, at another moment of the daemon's tick each time: those without an attack are few.
const PLAYED: u64 = 1;
const QUIET_PLAYED: u64 = 5;

/// How one capture was told.
struct Run {
    plot: Plot,
    replayed: Replayed,
}

/// Plays all whose name contains `only`, each over both families and with a phase of its own.
pub(super) fn measure(netguard: &Path, only: &str) -> Result<Detected> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("mix.pcap");
    let plots = Plot::all();
    let wanted = plots.iter().filter(|plot| plot.name().contains(only));
    let chosen: Vec<(&Plot, u64)> = wanted
        .flat_map(|plot| {
            let played = if plot.truth().is_some() {
                PLAYED
            } else {
                QUIET_PLAYED
            };
            (0..played).map(move |_| plot)
        })
        .zip(1..)
        .collect();
    eprintln!("bench: replaying {} made-up captures", 2 * chosen.len());
    let mut runs = Vec::new();
    for (plot, seed) in chosen {
        for is_v6 in [false, true] {
            let mut scene = Scene::new(2 * seed + u64::from(is_v6), is_v6);
            let begins = BEGINS + scene.random.u64(0..SECOND / 20);
            plot.play(&mut scene, begins);
            let replayed = Replayed::of(netguard, scene, &path, begins, &[])
                .with_context(|| format!("{}, seed {seed}", plot.name()))?;
            runs.push(Run {
                plot: *plot,
                replayed,
            });
        }
    }
    Ok(judge(&runs))
}

impl Run {
    fn is_false_alarm(&self) -> bool {
        let alarms = self.replayed.alarms();
        alarms
            .iter()
            .any(|(_, after)| self.plot.truth().is_none() || *after < 0.0)
    }
}

fn judge(runs: &[Run]) -> Detected {
    let attacks: Vec<&Run> = runs.iter().filter(|run| run.plot.truth().is_some()).collect();
    let after = |runs: &[&Run]| {
        let after = runs.iter().filter_map(|run| Some(run.replayed.recognised()?.1));
        Percentiles::of(after.collect())
    };
    let right = |run: &&&Run| {
        let truth = run.plot.truth().map(Attack::class);
        run.replayed.recognised().map(|(class, _)| class) == truth
    };
    let part = |count: usize, of: usize| count as f64 / of.max(1) as f64;
    // Who is over a limit loses by it, as the limit says: that stands in its row.
    let within: Vec<&Run> = runs.iter().filter(|run| run.plot != Plot::Office).collect();
    let sum = |key| within.iter().map(|run| run.replayed.honest(key)).sum::<f64>();
    let mut rows: Vec<MixRow> = Vec::new();
    let mut confusion: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    let mut names: Vec<String> = runs.iter().map(|run| run.plot.name()).collect();
    names.dedup();
    for name in names {
        let of: Vec<&Run> = runs.iter().filter(|run| run.plot.name() == name).collect();
        rows.push(MixRow {
            runs: of.len(),
            recognised: of
                .iter()
                .filter(|run| run.replayed.recognised().is_some())
                .count(),
            class_right: of.iter().filter(right).count(),
            false_alarms: of.iter().filter(|run| run.is_false_alarm()).count(),
            detect_ms: after(&of),
            is_attack: of.iter().all(|run| run.plot.truth().is_some()),
            honest_lost: honest_lost(of.iter().map(|run| &run.replayed)),
            honest_blocked: of.iter().map(|run| run.replayed.honest_blocked()).sum(),
            name,
        });
    }
    for run in runs {
        let truth = run
            .plot
            .truth()
            .map_or_else(|| run.plot.name(), |attack| attack.name().to_owned());
        *confusion
            .entry(truth)
            .or_default()
            .entry(run.replayed.told())
            .or_default() += 1;
    }
    let quiet = runs.len() - attacks.len();
    let false_alarms = runs.iter().filter(|run| run.is_false_alarm()).count();
    let honest_sources = sum("sources");
    let blocked: usize = runs.iter().map(|run| run.replayed.honest_blocked()).sum();
    Detected {
        attack_runs: attacks.len(),
        quiet_runs: quiet,
        false_alarms,
        detection_rate: part(
            attacks
                .iter()
                .filter(|run| run.replayed.recognised().is_some())
                .count(),
            attacks.len(),
        ),
        class_accuracy: part(attacks.iter().filter(right).count(), attacks.len()),
        honest_frames: sum("packets"),
        honest_frames_lost: sum("dropped") / sum("packets").max(1.0),
        honest_sources,
        honest_sources_blocked: blocked,
        detect_ms: after(&attacks),
        live_detect_ms: None,
        mitigate_ms: None,
        confusion,
        mixes: rows,
        usual: Vec::new(),
        live: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::plots::Beside, *};

    fn run(plot: Plot, attacks: Value, blocked: &str) -> Run {
        Run {
            plot,
            replayed: Replayed::new(
                json!({
                    "attacks": attacks,
                    "blocked": [{"prefix": blocked}],
                    "honest": {"sources": 10, "packets": 1_000, "dropped": 5},
                }),
                1_000.0,
            ),
        }
    }

    #[test]
    fn misses_wrong_names_and_false_alarms_are_told_apart() {
        let flood = |attack| Plot::Attack {
            attack,
            per_second: 2_000,
            beside: Beside::Clients,
        };
        let alarm = |class: &str, began_ms: u64| json!({"class": class, "harmful": true, "began_ms": began_ms, "detected_after_ms": 50, "packets": 9});
        let crowd = json!([{"class": "flash-crowd", "harmful": false, "began_ms": 1_000, "detected_after_ms": 50, "packets": 9}]);
        let detected = judge(&[
            run(
                flood(Attack::Udp),
                json!([alarm("udp-flood", 990)]),
                "64.1.1.1/32",
            ),
            run(flood(Attack::Udp), json!([]), "64.1.1.1/32"),
            run(
                flood(Attack::Ntp),
                json!([alarm("udp-flood", 1_000), alarm("reflection", 1_500)]),
                "60.1.1.1/32",
            ),
            run(Plot::FlashCrowd, crowd, "64.1.1.1/32"),
            run(Plot::Ordinary, json!([alarm("syn-flood", 1_000)]), "64.1.1.1/32"),
            run(
                flood(Attack::Dns),
                json!([alarm("scan", 100), alarm("reflection", 1_000)]),
                "64.1.1.1/32",
            ),
        ]);
        assert_eq!((detected.attack_runs, detected.quiet_runs), (4, 2));
        assert_eq!((detected.detection_rate, detected.class_accuracy), (0.75, 0.5));
        assert_eq!((detected.false_alarms, detected.honest_sources_blocked), (2, 1));
        assert!((detected.honest_frames_lost - 0.005).abs() < 1e-9);
        assert_eq!(detected.detect_ms.map(|ms| ms.p99), Some(50.0));
        assert_eq!(detected.confusion["NTP reflection"]["reflection + udp-flood"], 1);
        assert_eq!(detected.confusion["flash crowd"]["nothing"], 1);
    }
}
