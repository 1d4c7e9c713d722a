//! Long lists on the wire: feeds, countries and autonomous systems, exchanged while packets come.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use anyhow::{Result, ensure};
use netguard_tests::{
    frames::frame,
    lab::{Family, IFACE, Netguard, growth, send_frames, wait_until},
};
use tempfile::TempDir;

use super::lab;
use crate::{
    protect,
    verdicts::{COPIES, judged},
};

fn feed(directory: &Path, name: &str, mode: &str) -> String {
    let file = directory.join(name);
    format!(
        "[[feed]]\nname = \"{name}\"\nfile = \"{}\"\nmode = \"{mode}\"\n",
        file.display()
    )
}

#[test]
fn a_feed_blocks_and_is_followed() -> Result<()> {
    let (lab, server) = lab()?;
    let directory = TempDir::new()?;
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text);
    let own = format!("{}/24\n{}/64\n", subnet(lab.victim.ip4), "2001:db8:5::");
    write(
        "bad",
        &format!("# bad\n198.18.0.0/15\n198.20.3.9 ; x\n2001:db8:77::/48\n{own}nonsense\n"),
    )?;
    write("suspect", "192.0.2.0/24\n2001:db8:78::1\n")?;
    let config = feed(directory.path(), "bad", "enforce") + &feed(directory.path(), "suspect", "shadow");
    let mut netguard = protect(&lab, &config)?;
    for (source, expected) in [
        ("198.18.0.1", "block-feed"),
        ("198.20.3.9", "block-feed"),
        ("198.20.3.10", "pass"),
        ("2001:db8:77:1::1", "block-feed"),
        ("2001:db8:79::1", "pass"),
        ("192.0.2.1", "shadow-block-feed"),
        ("2001:db8:78::1", "shadow-block-feed"),
    ] {
        judged(&lab, &netguard, source, expected)?;
    }
    let report = netguard.list("bad")?;
    ensure!(
        report["skipped"] == 1 && report["packets"] == 3 * COPIES as u64,
        "{report}"
    );
    let explained = netguard.json(&["explain", "198.18.0.1", "--json"])?;
    ensure!(explained["verdict"] == "block-feed", "{explained}");
    ensure!(
        explained["evidence"].to_string().contains("on the feed bad"),
        "{explained}"
    );

    // The machine's own address is spared, and what is allowed passes, as it is told.
    let reason = "wrong about it: bad";
    let undo = format!("netguard allow add 198.18.0.1 --ttl 24h --reason \"{reason}\"");
    ensure!(explained["undo"][0] == undo, "{explained}");
    netguard.must(&["allow", "add", "198.18.0.1", "--ttl", "24h", "--reason", reason])?;
    judged(&lab, &netguard, "198.18.0.1", "pass-allow")?;
    ensure!(server.curl(&lab, Family::V6, "/")?.0 == 200);

    // A new file is followed without being asked, and a broken one keeps what was there.
    write("bad", "198.20.3.10\n")?;
    wait_until("the new list", Duration::from_secs(30), || {
        Ok((netguard.list("bad")?["prefixes"] == 1).then_some(()))
    })?;
    judged(&lab, &netguard, "198.20.3.10", "block-feed")?;
    judged(&lab, &netguard, "198.20.3.9", "pass")?;
    write("bad", &"nonsense\n".repeat(20))?;
    let refused = netguard.cli(&["feed", "sync"])?;
    ensure!(refused.status == 1, "{refused:?}");
    let fault = netguard.list("bad")?["fault"].to_string();
    ensure!(
        fault.contains("20 lines that are no prefixes") && fault.contains("bad:1"),
        "{fault}"
    );
    judged(&lab, &netguard, "198.20.3.10", "block-feed")?;

    // The lists stand while the daemon is dead, and end with the configuration that names them.
    netguard.kill9();
    judged(&lab, &netguard, "198.20.3.10", "block-feed")
}

