//! Settings of the kernel are one for all instances of a network namespace: each has what it needs, and the last who detaches gives
//! them back. Where they cannot be changed, that is told, once.

use std::{path::Path, time::Duration};

use anyhow::Result;
use netguard_tests::lab::{Family, Flood, Honest, Lab, Netguard, Running, wait_until};

use crate::{cookies::sysctl, protect, shared_lab};

const PAIR: &str = "link add v9 type veth peer name v9p";
const CONFIG: &str = "syn_cookies = { rate_per_s = 100, burst = 200, timestamps = \"manage\" }";

fn settings(lab: &Lab) -> Result<[String; 2]> {
    Ok([sysctl(lab, "tcp_syncookies")?, sysctl(lab, "tcp_timestamps")?])
}

fn turn(lab: &Lab, what: &str, wanted: [&str; 2], seconds: u64) -> Result<()> {
    wait_until(what, Duration::from_secs(seconds), || {
        Ok((settings(lab)? == wanted).then_some(()))
    })
}

/// A daemon of another instance at the other interface.
fn run(lab: &Lab, other: &Netguard) -> Result<Running> {
    let mut command = other.command()?;
    command.args(["run", "-i", "v9", "-c"]);
    command.arg(lab.dir.path().join("netguard.toml"));
    let mut daemon = Running::start(&mut command, &lab.dir.path().join("second.log"))?;
    wait_until("the other daemon to protect", Duration::from_secs(10), || {
        daemon.must_run()?;
        Ok((other.cli(&["status"])?.status == 0).then_some(()))
    })?;
    Ok(daemon)
}

/// Found in review: each instance took what the other had set for what had been, and gave it back too early.
#[test]
fn instances_share_what_they_borrow() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    lab.take_answers()?;
    lab.victim.ns.ip(PAIR)?;
    let mut netguard = protect(&lab, CONFIG)?;
    let other = netguard.as_instance("x");
    let daemon = run(&lab, &other)?;
    assert_eq!(settings(&lab)?, ["1", "1"]);

    // Whoever had them first goes first.
    netguard.must(&["detach"])?;
    assert_eq!(settings(&lab)?, ["1", "1"], "the other needs cookies");
    netguard.restart()?;
    let flood = Flood::spread(&lab, Family::V4)?;
    turn(&lab, "cookies to be made", ["2", "2"], 10)?;
    let honest = Honest::start(&lab, Family::V4, 20)?;
    // One that is at peace goes in the middle of the other's flood, and comes again.
    other.must(&["detach"])?;
    assert_eq!(settings(&lab)?, ["2", "2"], "the flood goes on");
    drop(daemon);
    let daemon = run(&lab, &other)?;
    assert_eq!(settings(&lab)?, ["2", "2"], "the flood goes on");
    let felt = honest.stop_after(100)?;
    flood.stop()?;
    assert_eq!(felt.succeeded, felt.requests, "{felt:?}");

    // The one with the flood dies in it: its filter goes on making cookies.
    netguard.kill9();
    other.must(&["detach"])?;
    drop(daemon);
    assert_eq!(settings(&lab)?, ["2", "2"]);
    netguard.must(&["detach"])?;
    assert_eq!(settings(&lab)?, ["0", "1"], "what they were");
    Ok(())
}

/// Whose pins were removed by hand, and whose daemon is dead, claims nothing.
#[test]
fn the_dead_need_nothing() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    lab.victim.ns.ip(PAIR)?;
    let mut netguard = protect(&lab, CONFIG)?;
    let other = netguard.as_instance("x");
    let daemon = run(&lab, &other)?;
    drop(daemon);
    std::fs::remove_dir_all(other.pins())?;
    netguard.kill9();
    netguard.must(&["detach"])?;
    assert_eq!(settings(&lab)?, ["0", "1"]);
    Ok(())
}

/// Cookies that are under way when the daemon is started anew mean what they meant.
#[test]
fn a_restart_in_a_flood_changes_nothing() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    lab.take_answers()?;
    let mut netguard = protect(&lab, CONFIG)?;
    let flood = Flood::spread(&lab, Family::V4)?;
    turn(&lab, "cookies to be made", ["2", "2"], 10)?;
    flood.stop()?;
    netguard.kill9();
    netguard.restart()?;
    assert_eq!(settings(&lab)?, ["2", "2"], "cookies are under way");
    turn(&lab, "peace", ["1", "1"], 25)?;
    netguard.must(&["detach"])?;
    assert_eq!(settings(&lab)?, ["0", "1"]);
    Ok(())
}

/// As in most containers.
#[test]
fn settings_that_cannot_be_changed_are_told_once() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    lab.take_answers()?;
    lab.victim.ns.sysctl("net.ipv4.tcp_syncookies", "1")?;
    lab.victim.ns.ip(PAIR)?;
    let netguard = protect(&lab, CONFIG)?;
    netguard.must(&["detach"])?;
    let config = lab.dir.path().join("netguard.toml");
    let inside = |command: &str| -> Result<std::process::Command> {
        let mut shell = lab.victim.ns.command("unshare")?;
        let program = netguard_tests::lab::binary()?;
        shell.args(["--mount", "sh", "-c"]).arg(format!(
            "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec {} --instance {} {command}",
            program.display(),
            lab.name
        ));
        Ok(shell)
    };
    let log = lab.dir.path().join("readonly.log");
    let run = format!("run -i eth0 -c {}", config.display());
    let mut daemon = Running::start(&mut inside(&run)?, &log)?;
    let said = wait_until("the daemon to protect", Duration::from_secs(20), || {
        daemon.must_run()?;
        let status = netguard.cli(&["status"])?;
        Ok((status.status == 0).then_some(status.stdout))
    })?;
    let words = "net.ipv4.tcp_syncookies is 1 and cannot be set";
    assert!(said.contains(words), "{said}");
    let status = netguard.json(&["status", "--json"])?;
    let faults = status["daemon"]["cookie_faults"].as_array().map(Vec::len);
    assert_eq!(faults, Some(2), "{status}");
    let doctor = netguard_tests::lab::output(&mut inside("doctor")?, Duration::from_secs(20))?;
    assert!(doctor.stdout.contains(words), "{doctor:?}");

    let before = netguard.stats()?;
    let flood = Flood::spread(&lab, Family::V4)?;
    wait_until(
        "the kernel's own cookies, or ours",
        Duration::from_secs(10),
        || {
            let grown = netguard_tests::lab::growth(&before, &netguard.stats()?);
            Ok((grown.values().sum::<u64>() > 100_000).then_some(()))
        },
    )?;
    flood.stop()?;
    let log = daemon.log();
    let warned = log.lines().filter(|line| line.contains("tcp_syncookies"));
    assert_eq!(warned.count(), 1, "{log}");
    assert_eq!(settings(&lab)?, ["1", "1"]);
    drop(daemon);
    netguard.must(&["detach"])?;
    assert!(
        !Path::new("/run/netguard")
            .join(format!("{}.sock", lab.name))
            .exists()
    );
    Ok(())
}
