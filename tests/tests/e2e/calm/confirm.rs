//! Changes by which an operator could lock themselves out go back by themselves, unless they are confirmed.

use std::time::Duration;

use anyhow::{Result, ensure};
use netguard_tests::lab::{Family, Lab, Netguard, Nginx, wait_until};
use serde_json::Value;

use crate::{calm::lab, protect};

/// An operator who works over IPv4 from where the client is, and cuts themselves off with a slip of the finger.
#[test]
fn a_wide_block_of_the_operators_own_network_goes_back() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "guard.confirm = \"8s\"")?;
    for (family, wide) in [(Family::V4, wide(&lab)?), (Family::V6, "2001::/16".to_owned())] {
        // Of IPv6 it is a network that this machine is in, too.
        let told = netguard.must(&["block", "add", &wide, "--force"])?;
        ensure!(
            told.contains("IT GOES BACK IN 8 s")
                && told.contains("very wide")
                && told.contains("netguard confirm"),
            "{told}"
        );
        ensure!(
            !reaches(&lab, &server, family),
            "{} is not blocked",
            family.name()
        );
        let status = netguard.must(&["status"])?;
        ensure!(
            status.contains(&format!("block {wide}")) && status.contains("waits for confirmation"),
            "{status}"
        );
        wait_until("the block to go back", Duration::from_secs(12), || {
            Ok(reaches(&lab, &server, family).then_some(()))
        })?;
        ensure!(netguard.blocked()?.is_empty(), "{:?}", netguard.blocked()?);
    }
    let events = events(&netguard)?;
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!(
        (of("change-unconfirmed"), of("change-undone")),
        (2, 2),
        "{events:#?}"
    );
    let undone = events.iter().find(|event| event["event"] == "change-undone");
    let undone = undone.expect("it is among them");
    assert_eq!(undone["author"]["by"], "time");
    assert_eq!(undone["why"], "nobody confirmed it in time");
    let late = netguard.cli(&["confirm"])?;
    ensure!(
        late.status == 1 && late.stderr.contains("no change waits"),
        "{late:?}"
    );
    Ok(())
}

#[test]
fn what_is_confirmed_stays_and_what_is_undone_goes_at_once() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    let wide = wide(&lab)?;
    let add = |confirm: &str, ttl: &str| {
        let added = netguard.json(&[
            "block",
            "add",
            &wide,
            "--ttl",
            ttl,
            "--confirm",
            confirm,
            "--json",
        ])?;
        Ok::<u64, anyhow::Error>(added["unconfirmed"]["id"].as_u64().unwrap_or(0))
    };
    let first = add("8s", "600s")?;
    ensure!(!reaches(&lab, &server, Family::V4));
    let confirmed = netguard.json(&["confirm", &first.to_string(), "--json"])?;
    assert_eq!(confirmed["outcome"], "confirmed");
    // What began later and waits longer than the kernel would goes back.
    netguard.must(&["limit", "set", "udp", "--rate", "9000", "--confirm", "11s"])?;
    wait_until("a later change to go back", Duration::from_secs(15), || {
        Ok(waiting(&netguard)?.is_empty().then_some(()))
    })?;
    ensure!(!reaches(&lab, &server, Family::V4), "what was confirmed is gone");
    let listed = netguard.json(&["block", "list", "--json"])?;
    let left = listed[0]["expires_in_s"].as_u64().unwrap_or(0);
    ensure!(
        (580..600).contains(&left),
        "the end is not the one that was meant: {listed}"
    );

    // In place of the rule that stands, which comes back.
    add("60s", "300s")?;
    netguard.must(&["undo"])?;
    let listed = netguard.json(&["block", "list", "--json"])?;
    ensure!(
        listed[0]["expires_in_s"].as_u64().is_some_and(|left| left > 560),
        "{listed}"
    );
    netguard.must(&["block", "del", &wide])?;
    ensure!(reaches(&lab, &server, Family::V4));

    // Who is sure needs no second word, and what ends by itself none either.
    assert_eq!(add("never", "600s")?, 0);
    netguard.must(&["block", "del", &wide])?;
    let ends = netguard.json(&["block", "add", &wide, "--ttl", "2s", "--json"])?;
    ensure!(ends["unconfirmed"].is_null(), "{ends}");

    let two = [
        &["limit", "set", "udp", "--rate", "3"][..],
        &["limit", "set", "icmp", "--rate", "1"],
    ];
    for change in two {
        netguard.must(change)?;
    }
    let which = netguard.cli(&["confirm"])?;
    ensure!(
        which.status == 2 && which.stderr.contains("say which"),
        "{which:?}"
    );
    let none = netguard.cli(&["confirm", "99"])?;
    ensure!(
        none.status == 2 && none.stderr.contains("no change 99"),
        "{none:?}"
    );
    let wrong = netguard.cli(&["limit", "set", "udp", "--rate", "3", "--confirm", "2days"])?;
    ensure!(wrong.status == 2 && wrong.stderr.contains("1day"), "{wrong:?}");
    Ok(())
}

