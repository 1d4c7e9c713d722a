//! What each stage of the datapath does to a source is told as the kernel's tables have it, with and without a daemon.

use anyhow::{Context as _, Result, ensure};
use netguard_tests::lab::{Family, Netguard};
use serde_json::Value;

use crate::{calm::lab, protect};

/// A stage that only counts, and one that does nothing.
const MODES: &str = "[reflection]\nmode = \"shadow\"\n[state]\nmode = \"off\"\n";

fn explained(netguard: &Netguard<'_>, source: &str) -> Result<Value> {
    netguard.json(&["explain", source, "--json"])
}

/// The outcome of the first stage of this name that is about `class`, or all that it looks at.
fn outcome(explained: &Value, stage: &str, class: Option<&str>) -> Result<String> {
    let stages = explained["stages"].as_array().context("stages")?;
    let is_meant = |told: &&Value| told["stage"] == stage && told["class"].as_str() == class;
    let found = stages.iter().find(is_meant);
    let found = found.with_context(|| format!("{stage} in {explained}"))?;
    Ok(found["outcome"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn each_stage_says_what_it_does_to_a_source_ipv4() -> Result<()> {
    is_told(Family::V4)
}

#[test]
fn each_stage_says_what_it_does_to_a_source_ipv6() -> Result<()> {
    is_told(Family::V6)
}

fn is_told(family: Family) -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, MODES)?;
    let (source, other) = (lab.attacker.ip(family), lab.client.ip(family));
    let told = explained(&netguard, source)?;
    ensure!(told["verdict"] == "pass", "{told}");
    for (stage, class, expected) in [
        ("sanity", None, "depends"),
        ("allow", None, "passes"),
        ("blocklist", None, "passes"),
        ("signatures", None, "passes"),
        ("state", None, "off"),
        ("connections", Some("syn"), "passes"),
        ("limit", Some("udp"), "passes"),
    ] {
        ensure!(outcome(&told, stage, class)? == expected, "{stage}: {told}");
    }
    let stages = told["stages"].as_array().context("stages")?;
    let is_counted = |stage: &&Value| stage["mode"] == "shadow";
    ensure!(
        stages
            .iter()
            .find(is_counted)
            .is_some_and(|stage| stage["stage"] == "reflection"),
        "{told}"
    );
    let own = explained(&netguard, lab.victim.ip(family))?;
    ensure!(own["verdict"] == "own-source", "{own}");

    netguard.must(&["signature", "add", "protocol=udp", "ttl=57"])?;
    netguard.must(&["block", "add", source])?;
    let told = explained(&netguard, source)?;
    ensure!(told["verdict"] == "block-address", "{told}");
    ensure!(outcome(&told, "blocklist", None)? == "drops", "{told}");
    let stages = told["stages"].as_array().context("stages")?;
    let mut reached = stages.iter().filter(|stage| stage["reached"] == true);
    ensure!(
        reached
            .next_back()
            .is_some_and(|last| last["stage"] == "blocklist"),
        "{told}"
    );
    let text = netguard.must(&["explain", source])?;
    ensure!(
        text.contains("later ones are not asked") && text.contains("(block-address)"),
        "{text}"
    );
    ensure!(outcome(&explained(&netguard, other)?, "signatures", None)? == "depends");

    // The kernel's tables say the same when nobody looks after them.
    netguard.kill9();
    let without = explained(&netguard, source)?;
    ensure!(without["verdict"] == "block-address", "{without}");
    ensure!(outcome(&without, "blocklist", None)? == "drops", "{without}");
    Ok(())
}
