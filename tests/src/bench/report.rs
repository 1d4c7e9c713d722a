//! The benchmark's table, for people and as JSON.

use std::fmt;

use serde::Serialize;

/// All rows of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// One row per case.
    pub rows: Vec<Row>,
}

/// One case.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What kind of packet it is.
    pub name: String,
    /// Median nanoseconds per packet over the empty program.
    pub over_empty_ns: f64,
    /// The same of the program that parses and looks the source up in one hash, on the same packet.
    pub reference: f64,
    /// The first by the second.
    pub ratio: f64,
    /// Highest ratio that is good enough; `null` where none is set.
    pub goal: Option<f64>,
    /// Whether the ratio is at most the goal.
    pub met: Option<bool>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<36}{:>14}{:>16}{:>8}{:>8}",
            "packet", "over empty", "parse + hash", "ratio", "goal"
        )?;
        for row in &self.rows {
            let goal = match (row.goal, row.met) {
                (Some(goal), Some(true)) => format!("{goal} ok"),
                (Some(goal), _) => format!("{goal} NO"),
                (None, _) => String::new(),
            };
            writeln!(
                f,
                "{:<36}{:>11.1} ns{:>13.1} ns{:>8.2}{:>8}",
                row.name, row.over_empty_ns, row.reference, row.ratio, goal
            )?;
        }
        Ok(())
    }
}
