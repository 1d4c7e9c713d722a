//! What labelled captures are recognised as: each is replayed by the program under test. It makes no traffic.

use std::{collections::BTreeMap, fmt, net::IpAddr, path::Path, process::Command, time::Duration};

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::Value;

use super::told::Percentiles;
use crate::{bench::report::Figure, captures::Captures, lab::output};

/// Who replays one for longer is stuck.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// Classes of captures in which something is to be recognised, and in which nothing is.
const ATTACKS: [&str; 2] = ["attack-flood", "attack-amplification"];
const BENIGN: &str = "benign";
/// Verdicts that speak of nothing but the source's address, which no network card receives: a reserved one, or the receiver's own. Honest captures
/// have such where a machine spoke to itself, or where addresses were replaced by others; no machine loses these frames.
const UNROUTABLE: [&str; 3] = ["martian-source", "land", "own-source"];
/// The part of the frames of honest captures that may be lost.
const LOST: f64 = 0.0002;

/// The captures of one class of the manifest.
#[derive(Debug, Default, Serialize)]
pub struct Recognised {
    /// As the manifest says.
    pub class: String,
    /// Captures that could be replayed.
    pub captures: usize,
    /// Captures by what was recognised in them; `nothing`, or several joined by a `+`.
    pub recognised: BTreeMap<String, usize>,
    /// Frames that were judged, and those of them that were dropped.
    pub frames: u64,
    /// Those of them that were dropped.
    pub dropped: u64,
    /// Sources that were blocked.
    pub blocked: usize,
    /// Captures that could not be replayed.
    pub unreadable: usize,
    /// Captures of a machine talking to itself: no card receives that, and all of it counts as malformed.
    pub loopback: usize,
    /// Of honest captures those with frames whose source no network card receives, and those frames: not lost, and no reason for an alarm.
    pub unroutable: usize,
    /// Those frames; not among `frames` and `dropped`.
    pub unroutable_frames: u64,
    /// Milliseconds after which attacks were recognised.
    #[serde(skip)]
    detected_ms: Vec<f64>,
    /// Captures in which something is amiss: an alarm in honest ones, none in an attack.
    pub amiss: Vec<String>,
}

/// Replays the `captures` whose name contains `only`: a row for each class, and what is measured against a goal.
pub(super) fn measure(
    netguard: &Path,
    captures: &Captures,
    only: &str,
) -> Result<(Vec<Recognised>, Vec<Figure>)> {
    let wanted = captures
        .all()
        .iter()
        .filter(|capture| capture.name.contains(only));
    let wanted: Vec<_> = wanted.collect();
    eprintln!("bench: replaying {} captures", wanted.len());
    let mut classes: BTreeMap<&str, Recognised> = BTreeMap::new();
    for capture in wanted {
        let row = classes.entry(&capture.class).or_insert_with(|| Recognised {
            class: capture.class.clone(),
            ..Recognised::default()
        });
        match replay(netguard, &captures.path(capture), &[]) {
            Ok(report) => row.add(&capture.name, &report),
            Err(error) => row.unreadable(&capture.name, &error),
        }
    }
    let rows: Vec<Recognised> = classes.into_values().collect();
    let figures = figures(&rows);
    Ok((rows, figures))
}

/// Replays `file`, with more `arguments`.
pub(super) fn replay(netguard: &Path, file: &Path, arguments: &[&str]) -> Result<Value> {
    let mut command = Command::new(netguard);
    command.args(["replay", "--json"]).arg(file).args(arguments);
    let told = output(&mut command, PATIENCE)?;
    if told.status != 0 {
        bail!("{}: {}", file.display(), told.stderr.trim());
    }
    Ok(serde_json::from_str(&told.stdout)?)
}

impl Recognised {
    /// Notes that `file` cannot be replayed: an attack in it is missed.
    fn unreadable(&mut self, file: &str, error: &anyhow::Error) {
        self.unreadable += 1;
        if self.is_attack() {
            self.amiss.push(format!("{file}: {error:#}"));
        }
    }

    fn is_attack(&self) -> bool {
        ATTACKS.contains(&self.class.as_str())
    }

