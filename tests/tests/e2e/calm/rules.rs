//! Rules as operators make them, many and twice: each is listed, counts once, ends when it should, and goes alone.

use std::{fs, net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use netguard_tests::{
    frames::frame,
    lab::{Family, IFACE, Lab, Netguard, growth, send_frames, wait_until},
};

use crate::{
    calm::lab,
    protect,
    verdicts::{datagram, judged},
};

/// Sources all over both address spaces, of neighbours whose addresses differ in the last bit.
fn spread(family: Family) -> Vec<String> {
    (0..257_u32)
        .map(|index| match family {
            // From 16.0.0.0 to 126.255.255.254, in odd steps.
            Family::V4 => Ipv4Addr::from((0x1000_0000 + index * 0x006e_c3a7) & !1).to_string(),
            Family::V6 => format!(
                "{:x}:{:x}:{index:x}:7::{:x}",
                0x2002 + 31 * index,
                9 * index,
                2 * index
            ),
        })
        .collect()
}

fn neighbour(source: &str) -> String {
    match source.rsplit_once('.') {
        Some((network, host)) => format!("{network}.{}", host.parse::<u8>().unwrap_or_default() ^ 1),
        // Another /64: for IPv6 that is what a neighbour is.
        None => source.replacen(":7::", ":8::", 1),
    }
}

#[test]
fn many_addresses_are_blocked_and_unblocked_one_by_one_ipv4() -> Result<()> {
    are_blocked_and_unblocked(Family::V4)
}

#[test]
fn many_addresses_are_blocked_and_unblocked_one_by_one_ipv6() -> Result<()> {
    are_blocked_and_unblocked(Family::V6)
}

fn are_blocked_and_unblocked(family: Family) -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let sources = spread(family);
    let file = lab.dir.path().join("list.txt");
    fs::write(&file, sources.join("\n"))?;
    netguard.must(&["block", "import", &file.display().to_string()])?;
    let listed = netguard.blocked()?;
    let bits = family.of(32, 128);
    for source in &sources {
        let address: std::net::IpAddr = source.parse()?;
        ensure!(
            listed.contains(&format!("{address}/{bits}")),
            "{source} is not listed"
        );
    }
    ensure!(listed.len() == sources.len(), "{} are listed", listed.len());
    let neighbours: Vec<_> = sources.iter().map(|source| neighbour(source)).collect();
    count(&lab, &netguard, &sources, sources.len() as u64)?;
    count(&lab, &netguard, &neighbours, 0)?;
    let (gone, left) = sources.split_at(128);
    for source in gone {
        netguard.must(&["block", "del", source])?;
    }
    ensure!(netguard.blocked()?.len() == left.len());
    count(&lab, &netguard, gone, 0)?;
    count(&lab, &netguard, left, left.len() as u64)?;
    for source in left {
        netguard.must(&["block", "del", source])?;
    }
    count(&lab, &netguard, &sources, 0)?;
    ensure!(netguard.blocked()?.is_empty());
    Ok(())
}

/// One datagram of each source: that many are blocked, the others pass.
fn count(lab: &Lab, netguard: &Netguard<'_>, sources: &[String], blocked: u64) -> Result<()> {
    let before = netguard.stats()?;
    let frames: Vec<_> = sources
        .iter()
        .map(|source| datagram(frame(), source, lab))
        .collect();
    send_frames(&lab.attacker.ns, IFACE, &frames)?;
    let judged = wait_until("all to be judged", Duration::from_secs(5), || {
        let grown = growth(&before, &netguard.stats()?);
        let of = |verdict: &str| grown.get(verdict).copied().unwrap_or(0);
        let known = |name: &String| name == "block-address" || name.starts_with("pass");
        let all = of("block-address") == blocked && of("pass") >= sources.len() as u64 - blocked;
        Ok((all && grown.keys().all(known)).then_some(()))
    });
    let grown = growth(&before, &netguard.stats()?);
    judged.with_context(|| format!("{blocked} of {}: {grown:?}", sources.len()))
}

