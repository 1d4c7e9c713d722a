//! `kill -9` of the daemon under flood: protection stands, and a new daemon takes over what the old one left.

use std::time::Duration;

use anyhow::Result;
use netguard_tests::lab::{
    Attack, Family, Flood, Honest, Netguard, Verdicts, WEAK_VICTIM_LIMITS, wait_until,
};

use crate::{lab, protect};

const BLOCKED: [&str; 3] = ["192.0.2.77/32", "198.19.0.0/16", "2001:db8:78::/64"];

#[test]
fn a_killed_daemon_leaves_protection_and_the_next_adopts_it() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, WEAK_VICTIM_LIMITS)?;
    for prefix in BLOCKED {
        netguard.must(&["block", "add", prefix, "--ttl", "600s"])?;
    }
    assert_eq!(blocked(&netguard)?, BLOCKED);
    let flood = Flood::start(&lab, Attack::Syn, Family::V4)?;
    let honest = Honest::start(&lab, Family::V4, 20)?;
    wait_for_more(&netguard, &netguard.stats()?)?;

    netguard.kill9();
    let dead = netguard.stats()?;
    wait_for_more(&netguard, &dead)?;
    assert_eq!(blocked(&netguard)?, BLOCKED);

    netguard.restart()?;
    let adopted = netguard.stats()?;
    for (verdict, packets) in &dead {
        assert!(
            adopted[verdict] >= *packets,
            "{verdict} was {packets} and is {} after the restart",
            adopted[verdict]
        );
    }
    assert_eq!(blocked(&netguard)?, BLOCKED);
    wait_for_more(&netguard, &adopted)?;

    let felt = honest.stop_after(60)?;
    assert_eq!(felt.succeeded, felt.requests, "{felt:?}");
    flood.stop()?;
    Ok(())
}

#[test]
fn a_daemon_that_was_killed_often_still_starts() -> Result<()> {
    let (lab, server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    netguard.must(&["block", "add", BLOCKED[0]])?;
    for _ in 0..5 {
        netguard.kill9();
        netguard.restart()?;
    }
    assert_eq!(blocked(&netguard)?, BLOCKED[..1]);
    assert_eq!(server.curl(&lab, Family::V4, "/")?.0, 200);
    Ok(())
}

/// Waits until the flood has been cut by another ten thousand packets.
fn wait_for_more(netguard: &Netguard, since: &Verdicts) -> Result<()> {
    wait_until("more dropped SYNs", Duration::from_secs(10), || {
        Ok((netguard.drops()?["limit-syn"] >= since["limit-syn"] + 10_000).then_some(()))
    })
}

fn blocked(netguard: &Netguard) -> Result<Vec<String>> {
    let mut prefixes = netguard.blocked()?;
    prefixes.sort();
    Ok(prefixes)
}
