//! Limits move with the score of a source, and come back as it fades: with connections that people would open.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use netguard_tests::lab::{Family, Lab, Netguard, Newcomers, newcomers, wait_until};
use serde_json::Value;

use crate::{
    detector::{connect, flood_own_address},
    protect, shared_lab,
};

/// Nobody is blocked, and what is known fades in seconds.
const CONFIG: &str = "limit.syn = { rate_per_s = 40, burst = 40 }
reputation.block_from = 100
reputation.half_life = \"8s\"";

#[test]
fn limits_move_with_the_score_and_come_back_ipv4() -> Result<()> {
    move_and_come_back(Family::V4)
}

#[test]
fn limits_move_with_the_score_and_come_back_ipv6() -> Result<()> {
    move_and_come_back(Family::V6)
}

fn move_and_come_back(family: Family) -> Result<()> {
    let (lab, server) = shared_lab()?;
    let mut netguard = protect(&lab, CONFIG)?;
    assert_eq!(divisor(&netguard, &lab, family)?, 1);
    let _proof = connect(&lab, family)?;
    let flood = flood_own_address(&lab, family)?;
    wait_until("smaller limits", Duration::from_secs(15), || {
        Ok((divisor(&netguard, &lab, family)? >= 4).then_some(()))
    })?;
    flood.stop()?;
    let explained = netguard.json(&["explain", lab.attacker.ip(family), "--json"])?;
    ensure!(
        explained["reputation"]["limit_divisor"].as_u64() > Some(1),
        "{explained}"
    );
    let text = netguard.must(&["explain", lab.attacker.ip(family)])?;
    ensure!(text.contains("of what others have, by its score"), "{text}");
    let listed = netguard.json(&["reputation", "list", "--json"])?;
    assert_eq!(listed["throttled"], 1, "{listed}");
    assert_eq!(
        divisor_of(&netguard, lab.client.ip(family))?,
        1,
        "others have theirs"
    );
    assert_eq!(server.curl(&lab, family, "/")?.0, 200);
    // A quarter: ten at once, and ten a second, also where the daemon is dead; the next one knows what it knew.
    netguard.kill9();
    let throttled = come(&lab, family)?;
    ensure!((5..90).contains(&throttled.served), "{throttled:?}");
    netguard.restart()?;

    wait_until("the limits of others", Duration::from_secs(40), || {
        Ok((divisor(&netguard, &lab, family)? == 1).then_some(()))
    })?;
    let as_others = come(&lab, family)?;
    ensure!(as_others.served > 130, "{as_others:?}");
    ensure!(netguard.blocked()?.is_empty(), "{:?}", netguard.blocked()?);
    Ok(())
}

/// Sixty connections a second, of which forty are within the limit of a source.
fn come(lab: &Lab, family: Family) -> Result<Newcomers> {
    let server = lab.victim.ip(family).parse()?;
    lab.attacker
        .ns
        .enter(|| newcomers(server, 60, Duration::from_secs(4)))?
}

/// By what the limit of the attacker's SYNs is divided.
fn divisor(netguard: &Netguard, lab: &Lab, family: Family) -> Result<u64> {
    divisor_of(netguard, lab.attacker.ip(family))
}

fn divisor_of(netguard: &Netguard, address: &str) -> Result<u64> {
    let explained = netguard.json(&["explain", address, "--json"])?;
    let limits = explained["limits"].as_array().context("no limits")?;
    let of_syns = |limit: &&Value| limit["class"] == "syn" && limit["level"] == "source";
    let limit = limits.iter().find(of_syns).context("no limit of SYNs")?;
    limit["divisor"].as_u64().context("no divisor")
}
