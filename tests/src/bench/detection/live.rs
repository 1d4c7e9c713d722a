//! Live floods on a laboratory's cable: how soon a daemon that knows nothing recognises and refuses them, and what it takes for itself. What a
//! packet costs the kernel is measured elsewhere.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, anyhow, ensure};
use netguard::{
    bpf::{Counters, Pins},
    clock::wall_clock,
};
use netguard_common::Action;
use serde_json::Value;

use super::told::{LiveRow, Percentiles};
use crate::{
    bench::{
        Objects,
        cases::{MANY, MILLION, UNLISTED},
        end_to_end::pass_time,
        report::Figure,
    },
    lab::{Attack, Family, Felt, Forged, Forgery, Honest, Lab, Netguard, Nginx},
};

/// Each flood is started so often.
const STARTS: usize = 4;
const PER_SECOND: u32 = 100_000;
/// Requests a second of a client beside it, each over a connection of its own.
const CLIENT_PER_S: u32 = 20;
/// By then it is recognised and refused, or it is not.
const WATCHED: Duration = Duration::from_millis(2_000);
/// How often the counters are read, and over which stretch it counts how much is refused.
const LOOK: Duration = Duration::from_millis(1);
const STRETCH: Duration = Duration::from_millis(10);
/// The part of a flood's packets that is refused where it is under control.
const REFUSED: f64 = 0.9;
/// Fewer packets between two looks are the laboratory's own: neighbours look for each other, and a client asks for pages.
const BEGUN: u64 = 20;
/// For how long the daemon is watched, and the rate of the flood from a million sources.
const QUIET: Duration = Duration::from_secs(10);
const LOADED: Duration = Duration::from_secs(15);
const MANY_PER_SECOND: u32 = 300_000;
/// `USER_HZ`, the same on all architectures: what `/proc` counts CPU time in.
const TICKS_PER_S: f64 = 100.0;
/// What a server has that translates no addresses, see the headline.
const NO_TRANSLATION: &str = "[state]\nreach = \"all\"\n";

/// The floods, and what they are to be recognised as.
const FLOODS: [(Attack, Family, &str); 9] = [
    (Attack::Syn, Family::V4, "syn-flood"),
    (Attack::Syn, Family::V6, "syn-flood"),
    (Attack::Udp, Family::V4, "udp-flood"),
    (Attack::Udp, Family::V6, "udp-flood"),
    (Attack::Icmp, Family::V4, "icmp-flood"),
    (Attack::Icmp, Family::V6, "icmp-flood"),
    (Attack::Stray("A"), Family::V4, "segment-flood"),
    (Attack::Stray("A"), Family::V6, "segment-flood"),
    (Attack::Stray("R"), Family::V4, "segment-flood"),
];

/// A row for each flood whose name contains `only`, and what the daemon takes.
pub(super) fn measure(objects: &Objects, only: &str) -> Result<(Vec<LiveRow>, Vec<Figure>)> {
    let floods = FLOODS.map(|(attack, family, class)| {
        let flags = match attack {
            Attack::Stray(flags) => format!(" ({flags})"),
            _ => String::new(),
        };
        let name = format!("live {} flood{flags}, {}", attack.name(), family.name());
        (name, attack, family, class)
    });
    let floods: Vec<_> = floods
        .into_iter()
        .filter(|(name, ..)| name.contains(only))
        .collect();
    let with_daemon = "live daemon".contains(only);
    if floods.is_empty() && !with_daemon {
        return Ok((Vec::new(), Vec::new()));
    }
    let lab = Lab::new()?;
    let _server = Nginx::start(&lab)?;
    let _wire = lab.swallow_answers(&objects.driver)?;
    let mut rows = Vec::new();
    for (name, attack, family, class) in floods {
        eprintln!("bench: {name}, {STARTS} starts");
        let starts = (0..STARTS).map(|_| start(&lab, objects, attack, family));
        let starts = starts
            .collect::<Result<Vec<Start>>>()
            .with_context(|| name.clone())?;
        let of: [fn(&Start) -> Option<f64>; 2] = [|start| start.told, |start| start.refused];
        let all = of.map(|of| starts.iter().filter_map(of).collect::<Vec<f64>>());
        rows.push(LiveRow {
            name,
            starts: STARTS,
            recognised: starts.iter().filter(|start| start.told.is_some()).count(),
            class_right: starts
                .iter()
                .filter(|start| start.class.as_deref() == Some(class))
                .count(),
            honest: starts.iter().map(|start| start.honest.requests).sum(),
            honest_answered: starts.iter().map(|start| start.honest.succeeded).sum(),
            detect_ms: Percentiles::of(all[0].clone()),
            mitigate_ms: Percentiles::of(all[1].clone()),
            all,
        });
    }
    let figures = if with_daemon {
        daemon(&lab, objects)?
    } else {
        Vec::new()
    };
    Ok((rows, figures))
}

