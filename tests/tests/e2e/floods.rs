//! Floods of one source behind netguard: cut by the limit that is meant for them, unnoticed by an honest
//! client.

use anyhow::Result;
use netguard_tests::lab::{Attack, Family, Flood, Honest, growth};

use crate::{lab, protect};

#[test]
fn syn_flood_ipv4() -> Result<()> {
    is_cut(Attack::Syn, Family::V4, "limit-syn")
}

#[test]
fn syn_flood_ipv6() -> Result<()> {
    is_cut(Attack::Syn, Family::V6, "limit-syn")
}

#[test]
fn udp_flood_ipv4() -> Result<()> {
    is_cut(Attack::Udp, Family::V4, "limit-udp")
}

#[test]
fn udp_flood_ipv6() -> Result<()> {
    is_cut(Attack::Udp, Family::V6, "limit-udp")
}

#[test]
fn icmp_flood_ipv4() -> Result<()> {
    is_cut(Attack::Icmp, Family::V4, "limit-icmp")
}

#[test]
fn icmp_flood_ipv6() -> Result<()> {
    is_cut(Attack::Icmp, Family::V6, "limit-icmp")
}

fn is_cut(attack: Attack, family: Family, verdict: &str) -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    let before = netguard.drops()?;
    let flood = Flood::start(&lab, attack, family)?;
    let felt = Honest::start(&lab, family, 20)?.stop_after(60)?;
    let (status, _) = server.curl(&lab, family, "/big")?;
    let sent = flood.stop()?.packets;
    let dropped = growth(&before, &netguard.drops()?);

    assert_eq!(felt.succeeded, felt.requests, "{felt:?}");
    assert_eq!(status, 200);
    assert_eq!(dropped.keys().collect::<Vec<_>>(), [verdict], "{dropped:?}");
    // What is let through is the burst and the rate of one source; the rest of the flood has to be dropped.
    let share = dropped[verdict] as f64 / sent as f64;
    assert!(
        (0.8..=1.0).contains(&share),
        "{} of {sent} packets were dropped",
        dropped[verdict]
    );
    Ok(())
}
