//! The benchmark's tables, for people and as JSON.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{Detected, Recognised};

/// All rows of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Packets in test runs.
    pub rows: Vec<Row>,
    /// What else is measured against a goal: memory, load time, scaling.
    pub figures: Vec<Figure>,
    /// Packets that a virtual network card receives.
    pub end_to_end: Vec<EndToEnd>,
    /// What honest clients get meanwhile.
    pub headline: Vec<Headline>,
    /// What labelled captures were recognised as.
    pub detection: Vec<Recognised>,
    /// What made-up attacks were recognised as; its keys stand beside the others.
    #[serde(flatten)]
    pub detected: Option<Detected>,
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
    /// Highest `more_ns` that is good enough; `null` where none is set.
    pub goal_more_ns: Option<f64>,
    /// What the lists add to the same row without them.
    pub more_ns: Option<f64>,
    /// Whether the goal is met.
    pub met: Option<bool>,
    /// Other filters on the same packets, and programs that do one thing and no more, over the empty program; `null` for those
    /// that are not installed.
    pub peers: BTreeMap<String, Option<f64>>,
}

/// One kind of flood on a virtual network card. All figures are medians of nanoseconds of the receiving CPU for each packet.
#[derive(Debug, Serialize)]
pub struct EndToEnd {
    /// What flood meets which policy.
    pub name: String,
    /// With netguard.
    pub netguard_ns: f64,
    /// With a program that drops everything.
    pub empty_ns: f64,
    /// With the program that parses and looks the source up in one hash.
    pub parse_hash_ns: f64,
    /// `netguard_ns` by `empty_ns`.
    pub by_empty: f64,
    /// `netguard_ns` by `parse_hash_ns`.
    pub by_parse_hash: f64,
    /// Highest `by_empty` that is good enough; `null` where none is set.
    pub goal_by_empty: Option<f64>,
    /// Highest `by_parse_hash` that is good enough; `null` where none is set.
    pub goal_by_parse_hash: Option<f64>,
    /// Whether the goal is met, and no other filter costs less.
    pub met: Option<bool>,
    /// Other filters under the same flood; `null` for those that are not installed.
    pub peers: BTreeMap<String, Option<f64>>,
}

/// Honest clients under one kind of flood, of sources that nobody listed.
#[derive(Debug, Serialize)]
pub struct Headline {
    /// What flood.
    pub name: String,
    /// What clients get when a blocklist knows all attackers.
    pub perfect_requests_per_s: f64,
    /// With netguard's default configuration.
    pub netguard: Served,
    /// Lowest `share` that is good enough.
    pub goal: f64,
    /// Lowest share of new connections that is good enough.
    pub goal_new_connections: f64,
    /// Whether both goals are met.
    pub met: bool,
    /// With others; `null` for those that are not installed.
    pub others: BTreeMap<String, Option<Served>>,
}

/// What clients got, medians.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Served {
    /// Over connections that are kept.
    pub requests_per_s: f64,
    /// The same by that of the perfect blocklist.
    pub share: f64,
    /// Share of new connections whose request was answered within a second.
    pub new_connections: f64,
    /// Packets of the flood: fewer than planned on a machine that has other work.
    pub flood_per_s: f64,
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
    /// Highest value that is good enough (of rates the lowest); `null` where none is set.
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
            && self.end_to_end.iter().all(|row| row.met != Some(false))
            && self.headline.iter().all(|row| row.met)
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

    pub(super) fn at_least(name: &str, value: f64, unit: &'static str, goal: f64) -> Self {
        Self {
            met: Some(value >= goal),
            ..Self::at_most(name, value, unit, goal)
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
            let goal = match (row.goal, row.goal_ns, row.goal_more_ns) {
                (Some(ratio), ..) => format!("{ratio:.1} x"),
                (_, Some(ns), _) => format!("{ns:.0} ns"),
                (.., Some(ns)) => format!("+{ns:.0} ns"),
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
            if let Some(more_ns) = row.more_ns {
                writeln!(f, "  {:<36}{more_ns:>9.1} ns", "more than without lists")?;
            }
            others(&row.peers, f)?;
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
        self.end_to_end.iter().try_for_each(|row| row.fmt(f))?;
        self.headline.iter().try_for_each(|row| row.fmt(f))?;
        self.detection.iter().try_for_each(|row| row.fmt(f))?;
        self.detected.iter().try_for_each(|detected| detected.fmt(f))
    }
}

impl fmt::Display for EndToEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let goal = match (self.goal_by_empty, self.goal_by_parse_hash) {
            (Some(goal), _) => format!("{goal:.1} x empty"),
            (_, Some(goal)) => format!("{goal:.1} x parse + hash"),
            _ => String::new(),
        };
        writeln!(
            f,
            "{:<38}{:>9.0} ns{:>9.0} ns empty ({:.2}){:>9.0} ns parse + hash ({:.2}) {:>20} {}",
            self.name,
            self.netguard_ns,
            self.empty_ns,
            self.by_empty,
            self.parse_hash_ns,
            self.by_parse_hash,
            goal,
            verdict(self.met)
        )?;
        others(&self.peers, f)
    }
}

impl fmt::Display for Headline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<38}{:>12}{:>9}{:>17}{:>11}",
            self.name, "requests/s", "share", "new connections", "flood/s"
        )?;
        let goals = format!(
            "{:.0} %, {:.0} %",
            100.0 * self.goal,
            100.0 * self.goal_new_connections
        );
        writeln!(
            f,
            "  {:<36}{} {goals:>14} {}",
            "netguard",
            self.netguard,
            verdict(Some(self.met))
        )?;
        self.others.iter().try_for_each(|(name, served)| match served {
            Some(served) => writeln!(f, "  {name:<36}{served}"),
            None => writeln!(f, "  {name:<36}{:>12}", "not here"),
        })
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>12.0}{:>7.1} %{:>15.1} %{:>11.0}",
            self.requests_per_s,
            100.0 * self.share,
            100.0 * self.new_connections,
            self.flood_per_s
        )
    }
}

/// Lines for other filters.
fn others(peers: &BTreeMap<String, Option<f64>>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    peers.iter().try_for_each(|(name, ns)| match ns {
        Some(ns) => writeln!(f, "  {name:<36}{ns:>9.1} ns"),
        None => writeln!(f, "  {name:<36}{:>12}", "not here"),
    })
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => " ok",
        Some(false) => " NO",
        None => "",
    }
}