    fn add(&mut self, file: &str, report: &Value) {
        if is_loopback(report) {
            self.loopback += 1;
            if self.is_attack() {
                self.amiss.push(format!("{file}: of a loopback"));
            }
            return;
        }
        let attacks = || report["attacks"].as_array().into_iter().flatten();
        let harmful = || attacks().filter(|attack| attack["harmful"] == true);
        let mut classes: Vec<&str> = attacks().filter_map(|attack| attack["class"].as_str()).collect();
        classes.sort_unstable();
        classes.dedup();
        let name = match classes.is_empty() {
            true => "nothing".to_owned(),
            false => classes.join(" + "),
        };
        let (wanted, honest) = (self.is_attack(), self.class.starts_with(BENIGN));
        let unroutable = if honest {
            packets(report, |name, _| UNROUTABLE.contains(&name))
        } else {
            0
        };
        let mut alarms = harmful().filter(|attack| unroutable == 0 || attack["class"] != "malformed");
        let is_attacked = alarms.next().is_some();
        if wanted != is_attacked && (wanted || honest) {
            self.amiss.push(format!("{file}: {name}"));
        }
        self.captures += 1;
        *self.recognised.entry(name).or_default() += 1;
        self.unroutable += usize::from(unroutable > 0);
        self.unroutable_frames += unroutable;
        self.frames += report["packets"].as_u64().unwrap_or(0).saturating_sub(unroutable);
        self.dropped += packets(report, |_, action| action == "drop").saturating_sub(unroutable);
        self.blocked += report["blocked"].as_array().map_or(0, Vec::len);
        let after = harmful().filter_map(|attack| attack["detected_after_ms"].as_f64());
        self.detected_ms.extend(after);
    }
}

fn is_loopback(report: &Value) -> bool {
    let servers = report["servers"]["addresses"].as_array().into_iter().flatten();
    let mut servers = servers.filter_map(|server| server.as_str()?.parse::<IpAddr>().ok());
    servers.any(|server| server.is_loopback())
}

/// Packets whose verdict has a name and an action that are `wanted`.
fn packets(report: &Value, wanted: impl Fn(&str, &str) -> bool) -> u64 {
    let verdicts = report["verdicts"].as_array().into_iter().flatten();
    let of = |verdict: &Value| {
        let is_wanted = wanted(verdict["name"].as_str()?, verdict["action"].as_str()?);
        is_wanted.then(|| verdict["packets"].as_u64()).flatten()
    };
    verdicts.filter_map(of).sum()
}

fn figures(rows: &[Recognised]) -> Vec<Figure> {
    let of = |wanted: &dyn Fn(&str) -> bool| {
        let rows = rows.iter().filter(|row| wanted(&row.class));
        rows.collect::<Vec<_>>()
    };
    let amiss = |rows: &[&Recognised]| rows.iter().map(|row| row.amiss.len()).sum::<usize>() as f64;
    let (attacks, honest) = (
        of(&|class| ATTACKS.contains(&class)),
        of(&|class| class == BENIGN),
    );
    let sum = |of: fn(&Recognised) -> u64| honest.iter().map(|row| of(row)).sum::<u64>() as f64;
    let detected = attacks.iter().flat_map(|row| row.detected_ms.clone());
    let detected = Percentiles::of(detected.collect());
    let mut figures = vec![
        Figure::at_most("floods and reflections missed", amiss(&attacks), "", 0.0),
        Figure::at_most("honest captures with an alarm", amiss(&honest), "", 0.0),
        Figure::at_most(
            "part of the honest frames that was lost",
            sum(|row| row.dropped) / sum(|row| row.frames).max(1.0),
            "",
            LOST,
        ),
        Figure::at_most(
            "honest sources that were blocked",
            sum(|row| row.blocked as u64),
            "",
            0.0,
        ),
    ];
    figures.extend(detected.map(|ms| Figure::at_most("recognised after, p95", ms.p95, "ms", 100.0)));
    figures.extend(other_honest(rows));
    figures
}

