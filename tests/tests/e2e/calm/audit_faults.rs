//! The audit trail through crashes, on a disk that is full, where it cannot be and where nobody wants it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use netguard_tests::lab::{Family, Running, output, wait_until};
use serde_json::Value;

use crate::{
    audit::{is, must_verify, one, shown, trail},
    calm::lab,
    protect,
};

#[test]
fn a_daemon_that_is_killed_while_it_writes_leaves_a_trail_that_verifies() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    let script = "while :; do \"$@\" block add 198.18.0.1; \"$@\" block del 198.18.0.1; done";
    for round in 0..4 {
        let mut shell = lab.victim.ns.command("sh")?;
        let command = netguard.command()?;
        shell
            .args(["-c", script, "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        let operator = Running::start(&mut shell, &lab.dir.path().join("operator.log"))?;
        let before = shown(&netguard)?.len();
        wait_until("the operator to work", Duration::from_secs(10), || {
            Ok((shown(&netguard)?.len() > before + 10).then_some(()))
        })?;
        netguard.kill9();
        drop(operator);
        if round == 2 {
            // As a crash of the machine leaves it.
            let mut torn = fs::read(netguard.trail())?;
            torn.truncate(torn.len() - 40);
            fs::write(netguard.trail(), torn)?;
        }
        netguard.restart()?;
        let verified = must_verify(&netguard)?;
        ensure!(
            (verified["told"]["audit-torn"] == 1) == (round >= 2),
            "{verified}"
        );
    }
    let lines = shown(&netguard)?;
    let torn = one(&lines, "audit-torn")?;
    let kept = torn["kept_in"].as_str().context("kept nowhere")?;
    ensure!(fs::read_to_string(kept)?.starts_with("{\"seq\":"), "{torn}");
    Ok(())
}

/// A small disk of its own, until it is dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Result<Self> {
        fs::create_dir(at)?;
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=128k", "netguard-test"])
            .arg(at);
        let mounted = output(&mut mount, Duration::from_secs(5))?;
        ensure!(mounted.status == 0, "{mounted:?}");
        Ok(Self(at.to_owned()))
    }

    /// Writes until there is no room.
    fn fill(&self) -> PathBuf {
        let filler = self.0.join("filler");
        // It fails, as it should.
        let _ = fs::write(&filler, vec![b'x'; 1 << 20]);
        filler
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = output(
            Command::new("umount").arg("-l").arg(&self.0),
            Duration::from_secs(5),
        );
    }
}

#[test]
fn a_full_disk_stops_neither_the_daemon_nor_the_filter() -> Result<()> {
    let (lab, server) = lab()?;
    let disk = Disk::mount(&lab.dir.path().join("disk"))?;
    let file = disk.0.join("audit.jsonl");
    let netguard = protect(&lab, &format!("audit.file = \"{}\"", file.display()))?;
    trail(&netguard, "the start", is("configured"))?;
    let filler = disk.fill();
    let full = wait_until("the fault to be told", Duration::from_secs(30), || {
        // The last page of the file has room for some lines.
        netguard.must(&["block", "add", "198.18.0.1"])?;
        netguard.must(&["block", "del", "198.18.0.1"])?;
        let status = netguard.json(&["status", "--json"])?;
        Ok((!status["daemon"]["audit"]["fault"].is_null()).then_some(status))
    })?;
    ensure!(
        full["daemon"]["audit"]["fault"]
            .as_str()
            .is_some_and(|fault| fault.contains("No space")),
        "{full}"
    );
    ensure!(netguard.must(&["status"])?.contains("audit trail is NOT written"));
    let doctor = netguard.cli(&["doctor", "--json"])?;
    let doctor: Value = serde_json::from_str(&doctor.stdout)?;
    let checks = doctor["checks"].as_array().context("no checks")?;
    let check = checks
        .iter()
        .find(|check| check["check"] == "audit trail")
        .context("no check")?;
    ensure!(check["state"] == "warn", "{check}");

    netguard.must(&["block", "add", lab.client.ip4, "--reason", "while it is full"])?;
    ensure!(
        server.curl(&lab, Family::V4, "/").is_err(),
        "what was blocked passes"
    );
    let verified = must_verify(&netguard)?;
    ensure!(verified["ok"] == true);

    fs::remove_file(filler)?;
    let lines = trail(&netguard, "what waited", |line| {
        line["note"] == "while it is full"
    })?;
    let outage = one(&lines, "audit-outage")?;
    ensure!(
        outage["why"].as_str().is_some_and(|why| why.contains("No space")),
        "{outage}"
    );
    must_verify(&netguard)?;
    ensure!(!netguard.must(&["status"])?.contains("NOT written"));
    Ok(())
}

#[test]
fn a_trail_that_is_off_or_impossible_is_told() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, "audit.mode = \"off\"")?;
    netguard.must(&["block", "add", "198.18.0.1"])?;
    ensure!(netguard.json(&["status", "--json"])?["daemon"]["audit"].is_null());
    netguard.kill9();
    netguard.must(&["block", "del", "198.18.0.1"])?;
    ensure!(!netguard.trail().exists(), "something was written");
    ensure!(netguard.cli(&["audit", "show"])?.status == 1);

    fs::write(
        lab.dir.path().join("netguard.toml"),
        "audit.file = \"/proc/nowhere/audit.jsonl\"",
    )?;
    netguard.restart()?;
    let status = wait_until("the fault to be told", Duration::from_secs(10), || {
        let status = netguard.must(&["status"])?;
        Ok(status.contains("NOT written: /proc/nowhere").then_some(status))
    })?;
    ensure!(status.contains("protects"), "{status}");
    netguard.stop()?;
    Ok(())
}
