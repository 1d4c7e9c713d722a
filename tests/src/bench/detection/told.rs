//! What is told of the recognition of attacks: figures, and what was taken for what.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::usual::UsualRow;
use crate::bench::report::Figure;

/// Of a hundred attacks, those that may be missed, and those that may be called by another name.
const MISSED: f64 = 1.0;
const MISNAMED: f64 = 5.0;
/// Of a hundred honest frames, those that may be lost.
const LOST: f64 = 0.1;
/// Milliseconds, 95 of 100 times.
const DETECT_MS: f64 = 100.0;
const MITIGATE_MS: f64 = 1_000.0;

/// What was recognised of attacks whose truth is known.
#[derive(Debug, Default, Serialize)]
pub struct Detected {
    /// Made-up captures with an attack, and without any.
    pub attack_runs: usize,
    /// Captures of nobody but honest clients.
    pub quiet_runs: usize,
    /// Part of the attacks that was recognised as one.
    pub detection_rate: f64,
    /// Part of the attacks that was first called what it is.
    pub class_accuracy: f64,
    /// Captures in which an attack was told while there was none.
    pub false_alarms: usize,
    /// Frames of honest sources.
    pub honest_frames: f64,
    /// Part of them that was lost: false positives per frame.
    pub honest_frames_lost: f64,
    /// Honest sources that connected.
    pub honest_sources: f64,
    /// Those that were blocked: false positives per source.
    pub honest_sources_blocked: usize,
    /// From the first packet of an attack to its being told, by the capture's clock.
    pub detect_ms: Option<Percentiles>,
    /// From the first packet of a live flood to its being told.
    pub live_detect_ms: Option<Percentiles>,
    /// From there to when nine of ten of its packets are refused.
    pub mitigate_ms: Option<Percentiles>,
    /// Captures by what happens in them, and by what was told.
    pub confusion: BTreeMap<String, BTreeMap<String, usize>>,
    /// By kind of attack and its rate.
    pub mixes: Vec<MixRow>,
    /// Where what is normal is known.
    pub usual: Vec<UsualRow>,
    /// By live flood.
    pub live: Vec<LiveRow>,
}

/// One live flood.
#[derive(Clone, Debug, Serialize)]
pub struct LiveRow {
    /// What it is.
    pub name: String,
    /// How often it was started, each time before a daemon that knows nothing.
    pub starts: usize,
    /// How often it was told as an attack.
    pub recognised: usize,
    /// First under the right name.
    pub class_right: usize,
    /// Requests of an honest client beside it, and those that were answered.
    pub honest: usize,
    /// Those that were answered.
    pub honest_answered: usize,
    /// From its first packet to its being told.
    pub detect_ms: Option<Percentiles>,
    /// From its first packet to when nine of ten packets are refused.
    pub mitigate_ms: Option<Percentiles>,
    /// Of each start.
    #[serde(skip)]
    pub(super) all: [Vec<f64>; 2],
}

/// Captures of one kind.
#[derive(Debug, Serialize)]
pub struct MixRow {
    /// What happens in it.
    pub name: String,
    /// Whether somebody means harm.
    pub is_attack: bool,
    /// Captures.
    pub runs: usize,
    /// In which an attack was told once it had begun.
    pub recognised: usize,
    /// First under the right name.
    pub class_right: usize,
    /// In which one was told while there was none.
    pub false_alarms: usize,
    /// How long that took.
    pub detect_ms: Option<Percentiles>,
    /// Part of the honest frames beside it that was lost, in percent.
    pub honest_lost: f64,
    /// Honest sources that were blocked.
    pub honest_blocked: usize,
}

/// The value that so many of a hundred do not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of them.
    pub p50: f64,
    /// 95 of 100.
    pub p95: f64,
    /// 99 of 100.
    pub p99: f64,
}

impl Percentiles {
    /// Of `values`, in any order; `None` where there are none.
    pub(super) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            values
                .get((values.len() * percent).div_ceil(100).checked_sub(1)?)
                .copied()
        };
        Some(Self {
            p50: rank(50)?,
            p95: rank(95)?,
            p99: rank(99)?,
        })
    }
}

impl Detected {
    /// With what live floods showed.
    pub(super) fn add_live(&mut self, rows: Vec<LiveRow>) {
        let all =
            |index: usize| Percentiles::of(rows.iter().flat_map(|row| row.all[index].clone()).collect());
        (self.live_detect_ms, self.mitigate_ms) = (all(0), all(1));
        self.live = rows;
    }

    /// What is measured against a goal.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![
            Figure::at_most(
                "made-up attacks that were missed",
                100.0 * (1.0 - self.detection_rate),
                "%",
                MISSED,
            ),
            Figure::at_most(
                "made-up attacks that had another name",
                100.0 * (1.0 - self.class_accuracy),
                "%",
                MISNAMED,
            ),
            Figure::at_most(
                "live floods that were missed or misnamed",
                unlike(&self.live),
                "",
                0.0,
            ),
            Figure::at_most(
                "made-up captures with a false alarm",
                self.false_alarms as f64,
                "",
                0.0,
            ),
            Figure::at_most(
                "made-up honest frames that were lost",
                100.0 * self.honest_frames_lost,
                "%",
                LOST,
            ),
            Figure::at_most(
                "made-up honest sources that were blocked",
                self.honest_sources_blocked as f64,
                "",
                0.0,
            ),
        ];
        let honest: usize = self.live.iter().map(|row| row.honest).sum();
        let answered: usize = self.live.iter().map(|row| row.honest_answered).sum();
        if honest > 0 {
            figures.push(Figure::at_least(
                "honest requests beside live floods, answered",
                100.0 * answered as f64 / honest as f64,
                "%",
                100.0 - LOST,
            ));
        }
        let told = [
            ("made-up attacks recognised after, p95", self.detect_ms, DETECT_MS),
            (
                "live floods recognised after, p95",
                self.live_detect_ms,
                DETECT_MS,
            ),
            ("live floods refused after, p95", self.mitigate_ms, MITIGATE_MS),
        ];
        for (name, ms, goal) in told {
            figures.extend(ms.map(|ms| Figure::at_most(name, ms.p95, "ms", goal)));
        }
        figures
    }
}

