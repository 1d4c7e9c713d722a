//! Who is proven: the daemon takes it from the kernel's connections, and forgets it when its time is over.

use std::{
    net::{IpAddr, SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netguard::clock::monotonic_ns;
use netguard_common::{limit::source_key, packet::Address};
use netguard_tests::lab::{ECHO_PORT, Echo, Family, Flood, Lab, Netguard, ask, output, wait_until};

use crate::{lab, protect};

/// How long a source counts as proven after the daemon last saw its connection.
const PROVEN_FOR_S: u64 = 600;
/// The daemon looks at connections every ten seconds.
const LOOK: Duration = Duration::from_secs(25);

#[test]
fn connected_sources_are_proven_until_their_time_is_over() -> Result<()> {
    let (lab, _server) = lab()?;
    let _echo = Echo::start(&lab)?;
    let netguard = protect(
        &lab,
        &format!("[[service]]\nport = \"udp/{ECHO_PORT}\"\nrate_per_s = 2000\nburst = 2000\n"),
    )?;
    let connect = |family| -> Result<TcpStream> {
        let server = SocketAddr::new(lab.victim.ip(family).parse()?, 80);
        Ok(lab.client.ns.enter(|| TcpStream::connect(server))??)
    };
    let connections = [connect(Family::V4)?, connect(Family::V6)?];
    for family in [Family::V4, Family::V6] {
        wait_until("the client to be proven", LOOK, || {
            Ok(is_proven(&netguard, lab.client.ip(family))?.then_some(()))
        })?;
        ensure!(!is_proven(&netguard, lab.attacker.ip(family))?);
        let left_s = left_s(&netguard, &lab, family)?;
        ensure!((PROVEN_FOR_S - 60..=PROVEN_FOR_S).contains(&left_s), "{left_s} s");
    }
    ensure!(netguard.json(&["explain", lab.client.ip4, "--json"])?["proof"] == "handshake");

    // A service that never heard of either serves the proven one while strangers flood it.
    for family in [Family::V4, Family::V6] {
        let flood = Flood::scattered(&lab, family, &[0; 64])?;
        let proven = ask(&lab, &lab.client, family, 50, 50)?;
        let stranger = ask(&lab, &lab.attacker, family, 2, 50)?;
        flood.stop()?;
        ensure!(
            proven >= 49 && stranger < 2,
            "{proven} of 50, and {stranger} of 2 of a stranger"
        );
    }

    // The connections end, and what is left ends ten minutes later: here another tool makes them short.
    drop(connections);
    for family in [Family::V4, Family::V6] {
        wait_until("the connection to be gone", Duration::from_secs(10), || {
            let explained = netguard.json(&["explain", lab.client.ip(family), "--json"])?;
            Ok((explained["proof"] == "none").then_some(()))
        })?;
        ensure!(is_proven(&netguard, lab.client.ip(family))?, "{}", family.name());
        end_now(&netguard, &lab, family)?;
        ensure!(!is_proven(&netguard, lab.client.ip(family))?, "{}", family.name());
    }
    wait_until("the daemon to forget them", LOOK, || {
        let dumped = netguard.json(&["map", "dump", "PROVEN", "--json"])?;
        Ok(dumped.as_array().is_some_and(Vec::is_empty).then_some(()))
    })
}

fn is_proven(netguard: &Netguard<'_>, address: &str) -> Result<bool> {
    let explained = netguard.json(&["explain", address, "--json"])?;
    Ok(explained["evidence"]
        .to_string()
        .contains("its address is proven"))
}

/// How long the client is proven from now, by the map that the kernel reads.
fn left_s(netguard: &Netguard<'_>, lab: &Lab, family: Family) -> Result<u64> {
    let dumped = netguard.json(&["map", "dump", "PROVEN", "--json"])?;
    let entries = dumped.as_array().into_iter().flatten();
    let key = family.of(lab.client.ip4, "2001:db8:1::/64");
    let until_ns = entries
        .filter(|entry| entry["key"] == key)
        .find_map(|entry| entry["value"].as_u64())
        .with_context(|| format!("no {key} in {dumped}"))?;
    Ok(until_ns.saturating_sub(monotonic_ns()) / 1_000_000_000)
}

/// Lets the time for which the client is proven be over.
fn end_now(netguard: &Netguard<'_>, lab: &Lab, family: Family) -> Result<()> {
    let (its_family, address) = Address::of(lab.client.ip(family).parse::<IpAddr>()?);
    let bytes = |word: u64| word.to_ne_bytes().map(|byte| byte.to_string());
    let mut bpftool = Command::new("bpftool");
    bpftool.args(["map", "update", "pinned"]);
    bpftool.arg(netguard.pins().join("maps/PROVEN"));
    bpftool.arg("key").args(bytes(source_key(its_family, address)));
    bpftool.arg("value").args(bytes(monotonic_ns()));
    let updated = output(&mut bpftool, Duration::from_secs(5))?;
    ensure!(updated.status == 0, "{updated:?}");
    Ok(())
}