/// A limit that was changed twice goes back to what it was before both; of what somebody else changed since, nothing is touched.
#[test]
fn limits_services_and_removals_go_back() -> Result<()> {
    let (lab, server) = lab()?;
    let client = format!("{}/32", lab.client.ip4);
    let config = format!(
        "guard.confirm = \"8s\"\nlimit.icmp = {{ rate_per_s = 500, burst = 500 }}\nallow = [\"{client}\"]"
    );
    let mut netguard = protect(&lab, &config)?;
    netguard.must(&["service", "set", "udp/53", "--rate", "4000"])?;

    let first = netguard.json(&["limit", "set", "icmp", "--rate", "20", "--json"])?;
    ensure!(
        first["rate_per_s"] == 20
            && first["unconfirmed"]["why"]
                .as_str()
                .is_some_and(|why| why.contains("500/s")),
        "{first}"
    );
    let second = netguard.json(&["limit", "set", "icmp", "--rate", "10", "--json"])?;
    ensure!(
        !second["unconfirmed"].is_null(),
        "by itself it is half, but not of what it was: {second}"
    );
    netguard.must(&["service", "set", "udp/53", "--rate", "7"])?;
    netguard.must(&["service", "set", "udp/54", "--rate", "7", "--confirm", "8s"])?;
    netguard.must(&["signature", "add", "port=80", "--force"])?;
    netguard.must(&["allow", "del", &client, "--confirm", "8s"])?;
    ensure!(!reaches(&lab, &server, Family::V4), "the signature fits nobody");
    assert_eq!(limit_of(&netguard, "icmp")?, 10);
    assert_eq!(waiting(&netguard)?.len(), 5);

    wait_until("all to go back", Duration::from_secs(12), || {
        Ok(waiting(&netguard)?.is_empty().then_some(()))
    })?;
    assert_eq!(limit_of(&netguard, "icmp")?, 500);
    assert_eq!(services(&netguard)?, [("udp/53".to_owned(), 4_000)]);
    assert_eq!(
        netguard
            .json(&["signature", "list", "--json"])?
            .as_array()
            .map(Vec::len),
        Some(0)
    );
    ensure!(netguard.must(&["allow", "list"])?.contains(&client));
    ensure!(reaches(&lab, &server, Family::V4));

    // Somebody raises it meanwhile: that stands.
    netguard.must(&["limit", "set", "icmp", "--rate", "5"])?;
    netguard.must(&["limit", "set", "icmp", "--rate", "700"])?;
    ensure!(waiting(&netguard)?.is_empty(), "nothing is left to confirm");
    netguard.must(&["limit", "set", "udp", "--rate", "9000", "--confirm", "8s"])?;
    wait_until("a later change to go back", Duration::from_secs(12), || {
        Ok(waiting(&netguard)?.is_empty().then_some(()))
    })?;
    assert_eq!(limit_of(&netguard, "icmp")?, 700);

    // In order, the daemon leaves nothing that nobody confirmed.
    netguard.must(&["block", "add", "11.0.0.0/8", "--confirm", "1h"])?;
    netguard.stop()?;
    ensure!(netguard.blocked()?.is_empty());
    let alone = netguard.cli(&["block", "add", "11.0.0.0/8"])?;
    ensure!(
        alone.status == 2
            && alone.stderr.contains("no daemon runs")
            && alone.stderr.contains("--confirm never"),
        "{alone:?}"
    );
    netguard.must(&["block", "add", "11.0.0.0/8", "--confirm", "never"])?;
    let nobody = netguard.cli(&["confirm"])?;
    ensure!(
        nobody.status == 1 && nobody.stderr.contains("no daemon runs"),
        "{nobody:?}"
    );
    Ok(())
}

