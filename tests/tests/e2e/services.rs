//! A UDP service flooded by tens of thousands of forged sources, each well below its own limit, serves those whom it knows.

use anyhow::Result;
use netguard_tests::lab::{Echo, Family, Flood, ask, growth};

use crate::{lab, protect};

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
        "[[service]]\nport = \"udp/7007\"\nrate_per_s = 2000\nburst = 2000\n",
    )?;
    // The client is a regular one: it comes again after some seconds.
    assert_eq!(ask(&lab, &lab.client, family, 100, 10)?, 100);
    let before = netguard.stats()?;
    let flood = Flood::scattered(&lab, family, &[0; 64])?;
    let answered = ask(&lab, &lab.client, family, 300, 50)?;
    // Somebody honest whom the service does not know yet.
    let strangers = ask(&lab, &lab.attacker, family, 20, 20)?;
    let sent = flood.stop()?.packets;
    let grown = growth(&before, &netguard.stats()?);
    println!("{}: {answered} of 300, stranger {strangers} of 20, {sent} sent: {grown:?}", family.name());
    assert!(answered >= 297, "{answered} of 300 were answered: {grown:?}");
    assert!(grown["limit-service"] > sent / 2, "{grown:?} of {sent}");
    // Without being known a client fares as the flood does: what this test shows is not luck.
    assert!(strangers < 10, "{strangers} of 20");
    Ok(())
}
