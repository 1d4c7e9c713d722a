//! The first detector: a proven source that keeps flooding is blocked for a while; a forged or guarded one
//! never is.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result};
use netguard_tests::{
    frames::frame,
    lab::{Attack, Family, Flood, Lab, Netguard, flood_frames, growth, wait_until},
};
use serde_json::Value;

use crate::{lab, protect, verdicts::judged};

#[test]
fn a_proven_flooder_is_blocked_and_released_ipv4() -> Result<()> {
    is_blocked_and_released(Family::V4)
}

#[test]
fn a_proven_flooder_is_blocked_and_released_ipv6() -> Result<()> {
    is_blocked_and_released(Family::V6)
}

fn is_blocked_and_released(family: Family) -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "detect.flooder.block_for = \"3s\"")?;
    let mut proof = connect(&lab, family)?;
    let before = netguard.drops()?;
    let flood = flood_own_address(&lab, family)?;
    let blocked = wait_for_event(&netguard, "blocked")?;
    wait_until("the block to drop", Duration::from_secs(5), || {
        Ok(growth(&before, &netguard.drops()?)
            .contains_key("block-address")
            .then_some(()))
    })?;
    flood.stop()?;
    assert!(
        request(&mut proof)?.starts_with("HTTP/1.1 200"),
        "the connection that it has is spared: somebody else may have sent the flood"
    );
    let address = lab.attacker.ip(family);
    // IPv6: the whole /64, since a host owns every address of it.
    let prefix = family.of(format!("{address}/32"), "2001:db8:2::/64".to_owned());
    assert_eq!(blocked["prefix"], prefix);
    assert_eq!(server.curl(&lab, family, "/")?.0, 200, "others are not affected");

    let explained = netguard.json(&["explain", address, "--json"])?;
    assert_eq!(explained["proof"], "handshake");
    assert!(
        explained["evidence"]
            .as_array()
            .is_some_and(|list| !list.is_empty()),
        "{explained}"
    );
    wait_until("the block to end", Duration::from_secs(10), || {
        Ok((!netguard.blocked()?.contains(&prefix)).then_some(()))
    })
}

#[test]
fn a_source_without_proof_is_limited_and_never_blocked() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let flood = Flood::start(&lab, Attack::Icmp, Family::V4)?;
    let withheld = wait_for_event(&netguard, "withheld")?;
    flood.stop()?;
    assert!(
        withheld["why"].as_str().is_some_and(|why| why.contains("forged")),
        "{withheld}"
    );
    assert!(netguard.blocked()?.is_empty());
    Ok(())
}

#[test]
fn a_flood_in_the_name_of_the_gateway_does_not_block_it() -> Result<()> {
    let (lab, server) = lab()?;
    // The honest client stands for what the operator cannot do without; it is proven while it is connected.
    let config = format!("guard.never_block = [\"{}\"]", lab.client.ip4);
    let netguard = protect(&lab, &config)?;
    let victim = SocketAddr::new(lab.victim.ip4.parse()?, 80);
    let _proof = lab
        .client
        .ns
        .enter(|| TcpStream::connect_timeout(&victim, Duration::from_secs(2)))??;
    let sources = [lab.client.ip4, "203.0.113.1"];
    // Straight to the victim's card: the router would not forward its own address.
    let forged = |source| {
        let start = frame().macs(lab.attacker.mac, lab.victim.mac);
        start.ipv4(source, lab.victim.ip4).icmp(8, 0).payload(56).build()
    };
    let flood = Flood::by_trafgen(&lab, &sources.map(forged))?;
    let withheld = wait_until("both sources to be found", Duration::from_secs(10), || {
        let withheld = events(&netguard, "withheld")?;
        let found = |source: &str| withheld.iter().any(|event| event["source"] == source);
        Ok(sources.iter().all(|source| found(source)).then_some(withheld))
    })?;
    flood.stop()?;
    assert!(
        withheld.iter().any(|event| event["why"]
            .as_str()
            .is_some_and(|why| why.contains("guard.never_block"))),
        "{withheld:?}"
    );
    assert!(netguard.blocked()?.is_empty());
    assert_eq!(server.curl(&lab, Family::V4, "/")?.0, 200);
    Ok(())
}

/// Nobody has to guard whom everybody knows: what is sent in somebody's name is no evidence against it.
#[test]
fn a_flood_in_the_name_of_a_public_resolver_blocks_nobody() -> Result<()> {
    const NAMES: [&str; 2] = ["8.8.8.8", "2001:4860:4860::8888"];
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    for (name, prefix) in NAMES.into_iter().zip(["8.8.8.8", "2001:4860:4860:"]) {
        let flood = Flood::by_trafgen(&lab, &flood_frames(&lab, Attack::Icmp, &[name]))?;
        let withheld = wait_until("the decision", Duration::from_secs(10), || {
            let mut withheld = events(&netguard, "withheld")?.into_iter();
            let is_of = |event: &Value| event["source"].as_str().is_some_and(|of| of.starts_with(prefix));
            Ok(withheld.find(is_of))
        })?;
        flood.stop()?;
        // By no guard, which the test did not set up.
        assert!(
            withheld["why"].as_str().is_some_and(|why| why.contains("forged")),
            "{withheld}"
        );
        assert_eq!(netguard.blocked()?, Vec::<String>::new());
        assert_eq!(events(&netguard, "blocked")?, Vec::<Value>::new());
        judged(&lab, &netguard, name, "pass")?;
    }
    for family in [Family::V4, Family::V6] {
        assert_eq!(server.curl(&lab, family, "/")?.0, 200);
    }
    Ok(())
}

/// A connection that the attacker holds: proof that its address is its own.
pub(crate) fn connect(lab: &Lab, family: Family) -> Result<TcpStream> {
    let victim = SocketAddr::new(lab.victim.ip(family).parse()?, 80);
    lab.attacker
        .ns
        .enter(|| TcpStream::connect_timeout(&victim, Duration::from_secs(2)))?
        .context("the attacker cannot connect")
}

/// What the server says on this connection, which stays open.
fn request(connection: &mut TcpStream) -> Result<String> {
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(b"GET / HTTP/1.1\r\nHost: victim\r\n\r\n")?;
    let mut answer = [0; 1_024];
    let len = connection.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..len]).into_owned())
}

pub(crate) fn flood_own_address(lab: &Lab, family: Family) -> Result<Flood<'_>> {
    Flood::by_trafgen(lab, &flood_frames(lab, Attack::Icmp, &[lab.attacker.ip(family)]))
}

fn wait_for_event(netguard: &Netguard, kind: &str) -> Result<Value> {
    wait_until(&format!("the event {kind}"), Duration::from_secs(10), || {
        Ok(events(netguard, kind)?.pop())
    })
}

/// Events of this kind that are remembered, the oldest first.
pub(crate) fn events(netguard: &Netguard, kind: &str) -> Result<Vec<Value>> {
    let lines = netguard.must(&["events", "--json", "-n", "1000"])?;
    let events: Vec<Value> = lines
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    Ok(events
        .into_iter()
        .filter(|event| event["event"] == kind)
        .collect())
}