/// Allowlist and blocklist, both families, addresses and networks: twelve rules, of which each goes alone.
#[test]
fn removing_one_rule_leaves_the_others() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let prefixes = [
        "192.0.2.77/32",
        "192.0.2.0/24",
        "198.18.0.0/15",
        "2001:db8:77::1/128",
        "2001:db8:77::/64",
        "2001:db8:70::/44",
    ];
    for list in ["block", "allow"] {
        for prefix in prefixes {
            netguard.must(&[list, "add", prefix, "--reason", &format!("{list} of {prefix}")])?;
        }
    }
    let listed = |list: &str| -> Result<Vec<String>> {
        let json = netguard.json(&[list, "list", "--json"])?;
        let text = netguard.must(&[list, "list"])?;
        let rows = json.as_array().context("a list")?.iter();
        let prefixes = rows.filter_map(|row| Some(row["prefix"].as_str()?.to_owned()));
        let prefixes: Vec<_> = prefixes.collect();
        for prefix in &prefixes {
            let words = format!("{list} of {prefix}");
            ensure!(
                text.contains(&words) && json.to_string().contains(&words),
                "{prefix}: {text}"
            );
        }
        // Besides its heading.
        ensure!(
            text.lines().count() == prefixes.len() + 1 || prefixes.is_empty(),
            "{text}"
        );
        Ok(prefixes)
    };
    let mut left = [("block", prefixes.to_vec()), ("allow", prefixes.to_vec())];
    for index in [5, 0, 3, 1, 4, 2] {
        for (list, left) in &mut left {
            netguard.must(&[list, "del", prefixes[index]])?;
            left.retain(|prefix| *prefix != prefixes[index]);
            let mut now = listed(list)?;
            now.sort();
            left.sort_unstable();
            ensure!(now == *left, "{list}: {now:?}, not {left:?}");
        }
        let absent = netguard.cli(&["block", "del", prefixes[index]])?;
        ensure!(
            absent.status == 1 && absent.stdout.contains("is not on the blocklist"),
            "{absent:?}"
        );
    }
    Ok(())
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_one_address() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let names = [
        "192.0.2.77",
        "::ffff:192.0.2.77",
        "::ffff:c000:24d",
        "0:0:0:0:0:FFFF:192.0.2.77",
    ];
    for added in names {
        for removed in names {
            netguard.must(&["block", "add", added])?;
            ensure!(netguard.blocked()? == ["192.0.2.77/32"], "{added}");
            judged(&lab, &netguard, "192.0.2.77", "block-address")?;
            netguard.must(&["block", "del", removed])?;
            ensure!(netguard.blocked()?.is_empty(), "{added}, {removed}");
        }
    }
    netguard.must(&["allow", "add", "::ffff:198.18.7.0/120"])?;
    judged(&lab, &netguard, "198.18.7.9", "pass-allow")
}

/// A list of a hundred lines in which 23 stand twice.
#[test]
fn duplicates_of_a_list_count_once() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let file = lab.dir.path().join("list.txt");
    for family in [Family::V4, Family::V6] {
        let distinct = &spread(family)[..77];
        let lines = [distinct, &distinct[..23]].concat().join("\n");
        fs::write(&file, lines)?;
        let told = netguard.must(&["block", "import", &file.display().to_string(), "--ttl", "1h"])?;
        ensure!(told.contains("77 prefixes added"), "{told}");
        let others = family.of(0, 76);
        ensure!(netguard.blocked()?.len() == others + 77);
        netguard.must(&["block", "del", &distinct[7]])?;
        ensure!(netguard.blocked()?.len() == others + 76);
        count(&lab, &netguard, &distinct[7..8], 0)?;
        count(&lab, &netguard, &distinct[8..], 69)?;
    }
    Ok(())
}

