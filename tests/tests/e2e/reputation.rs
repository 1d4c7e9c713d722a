//! Reputation: who floods again is blocked for twice as long, whoever shares an address with many stays at its limits, and what is
//! known outlives the daemon, also one that is killed.

mod full_disk;
mod limits;

use std::{fs, io::Write as _, net::TcpStream, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use netguard_tests::lab::{Family, Netguard, newcomers, wait_until};
use serde_json::Value;

use crate::{
    detector::{connect, events, flood_own_address},
    protect, shared_lab,
};

const SHORT: &str = "detect.flooder.block_for = \"3s\"";

#[test]
fn who_floods_again_is_blocked_for_twice_as_long_ipv4() -> Result<()> {
    is_blocked_for_twice_as_long(Family::V4)
}

#[test]
fn who_floods_again_is_blocked_for_twice_as_long_ipv6() -> Result<()> {
    is_blocked_for_twice_as_long(Family::V6)
}

fn is_blocked_for_twice_as_long(family: Family) -> Result<()> {
    let (lab, server) = shared_lab()?;
    let netguard = protect(&lab, SHORT)?;
    let _proof = connect(&lab, family)?;
    let flood = flood_own_address(&lab, family)?;
    let blocked = wait_until("two blocks", Duration::from_secs(30), || {
        let blocked = events(&netguard, "blocked")?;
        let again = blocked.iter().any(|event| event["repeats"] == 1);
        Ok(again.then_some(blocked))
    })?;
    flood.stop()?;
    assert_eq!(
        (&blocked[0]["for_s"], &blocked[0]["repeats"]),
        (&3.into(), &0.into())
    );
    let again = blocked.iter().find(|event| event["repeats"] == 1);
    let for_s = again
        .and_then(|event| event["for_s"].as_u64())
        .context("no time")?;
    // 6 s, give or take a tenth.
    ensure!((5..=6).contains(&for_s), "{blocked:?}");

    let address = lab.attacker.ip(family);
    let explained = netguard.json(&["explain", address, "--json"])?;
    let known = &explained["reputation"];
    ensure!(
        explained["score"].as_u64().is_some_and(|score| score >= 50),
        "{explained}"
    );
    ensure!(
        known["blocked"] == true && known["blocked_times"].as_u64() >= Some(2),
        "{explained}"
    );
    let is_flood = |reason: &Value| reason["kind"] == "flood" && reason["proven"] == true;
    ensure!(
        known["reasons"]
            .as_array()
            .is_some_and(|reasons| reasons.iter().any(is_flood)),
        "{explained}"
    );
    ensure!(known["next_block_s"].as_u64() >= Some(12), "{explained}");
    let text = netguard.must(&["explain", address])?;
    ensure!(
        text.contains("score: ") && text.contains("reason: ") && text.contains("next block: "),
        "{text}"
    );
    let listed = netguard.json(&["reputation", "list", "--json"])?;
    assert_eq!(listed["sources"][0]["source"], known["source"]);
    let text = netguard.must(&["reputation", "list", "--top", "3"])?;
    ensure!(text.contains("flood") && text.contains("now, "), "{text}");
    assert_eq!(server.curl(&lab, family, "/")?.0, 200, "others are not affected");

    // Nobody else is known, and what is not there cannot be forgotten.
    let honest = netguard.json(&["explain", lab.client.ip(family), "--json"])?;
    assert_eq!(
        (&honest["score"], &honest["reputation"]["blocked_times"]),
        (&0.into(), &0.into())
    );
    assert_eq!(
        netguard
            .cli(&["reputation", "forget", lab.client.ip(family)])?
            .status,
        1
    );
    let forgotten = netguard.json(&["reputation", "forget", address, "--json"])?;
    assert_eq!(
        (&forgotten["forgotten"], &forgotten["fault"]),
        (&1.into(), &Value::Null)
    );
    let explained = netguard.json(&["explain", address, "--json"])?;
    // That it took part in the attack is said each second until that is over.
    ensure!(explained["score"].as_u64() <= Some(15), "{explained}");
    assert_eq!(&explained["reputation"]["next_block_s"], 3);
    let told = events(&netguard, "reputation-forgotten")?;
    ensure!(
        told.len() == 1 && told[0]["author"]["by"] == "operator" && told[0]["source"] == known["source"],
        "{told:?}"
    );
    Ok(())
}

#[test]
fn people_who_come_and_go_behind_one_address_are_limited_and_not_blocked_ipv4() -> Result<()> {
    come_and_go(Family::V4)
}

#[test]
fn people_who_come_and_go_behind_one_address_are_limited_and_not_blocked_ipv6() -> Result<()> {
    come_and_go(Family::V6)
}

/// Found in review: four times as many short connections as the limit of a source allows, hardly any two at the same moment.
fn come_and_go(family: Family) -> Result<()> {
    let (lab, _server) = shared_lab()?;
    let netguard = protect(&lab, "")?;
    let _reader = connect(&lab, family)?;
    let address = lab.victim.ip(family).parse()?;
    let people = lab
        .attacker
        .ns
        .enter(|| newcomers(address, 800, Duration::from_secs(8)))??;
    ensure!(people.served > 500, "{people:?}");
    let dropped = netguard.drops()?;
    ensure!(dropped.get("limit-syn").copied() > Some(500), "{dropped:?}");
    ensure!(
        netguard.blocked()?.is_empty() && events(&netguard, "blocked")?.is_empty(),
        "{:?}",
        netguard.blocked()?
    );
    let withheld = events(&netguard, "withheld")?;
    let is_busy = |event: &Value| event["why"].to_string().contains("connections a second");
    ensure!(withheld.iter().any(is_busy), "{withheld:?}");
    Ok(())
}

#[test]
fn many_connections_behind_one_address_are_limited_and_not_blocked() -> Result<()> {
    let (lab, server) = shared_lab()?;
    let netguard = protect(&lab, "reputation.shared_from = 8")?;
    let users: Vec<TcpStream> = (0..8).map(|_| connect(&lab, Family::V4)).collect::<Result<_>>()?;
    let flood = flood_own_address(&lab, Family::V4)?;
    let withheld = wait_until("the decision", Duration::from_secs(10), || {
        Ok(events(&netguard, "withheld")?.pop())
    })?;
    ensure!(
        withheld["why"]
            .as_str()
            .is_some_and(|why| why.contains("8 connections come from it")),
        "{withheld}"
    );
    ensure!(netguard.blocked()?.is_empty() && events(&netguard, "blocked")?.is_empty());
    for mut user in users {
        user.write_all(b"GET / HTTP/1.1\r\nHost: victim\r\n\r\n")?;
        user.set_read_timeout(Some(Duration::from_secs(5)))?;
        ensure!(
            std::io::Read::read(&mut user, &mut [0; 64])? > 0,
            "a user is not served"
        );
    }
    flood.stop()?;
    let listed = netguard.json(&["reputation", "list", "--json"])?;
    let shared = |row: &Value| row["outcome"] == "shared" && row["count"].as_u64() >= Some(1);
    ensure!(
        listed["outcomes"]
            .as_array()
            .is_some_and(|rows| rows.iter().any(shared)),
        "{listed}"
    );
    assert_eq!(server.curl(&lab, Family::V4, "/")?.0, 200);
    Ok(())
}

#[test]
fn in_shadow_a_block_is_only_told_and_off_remembers_nothing() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    for mode in ["shadow", "off"] {
        let netguard = protect(&lab, &format!("reputation.mode = \"{mode}\""))?;
        let _proof = connect(&lab, Family::V4)?;
        let flood = flood_own_address(&lab, Family::V4)?;
        let withheld = wait_until("the decision", Duration::from_secs(10), || {
            Ok(events(&netguard, "withheld")?.pop())
        })?;
        flood.stop()?;
        let why = withheld["why"].as_str().context("no reason")?;
        ensure!(why.contains("reputation.mode"), "{why}");
        ensure!(netguard.blocked()?.is_empty() && events(&netguard, "blocked")?.is_empty());
        let explained = netguard.json(&["explain", lab.attacker.ip4, "--json"])?;
        if mode == "shadow" {
            ensure!(
                why.contains(&format!("{}/32 would be blocked for 60 s", lab.attacker.ip4)),
                "{why}"
            );
            ensure!(explained["score"].as_u64() >= Some(50), "{explained}");
        } else {
            assert_eq!(
                (&explained["score"], &explained["reputation"]),
                (&Value::Null, &Value::Null)
            );
        }
    }
    Ok(())
}

