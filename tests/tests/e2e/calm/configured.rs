//! Rules of the configuration beside those that operators make.

use std::{fs, time::Duration};

use anyhow::Result;
use netguard_tests::lab::{Netguard, wait_until};

use crate::{calm::lab, protect, verdicts::judged};

const BLOCKED: [&str; 4] = [
    "192.0.2.77",
    "198.18.0.0/15",
    "198.51.100.64/27",
    "2001:db8:90::/44",
];
const ALLOWED: &str = "198.18.7.7";

/// Found in review: a configured rule that an operator's stood in the way of was never put in force.
#[test]
fn a_configured_rule_comes_when_the_operators_in_its_place_ends() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    netguard.kill9();
    fs::write(
        lab.dir.path().join("netguard.toml"),
        format!("allow = [\"{ALLOWED}\"]\nblock = {BLOCKED:?}\n"),
    )?;
    for prefix in BLOCKED {
        netguard.must(&["block", "add", prefix, "--ttl", "15s"])?;
    }
    netguard.must(&["allow", "add", ALLOWED, "--ttl", "15s"])?;
    netguard.restart()?;
    assert_eq!(origins(&netguard)?, ["operator"; BLOCKED.len() + 1], "they stay");
    let all = ["config"; BLOCKED.len() + 1];
    wait_until("the rules of the configuration", Duration::from_secs(45), || {
        Ok((origins(&netguard)? == all).then_some(()))
    })?;
    for (source, verdict) in [
        ("192.0.2.77", "block-address"),
        ("198.19.1.1", "block-prefix"),
        ("198.51.100.70", "block-prefix"),
        ("2001:db8:9f::1", "block-prefix"),
        (ALLOWED, "pass-allow"),
    ] {
        judged(&lab, &netguard, source, verdict)?;
    }
    Ok(())
}

/// Whose rules stand on both lists.
fn origins(netguard: &Netguard) -> Result<Vec<String>> {
    let mut origins = Vec::new();
    for list in ["allow", "block"] {
        let rules = netguard.json(&[list, "list", "--json"])?;
        let of = |rule: &serde_json::Value| Some(rule["origin"].as_str()?.to_owned());
        origins.extend(rules.as_array().into_iter().flatten().filter_map(of));
    }
    Ok(origins)
}