/// The kernel ends the rule where nobody is left to do it.
#[test]
fn a_killed_daemon_does_not_keep_the_operator_out() -> Result<()> {
    let (lab, server) = lab()?;
    let mut netguard = protect(&lab, "guard.confirm = \"2s\"")?;
    netguard.must(&["block", "add", &wide(&lab)?])?;
    netguard.kill9();
    ensure!(!reaches(&lab, &server, Family::V4));
    wait_until("the kernel to end the rule", Duration::from_secs(8), || {
        Ok(reaches(&lab, &server, Family::V4).then_some(()))
    })?;
    Ok(())
}

/// Found in review: of two changes of the same the one that was taken back first brought the other's rule back, narrower rules were lost with a
/// wide one that waited, and one for good with a daemon that was killed.
#[test]
fn rules_beside_a_change_that_waits_stay_as_they_are() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    let first = lab.client.ip4.split('.').next().unwrap_or_default();
    let [good, ends] = [77, 78].map(|second| format!("{first}.{second}.0.0/16"));
    netguard.must(&["block", "add", &good])?;
    netguard.must(&["block", "add", &ends, "--ttl", "600s"])?;
    let wide = wide(&lab)?;
    let added = netguard.json(&["block", "add", &wide, "--json"])?;
    let first_id = added["unconfirmed"]["id"].to_string();
    let refused = netguard.cli(&["block", "add", &good, "--ttl", "60s"])?;
    ensure!(
        refused.status == 2
            && refused
                .stderr
                .contains(&format!("`netguard undo {first_id}` first")),
        "{refused:?}"
    );
    netguard.must(&["block", "add", "192.0.2.7"])?;
    netguard.must(&["undo", &first_id])?;
    assert_eq!(
        netguard.blocked()?,
        ["192.0.2.7/32", &good, &ends].map(str::to_owned)
    );

    // Whoever removes what waits, has said what is to become of it.
    netguard.must(&["block", "add", &wide])?;
    netguard.must(&["block", "del", &wide])?;
    ensure!(waiting(&netguard)?.is_empty());

    netguard.must(&["block", "add", &wide, "--confirm", "never"])?;
    netguard.must(&["block", "add", &wide, "--confirm", "1s"])?;
    netguard.kill9();
    netguard.restart()?;
    netguard.must(&["limit", "set", "udp", "--rate", "9000", "--confirm", "5s"])?;
    // What an earlier daemon told is the number of nothing else.
    let late = netguard.cli(&["confirm", &first_id])?;
    ensure!(
        late.status == 2 && late.stderr.contains("waits for confirmation"),
        "{late:?}"
    );
    wait_until("a later change to go back", Duration::from_secs(10), || {
        Ok(waiting(&netguard)?.is_empty().then_some(()))
    })?;
    ensure!(netguard.blocked()?.contains(&wide), "what held for good is lost");
    Ok(())
}

/// The /8 that the client is in.
fn wide(lab: &Lab) -> Result<String> {
    let first = lab.client.ip4.split('.').next().unwrap_or_default();
    Ok(format!("{first}.0.0.0/8"))
}

fn reaches(lab: &Lab, server: &Nginx, family: Family) -> bool {
    server
        .curl(lab, family, "/")
        .is_ok_and(|(status, _)| status == 200)
}

fn waiting(netguard: &Netguard) -> Result<Vec<Value>> {
    let status = netguard.json(&["status", "--json"])?;
    Ok(status["daemon"]["unconfirmed"]
        .as_array()
        .cloned()
        .unwrap_or_default())
}

fn events(netguard: &Netguard) -> Result<Vec<Value>> {
    let lines = netguard.must(&["events", "--json"])?;
    Ok(lines
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?)
}

fn limit_of(netguard: &Netguard, class: &str) -> Result<u64> {
    let limits = netguard.json(&["limit", "list", "--json"])?;
    let mut limits = limits.as_array().into_iter().flatten();
    let limit = limits.find(|limit| limit["class"] == class && limit["level"] == "source");
    Ok(limit.and_then(|limit| limit["rate_per_s"].as_u64()).unwrap_or(0))
}

fn services(netguard: &Netguard) -> Result<Vec<(String, u64)>> {
    let services = netguard.json(&["service", "list", "--json"])?;
    let services = services.as_array().into_iter().flatten();
    Ok(services
        .map(|service| {
            let name = service["service"].as_str().unwrap_or_default().to_owned();
            (name, service["rate_per_s"].as_u64().unwrap_or(0))
        })
        .collect())
}
