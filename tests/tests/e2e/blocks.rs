//! Automatic blocks that stand: whose connection they rest on, what ends them, and what is told of them then.

use std::time::Duration;

use anyhow::{Result, ensure};
use netguard_tests::lab::{Attack, Family, Flood, Netguard, flood_frames, wait_until};
use serde_json::Value;

use crate::{
    detector::{connect, events, flood_own_address},
    lab, protect,
};

/// Found in review: where somebody guarded lies in a /64, the connection of any neighbour had whoever was forged blocked.
#[test]
fn of_a_64_with_somebody_guarded_only_the_connected_address_is_blocked() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "guard.never_block = [\"2001:db8:2::1234\"]")?;
    let _proof = connect(&lab, Family::V6)?;
    let forged = "2001:db8:2::77";
    let flood = Flood::by_trafgen(&lab, &flood_frames(&lab, Attack::Icmp, &[forged]))?;
    let withheld = event(&netguard, "withheld")?;
    flood.stop()?;
    ensure!(
        withheld["source"] == forged
            && withheld["why"]
                .as_str()
                .is_some_and(|why| why.contains("may be forged")),
        "{withheld}"
    );
    ensure!(netguard.blocked()?.is_empty() && events(&netguard, "blocked")?.is_empty());
    let explained = netguard.json(&["explain", forged, "--json"])?;
    assert_eq!(
        (&explained["proof"], &explained["reputation"]["connections"]),
        (&"none".into(), &0.into())
    );

    let flood = flood_own_address(&lab, Family::V6)?;
    let blocked = event(&netguard, "blocked")?;
    flood.stop()?;
    assert_eq!(blocked["prefix"], "2001:db8:2::66/128");
    let explained = netguard.json(&["explain", forged, "--json"])?;
    assert_eq!(
        (&explained["verdict"], &explained["reputation"]["blocked"]),
        (&"pass".into(), &false.into())
    );
    assert_eq!(server.curl(&lab, Family::V6, "/")?.0, 200);
    Ok(())
}

/// Found in review: what an operator had removed was still told as a block, and the next as its extension.
#[test]
fn a_block_that_was_removed_is_one_no_more() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let _proof = connect(&lab, Family::V4)?;
    let address = lab.attacker.ip4;
    let flood = flood_own_address(&lab, Family::V4)?;
    event(&netguard, "blocked")?;
    flood.stop()?;
    assert_eq!(reputation(&netguard, address)?["blocked"], true);
    netguard.must(&["block", "del", address])?;
    let known = reputation(&netguard, address)?;
    assert_eq!(
        (&known["blocked"], &known["blocked_times"]),
        (&false.into(), &1.into())
    );
    let text = netguard.must(&["explain", address])?;
    ensure!(
        text.starts_with(&format!("{address}: pass")) && !text.contains("which stands"),
        "{text}"
    );

    let flood = flood_own_address(&lab, Family::V4)?;
    let again = wait_until("another block", Duration::from_secs(20), || {
        Ok(events(&netguard, "blocked")?
            .into_iter()
            .find(|event| event["repeats"] == 1))
    })?;
    flood.stop()?;
    ensure!(again["for_s"].as_u64() >= Some(108), "{again}");
    assert_eq!(reputation(&netguard, address)?["blocked_times"], 2);
    let text = netguard.must(&["explain", address])?;
    ensure!(
        text.contains("which stands") && !text.contains("not blocked: "),
        "{text}"
    );
    Ok(())
}

/// Found in review: whoever became essential while a detector's block stood was blocked until that ended.
#[test]
fn a_block_ends_when_its_source_is_guarded() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let _proof = connect(&lab, Family::V4)?;
    let address = lab.attacker.ip4;
    let flood = flood_own_address(&lab, Family::V4)?;
    event(&netguard, "blocked")?;
    flood.stop()?;
    ensure!(netguard.blocked()?.contains(&format!("{address}/32")));
    netguard.must(&["allow", "add", address])?;
    let ended = wait_until("the end of the block", Duration::from_secs(20), || {
        Ok(events(&netguard, "block-ended")?.pop())
    })?;
    ensure!(
        ended["prefix"] == format!("{address}/32")
            && ended["why"]
                .as_str()
                .is_some_and(|why| why.contains("on the allowlist")),
        "{ended}"
    );
    ensure!(netguard.blocked()?.is_empty());
    assert_eq!(reputation(&netguard, address)?["blocked"], false);
    Ok(())
}

fn reputation(netguard: &Netguard, address: &str) -> Result<Value> {
    Ok(netguard.json(&["explain", address, "--json"])?["reputation"].take())
}

fn event(netguard: &Netguard, kind: &str) -> Result<Value> {
    wait_until(&format!("the event {kind}"), Duration::from_secs(10), || {
        Ok(events(netguard, kind)?.pop())
    })
}
