//! Floods of one source behind netguard: cut by the limit that is meant for them, unnoticed by an honest
//! client.

use std::time::Instant;

use anyhow::Result;
use netguard_tests::lab::{Attack, Family, Flood, Honest, growth};

use crate::{lab, protect};

#[test]
fn syn_flood_ipv4() -> Result<()> {
    is_cut(Attack::Syn, Family::V4, &SYN)
}

#[test]
fn syn_flood_ipv6() -> Result<()> {
    is_cut(Attack::Syn, Family::V6, &SYN)
}

#[test]
fn udp_flood_ipv4() -> Result<()> {
    is_cut(Attack::Udp, Family::V4, &UDP)
}

#[test]
fn udp_flood_ipv6() -> Result<()> {
    is_cut(Attack::Udp, Family::V6, &UDP)
}

#[test]
fn icmp_flood_ipv4() -> Result<()> {
    is_cut(Attack::Icmp, Family::V4, &ICMP)
}

#[test]
fn icmp_flood_ipv6() -> Result<()> {
    is_cut(Attack::Icmp, Family::V6, &ICMP)
}

#[test]
fn pings_of_many_sources_are_cut_together_ipv4() -> Result<()> {
    is_cut_together(Family::V4)
}

#[test]
fn pings_of_many_sources_are_cut_together_ipv6() -> Result<()> {
    is_cut_together(Family::V6)
}

/// Each of the forged sources stays within its own limit.
fn is_cut_together(family: Family) -> Result<()> {
    const RATE: u32 = 500;
    let (lab, server) = lab()?;
    let netguard = protect(
        &lab,
        &format!("[limit.service.icmp]\nrate_per_s = {RATE}\nburst = {RATE}\n"),
    )?;
    let client = Honest::start(&lab, family, 20)?;
    let (before, begin) = (netguard.stats()?, Instant::now());
    let flood = Flood::spread_as(&lab, Attack::Icmp, family)?;
    let felt = client.stop_after(100)?;
    let sent = flood.stop()?.packets;
    let (after, seconds) = (netguard.stats()?, begin.elapsed().as_secs_f64());
    let dropped = growth(&before, &after);
    let dropped = dropped.get("limit-icmp-all").copied().unwrap_or(0);
    let through = sent.saturating_sub(dropped);
    // A hundredth may be lost before it arrives.
    let most = f64::from(RATE) * (seconds + 1.0) + sent as f64 / 100.0;
    assert!(through as f64 <= most, "{through} of {sent} in {seconds:.1} s");
    assert!(sent > 10 * u64::from(RATE), "{sent} is no flood");
    assert!(felt.success() >= 0.99, "{felt:?}");
    server.stop()?;
    Ok(())
}

#[test]
fn tunnel_flood_ipv4() -> Result<()> {
    is_cut(Attack::Tunnel, Family::V4, &OTHER)
}

#[test]
fn tunnel_flood_ipv6() -> Result<()> {
    is_cut(Attack::Tunnel, Family::V6, &OTHER)
}

/// A limit of the configuration and the verdict of what exceeds it.
struct Limit {
    class: &'static str,
    verdict: &'static str,
    rate_per_s: u32,
    burst: u32,
}

// Written down here, so that the defaults may change without making these tests weaker.
const SYN: Limit = Limit {
    class: "syn",
    verdict: "limit-syn",
    rate_per_s: 50,
    burst: 200,
};
const UDP: Limit = Limit {
    class: "udp",
    verdict: "limit-udp",
    rate_per_s: 2000,
    burst: 4000,
};
const ICMP: Limit = Limit {
    class: "icmp",
    verdict: "limit-icmp",
    rate_per_s: 20,
    burst: 100,
};
const OTHER: Limit = Limit {
    class: "other",
    verdict: "limit-other",
    rate_per_s: 500,
    burst: 1000,
};

fn is_cut(attack: Attack, family: Family, limit: &Limit) -> Result<()> {
    let Limit {
        class,
        verdict,
        rate_per_s,
        burst,
    } = *limit;
    let (lab, server) = lab()?;
    let netguard = protect(
        &lab,
        &format!("[limit.{class}]\nrate_per_s = {rate_per_s}\nburst = {burst}\n"),
    )?;
    let before = netguard.drops()?;
    let begin = Instant::now();
    let flood = Flood::start(&lab, attack, family)?;
    let felt = Honest::start(&lab, family, 20)?.stop_after(60)?;
    let (status, _) = server.curl(&lab, family, "/big")?;
    let sent = flood.stop()?.packets;
    let seconds = begin.elapsed().as_secs_f64();
    let mut dropped = growth(&before, &netguard.drops()?);
    // The tool counts its source port up, through 0 and the ports that reflectors answer from.
    let reserved = ["port-zero", "reflection"]
        .iter()
        .filter_map(|verdict| dropped.remove(*verdict))
        .sum::<u64>();

    assert_eq!(felt.succeeded, felt.requests, "{felt:?}");
    assert_eq!(status, 200);
    assert_eq!(dropped.keys().collect::<Vec<_>>(), [verdict], "{dropped:?}");
    let dropped = dropped[verdict] + reserved;
    assert!(dropped <= sent, "{dropped} dropped of {sent}");
    // One source gets its burst and its rate. A link may lose a few of so many packets before netguard sees them.
    let granted = f64::from(burst) + f64::from(rate_per_s) * seconds;
    let lost = sent as f64 / 200.0;
    let through = (sent - dropped) as f64;
    assert!(
        through >= f64::from(burst),
        "only {through} of {sent} got through, {burst} may at once"
    );
    assert!(
        through <= granted + lost,
        "{through} of {sent} got through in {seconds:.1} s, {granted:.0} may"
    );
    Ok(())
}