/// What a daemon has read from the file was on the disk: no later kill may take it away. And what was forgotten stays so.
#[test]
fn nothing_that_was_kept_is_lost_when_the_daemon_is_killed() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    let mut netguard = protect(
        &lab,
        "detect.flooder.block_for = \"100ms\"\nreputation.block_for_at_most = \"100ms\"",
    )?;
    let _proof = connect(&lab, Family::V4)?;
    let mut kept = 0;
    for round in 0..8 {
        let flood = flood_own_address(&lab, Family::V4)?;
        wait_until("another block", Duration::from_secs(20), || {
            let blocked = blocked_times(&netguard, lab.attacker.ip4)?;
            Ok((blocked > kept).then_some(()))
        })?;
        // At another moment of writing each time.
        wait(Duration::from_millis(1_700 + 373 * round));
        netguard.kill9();
        flood.stop()?;
        netguard.restart()?;
        let read = blocked_times(&netguard, lab.attacker.ip4)?;
        ensure!(
            read >= kept,
            "{read} blocks are known, and {kept} were kept before"
        );
        kept = read;
        assert_eq!(
            netguard.json(&["status", "--json"])?["daemon"]["reputation"]["fault"],
            Value::Null
        );
    }
    ensure!(kept > 0, "nothing was ever kept");
    netguard.must(&["reputation", "forget", lab.attacker.ip4])?;
    netguard.kill9();
    netguard.restart()?;
    assert_eq!(blocked_times(&netguard, lab.attacker.ip4)?, 0, "it was forgotten");
    Ok(())
}