/// Starts that were not told under the right name, or never brought under control.
fn unlike(live: &[LiveRow]) -> f64 {
    let wrong = live
        .iter()
        .map(|row| row.starts - row.class_right.min(row.all[1].len()));
    wrong.sum::<usize>() as f64
}

impl fmt::Display for Detected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "made-up captures: {} with an attack, {} without; {:.0} frames of {:.0} honest sources\n\n{:<42}{:>9}{:>12}{:>13}{:>8}{:>6}{:>6} ms{:>14}{:>9}",
            self.attack_runs,
            self.quiet_runs,
            self.honest_frames,
            self.honest_sources,
            "made-up capture",
            "of",
            "recognised",
            "right name",
            "p50",
            "p95",
            "p99",
            "honest lost",
            "blocked"
        )?;
        for row in &self.mixes {
            write!(f, "{:<42}{:>9}", row.name, row.runs)?;
            match row.is_attack {
                true => write!(
                    f,
                    "{:>12}{:>13}{:>20}   ",
                    row.recognised,
                    row.class_right,
                    milliseconds(row.detect_ms)
                )?,
                false => write!(f, "{:>12} {:<35}", row.false_alarms, "false alarms")?,
            }
            writeln!(f, "{:>12.3} %{:>9}", row.honest_lost, row.honest_blocked)?;
        }
        for row in &self.usual {
            writeln!(
                f,
                "{:<42}{:>9}{:>12} told, {} false alarms{:>20} ms{:>12.3} %{:>9}",
                row.name,
                row.runs,
                row.told,
                row.false_alarms,
                milliseconds(row.detect_ms),
                row.honest_lost,
                row.honest_blocked
            )?;
        }
        if !self.live.is_empty() {
            writeln!(
                f,
                "\n{:<42}{:>9}{:>12}{:>13}{:>20} ms{:>17} ms{:>18}",
                "live flood",
                "starts",
                "recognised",
                "right name",
                "p50   p95   p99",
                "refused",
                "honest answered"
            )?;
        }
        for row in &self.live {
            writeln!(
                f,
                "{:<42}{:>9}{:>12}{:>13}{:>20}   {:>20}{:>9} of {}",
                row.name,
                row.starts,
                row.recognised,
                row.class_right,
                milliseconds(row.detect_ms),
                milliseconds(row.mitigate_ms),
                row.honest_answered,
                row.honest
            )?;
        }
        writeln!(f, "\n{:<42}told as", "what it was")?;
        for (truth, told) in &self.confusion {
            let told = told.iter().map(|(name, runs)| format!("{name} {runs}"));
            writeln!(f, "{truth:<42}{}", told.collect::<Vec<_>>().join(", "))?;
        }
        writeln!(f)
    }
}

fn milliseconds(of: Option<Percentiles>) -> String {
    of.map_or_else(String::new, |Percentiles { p50, p95, p99 }| {
        format!("{p50:>8.0}{p95:>6.0}{p99:>6.0}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        assert_eq!(Percentiles::of(Vec::new()), None);
        let [p50, p95, p99] = [50.0, 95.0, 99.0];
        let hundred = (1..=100).rev().map(f64::from).collect();
        assert_eq!(Percentiles::of(hundred), Some(Percentiles { p50, p95, p99 }));
        assert_eq!(
            Percentiles::of(vec![3.0, 1.0]).map(|ms| (ms.p50, ms.p95)),
            Some((1.0, 3.0))
        );
    }

    #[test]
    fn goals_are_those_of_the_issue() {
        let ms = |p95| {
            Some(Percentiles {
                p50: 1.0,
                p95,
                p99: 9_999.0,
            })
        };
        let good = Detected {
            detection_rate: 0.995,
            class_accuracy: 0.96,
            honest_frames_lost: 0.0005,
            detect_ms: ms(90.0),
            live_detect_ms: ms(80.0),
            mitigate_ms: ms(900.0),
            ..Detected::default()
        };
        assert!(good.figures().iter().all(|figure| figure.met == Some(true)));
        let bad = Detected {
            false_alarms: 1,
            honest_frames_lost: 0.002,
            honest_sources_blocked: 1,
            detect_ms: ms(101.0),
            live_detect_ms: ms(101.0),
            mitigate_ms: ms(1_001.0),
            live: vec![LiveRow {
                name: String::new(),
                starts: 4,
                recognised: 4,
                class_right: 4,
                honest: 10,
                honest_answered: 9,
                detect_ms: None,
                mitigate_ms: None,
                all: [vec![1.0; 4], vec![1.0; 3]],
            }],
            ..Detected::default()
        };
        assert!(bad.figures().iter().all(|figure| figure.met == Some(false)));
        assert_eq!(bad.figures().len(), 10);
    }
}
