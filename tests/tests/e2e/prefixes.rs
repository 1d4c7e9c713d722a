//! Floods of a whole network, each source of it below its own limit: cut by the limit of the prefix, unnoticed next door.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netguard_tests::{
    frames::frame,
    lab::{ECHO_PORT, Echo, Family, Flood, ROUTER_MAC, ask, growth, wait_until},
};

use crate::{lab, protect};

const RATE: u32 = 500;

#[test]
fn a_flood_of_a_network_is_cut_ipv4() -> Result<()> {
    is_cut(Family::V4)
}

#[test]
fn a_flood_of_a_network_is_cut_ipv6() -> Result<()> {
    is_cut(Family::V6)
}

fn is_cut(family: Family) -> Result<()> {
    let (lab, _server) = lab()?;
    let _echo = Echo::start(&lab)?;
    let netguard = protect(
        &lab,
        &format!("limit.prefix.udp = {{ rate_per_s = {RATE}, burst = {RATE} }}"),
    )?;
    let frames: Vec<_> = (1..=250_u32)
        .map(|host| {
            let start = frame().macs(lab.attacker.mac, ROUTER_MAC);
            let start = match family {
                Family::V4 => start.ipv4(&format!("198.18.5.{host}"), lab.victim.ip4),
                // Each in a /64 of its own, all in one /48.
                Family::V6 => start.ipv6(&format!("2001:db8:66:{host:x}::1"), lab.victim.ip6),
            };
            start.udp(20_000, ECHO_PORT).payload(64).build()
        })
        .collect();
    let before = netguard.stats()?;
    let begin = Instant::now();
    let flood = Flood::by_trafgen(&lab, &frames)?;
    let answered = ask(&lab, &lab.client, family, 60, 50)?;
    let sent = flood.sent()?.packets;
    let seconds = begin.elapsed().as_secs_f64();
    let grown = growth(&before, &netguard.stats()?);
    ensure!(answered >= 59, "{answered} of 60: {grown:?}");
    ensure!(grown["limit-prefix"] > sent / 2, "{grown:?} of {sent}");
    let most = f64::from(RATE) * (seconds + 1.0) * 1.05 + 200.0;
    ensure!((grown["pass"] as f64) < most, "{grown:?} in {seconds:.1} s");

    // The limit moves while the flood goes on, and comes back.
    for (rate, verdict) in [("10000000", "pass"), ("500", "limit-prefix")] {
        netguard.must(&["limit", "set", "udp.prefix", "--rate", rate, "--burst", rate])?;
        let before = netguard.stats()?;
        wait_until("the limit to move", Duration::from_secs(5), || {
            let grown = growth(&before, &netguard.stats()?);
            let of = |name: &str| grown.get(name).copied().unwrap_or(0);
            let most = of("pass").max(of("limit-prefix"));
            Ok((of(verdict) == most && most > 5_000).then_some(()))
        })?;
    }
    flood.stop().map(drop)
}