#[test]
fn a_penalty_outlives_a_restart() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    let mut netguard = protect(&lab, SHORT)?;
    let _proof = connect(&lab, Family::V4)?;
    let flood = flood_own_address(&lab, Family::V4)?;
    wait_until("a block", Duration::from_secs(10), || {
        Ok(events(&netguard, "blocked")?.pop())
    })?;
    flood.stop()?;
    let before = netguard.json(&["explain", lab.attacker.ip4, "--json"])?;
    netguard.stop()?;
    // Without a daemon the file says it.
    let kept = netguard.json(&["reputation", "list", "--json"])?;
    let listed = kept["sources"].as_array().into_iter().flatten();
    ensure!(
        listed
            .filter(|source| source["blocked_times"] == 1)
            .any(|source| source["source"] == format!("{}/32", lab.attacker.ip4)),
        "{kept}"
    );
    let nobody = netguard.cli(&["reputation", "forget", "198.18.7.7"])?;
    ensure!(
        nobody.status == 1 && nobody.stdout.contains("nothing is remembered"),
        "{nobody:?}"
    );
    netguard.restart()?;
    let after = netguard.json(&["explain", lab.attacker.ip4, "--json"])?;
    for key in ["blocked_times", "next_block_s"] {
        assert_eq!(after["reputation"][key], before["reputation"][key], "{after}");
    }
    assert_eq!(after["reputation"]["next_block_s"], 6);
    let flood = flood_own_address(&lab, Family::V4)?;
    let again = wait_until("a repetition", Duration::from_secs(20), || {
        Ok(events(&netguard, "blocked")?.pop())
    })?;
    flood.stop()?;
    ensure!(again["repeats"].as_u64() >= Some(1), "{again}");
    Ok(())
}