/// Whoever writes the file may be late, or gone for a while.
#[test]
fn a_feed_without_its_file_is_told_and_keeps_what_was_read() -> Result<()> {
    let (lab, server) = lab()?;
    let directory = TempDir::new()?;
    let netguard = protect(&lab, &feed(directory.path(), "late", "enforce"))?;
    let fault = || -> Result<String> { Ok(netguard.list("late")?["fault"].to_string()) };
    ensure!(fault()?.contains("cannot be read"), "{}", fault()?);
    // Found in review: what happened before the start was over was never an event.
    let events = netguard.must(&["events"])?;
    ensure!(events.contains("list-failed"), "{events}");
    ensure!(server.curl(&lab, Family::V4, "/")?.0 == 200);
    fs::write(directory.path().join("late"), "198.18.0.1\n2001:db8:77::/48\n")?;
    netguard.must(&["feed", "sync"])?;
    ensure!(fault()? == "null", "{}", fault()?);
    let stands = || -> Result<()> {
        judged(&lab, &netguard, "198.18.0.1", "block-feed")?;
        judged(&lab, &netguard, "2001:db8:77::1", "block-feed")
    };
    stands()?;
    fs::remove_file(directory.path().join("late"))?;
    ensure!(netguard.cli(&["feed", "sync"])?.status == 1);
    ensure!(fault()?.contains("cannot be read"), "{}", fault()?);
    stands()
}

/// Found in review: a restart while a feed was broken or gone emptied the lists that the kernel still enforced.
#[test]
fn a_restart_without_a_feed_keeps_the_lists_that_stand() -> Result<()> {
    let (lab, _server) = lab()?;
    let directory = TempDir::new()?;
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text);
    write("gone", "198.18.0.1\n")?;
    write("there", "198.18.0.2\n")?;
    let config = feed(directory.path(), "gone", "enforce") + &feed(directory.path(), "there", "enforce");
    let mut netguard = protect(&lab, &config)?;
    netguard.kill9();
    // Nor does anybody without a daemon say that such a source passes.
    let unknown = |netguard: &Netguard<'_>, why: &str| -> Result<()> {
        let explained = netguard.json(&["explain", "198.18.0.1", "--json"])?;
        let told = explained["lists_unknown"].to_string();
        ensure!(
            explained["verdict"] == "unknown" && told.contains(why),
            "{explained}"
        );
        let text = netguard.must(&["explain", "198.18.0.1"])?;
        ensure!(text.contains("lists: could not be looked at"), "{text}");
        Ok(())
    };
    unknown(&netguard, "only a daemon")?;

    fs::remove_file(directory.path().join("gone"))?;
    write("there", "198.18.0.3\n")?;
    netguard.restart()?;
    let as_before = |netguard: &Netguard<'_>| -> Result<()> {
        judged(&lab, netguard, "198.18.0.1", "block-feed")?;
        judged(&lab, netguard, "198.18.0.2", "block-feed")?;
        judged(&lab, netguard, "198.18.0.3", "pass")
    };
    as_before(&netguard)?;
    const STAND: &str = "the lists of an earlier daemon stay in force";
    unknown(&netguard, STAND)?;
    for command in ["status", "doctor"] {
        let told = netguard.cli(&[command])?.stdout;
        ensure!(told.contains(STAND), "{told}");
    }
    let status = netguard.json(&["status", "--json"])?;
    let faults = status["daemon"]["list_faults"].as_array().map(Vec::len);
    ensure!(faults == Some(2), "{status}");
    let told = netguard.must(&["events"])?.matches(STAND).count();
    ensure!(told == 1, "told {told} times");
    ensure!(netguard.cli(&["feed", "sync"])?.status == 1);
    as_before(&netguard)?;

    write("gone", "198.18.0.4\n")?;
    netguard.must(&["feed", "sync"])?;
    for (source, expected) in [
        ("198.18.0.1", "pass"),
        ("198.18.0.2", "pass"),
        ("198.18.0.3", "block-feed"),
        ("198.18.0.4", "block-feed"),
    ] {
        judged(&lab, &netguard, source, expected)?;
    }
    let status = netguard.must(&["status"])?;
    ensure!(!status.contains("lists:"), "{status}");

    // A daemon that is to drop nothing drops nothing by the lists of another either.
    netguard.kill9();
    fs::remove_file(directory.path().join("gone"))?;
    fs::write(
        lab.dir.path().join("netguard.toml"),
        format!("mode = \"shadow\"\n{config}"),
    )?;
    netguard.restart()?;
    judged(&lab, &netguard, "198.18.0.4", "pass")?;
    judged(&lab, &netguard, "198.18.0.3", "shadow-block-feed")
}