/// The last word counts: a longer time lengthens a rule, and a shorter one says what it takes away.
#[test]
fn two_hundred_bans_of_one_address_are_one() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    for (address, step) in [("192.0.2.77", 1), ("2001:db8:77::1", 20)] {
        for hours in (step..=200).step_by(step) {
            let added = netguard.json(&["block", "add", address, "--ttl", &format!("{hours}h"), "--json"])?;
            ensure!(added["shortened"].is_null(), "{added}");
        }
        let listed = netguard.json(&["block", "list", "--json"])?;
        ensure!(listed.as_array().map(Vec::len) == Some(1), "{listed}");
        let left_s = listed[0]["expires_in_s"].as_u64().context("it ends")?;
        ensure!(left_s.abs_diff(200 * 3_600) <= 3, "{left_s} s left");
        let added = netguard.json(&["block", "add", address, "--ttl", "1h", "--json"])?;
        let shortened = added["shortened"]["expires_in_s"].as_u64();
        ensure!(
            shortened.is_some_and(|before_s| before_s > 199 * 3_600),
            "{added}"
        );
        netguard.must(&["block", "add", address])?;
        let told = netguard.must(&["block", "add", address, "--ttl", "1h"])?;
        ensure!(
            told.contains("in place of a rule that would have held for good"),
            "{told}"
        );
        netguard.must(&["block", "del", address])?;
    }
    Ok(())
}

/// Three published lists, an operator's rule and the configuration say the same: the last of them holds.
#[test]
fn what_several_block_is_blocked_until_the_last_lets_go() -> Result<()> {
    let (lab, _server) = lab()?;
    let feeds = ["one", "two", "three"].map(|name| lab.dir.path().join(name));
    let mut config = String::new();
    for feed in &feeds {
        fs::write(feed, "192.0.2.77\n2001:db8:77::1\n198.18.0.9\n")?;
        let name = feed.file_name().unwrap_or_default().display();
        config += &format!(
            "[[feed]]\nname = \"{name}\"\nfile = \"{}\"\nmode = \"enforce\"\n",
            feed.display()
        );
    }
    let netguard = protect(&lab, &config)?;
    let sources = ["192.0.2.77", "2001:db8:77::1"];
    let all = |expected: &str| {
        sources
            .iter()
            .try_for_each(|source| judged(&lab, &netguard, source, expected))
    };
    for source in sources {
        netguard.must(&["block", "add", source])?;
    }
    all("block-address")?;
    for source in sources {
        netguard.must(&["block", "del", source])?;
    }
    for feed in &feeds {
        all("block-feed")?;
        fs::write(feed, "198.18.0.9\n")?;
        netguard.must(&["feed", "sync"])?;
    }
    all("pass")?;
    judged(&lab, &netguard, "198.18.0.9", "block-feed")
}

/// Rules of every table end by the kernel's clock, with nobody there to remove them.
#[test]
fn rules_end_with_the_daemon_killed() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    let rules = [
        ("192.0.2.77", "192.0.2.77"),
        ("198.18.0.0/15", "198.18.5.5"),
        ("198.51.100.64/27", "198.51.100.70"),
        ("2001:db8:77::1", "2001:db8:77::1"),
        ("2001:db8:78::/64", "2001:db8:78::9"),
        ("2001:db8:90::/44", "2001:db8:91::1"),
    ];
    let allowed = [
        ("203.0.113.77", "203.0.113.77"),
        ("2001:db8:a0::/48", "2001:db8:a0::1"),
    ];
    for (prefix, _) in rules {
        netguard.must(&["block", "add", prefix, "--ttl", "4s"])?;
    }
    for (prefix, _) in allowed {
        netguard.must(&["block", "add", prefix])?;
        netguard.must(&["allow", "add", prefix, "--ttl", "4s"])?;
    }
    netguard.kill9();
    let frames = |rules: &[(&str, &str)]| -> Vec<_> {
        rules
            .iter()
            .map(|(_, source)| datagram(frame(), source, &lab))
            .collect()
    };
    let verdicts = || -> Result<(u64, u64)> {
        let before = netguard.stats()?;
        send_frames(
            &lab.attacker.ns,
            IFACE,
            &[frames(&rules), frames(&allowed)].concat(),
        )?;
        wait_until("all to be judged", Duration::from_secs(5), || {
            let grown = growth(&before, &netguard.stats()?);
            let of = |verdict: &str| grown.get(verdict).copied().unwrap_or(0);
            let (blocked, allowed) = (of("block-address") + of("block-prefix"), of("pass-allow"));
            Ok((blocked + allowed + of("pass") >= 8).then_some((blocked, allowed)))
        })
    };
    ensure!(verdicts()? == (6, 2));
    wait_until("the rules to end", Duration::from_secs(12), || {
        Ok((verdicts()? == (2, 0)).then_some(()))
    })
}
