//! What the daemon is too slow to take is counted and told, and is no reason to learn or to block anything.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netguard::bpf::{Counters, Pins};
use netguard_tests::lab::{Attack, Family, Flood, Honest, Netguard, output, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{attacks::attacks, detector::events, lab, protect};

const METRICS: &str = "metrics.listen = \"127.0.0.1:9464\"\n";

#[test]
fn samples_that_nobody_takes_are_counted_and_teach_nothing_ipv4() -> Result<()> {
    are_counted(Family::V4)
}

#[test]
fn samples_that_nobody_takes_are_counted_and_teach_nothing_ipv6() -> Result<()> {
    are_counted(Family::V6)
}

/// The daemon stands still amid a flood of many forged sources until its ring buffer is full.
fn are_counted(family: Family) -> Result<()> {
    let (lab, _server) = lab()?;
    crate::calm::normal::prepare(&lab)?;
    let netguard = protect(&lab, METRICS)?;
    let samples_lost = || -> Result<f64> {
        let mut curl = lab.victim.ns.command("curl")?;
        curl.args(["-s", "-S", "-m", "8", "http://127.0.0.1:9464/metrics"]);
        let page = output(&mut curl, Duration::from_secs(10))?.stdout;
        let row = page
            .lines()
            .find_map(|line| line.strip_prefix("netguard_samples_lost_total "));
        row.with_context(|| format!("no row: {page}"))?
            .parse()
            .context("a number")
    };
    ensure!(wait_until("the figures", Duration::from_secs(10), || Ok(samples_lost().ok()))? == 0.0);
    let honest = Honest::start(&lab, family, 10)?;
    let flood = Flood::spread_as(&lab, Attack::Stray("A"), family)?;
    wait_until("the attack to be recognised", Duration::from_secs(10), || {
        Ok((!attacks(&netguard)?.is_empty()).then_some(()))
    })?;
    let before = learnt(&netguard)?;

    let daemon = Pid::from_raw(i32::try_from(netguard.id().context("it runs")?)?);
    let counters = Counters::open(&Pins::of(&lab.name.parse()?))?;
    kill(daemon, Signal::SIGSTOP)?;
    let full = wait_until("the ring buffer to be full", Duration::from_secs(20), || {
        Ok((counters.sampler()?.lost > 500).then_some(()))
    });
    kill(daemon, Signal::SIGCONT)?;
    full?;

    let counted = wait_until("the loss to be told", Duration::from_secs(10), || {
        let counted = samples_lost()?;
        Ok((counted > 500.0 && !events(&netguard, "samples-lost")?.is_empty()).then_some(counted))
    })?;
    ensure!(counted <= counters.sampler()?.lost as f64, "{counted}");
    let told: u64 = events(&netguard, "samples-lost")?
        .iter()
        .filter_map(|event| event["count"].as_u64())
        .sum();
    ensure!(told > 500, "{told}");
    // It is the same attack as before, nobody is blocked for what was not seen, and the long window between is nothing usual.
    let going = attacks(&netguard)?;
    ensure!(
        going.len() == 1 && going[0]["class"] == "segment-flood",
        "{going:?}"
    );
    ensure!(going[0]["ended"].is_null(), "{going:?}");
    let after = learnt(&netguard)?;
    flood.stop()?;
    ensure!(after == before, "{before:?}, then {after:?}");
    ensure!(netguard.blocked()?.is_empty() && events(&netguard, "blocked")?.is_empty());
    let felt = honest.stop_after(100)?;
    ensure!(felt.success() > 0.99, "{felt:?}");
    Ok(())
}

/// Seconds that were learnt, and how many packets are usual.
fn learnt(netguard: &Netguard<'_>) -> Result<(u64, f64)> {
    let normal = netguard.json(&["normal", "show", "--json"])?;
    let packets = &normal["totals"]["packets"];
    let seconds = packets["learnt_s"].as_u64();
    seconds
        .zip(packets["usual"].as_f64())
        .with_context(|| format!("nothing is usual: {normal}"))
}
