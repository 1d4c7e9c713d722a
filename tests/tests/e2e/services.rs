//! A UDP service flooded by tens of thousands of forged sources, each well below its own limit, serves those whom it knows.

use std::time::Instant;

use anyhow::Result;
use netguard_tests::lab::{ECHO_PORT, Echo, Family, Flood, ask, growth};

use crate::{lab, protect};

/// Packets that the service may get in a second.
const RATE: u32 = 2000;

#[test]
fn known_clients_keep_their_share_ipv4() -> Result<()> {
    keep_their_share(Family::V4)
}

#[test]
fn known_clients_keep_their_share_ipv6() -> Result<()> {
    keep_their_share(Family::V6)
}

fn keep_their_share(family: Family) -> Result<()> {
    let (lab, _server) = lab()?;
    let _echo = Echo::start(&lab)?;
    let netguard = protect(
        &lab,
        &format!("[[service]]\nport = \"udp/{ECHO_PORT}\"\nrate_per_s = {RATE}\nburst = {RATE}\n"),
    )?;
    // The client is a regular one: it comes again after some seconds.
    assert_eq!(ask(&lab, &lab.client, family, 100, 10)?, 100);
    let before = netguard.stats()?;
    let begin = Instant::now();
    let flood = Flood::scattered(&lab, family, &[0; 64])?;
    let answered = ask(&lab, &lab.client, family, 300, 50)?;
    let sent = flood.stop()?.packets;
    let seconds = begin.elapsed().as_secs_f64();
    let grown = growth(&before, &netguard.stats()?);
    assert!(answered >= 297, "{answered} of 300 were answered: {grown:?}");
    assert!(grown["limit-service"] > sent / 2, "{grown:?} of {sent}");
    // The service gets no more than it can take, and so the client's packets are few among those that passed.
    let most = f64::from(RATE) * (seconds + 1.0) * 1.05 + 100.0;
    assert!((grown["pass"] as f64) < most, "{grown:?} in {seconds:.1} s");
    Ok(())
}