/// What became of one flood, in ms after its first packet.
struct Start {
    /// When it was told as an attack, and as which first.
    told: Option<f64>,
    class: Option<String>,
    /// From when on most of it was refused.
    refused: Option<f64>,
    /// What a client got meanwhile.
    honest: Felt,
}

fn start(lab: &Lab, objects: &Objects, attack: Attack, family: Family) -> Result<Start> {
    let netguard = Netguard::start(lab, &objects.netguard, NO_TRANSLATION)?;
    let pins = pins(lab)?;
    let counters = Counters::open(&pins)?;
    let client = Honest::start(lab, family, CLIENT_PER_S)?;
    let looks = thread::scope(|scope| -> Result<Vec<Look>> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let looking = scope.spawn(move || look(&counters, &stopped));
        let flooded = flood(lab, objects, (attack, family, MANY, PER_SECOND), WATCHED);
        stop.store(true, Ordering::Relaxed);
        let looks = looking
            .join()
            .map_err(|_| anyhow!("whoever looked at the counters panicked"))?;
        flooded?;
        looks
    })?;
    let honest = client.stop()?;
    let begun = begun(&looks).context("no packet of the flood arrived")?;
    let told = first_attack(&netguard, begun.wall)?;
    Ok(Start {
        told: told.as_ref().map(|(after, _)| *after),
        class: told.map(|(_, class)| class),
        refused: refused_from(&looks, begun.at),
        honest,
    })
}

fn pins(lab: &Lab) -> Result<Pins> {
    Ok(Pins::of(&lab.name.parse()?))
}

/// Floods for so long.
fn flood(
    lab: &Lab,
    objects: &Objects,
    (attack, family, sources, per_second): (Attack, Family, u32, u32),
    period: Duration,
) -> Result<f64> {
    let forgery = Forgery {
        attack,
        family,
        first: UNLISTED,
        sources,
        per_second,
    };
    let flood = Forged::start(lab, &objects.driver, forgery)?;
    pass_time(period)?;
    flood.stop()
}

/// The kernel's counters at a moment.
#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    wall: SystemTime,
    arrived: u64,
    refused: u64,
}

fn look(counters: &Counters, stopped: &AtomicBool) -> Result<Vec<Look>> {
    let mut looks = Vec::new();
    while !stopped.load(Ordering::Relaxed) {
        let (at, wall) = (Instant::now(), wall_clock());
        let (mut arrived, mut refused) = (0, 0);
        for (judgement, counter) in counters.read()?.iter().filter(|(judgement, _)| !judgement.shadow) {
            arrived += counter.packets;
            if judgement.action() != Action::Pass {
                refused += counter.packets;
            }
        }
        looks.push(Look {
            at,
            wall,
            arrived,
            refused,
        });
        thread::park_timeout(LOOK);
    }
    Ok(looks)
}

/// The last look before the flood, since its first packet came soon after.
fn begun(looks: &[Look]) -> Option<Look> {
    let mut pairs = looks.windows(2);
    let flooded = |pair: &&[Look]| pair[1].arrived >= pair[0].arrived + BEGUN;
    pairs.find(flooded)?.first().copied()
}

/// How many ms after `begun` most of what came in a stretch was refused for the first time.
fn refused_from(looks: &[Look], begun: Instant) -> Option<f64> {
    let after = looks.iter().filter(|look| look.at >= begun);
    let controlled = after.clone().find(|look| {
        let end = looks.iter().find(|end| end.at >= look.at + STRETCH);
        end.is_some_and(|end| {
            let (arrived, refused) = (end.arrived - look.arrived, end.refused - look.refused);
            arrived >= BEGUN && refused as f64 >= REFUSED * arrived as f64
        })
    });
    Some(1e3 * controlled?.at.saturating_duration_since(begun).as_secs_f64())
}

