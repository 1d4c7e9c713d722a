//! A disk that is full: what is known of sources stays in memory, that is told once, and it is kept as soon as there is room again.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use netguard_tests::lab::{Family, Lab, Netguard, output, wait_until};
use serde_json::Value;

use super::{SHORT, blocked_times};
use crate::{
    detector::{connect, events, flood_own_address},
    protect, shared_lab,
};

/// What failed is tried again after half a minute.
const PATIENCE: Duration = Duration::from_secs(60);

/// A small disk of its own; it goes with the test.
struct Disk(PathBuf);

impl Disk {
    fn mount(lab: &Lab) -> Result<Self> {
        let place = lab.dir.path().join("disk");
        fs::create_dir(&place)?;
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=8m", "netguard-test"])
            .arg(&place);
        let mounted = output(&mut mount, Duration::from_secs(5))?;
        ensure!(mounted.status == 0, "{mounted:?}");
        Ok(Self(place))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn fill(&self) -> Result<()> {
        ensure!(
            fs::write(self.filler(), vec![b'x'; 16 << 20]).is_err(),
            "there is room for more"
        );
        Ok(())
    }

    fn empty(&self) -> Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }

    fn config(&self) -> String {
        format!(
            "{SHORT}\nreputation.file = \"{}\"\n",
            self.0.join("r.redb").display()
        )
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn state(netguard: &Netguard<'_>) -> Result<Value> {
    Ok(netguard.json(&["status", "--json"])?["daemon"]["reputation"].take())
}

#[test]
fn a_disk_that_fills_up_is_told_once_and_nothing_is_lost_ipv4() -> Result<()> {
    is_survived(Family::V4, false)
}

#[test]
fn a_disk_that_is_full_at_the_start_is_told_once_and_nothing_is_lost_ipv6() -> Result<()> {
    is_survived(Family::V6, true)
}

/// The disk is full from the start or from later on; there is room again after a source was blocked.
fn is_survived(family: Family, from_the_start: bool) -> Result<()> {
    let (lab, server) = shared_lab()?;
    let disk = Disk::mount(&lab)?;
    if from_the_start {
        disk.fill()?;
    }
    let mut netguard = protect(&lab, &disk.config())?;
    if !from_the_start {
        ensure!(state(&netguard)?["fault"].is_null(), "{}", state(&netguard)?);
        disk.fill()?;
    }
    let _proof = connect(&lab, family)?;
    let flood = flood_own_address(&lab, family)?;
    wait_until("a block", Duration::from_secs(10), || {
        Ok(events(&netguard, "blocked")?.pop())
    })?;
    flood.stop()?;
    let fault = wait_until("the fault to be told", PATIENCE, || {
        Ok(state(&netguard)?["fault"].as_str().map(str::to_owned))
    })?;
    ensure!(fault.contains("r.redb") && fault.contains("disk full"), "{fault}");
    let status = netguard.must(&["status"])?;
    ensure!(status.contains(&format!("reputation: {fault}")), "{status}");

    // The filter goes on, knows what it knew, and blocks nobody else for it.
    let explained = netguard.json(&["explain", lab.attacker.ip(family), "--json"])?;
    ensure!(explained["score"].as_u64() >= Some(50), "{explained}");
    let times = blocked_times(&netguard, lab.attacker.ip(family))?;
    ensure!(times > 0);
    let blocked = events(&netguard, "blocked")?;
    let network = family.of("192.0.2.66/", "2001:db8:2::/");
    let is_own = |event: &Value| {
        event["prefix"]
            .as_str()
            .is_some_and(|prefix| prefix.starts_with(network))
    };
    ensure!(blocked.iter().all(is_own), "{blocked:?}");
    ensure!(server.curl(&lab, family, "/")?.0 == 200);
    let told = wait_until("an event of it", Duration::from_secs(10), || {
        let told = events(&netguard, "reputation-store")?;
        Ok((!told.is_empty()).then_some(told))
    })?;
    ensure!(told.len() == 1 && told[0]["why"] == fault, "{told:?}");

    // As soon as there is room, all of it is kept, in the same file.
    disk.empty()?;
    let told = wait_until("it to be kept", PATIENCE, || {
        let told = events(&netguard, "reputation-store")?;
        let last = told.last().context("it was told")?;
        Ok(last["why"].is_null().then_some(told.clone()))
    })?;
    ensure!(told.len() == 2, "{told:?}");
    let state_then = state(&netguard)?;
    ensure!(
        state_then["fault"].is_null() && state_then["damaged"].is_null(),
        "{state_then}"
    );
    netguard.kill9();
    netguard.restart()?;
    let state_then = state(&netguard)?;
    ensure!(
        state_then["fault"].is_null() && state_then["damaged"].is_null() && state_then["unreadable"] == 0,
        "{state_then}"
    );
    let kept = blocked_times(&netguard, lab.attacker.ip(family))?;
    ensure!(kept >= times, "{kept} blocks of {times} are known");
    Ok(())
}
