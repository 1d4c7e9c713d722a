//! The blocklist on the wire: untagged, VLAN and QinQ, both families, each under the verdict that says why.

use std::time::Duration;

use anyhow::Result;
use netguard_tests::{
    frames::{Frame, frame},
    lab::{Family, IFACE, Lab, send_frames, wait_until},
};

use crate::{
    calm::lab,
    protect,
    verdicts::{COPIES, datagram, judged, wait_for},
};

#[test]
fn blocked_sources_are_dropped_however_they_are_tagged() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    for prefix in [
        "192.0.2.77",
        "198.18.0.0/15",
        "2001:db8:77::1",
        "2001:db8:78::/64",
        "2001:db8:90::/44",
    ] {
        netguard.must(&["block", "add", prefix, "--ttl", "600s", "--reason", "e2e"])?;
    }
    for (source, verdict) in [
        ("192.0.2.77", Some("block-address")),
        ("192.0.2.78", None),
        ("198.19.255.255", Some("block-prefix")),
        ("198.20.0.1", None),
        ("2001:db8:77::1", Some("block-address")),
        ("2001:db8:77::2", None),
        ("2001:db8:78:0:1:2:3:4", Some("block-address")),
        ("2001:db8:9f:ffff::1", Some("block-prefix")),
        ("2001:db8:a0::1", None),
    ] {
        for (tagging, tagged) in taggings(&lab) {
            let before = netguard.stats()?;
            send_frames(
                &lab.attacker.ns,
                IFACE,
                &vec![datagram(tagged, source, &lab); COPIES],
            )?;
            let expected = verdict.unwrap_or("pass");
            wait_for(&netguard, &before, expected)
                .map_err(|error| error.context(format!("{source}, {tagging}, expected {expected}")))?;
        }
    }
    Ok(())
}

#[test]
fn a_blocked_client_is_served_again_after_block_del() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    for family in [Family::V4, Family::V6] {
        let client = lab.client.ip(family);
        netguard.must(&["block", "add", client, "--reason", "complaint"])?;
        assert!(
            server.curl(&lab, family, "/").is_err(),
            "{client} is blocked and was served"
        );
        let other = family.of(Family::V6, Family::V4);
        assert_eq!(server.curl(&lab, other, "/")?.0, 200);
        netguard.must(&["block", "del", client])?;
        assert_eq!(server.curl(&lab, family, "/")?.0, 200);
        assert!(netguard.blocked()?.is_empty());
    }
    Ok(())
}

#[test]
fn a_block_ends_by_itself() -> Result<()> {
    let (lab, server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    netguard.must(&["block", "add", lab.client.ip4, "--ttl", "2s"])?;
    assert!(server.curl(&lab, Family::V4, "/").is_err());
    // The kernel keeps the time: nobody is needed to take the rule away.
    netguard.kill9();
    wait_until("the block to end", Duration::from_secs(10), || {
        Ok(server.curl(&lab, Family::V4, "/").ok())
    })?;
    Ok(())
}

/// Prefixes that are blocked for good lie in the hints as mere bits, which others may share.
#[test]
fn overlapping_prefixes_come_and_go_one_by_one() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let judged = |source, expected| judged(&lab, &netguard, source, expected);
    let (add, del) = (
        |prefix| netguard.must(&["block", "add", prefix]),
        |prefix| netguard.must(&["block", "del", prefix]),
    );
    for prefix in ["198.18.0.0/15", "198.18.7.0/24", "198.18.6.0/23", "198.18.7.7"] {
        add(prefix)?;
    }
    judged("198.18.7.7", "block-address")?;
    judged("198.19.1.1", "block-prefix")?;
    del("198.18.0.0/15")?;
    judged("198.19.1.1", "pass")?;
    judged("198.18.6.1", "block-prefix")?;
    del("198.18.6.0/23")?;
    judged("198.18.6.1", "pass")?;
    judged("198.18.7.1", "block-prefix")?;
    // For good, for a time, and for good again: one rule each time.
    let expires = || -> Result<Vec<Option<u64>>> {
        let list = netguard.json(&["block", "list", "--json"])?;
        let rules = list.as_array().into_iter().flatten();
        let these = rules.filter(|rule| rule["prefix"] == "198.18.7.0/24");
        Ok(these.map(|rule| rule["expires_in_s"].as_u64()).collect())
    };
    netguard.must(&["block", "add", "198.18.7.0/24", "--ttl", "600s"])?;
    assert!(matches!(expires()?[..], [Some(_)]));
    judged("198.18.7.1", "block-prefix")?;
    add("198.18.7.0/24")?;
    assert_eq!(expires()?, [None]);
    let covered = netguard.must(&["block", "add", "198.18.7.128/25", "--ttl", "600s"])?;
    assert!(covered.contains("covered already"), "{covered}");
    del("198.18.7.0/24")?;
    judged("198.18.7.1", "pass")?;
    judged("198.18.7.7", "block-address")?;
    // One so wide that nobody looks at each network in it.
    add("198.18.6.0/23")?;
    add("198.0.0.0/8")?;
    judged("198.20.0.1", "block-prefix")?;
    del("198.0.0.0/8")?;
    judged("198.20.0.1", "pass")?;
    judged("198.18.6.1", "block-prefix")?;
    del("198.18.6.0/23")?;
    judged("198.18.6.1", "pass")?;
    // What is allowed in what is blocked.
    add("198.18.0.0/15")?;
    netguard.must(&["allow", "add", "198.18.9.9"])?;
    judged("198.18.9.9", "pass-allow")?;
    judged("198.18.9.8", "block-prefix")?;
    Ok(())
}