/// The first attack that was told, so many ms after `begun`, and its class.
fn first_attack(netguard: &Netguard<'_>, begun: SystemTime) -> Result<Option<(f64, String)>> {
    let events = netguard.must(&["events", "--json", "-n", "200"])?;
    for line in events.lines() {
        let event: Value = serde_json::from_str(line)?;
        if event["event"] != "attack-begun" {
            continue;
        }
        let (at, class) = (event["at"].as_str(), event["class"].as_str());
        let at = humantime::parse_rfc3339(at.context("an event has no time")?)?;
        // Events are told in whole milliseconds.
        let after = at.duration_since(begun).unwrap_or_default();
        return Ok(Some((
            1e3 * after.as_secs_f64(),
            class.context("an attack has no class")?.to_owned(),
        )));
    }
    Ok(None)
}

/// What a daemon takes beside one client, and under floods from a million sources.
fn daemon(lab: &Lab, objects: &Objects) -> Result<Vec<Figure>> {
    eprintln!(
        "bench: the daemon itself, for {} s",
        (QUIET + 2 * LOADED).as_secs()
    );
    let netguard = Netguard::start(lab, &objects.netguard, NO_TRANSLATION)?;
    let id = netguard.id().context("the daemon does not run")?;
    // What the start took is over.
    pass_time(Duration::from_secs(2))?;
    let client = Honest::start(lab, Family::V4, 10)?;
    let quiet = cpu_meanwhile(id, || pass_time(QUIET))?;
    client.stop()?;
    let mut figures = vec![Figure::at_most("daemon, quiet: CPU", quiet, "%", 5.0)];
    for attack in [Attack::Udp, Attack::Syn] {
        let million = (attack, Family::V4, MILLION, MANY_PER_SECOND);
        let mut rate = 0.0;
        let loaded = cpu_meanwhile(id, || {
            rate = flood(lab, objects, million, LOADED)?;
            Ok(())
        })?;
        ensure!(rate > 0.0, "nothing was sent");
        let name = format!("daemon, {} flood, 1M sources: CPU", attack.name());
        figures.push(Figure::at_most(&name, loaded, "%", 30.0));
        figures.push(Figure::plain("  the flood", rate / 1e3, "k/s"));
    }
    let memory = |what| -> Result<f64> { Ok(status_kib(id, what)? / 1_024.0) };
    figures.push(Figure::at_most(
        "daemon, after 1M sources: memory",
        memory("VmRSS")?,
        "MiB",
        150.0,
    ));
    figures.push(Figure::plain("  and at its most", memory("VmHWM")?, "MiB"));
    Ok(figures)
}

/// What part of a CPU process `id` has while `meanwhile` runs, in percent.
fn cpu_meanwhile(id: u32, meanwhile: impl FnOnce() -> Result<()>) -> Result<f64> {
    let (begin, before) = (Instant::now(), cpu_s(id)?);
    meanwhile()?;
    Ok(100.0 * (cpu_s(id)? - before) / begin.elapsed().as_secs_f64())
}

/// Seconds of CPU time that process `id` has had, all its threads.
fn cpu_s(id: u32) -> Result<f64> {
    let path = format!("/proc/{id}/stat");
    let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
    // proc_pid_stat(5): behind the name, which may hold anything, `utime` and `stime` are fields 12 and 13.
    let rest = stat
        .rsplit_once(')')
        .with_context(|| format!("{path}: no name"))?
        .1;
    let ticks: Vec<f64> = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    ensure!(ticks.len() == 2, "{path}: no times in {stat:?}");
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_S)
}

fn status_kib(id: u32, what: &str) -> Result<f64> {
    let path = format!("/proc/{id}/status");
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(number.with_context(|| format!("{path}: no {what}"))?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_begins_with_its_first_packets_and_is_refused_once_most_of_it_is() {
        let (start, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
        // Two packets of neighbours, then a hundred a millisecond; refused from the 30th on.
        let looks: Vec<Look> = (0..60)
            .map(|ms| Look {
                at: start + Duration::from_millis(ms),
                wall,
                arrived: if ms <= 10 { 2 } else { 100 * (ms - 10) },
                refused: 100 * ms.saturating_sub(30),
            })
            .collect();
        let begun = begun(&looks).expect("it began");
        assert_eq!(begun.at, start + Duration::from_millis(10));
        let refused = refused_from(&looks, begun.at).expect("it was refused");
        assert!((19.0..=21.0).contains(&refused), "{refused}");
        assert_eq!(refused_from(&looks[..35], begun.at), None);
    }

    #[test]
    fn this_process_takes_something() {
        let id = std::process::id();
        assert!(cpu_s(id).expect("it runs") >= 0.0);
        assert!(status_kib(id, "VmRSS").expect("it runs") > 100.0);
        assert!(status_kib(id, "VmNothing").is_err());
    }
}
