//! A UDP service flooded by tens of thousands of forged sources, each well below its own limit, serves those whom it knows.

use std::time::{Duration, Instant};

use anyhow::Result;
use netguard_tests::lab::{ECHO_PORT, Echo, Family, Flood, Netguard, ask, growth, wait_until};

use crate::{
    cookies::{self, counted},
    lab, protect,
};

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

#[test]
fn rates_change_while_it_runs() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    assert!(netguard.must(&["service", "list"])?.contains("common limits"));
    netguard.must(&["service", "set", "udp/7007", "--rate", "2000", "--burst", "500"])?;
    netguard.must(&["service", "set", "tcp/80", "--rate", "9", "--cookies", "off"])?;
    let listed = netguard.json(&["service", "list", "--json"])?;
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert_eq!(listed[0]["service"], "tcp/80");
    assert_eq!(
        (
            &listed[0]["rate_per_s"],
            &listed[0]["burst"],
            &listed[0]["cookies"]
        ),
        (&9.into(), &9.into(), &"off".into())
    );
    assert_eq!(
        (&listed[1]["service"], &listed[1]["burst"]),
        (&"udp/7007".into(), &500.into())
    );
    netguard.must(&["limit", "set", "udp.prefix", "--rate", "77"])?;
    netguard.must(&["limit", "set", "udp.service", "--rate", "88"])?;
    let limits = netguard.json(&["limit", "list", "--json"])?;
    let rate = |level: &str| {
        let limits = limits.as_array().into_iter().flatten();
        let udp = limits
            .filter(|limit| limit["class"] == "udp" && limit["level"] == level)
            .filter_map(|limit| limit["rate_per_s"].as_u64());
        udp.collect::<Vec<_>>()
    };
    assert_eq!(
        [rate("source"), rate("prefix"), rate("service")],
        [[10_000], [77], [88]]
    );

    // What holds for the service bites at once.
    let flooded = |netguard: &Netguard<'_>| -> Result<bool> {
        let before = netguard.stats()?;
        let flood = Flood::scattered(&lab, Family::V4, &[0; 64])?;
        let cut = wait_until("packets over the limit", Duration::from_secs(3), || {
            let grown = growth(&before, &netguard.stats()?);
            Ok(grown.contains_key("limit-service").then_some(()))
        });
        flood.stop()?;
        Ok(cut.is_ok())
    };
    assert!(flooded(&netguard)?);
    let events = netguard.must(&["events"])?;
    assert!(events.contains("udp/7007"), "{events}");

    for wrong in [
        &["service", "set", "udp/0", "--rate", "5"][..],
        &["service", "set", "sctp/5", "--rate", "5"],
        &["service", "set", "udp/53", "--rate", "5", "--cookies", "always"],
        &["limit", "set", "other.service", "--rate", "5"],
    ] {
        assert_eq!(netguard.cli(wrong)?.status, 2, "{wrong:?}");
    }
    // Also with the daemon dead.
    netguard.kill9();
    assert!(
        netguard
            .must(&["service", "reset", "udp/7007"])?
            .contains("again")
    );
    let absent = netguard.cli(&["service", "reset", "udp/7007", "--json"])?;
    assert!(
        absent.status == 1 && absent.stdout.contains("\"absent\""),
        "{absent:?}"
    );
    let absent = netguard.cli(&["service", "reset", "udp/7007"])?;
    assert!(absent.stdout.contains("`netguard service list`"), "{absent:?}");
    netguard.must(&["service", "set", "udp/7007", "--rate", "1000000"])?;
    assert!(!flooded(&netguard)?);
    Ok(())
}

#[test]
fn a_service_is_answered_for_always_or_never_whatever_holds_for_others_ipv4() -> Result<()> {
    answers_for_a_service(Family::V4)
}

#[test]
fn a_service_is_answered_for_always_or_never_whatever_holds_for_others_ipv6() -> Result<()> {
    answers_for_a_service(Family::V6)
}

/// In calm, where `auto` answers for nobody; the kernel's settings are not touched where that is not wanted.
fn answers_for_a_service(family: Family) -> Result<()> {
    let (lab, server) = lab()?;
    lab.take_answers()?;
    for (common, own, is_answered) in [
        ("auto", None, false),
        ("auto", Some("always"), true),
        ("always", None, true),
        ("always", Some("off"), false),
        ("always", Some("auto"), false),
    ] {
        // With 2 the kernel takes up each cookie, and makes its own where nobody else does; with 1 it does neither in calm.
        let syncookies = if is_answered { "2" } else { "1" };
        lab.victim.ns.sysctl("net.ipv4.tcp_syncookies", syncookies)?;
        let netguard = protect(
            &lab,
            &format!("syn_cookies = {{ mode = \"{common}\", manage_sysctls = false }}"),
        )?;
        if let Some(own) = own {
            netguard.must(&["service", "set", "tcp/80", "--rate", "1000", "--cookies", own])?;
        }
        let (before, taken_up) = (netguard.stats()?, counted(&lab, "SyncookiesRecv")?);
        assert_eq!(server.curl(&lab, family, "/")?.0, 200, "{common} {own:?}");
        let answered = growth(&before, &netguard.stats()?).contains_key("syn-cookie");
        let taken_up = counted(&lab, "SyncookiesRecv")? - taken_up;
        assert_eq!(
            (answered, taken_up > 0),
            (is_answered, is_answered),
            "{common} {own:?}"
        );
        assert_eq!(cookies::syncookies(&lab)?, syncookies);
    }
    Ok(())
}
