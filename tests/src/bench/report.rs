//! The benchmark's tables, for people and as JSON.

use std::fmt;

use serde::Serialize;

/// All rows of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Packets in test runs.
    pub rows: Vec<Row>,
    /// What else is measured against a goal: memory, load time, scaling.
    pub figures: Vec<Figure>,
}

/// One kind of packet.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What kind of packet it is.
    pub name: String,
    /// Median nanoseconds per packet over the empty program.
    pub over_empty_ns: f64,
    /// What a tenth of the rounds stayed below.
    pub p10: f64,
    /// What nine tenths of the rounds stayed below.
    pub p90: f64,
    /// The median of the program that parses and looks the source up in one hash, on the same packets.
    pub reference: f64,
    /// `over_empty_ns` by `reference`.
    pub ratio: f64,
    /// Highest ratio that is good enough; `null` where none is set.
    pub goal: Option<f64>,
    /// Highest `over_empty_ns` that is good enough; `null` where none is set.
    pub goal_ns: Option<f64>,
    /// Whether the goal is met.
    pub met: Option<bool>,
}

/// One figure with its goal.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// The figure, in `unit`.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// Highest value that is good enough; `null` where none is set.
    pub goal: Option<f64>,
    /// Whether the goal is met.
    pub met: Option<bool>,
}

impl Report {
    /// Whether no goal was missed.
    #[must_use]
    pub fn all_met(&self) -> bool {
        self.rows.iter().all(|row| row.met != Some(false))
            && self.figures.iter().all(|figure| figure.met != Some(false))
    }
}

impl Figure {
    pub(super) fn at_most(name: &str, value: f64, unit: &'static str, goal: f64) -> Self {
        Self {
            name: name.to_owned(),
            value,
            unit,
            goal: Some(goal),
            met: Some(value <= goal),
        }
    }

    pub(super) fn plain(name: &str, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            value,
            unit,
            goal: None,
            met: None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.rows.is_empty() {
            writeln!(
                f,
                "{:<38}{:>12}{:>15}{:>8}{:>13}",
                "packet", "over empty", "parse + hash", "ratio", "goal"
            )?;
        }
        for row in &self.rows {
            let goal = match (row.goal, row.goal_ns) {
                (Some(ratio), _) => format!("{ratio:.1}"),
                (_, Some(ns)) => format!("{ns:.0} ns"),
                _ => String::new(),
            };
            writeln!(
                f,
                "{:<38}{:>9.1} ns{:>12.1} ns{:>8.2}{:>9} {}",
                row.name,
                row.over_empty_ns,
                row.reference,
                row.ratio,
                goal,
                verdict(row.met)
            )?;
        }
        for figure in &self.figures {
            writeln!(
                f,
                "{:<47}{:>10.2} {:<6}{:>10} {}",
                figure.name,
                figure.value,
                figure.unit,
                figure.goal.map(|goal| goal.to_string()).unwrap_or_default(),
                verdict(figure.met)
            )?;
        }
        Ok(())
    }
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => " ok",
        Some(false) => " NO",
        None => "",
    }
}