/// The three ways in which a frame can come along.
fn taggings(lab: &Lab) -> [(&'static str, Frame); 3] {
    let plain = frame().macs(lab.attacker.mac, lab.victim.mac);
    [
        ("untagged", plain.clone()),
        ("VLAN", plain.clone().vlan(10)),
        ("QinQ", plain.qinq(20, 30)),
    ]
}

#[test]
fn a_full_table_is_told_and_counted() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "tables.block_addresses = 2")?;
    netguard.must(&["block", "add", "192.0.2.77"])?;
    netguard.must(&["block", "add", "192.0.2.78"])?;
    let full = netguard.cli(&["block", "add", "192.0.2.79"])?;
    assert_eq!(full.status, 1, "{full:?}");
    for named in ["BLOCK_V4", "full", "[tables]"] {
        assert!(
            full.stderr.contains(named),
            "{named} is not named: {}",
            full.stderr
        );
    }
    assert_eq!(netguard.blocked()?, ["192.0.2.77/32", "192.0.2.78/32"]);
    assert_eq!(
        netguard.json(&["status", "--json"])?["daemon"]["rules_refused"],
        1
    );
    netguard.must(&["block", "del", "192.0.2.77"])?;
    netguard.must(&["block", "add", "192.0.2.79"])?;

    // A list that does not fit changes nothing, not even the rules that it would replace.
    netguard.must(&["block", "add", "192.0.2.78", "--reason", "a scanner"])?;
    let file = lab.dir.path().join("list.txt");
    std::fs::write(&file, "198.51.100.0/24\n192.0.2.78\n192.0.2.80\n")?;
    let before = netguard.must(&["block", "list"])?;
    let full = netguard.cli(&["block", "import", &file.display().to_string(), "--ttl", "1h"])?;
    assert_eq!(full.status, 1, "{full:?}");
    for named in ["list.txt:3", "holds 2 entries", "nothing was added"] {
        assert!(full.stderr.contains(named), "no {named} in {}", full.stderr);
    }
    assert_eq!(netguard.must(&["block", "list"])?, before);
    Ok(())
}

#[test]
fn an_import_with_a_mistake_adds_nothing() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let file = lab.dir.path().join("list.txt");
    let path = file.display().to_string();
    std::fs::write(
        &file,
        "192.0.2.77\n# a comment\n\n2001:db8:78::/64 # and another\n192.0.2.300\n",
    )?;
    let refused = netguard.cli(&["block", "import", &path])?;
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.stderr.contains("list.txt:5"), "{}", refused.stderr);
    assert!(netguard.blocked()?.is_empty());
    std::fs::write(
        &file,
        "192.0.2.77\n# a comment\n\n2001:db8:78::/64 # and another\n",
    )?;
    netguard.must(&["block", "import", &path, "--ttl", "10m"])?;
    assert_eq!(netguard.blocked()?, ["192.0.2.77/32", "2001:db8:78::/64"]);
    Ok(())
}

#[test]
fn the_operator_is_kept_from_cutting_themselves_off() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    // The gateway, this machine, and everything that holds either.
    for prefix in ["203.0.113.1", lab.victim.ip4, "203.0.113.0/24", "2001:db8:3::/64"] {
        let refused = netguard.cli(&["block", "add", prefix])?;
        assert_eq!(refused.status, 2, "{prefix}: {refused:?}");
        assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    }
    let mut command = netguard.command()?;
    command.env(
        "SSH_CONNECTION",
        format!("{} 50000 {} 22", lab.client.ip4, lab.victim.ip4),
    );
    let refused = command.args(["block", "add", "198.51.100.0/24"]).output()?;
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("logged in"));
    assert!(netguard.blocked()?.is_empty());
    assert_eq!(server.curl(&lab, netguard_tests::lab::Family::V4, "/")?.0, 200);
    Ok(())
}
