//! A minute of a SYN flood at full speed, from sources without number: who was connected stays so and is answered, who was never
//! seen before gets in, and afterwards the kernel's settings are what they were.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netguard_tests::lab::{Family, Flood, Honest, Lab, Nginx, Steady, growth, wait_until};

use crate::{cookies::sysctl, protect};

const CLIENTS: u32 = 100;
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_minute_of_flood_costs_nobody_a_connection_ipv4() -> Result<()> {
    costs_nobody(Family::V4)
}

#[test]
fn a_minute_of_flood_costs_nobody_a_connection_ipv6() -> Result<()> {
    costs_nobody(Family::V6)
}

fn costs_nobody(family: Family) -> Result<()> {
    let lab = Lab::new()?;
    lab.victim.ns.sysctl("net.ipv4.tcp_max_syn_backlog", "256")?;
    let _server = Nginx::start(&lab)?;
    lab.take_answers()?;
    ensure!(sysctl(&lab, "tcp_syncookies")? == "0" && sysctl(&lab, "tcp_timestamps")? == "1");

    // Alone the server loses everybody whom it does not know.
    let flood = Flood::lasting(&lab, family)?;
    let alone = Honest::start(&lab, family, 20)?.stop_after(60)?;
    flood.stop()?;
    assert_eq!(alone.succeeded, 0, "{alone:?}");

    // A hundred people at one address, who ask for one page: what they say is listened to, and is nothing to be held against them.
    let config = "syn_cookies = { timestamps = \"manage\" }\nhttp.mode = \"enforce\"";
    let netguard = protect(&lab, config)?;
    wait_until("the backlog to have room", Duration::from_secs(90), || {
        Ok(Honest::start(&lab, family, 10)?
            .stop_after(10)
            .is_ok_and(|felt| felt.succeeded == felt.requests)
            .then_some(()))
    })?;
    let steady = Steady::start(&lab, family, CLIENTS)?;
    let before = netguard.stats()?;
    let flood = Flood::lasting(&lab, family)?;
    let end = Instant::now() + MINUTE;
    wait_until("cookies to be armed", Duration::from_secs(10), || {
        let armed = sysctl(&lab, "tcp_syncookies")? == "2" && sysctl(&lab, "tcp_timestamps")? == "2";
        Ok(armed.then_some(()))
    })?;
    let newcomers = Honest::patient(&lab, family)?;
    wait_until("the minute to be over", 2 * MINUTE, || {
        Ok((Instant::now() >= end).then_some(()))
    })?;
    let felt = newcomers.stop()?;
    let sent = flood.stop()?.packets;
    let grown = growth(&before, &netguard.stats()?);
    assert_eq!(felt.succeeded, felt.requests, "{felt:?} {grown:?}");
    assert!(felt.requests > 300, "{felt:?}");
    assert!(grown["syn-cookie"] > sent / 2, "{grown:?} of {sent}");

    // The clients stay while the settings go back.
    wait_until("peace", Duration::from_secs(40), || {
        let peace = sysctl(&lab, "tcp_syncookies")? == "1" && sysctl(&lab, "tcp_timestamps")? == "1";
        Ok(peace.then_some(()))
    })?;
    let asked = steady.answered();
    wait_until("everybody to ask once more", Duration::from_secs(10), || {
        Ok((steady.answered() > asked + CLIENTS as usize).then_some(()))
    })?;
    let answers = steady.stop()?;
    assert!(answers.iter().all(|answers| *answers > 55), "{answers:?}");
    ensure!(netguard.blocked()?.is_empty(), "{:?}", netguard.blocked()?);
    netguard.must(&["detach"])?;
    assert_eq!(sysctl(&lab, "tcp_syncookies")?, "0");
    assert_eq!(sysctl(&lab, "tcp_timestamps")?, "1");
    Ok(())
}
