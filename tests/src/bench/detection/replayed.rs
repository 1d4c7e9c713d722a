//! A made-up capture as the program under test told it. What should have been told, the caller knows.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{
    captures::replay,
    traffic::{HONEST, SECOND, SERVERS, Scene},
};
use crate::pcap::BEGIN_S;

/// What was told of one capture.
pub(super) struct Replayed {
    report: Value,
    /// When what is to be told began, by the clock of the replay.
    began_ms: f64,
}

impl Replayed {
    /// Has `scene` replayed, by `path`, where what is to be told begins at `begins`; with more `arguments`.
    pub(super) fn of(
        netguard: &Path,
        scene: Scene,
        path: &Path,
        begins: u64,
        arguments: &[&str],
    ) -> Result<Self> {
        let is_v6 = usize::from(scene.is_v6);
        scene.write(path).context("writing a capture")?;
        let begin = ["--server", SERVERS[is_v6], "--honest", HONEST[is_v6]];
        let report = replay(netguard, path, &[&begin, arguments].concat())?;
        Ok(Self::new(report, began_ms(path, begins)?))
    }

    pub(super) const fn new(report: Value, began_ms: f64) -> Self {
        Self { report, began_ms }
    }

    /// What was told: class, how long after it began, whether somebody means harm, and packets.
    fn all(&self) -> impl Iterator<Item = (&str, f64, bool, f64)> {
        let attacks = self.report["attacks"].as_array().into_iter().flatten();
        attacks.filter_map(|attack| {
            let at = attack["began_ms"].as_f64()? + attack["detected_after_ms"].as_f64()?;
            Some((
                attack["class"].as_str()?,
                at - self.began_ms,
                attack["harmful"] == true,
                attack["packets"].as_f64()?,
            ))
        })
    }

    /// What was told as an attack: class, and how long after it began; the first is what it is called.
    pub(super) fn alarms(&self) -> Vec<(&str, f64)> {
        let mut alarms: Vec<_> = self.all().filter(|(_, _, is_harmful, _)| *is_harmful).collect();
        alarms.sort_by(|one, other| one.1.total_cmp(&other.1).then(other.3.total_cmp(&one.3)));
        alarms
            .into_iter()
            .map(|(class, after, ..)| (class, after))
            .collect()
    }

    /// What each attack but one of `class` was told for, in lines.
    pub(super) fn why_others(&self, class: Option<&str>) -> Vec<String> {
        let attacks = self.report["attacks"].as_array().into_iter().flatten();
        let others = attacks.filter(|attack| attack["harmful"] == true && attack["class"].as_str() != class);
        let line = |attack: &Value| {
            format!(
                "{} after {} ms: {}",
                attack["class"], attack["detected_after_ms"], attack["evidence"]
            )
        };
        others.map(line).collect()
    }

    /// The first that was told once it had begun.
    pub(super) fn recognised(&self) -> Option<(&str, f64)> {
        self.alarms().into_iter().find(|(_, after)| *after >= 0.0)
    }

    /// How long after it began `class` was told, as an attack or not.
    pub(super) fn told_after(&self, class: &str) -> Option<f64> {
        let told = self.all().filter(|(told, ..)| *told == class);
        told.map(|(_, after, ..)| after).min_by(f64::total_cmp)
    }

    /// All that was told as an attack.
    pub(super) fn told(&self) -> String {
        let mut classes: Vec<&str> = self.alarms().iter().map(|(class, _)| *class).collect();
        classes.sort_unstable();
        classes.dedup();
        match classes.is_empty() {
            true => "nothing".to_owned(),
            false => classes.join(" + "),
        }
    }

    /// What the report says of honest sources.
    pub(super) fn honest(&self, key: &str) -> f64 {
        self.report["honest"][key].as_f64().unwrap_or(0.0)
    }

    /// Networks in which somebody honest is, and that were blocked.
    pub(super) fn honest_blocked(&self) -> usize {
        let blocked = self.report["blocked"].as_array().into_iter().flatten();
        let prefixes = blocked.filter_map(|blocked| blocked["prefix"].as_str());
        let honest = prefixes.filter(|prefix| prefix.starts_with("60.") || prefix.starts_with("2a00:60:"));
        honest.count()
    }
}

/// The part of the honest frames that was lost, in percent.
pub(super) fn honest_lost<'a>(of: impl Iterator<Item = &'a Replayed> + Clone) -> f64 {
    let sum = |key| of.clone().map(|one| one.honest(key)).sum::<f64>();
    100.0 * sum("dropped") / sum("packets").max(1.0)
}

/// When it began, by the clock of the replay, which begins with the first frame.
fn began_ms(path: &Path, begins: u64) -> Result<f64> {
    const FIRST_RECORD: usize = 24;
    let bytes = std::fs::read(path)?;
    let number = |at: usize| -> Result<u64> {
        let part = bytes.get(at..at + 4).context("no frame")?;
        Ok(u32::from_le_bytes(part.try_into()?).into())
    };
    let seconds = number(FIRST_RECORD)?.saturating_sub(BEGIN_S);
    let first = seconds * SECOND + number(FIRST_RECORD + 4)?;
    Ok(begins.saturating_sub(first) as f64 / 1e6)
}