#[test]
fn a_damaged_store_is_put_beside_and_told() -> Result<()> {
    let (lab, server) = shared_lab()?;
    let mut netguard = protect(&lab, "")?;
    netguard.stop()?;
    let file = store(&netguard);
    ensure!(fs::metadata(&file)?.len() > 0, "nothing was kept");
    let damage = b"this is no store".repeat(512);
    fs::write(&file, &damage)?;
    let refused = netguard.cli(&["reputation", "list"])?;
    ensure!(
        refused.status == 1 && refused.stderr.contains("cannot be used"),
        "{refused:?}"
    );
    netguard.restart()?;
    let status = netguard.json(&["status", "--json"])?;
    let damaged = status["daemon"]["reputation"]["damaged"]
        .as_str()
        .with_context(|| format!("not told: {status}"))?;
    ensure!(fs::read(damaged)? == damage, "it is not kept");
    let told = netguard.must(&["status"])?;
    ensure!(told.contains("reputation: the file was damaged"), "{told}");
    let doctor = netguard.cli(&["doctor"])?.stdout;
    ensure!(doctor.contains("was damaged and began anew"), "{doctor}");
    assert_eq!(server.curl(&lab, Family::V4, "/")?.0, 200);
    Ok(())
}

#[test]
fn without_a_place_to_keep_it_the_work_goes_on() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    // Nobody can make a directory there.
    let netguard = protect(
        &lab,
        &format!("{SHORT}\nreputation.file = \"/proc/{{instance}}/r.redb\""),
    )?;
    let status = netguard.json(&["status", "--json"])?;
    let fault = status["daemon"]["reputation"]["fault"]
        .as_str()
        .context("no fault")?;
    ensure!(fault.contains("r.redb cannot be opened"), "{fault}");
    assert_eq!(events(&netguard, "reputation-store")?.len(), 1, "it is told once");
    let _proof = connect(&lab, Family::V4)?;
    let flood = flood_own_address(&lab, Family::V4)?;
    wait_until("a block", Duration::from_secs(10), || {
        Ok(events(&netguard, "blocked")?.pop())
    })?;
    flood.stop()?;
    let doctor = netguard.cli(&["doctor"])?.stdout;
    ensure!(doctor.contains("ends with this daemon"), "{doctor}");
    let forgotten = netguard.cli(&["reputation", "forget", "--all", "--json"])?;
    ensure!(
        forgotten.status == 1 && forgotten.stdout.contains("r.redb"),
        "{forgotten:?}"
    );
    Ok(())
}

#[test]
fn wrong_use_is_told() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    let netguard = protect(&lab, "")?;
    for args in [
        &["reputation", "forget"][..],
        &["reputation", "forget", "--all", "192.0.2.1"],
        &["reputation", "forget", "192.0.2.0/24"],
        &["reputation", "list", "--top", "0"],
    ] {
        assert_eq!(netguard.cli(args)?.status, 2, "{args:?}");
    }
    let dead = netguard.as_instance("dead");
    let output = dead.cli(&["reputation", "list"])?;
    ensure!(
        output.status == 1 && output.stderr.contains("netguard run"),
        "{output:?}"
    );
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the moment of the kill is what the test is about: nothing is waited for"
)]
fn wait(moment: Duration) {
    std::thread::sleep(moment);
}

fn store(netguard: &Netguard) -> PathBuf {
    netguard.trail().with_file_name("reputation.redb")
}

fn blocked_times(netguard: &Netguard, address: &str) -> Result<u64> {
    let explained = netguard.json(&["explain", address, "--json"])?;
    explained["reputation"]["blocked_times"]
        .as_u64()
        .with_context(|| format!("no count: {explained}"))
}