/// Honest captures whose frames no network card receives like that (with a TTL of zero, cut short, or of a machine that computes checksums later),
/// which the goals do not speak of: by their class.
fn other_honest(rows: &[Recognised]) -> impl Iterator<Item = Figure> {
    let others = rows
        .iter()
        .filter(|row| row.class.starts_with(BENIGN) && row.class != BENIGN);
    others.flat_map(|row| {
        let lost = 100.0 * row.dropped as f64 / (row.frames as f64).max(1.0);
        [
            Figure::plain(
                &format!("{}, captures with an alarm", row.class),
                row.amiss.len() as f64,
                "",
            ),
            Figure::plain(&format!("{}, frames lost", row.class), lost, "%"),
            Figure::plain(&format!("{}, sources blocked", row.class), row.blocked as f64, ""),
        ]
    })
}

impl fmt::Display for Recognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} captures, {} of {} frames dropped, {} sources blocked; {} unreadable, {} of a loopback",
            self.class,
            self.captures,
            self.dropped,
            self.frames,
            self.blocked,
            self.unreadable,
            self.loopback
        )?;
        if self.unroutable > 0 {
            writeln!(
                f,
                "  not counted: {} frames in {} captures from sources that no network card receives",
                self.unroutable_frames, self.unroutable
            )?;
        }
        for (name, captures) in &self.recognised {
            writeln!(f, "  {name:<46}{captures:>8}")?;
        }
        self.amiss
            .iter()
            .try_for_each(|amiss| writeln!(f, "  NO {amiss}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(class: &str, reports: &[Value]) -> Recognised {
        let mut row = Recognised {
            class: class.to_owned(),
            ..Recognised::default()
        };
        for report in reports {
            row.add("x.pcap", report);
        }
        row
    }

    #[test]
    fn a_miss_and_a_false_alarm_are_told() {
        let flood = json!({
            "packets": 100, "blocked": [],
            "verdicts": [
                {"name": "limit-udp", "action": "drop", "packets": 40},
                {"name": "pass", "action": "pass", "packets": 60},
            ],
            "attacks": [{"class": "udp-flood", "harmful": true, "detected_after_ms": 50}],
        });
        let crowd = json!({
            "packets": 100, "blocked": [], "verdicts": [],
            "attacks": [{"class": "flash-crowd", "harmful": false, "detected_after_ms": 50}],
        });
        let rows = [
            row("attack-flood", &[flood.clone(), crowd.clone()]),
            row("benign", &[flood, crowd]),
            row(
                "benign",
                &[json!({"servers": {"addresses": ["127.0.0.1"]}, "packets": 9})],
            ),
        ];
        assert_eq!((rows[2].loopback, rows[2].frames), (1, 0));
        assert_eq!(rows[0].amiss, ["x.pcap: flash-crowd"]);
        assert_eq!(rows[1].amiss, ["x.pcap: udp-flood"]);
        let figures = figures(&rows);
        let values: Vec<f64> = figures.iter().map(|figure| figure.value).collect();
        assert_eq!(values, [1.0, 1.0, 0.2, 0.0, 50.0]);
        assert!(figures[0].met == Some(false) && figures[4].met == Some(true));
    }

    /// Made on a loopback, or with addresses that were replaced: no network card receives that.
    #[test]
    fn what_nobody_sends_over_a_network_is_not_lost() {
        let replaced = json!({
            "packets": 100, "blocked": [],
            "verdicts": [
                {"name": "martian-source", "action": "drop", "packets": 30},
                {"name": "land", "action": "drop", "packets": 9},
                {"name": "limit-udp", "action": "drop", "packets": 1},
                {"name": "pass", "action": "pass", "packets": 60},
            ],
            "attacks": [{"class": "malformed", "harmful": true, "detected_after_ms": 50}],
        });
        let honest = row("benign", std::slice::from_ref(&replaced));
        assert_eq!((honest.unroutable, honest.unroutable_frames), (1, 39));
        assert_eq!((honest.frames, honest.dropped), (61, 1));
        assert!(honest.amiss.is_empty(), "{:?}", honest.amiss);
        let flood = row("attack-flood", &[replaced]);
        assert_eq!((flood.unroutable, flood.dropped), (0, 40));
        assert!(flood.amiss.is_empty(), "there it is what was looked for");
    }
}