#[test]
fn places_follow_their_policies() -> Result<()> {
    let (lab, _server) = lab()?;
    let directory = TempDir::new()?;
    let country = directory.path().join("country.csv");
    let asn = directory.path().join("asn.csv");
    fs::write(
        &country,
        "198.18.0.0,198.19.255.255,AQ\n198.20.4.0,198.20.4.255,BV\n2001:db8:77::/48,AQ\n192.0.2.0/24,HM\n",
    )?;
    fs::write(
        &asn,
        "198.18.7.0/24,64496,\"Ice, Inc.\"\n2001:db8:77:7::/64,AS64496\n",
    )?;
    let netguard = protect(
        &lab,
        &format!(
            "[geo]\ncountry_database = \"{}\"\nasn_database = \"{}\"\n\
             [[geo.policy]]\ncountries = [\"AQ\"]\naction = \"block\"\n\
             [[geo.policy]]\ncountries = [\"BV\"]\naction = \"limit\"\nlimit = {{ rate_per_s = 1, burst = 2 }}\n\
             [[geo.policy]]\ncountries = [\"HM\"]\naction = \"block\"\nmode = \"shadow\"\n\
             [[geo.policy]]\nasns = [64496]\naction = \"allow\"\n",
            country.display(),
            asn.display()
        ),
    )?;
    for (source, expected) in [
        ("198.18.0.1", "block-country"),
        ("198.18.7.1", "pass"),
        ("2001:db8:77::1", "block-country"),
        ("2001:db8:77:7::1", "pass"),
        ("192.0.2.1", "shadow-block-country"),
        ("198.20.0.1", "pass"),
    ] {
        judged(&lab, &netguard, source, expected)?;
    }
    // All of a country share its limit.
    let before = netguard.stats()?;
    let frames: Vec<Vec<u8>> = (1..=20)
        .map(|host| {
            let source = format!("198.20.4.{host}");
            frame().ipv4(&source, lab.victim.ip4).udp(1, 2).payload(9).build()
        })
        .collect();
    send_frames(&lab.attacker.ns, IFACE, &frames)?;
    wait_until("the limit", Duration::from_secs(5), || {
        let grown = growth(&before, &netguard.stats()?);
        Ok((grown.get("limit-country").copied().unwrap_or(0) >= 15).then_some(()))
    })
}

/// Lists of the size that people have are exchanged under traffic, and no packet meets half of one.
#[test]
fn a_million_prefixes_are_exchanged_as_one() -> Result<()> {
    let (lab, server) = lab()?;
    let directory = TempDir::new()?;
    let mut text = String::new();
    for number in 0..1_000_000_u32 {
        // Odd steps through 16.0.0.0/4, so that each /24 has a few.
        let address = std::net::Ipv4Addr::from(0x1000_0000 + number * 261);
        writeln!(text, "{address}")?;
    }
    for number in 0..250_000_u32 {
        writeln!(text, "2a00:{:x}:{:x}::/48", number >> 16, number & 0xffff)?;
    }
    text.push_str("198.18.0.1\n");
    fs::write(directory.path().join("big"), &text)?;
    let netguard = protect(&lab, &feed(directory.path(), "big", "enforce"))?;
    ensure!(netguard.list("big")?["prefixes"] == 1_250_001);
    judged(&lab, &netguard, "198.18.0.1", "block-feed")?;
    judged(&lab, &netguard, "16.0.0.0", "block-feed")?;
    judged(&lab, &netguard, "16.0.0.1", "pass")?;
    judged(&lab, &netguard, "2a00:3:d08f:ffff::1", "block-feed")?;
    judged(&lab, &netguard, "2a00:3:d090::1", "pass")?;

    let before = netguard.stats()?;
    let frames = vec![
        frame()
            .ipv4("198.18.0.1", lab.victim.ip4)
            .udp(1, 2)
            .payload(9)
            .build();
        200
    ];
    std::thread::scope(|scope| -> Result<()> {
        let syncing = scope.spawn(|| (0..3).try_for_each(|_| netguard.must(&["feed", "sync"]).map(drop)));
        while !syncing.is_finished() {
            send_frames(&lab.attacker.ns, IFACE, &frames)?;
        }
        syncing
            .join()
            .map_err(|_| anyhow::anyhow!("the syncing thread panicked"))?
    })?;
    let grown = growth(&before, &netguard.stats()?);
    ensure!(
        grown.get("block-feed").is_some_and(|count| *count > 0),
        "{grown:?}"
    );
    // Neighbour discovery and the like pass meanwhile; no datagram of the source does.
    let passed = grown.get("pass").copied().unwrap_or(0);
    ensure!(
        passed < 50,
        "{passed} packets passed while lists were exchanged: {grown:?}"
    );
    ensure!(server.curl(&lab, Family::V4, "/")?.0 == 200);
    Ok(())
}

/// The /24 of an address, as text.
fn subnet(address: &str) -> String {
    let end = address.rfind('.').unwrap_or(0);
    format!("{}.0", &address[..end])
}
