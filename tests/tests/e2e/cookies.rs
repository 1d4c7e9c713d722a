//! A service asked for connections by thousands of forged sources, each well below its own limit, serves those who are real.

use std::time::Duration;

use anyhow::{Context, Result};
use netguard_tests::lab::{Family, Flood, Honest, Lab, growth, wait_until};

use crate::{lab, protect};

#[test]
fn a_spread_syn_flood_is_answered_ipv4() -> Result<()> {
    is_answered(Family::V4, Lab::take_answers)
}

#[test]
fn a_spread_syn_flood_is_answered_ipv6() -> Result<()> {
    is_answered(Family::V6, Lab::take_answers)
}

/// Found with attack tools of others: the other end was not woken for answers, and once its ring was full of them the victim could send nothing more.
#[test]
fn a_spread_syn_flood_is_answered_where_the_other_end_only_aggregates() -> Result<()> {
    is_answered(Family::V4, Lab::aggregate_at_switch)
}

fn is_answered(family: Family, prepare: impl Fn(&Lab) -> Result<()>) -> Result<()> {
    let (lab, server) = lab()?;
    prepare(&lab)?;
    // The server has SYN cookies off, and no room for such a flood.
    assert_eq!(syncookies(&lab)?, "0");
    let mut netguard = protect(&lab, "syn_cookies = { rate_per_s = 100, burst = 200 }")?;
    assert_eq!(syncookies(&lab)?, "1");
    let before = netguard.stats()?;
    let flood = Flood::spread(&lab, family)?;
    wait_until("cookies to be made", Duration::from_secs(10), || {
        Ok((syncookies(&lab)? == "2").then_some(()))
    })?;
    let felt = Honest::start(&lab, family, 20)?.stop_after(100)?;
    let (status, body) = server.curl(&lab, family, "/big")?;
    let sent = flood.stop()?.packets;
    let grown = growth(&before, &netguard.stats()?);
    assert_eq!(felt.succeeded, felt.requests, "{felt:?} {grown:?}");
    assert_eq!(status, 200, "{} bytes", body.len());
    assert!(grown["syn-cookie"] > sent / 2, "{grown:?} of {sent}");
    assert!(counted(&lab, "SyncookiesRecv")? > 50, "no cookie came back");
    let events = netguard.must(&["events"])?;
    assert!(events.contains("tcp_syncookies"), "{events}");

    // Afterwards the kernel answers as it did, and in the end it is as it was.
    wait_until("peace", Duration::from_secs(25), || {
        Ok((syncookies(&lab)? == "1").then_some(()))
    })?;
    netguard.kill9();
    netguard.must(&["detach"])?;
    assert_eq!(syncookies(&lab)?, "0");
    Ok(())
}

/// A veth drops what its XDP program sends back while the other end neither aggregates nor runs one: then cookies would make things worse.
#[test]
fn lost_answers_are_noticed_and_given_up() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "syn_cookies = { rate_per_s = 100, burst = 200 }")?;
    let flood = Flood::spread(&lab, Family::V4)?;
    wait_until("cookies to be given up", Duration::from_secs(15), || {
        let status = netguard.json(&["status", "--json"])?;
        Ok((status["daemon"]["cookies"] == "undelivered").then_some(()))
    })?;
    // The kernel's own cookies do what they can.
    let served = wait_until("the server to answer", Duration::from_secs(15), || {
        Ok(server.curl(&lab, Family::V4, "/").ok())
    })?;
    assert_eq!(served.0, 200);
    flood.stop()?;
    assert!(netguard.must(&["events"])?.contains("cookies-off"));
    assert!(netguard.must(&["status"])?.contains("SYN cookies are OFF"));
    Ok(())
}

#[test]
fn a_shadow_answers_nobody() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "mode = \"shadow\"\nsyn_cookies = { mode = \"always\" }")?;
    let before = netguard.stats()?;
    let flood = Flood::spread(&lab, Family::V4)?;
    wait_until("the flood to pass", Duration::from_secs(10), || {
        let grown = growth(&before, &netguard.stats()?);
        Ok(grown
            .get("pass")
            .is_some_and(|passed| *passed > 1_000)
            .then_some(()))
    })?;
    flood.stop()?;
    assert!(!growth(&before, &netguard.stats()?).contains_key("syn-cookie"));
    assert_eq!(syncookies(&lab)?, "0");
    Ok(())
}

pub(crate) fn syncookies(lab: &Lab) -> Result<String> {
    sysctl(lab, "tcp_syncookies")
}

/// A setting of the victim's TCP.
pub(crate) fn sysctl(lab: &Lab, name: &str) -> Result<String> {
    let path = format!("/proc/sys/net/ipv4/{name}");
    let value = lab.victim.ns.enter(|| std::fs::read_to_string(&path))??;
    Ok(value.trim().to_owned())
}

/// A count that the victim's TCP keeps, such as `SyncookiesRecv`: cookies that it has taken up.
pub(crate) fn counted(lab: &Lab, name: &str) -> Result<u64> {
    let table = lab
        .victim
        .ns
        .enter(|| std::fs::read_to_string("/proc/thread-self/net/netstat"))??;
    let mut lines = table.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let column = names.split(' ').position(|column| column == name);
    let value = column.and_then(|column| values.split(' ').nth(column));
    value
        .with_context(|| format!("the kernel counts {name}"))?
        .parse()
        .context("a count")
}
