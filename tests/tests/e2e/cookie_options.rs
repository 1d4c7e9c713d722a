//! Connections that are made through a cookie of netguard's carry what the kernel's settings let them: whole files go both ways,
//! through windows as large as both ends can have.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use netguard_tests::lab::{Depot, Family, Flood, Lab, Netguard, Seen, growth, wait_until};
use serde_json::{Value, json};

use crate::{
    cookies::{counted, syncookies},
    protect,
};

/// The largest window without scaling.
const UNSCALED: usize = 65_535;

#[test]
fn options_are_those_that_the_kernel_takes_ipv4() -> Result<()> {
    follow_the_kernel(Family::V4)
}

#[test]
fn options_are_those_that_the_kernel_takes_ipv6() -> Result<()> {
    follow_the_kernel(Family::V6)
}

fn follow_the_kernel(family: Family) -> Result<()> {
    let lab = Lab::beside_others()?;
    let depot = Depot::start(&lab)?;
    lab.take_answers()?;
    lab.victim.ns.sysctl("net.ipv4.tcp_syncookies", "2")?;
    let netguard = protect(
        &lab,
        "syn_cookies = { mode = \"always\", manage_sysctls = false }",
    )?;
    for syncookies in ["2", "1"] {
        lab.victim.ns.sysctl("net.ipv4.tcp_syncookies", syncookies)?;
        for timestamps in ["2", "1", "0"] {
            let what = format!("tcp_syncookies {syncookies}, tcp_timestamps {timestamps}");
            lab.victim.ns.sysctl("net.ipv4.tcp_timestamps", timestamps)?;
            let full = timestamps == "2";
            carries(&netguard, if full { Some(true) } else { None })?;
            through_a_cookie(&lab, &netguard, &depot, family, |seen| {
                // A window that can be scaled is filled beyond what one without can hold.
                let enough = seen.unread > if full { UNSCALED } else { UNSCALED / 2 };
                (enough && seen.timestamps == full && seen.sack == full && seen.scales.is_some() == full)
                    .then_some(())
            })
            .context(what)?;
        }
    }
    lab.victim.ns.sysctl("net.ipv4.tcp_timestamps", "2")?;
    lab.victim.ns.sysctl("net.ipv4.tcp_sack", "0")?;
    carries(&netguard, Some(false))?;
    through_a_cookie(&lab, &netguard, &depot, family, |seen| {
        (seen.scales.is_some() && !seen.sack).then_some(())
    })?;
    lab.victim.ns.sysctl("net.ipv4.tcp_sack", "1")?;
    lab.victim.ns.sysctl("net.ipv4.tcp_window_scaling", "0")?;
    wait_until("no window scale", Duration::from_secs(5), || {
        Ok(options(&netguard)?["window_scale"].is_null().then_some(()))
    })?;
    through_a_cookie(&lab, &netguard, &depot, family, |seen| {
        (seen.unread > UNSCALED / 2 && seen.scales.is_none() && seen.sack).then_some(())
    })
}

/// Nobody follows the kernel's settings any more when the daemon is dead: then cookies soon carry nothing that could be misread.
#[test]
fn an_offer_does_not_outlive_the_daemon_for_long() -> Result<()> {
    let lab = Lab::beside_others()?;
    let depot = Depot::start(&lab)?;
    lab.take_answers()?;
    lab.victim.ns.sysctl("net.ipv4.tcp_timestamps", "2")?;
    lab.victim.ns.sysctl("net.ipv4.tcp_syncookies", "2")?;
    let mut netguard = protect(
        &lab,
        "syn_cookies = { mode = \"always\", manage_sysctls = false }",
    )?;
    carries(&netguard, Some(true))?;
    netguard.kill9();
    lab.victim.ns.sysctl("net.ipv4.tcp_timestamps", "1")?;
    wait_until("cookies without options", Duration::from_secs(60), || {
        let whole = through_a_cookie(&lab, &netguard, &depot, Family::V4, |seen| {
            (!seen.timestamps && !seen.sack && seen.scales.is_none()).then_some(())
        });
        Ok(whole.ok())
    })
}

/// Moves files over a connection that the victim's kernel made from a cookie, and not from one of its own.
fn through_a_cookie(
    lab: &Lab,
    netguard: &Netguard<'_>,
    depot: &Depot,
    family: Family,
    meanwhile: impl FnMut(&Seen) -> Option<()>,
) -> Result<()> {
    // One for each transfer: a flood is bounded.
    let _flood = Flood::spread(lab, family)?;
    let before = netguard.stats()?.get("syn-cookie").copied();
    wait_until("cookies to be made", Duration::from_secs(20), || {
        Ok((netguard.stats()?.get("syn-cookie").copied() > before).then_some(()))
    })?;
    let before = netguard.stats()?;
    let (received, sent) = (counted(lab, "SyncookiesRecv")?, counted(lab, "SyncookiesSent")?);
    depot.transfer(lab, family, meanwhile)?;
    // The handshake's acknowledgement and the first data can meet on two CPUs: then both are counted.
    let came = counted(lab, "SyncookiesRecv")? - received;
    ensure!(
        came > 0,
        "the connection came through no cookie: {:?}",
        growth(&before, &netguard.stats()?)
    );
    let answered = counted(lab, "SyncookiesSent")? - sent;
    let grown = growth(&before, &netguard.stats()?);
    // One whose cookies are for a full queue answers those that came while the last place in it was free.
    let made = grown.get("syn-cookie").copied().unwrap_or_default();
    let at_most = if syncookies(lab)? == "2" { 0 } else { made / 10 };
    ensure!(
        answered <= at_most,
        "the kernel answered itself {answered} times: {grown:?}"
    );
    Ok(())
}

/// Waits until cookies carry a window scale with SACK or without, or nothing.
fn carries(netguard: &Netguard<'_>, sack: Option<bool>) -> Result<()> {
    wait_until("netguard to follow", Duration::from_secs(5), || {
        let options = options(netguard)?;
        Ok(match sack {
            None => options == json!({"window_scale": null, "sack": false, "ecn": false}),
            Some(sack) => options["window_scale"].is_u64() && options["sack"] == sack,
        }
        .then_some(()))
    })
}

fn options(netguard: &Netguard<'_>) -> Result<Value> {
    let status = netguard.json(&["status", "--json"])?;
    Ok(status["daemon"]["cookie_options"].clone())
}
