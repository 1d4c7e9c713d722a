//! What honest clients get of a web server beside slow attacks and floods of requests by tools that others wrote, with netguard and without it, and
//! how long a connection of the attacker stands. The server has room for as many connections as nginx has by default on two workers.

use std::{
    collections::HashMap,
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{Objects, report::Figure};
use crate::lab::{Family, Felt, Honest, Lab, Netguard, Nginx, Running, output};

const CONFIG: &str = "[http]\nmode = \"enforce\"\n[reputation]\nstore = \"off\"\n";
const ROOM: u32 = 1_024;
/// An attack, of which the first second is the filter's to find it.
const ATTACK: Duration = Duration::from_secs(12);
const FOUND: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(100);

/// An attack by one source.
struct Attack {
    name: &'static str,
    tool: &'static str,
    path: &'static str,
    args: &'static [&'static str],
}

const ATTACKS: [Attack; 7] = [
    Attack {
        name: "connections that are held",
        tool: "slowhttptest",
        path: "/big",
        args: &["-H", "-c", "3000", "-r", "2000", "-i", "240", "-l", "14", "-u"],
    },
    Attack {
        name: "slow headers",
        tool: "slowhttptest",
        path: "/big",
        args: &[
            "-H", "-c", "3000", "-r", "2000", "-i", "5", "-x", "12", "-l", "14", "-u",
        ],
    },
    Attack {
        name: "slow bodies",
        tool: "slowhttptest",
        path: "/upload",
        args: &[
            "-B", "-c", "3000", "-r", "2000", "-i", "5", "-s", "8192", "-l", "14", "-u",
        ],
    },
    Attack {
        name: "slow readers",
        tool: "slowhttptest",
        path: "/big",
        args: &[
            "-X", "-c", "3000", "-r", "2000", "-w", "1", "-y", "8", "-n", "5", "-z", "8", "-l", "14", "-u",
        ],
    },
    Attack {
        name: "overlapping ranges",
        tool: "slowhttptest",
        path: "/big",
        args: &[
            "-R", "-c", "500", "-r", "500", "-a", "5", "-b", "2000", "-l", "14", "-u",
        ],
    },
    Attack {
        name: "a flood of requests",
        tool: "wrk",
        path: "/",
        args: &["-t1", "-c200", "-d14"],
    },
    Attack {
        name: "ever new queries",
        tool: "wrk",
        path: "/",
        args: &["-t1", "-c50", "-d14", "-s", "SCRIPT"],
    },
];
/// Of wrk: each request with another query.
const SCRIPT: &str =
    "local n = 0\nrequest = function()\n  n = n + 1\n  return wrk.format(\"GET\", \"/?q=\" .. n)\nend\n";

/// What came of an attack.
struct Beside {
    felt: Felt,
    /// The longest that a connection of the attacker was seen.
    stood: Duration,
}

/// Measures; attacks whose tool is missing are left out.
pub(super) fn measure(objects: &Objects, only: &str) -> Result<Vec<Figure>> {
    let lab = Lab::new()?;
    fs::write(lab.dir.path().join("queries.lua"), SCRIPT)?;
    let _server = Nginx::with_room(&lab, ROOM)?;
    let peace = protected(&lab, objects, || {
        let honest = Honest::start(&lab, Family::V4, 20)?;
        thread::park_timeout(ATTACK - FOUND);
        honest.stop()
    })?;
    let mut figures = vec![Figure::plain(
        "p99 of honest requests in peace",
        peace.p99_ms,
        "ms",
    )];
    for attack in ATTACKS.iter().filter(|attack| attack.name.contains(only)) {
        eprintln!("bench: {}", attack.name);
        let Some(without) = beside(&lab, attack)? else {
            continue;
        };
        let Some(with) = protected(&lab, objects, || beside(&lab, attack))? else {
            continue;
        };
        let percent = |felt: &Felt| 100.0 * felt.success();
        figures.extend([
            Figure::at_least(
                &format!("answered beside {}", attack.name),
                percent(&with.felt),
                "%",
                99.9,
            ),
            Figure::plain("  without netguard", percent(&without.felt), "%"),
            Figure::at_most(
                "  p99 by that in peace",
                with.felt.p99_ms / peace.p99_ms,
                "x",
                2.0,
            ),
            Figure::at_most(
                "  an attacker's connection stands",
                with.stood.as_secs_f64(),
                "s",
                3.0,
            ),
        ]);
    }
    Ok(figures)
}

/// What `work` tells while netguard protects the victim.
fn protected<T>(lab: &Lab, objects: &Objects, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let netguard = Netguard::start(lab, &objects.netguard, CONFIG)?;
    let told = work()?;
    netguard.must(&["detach"])?;
    Ok(told)
}

/// `None` where the tool is not installed.
fn beside(lab: &Lab, attack: &Attack) -> Result<Option<Beside>> {
    let Ok(mut command) = lab.attacker.ns.command("nice") else {
        return Ok(None);
    };
    if lab.attacker.ns.command(attack.tool).is_err() {
        eprintln!("bench: this needs {}, which is not here", attack.tool);
        return Ok(None);
    }
    let script = lab.dir.path().join("queries.lua").display().to_string();
    let args = attack
        .args
        .iter()
        .map(|arg| if *arg == "SCRIPT" { script.as_str() } else { arg });
    command.args(["-n", "15", attack.tool]).args(args);
    command.arg(format!("http://{}{}", lab.victim.ip4, attack.path));
    let began = Instant::now();
    let tool = Running::start(&mut command, &lab.dir.path().join("attack.log"))?;
    let (mut seen, mut honest, mut stood) = (HashMap::new(), None, Duration::ZERO);
    while began.elapsed() < ATTACK {
        if began.elapsed() >= FOUND && honest.is_none() {
            honest = Some(Honest::start(lab, Family::V4, 20)?);
        }
        stood = stood.max(look(lab, &mut seen)?);
        thread::park_timeout(LOOK);
    }
    let felt = honest.map(Honest::stop).transpose()?;
    drop(tool);
    Ok(felt.map(|felt| Beside { felt, stood }))
}

/// Notes since when which connections of the attacker stand; tells how long the oldest does.
fn look(lab: &Lab, seen: &mut HashMap<String, Instant>) -> Result<Duration> {
    let mut command = lab.victim.ns.command("ss")?;
    command.args(["-Htn", "state", "established", "dst", lab.attacker.ip4]);
    let listed = output(&mut command, Duration::from_secs(5))?.stdout;
    let peers = listed.lines().filter_map(|line| line.split_whitespace().last());
    let now = Instant::now();
    let standing = peers.map(|peer| (peer.to_owned(), seen.get(peer).copied().unwrap_or(now)));
    *seen = standing.collect();
    let oldest = seen.values().map(|since| now.duration_since(*since)).max();
    Ok(oldest.unwrap_or_default())
}
