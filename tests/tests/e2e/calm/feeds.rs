//! Published lists of all kinds: fetched from a real server, kept without it, and refused when they are not what they should be.
//! Whatever happens to a server, who is listed stays blocked.

use std::{fmt::Write as _, fs, time::Duration};

use anyhow::{Result, ensure};
use netguard_tests::lab::{Family, Lab, Manner, Netguard, Publisher, TOKEN, wait_until};

use crate::{calm::lab, protect, verdicts::judged};

/// What the publisher has at `path` as a feed, with its token.
pub(super) fn published(lab: &Lab, name: &str, family: Family, path: &str) -> Result<String> {
    let token = lab.dir.path().join("token");
    fs::write(&token, TOKEN)?;
    Ok(format!(
        "[[feed]]\nname = \"{name}\"\nurl = \"{}{path}\"\nca = {:?}\nheader_file = {token:?}\n",
        Publisher::url(lab, family),
        Publisher::certificate(lab),
    ))
}

fn from_publisher(lab: &Lab, name: &str, family: Family, more: &str) -> Result<String> {
    let feed = published(lab, name, family, "list?key=s3cret")?;
    Ok(format!("{feed}timeout = \"2s\"\n{more}\n"))
}

/// A list of as many entries, the first of which are tested.
fn list(entries: u32) -> String {
    let mut text = "198.18.0.1\n2001:db8:77::/48\n".to_owned();
    for number in 2..entries {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "198.19.{}.{}", number / 256, number % 256);
    }
    text
}

fn internet() -> String {
    (1..224).map(|number| format!("{number}.0.0.0/8\n")).collect()
}

/// What both of the first two entries say is in force, and nothing else.
pub(super) fn stands(lab: &Lab, netguard: &Netguard<'_>) -> Result<()> {
    judged(lab, netguard, "198.18.0.1", "block-feed")?;
    judged(lab, netguard, "2001:db8:77::1", "block-feed")?;
    judged(lab, netguard, "198.20.3.10", "pass")
}

/// The feed cannot be had, for a reason with `told` in it, and what it said before stays.
fn refused(lab: &Lab, netguard: &Netguard<'_>, name: &str, told: &str) -> Result<()> {
    let synced = netguard.cli(&["feed", "sync", name])?;
    let fault = netguard.list(name)?["fault"].to_string();
    ensure!(
        synced.status == 1 && fault.contains(told),
        "{told}: {synced:?} {fault}"
    );
    let status = netguard.must(&["status"])?;
    ensure!(status.contains("what it said before stays in force"), "{status}");
    stands(lab, netguard)
}

#[test]
fn a_feed_from_a_server_outlives_it() -> Result<()> {
    let (lab, server) = lab()?;
    Publisher::publish(&lab, "list", list(2_000))?;
    let publisher = Publisher::start(&lab, Manner::Good)?;
    let config = from_publisher(&lab, "far", Family::V4, "")?;
    let mut netguard = protect(&lab, &config)?;
    wait_until("the first fetch", Duration::from_secs(15), || {
        Ok((netguard.list("far")?["prefixes"] == 2_000).then_some(()))
    })?;
    stands(&lab, &netguard)?;
    let listed = netguard.list("far")?;
    ensure!(
        listed["format"] == "plain" && listed["next_refresh_in_s"].as_u64() > Some(3_000),
        "{listed}"
    );

    // What has not changed is not sent again.
    netguard.must(&["feed", "sync", "far"])?;
    let answers = publisher.answers()?;
    ensure!(answers == ["200", "304"], "{answers:?}");

    Publisher::publish(&lab, "list", "<html><body>Gone fishing</body></html>\n")?;
    refused(&lab, &netguard, "far", "page of the web")?;
    Publisher::publish(&lab, "list", "")?;
    refused(&lab, &netguard, "far", "no prefix at all")?;
    let whole = list(2_000);
    Publisher::publish(&lab, "list", &whole[..whole.len() - 3])?;
    refused(&lab, &netguard, "far", "its last line does not end")?;
    Publisher::publish(&lab, "list", list(500))?;
    refused(&lab, &netguard, "far", "shrunk from 2000 entries to 500")?;
    Publisher::publish(&lab, "list", list(20_001))?;
    refused(&lab, &netguard, "far", "grown from 2000 entries to 20001")?;
    // Few lines are the internet.
    Publisher::publish(&lab, "list", internet())?;
    refused(&lab, &netguard, "far", "of all IPv4 addresses")?;
    ensure!(netguard.cli(&["feed", "accept", "far"])?.status == 1);
    stands(&lab, &netguard)?;
    drop(publisher);
    refused(&lab, &netguard, "far", "cannot be fetched")?;
    // A slow server would be done with few lines in time.
    Publisher::publish(&lab, "list", list(20_001))?;
    for (manner, told) in [
        (Manner::Broken, "answers 500"),
        (Manner::Elsewhere, "answers 302"),
        (Manner::Slow, "timeout"),
    ] {
        let _publisher = Publisher::start(&lab, manner)?;
        refused(&lab, &netguard, "far", told)?;
    }

    // Neither a daemon that died nor one that has nothing but the copy needs the server.
    netguard.kill9();
    stands(&lab, &netguard)?;
    netguard.must(&["detach"])?;
    netguard.restart()?;
    ensure!(
        netguard.list("far")?["prefixes"] == 2_000,
        "{}",
        netguard.list("far")?
    );
    stands(&lab, &netguard)?;

    // What an operator accepts holds, and the old does not.
    let _publisher = Publisher::start(&lab, Manner::Good)?;
    Publisher::publish(&lab, "list", "198.20.3.10\n")?;
    refused(&lab, &netguard, "far", "netguard feed accept")?;
    netguard.must(&["feed", "accept", "far"])?;
    judged(&lab, &netguard, "198.20.3.10", "block-feed")?;
    judged(&lab, &netguard, "198.18.0.1", "pass")?;
    ensure!(netguard.cli(&["feed", "accept", "nobody"])?.status == 2);

    ensure!(
        !netguard.log().contains("s3cret"),
        "a secret is in the log: {}",
        netguard.log()
    );
    let events = netguard.must(&["events"])?;
    ensure!(
        !events.contains("s3cret") && events.contains("list-failed"),
        "{events}"
    );
    ensure!(server.curl(&lab, Family::V4, "/")?.0 == 200);
    Ok(())
}

/// The transfer breaks off in its middle, and a server is reached over IPv6.
#[test]
fn half_a_transfer_is_none() -> Result<()> {
    let (lab, _server) = lab()?;
    Publisher::publish(&lab, "list", list(2_000))?;
    let publisher = Publisher::start(&lab, Manner::Good)?;
    let config = from_publisher(&lab, "six", Family::V6, "refresh = \"1h\"")?.replace("\"2s\"", "\"12s\"");
    let netguard = protect(&lab, &config)?;
    wait_until("the first fetch", Duration::from_secs(15), || {
        Ok((netguard.list("six")?["prefixes"] == 2_000).then_some(()))
    })?;
    drop(publisher);
    Publisher::publish(&lab, "list", list(3_000))?;
    let publisher = Publisher::start(&lab, Manner::Slow)?;
    std::thread::scope(|scope| -> Result<()> {
        let syncing = scope.spawn(|| netguard.cli(&["feed", "sync", "six"]));
        // Nobody waits for whoever fetches.
        wait_until("the fetch", Duration::from_secs(5), || {
            Ok((netguard.list("six")?["fetching"] == true).then_some(()))
        })?;
        let begun = std::time::Instant::now();
        wait_until("a part of the transfer", Duration::from_secs(5), || {
            Ok((begun.elapsed() >= Duration::from_secs(1)).then_some(()))
        })?;
        stands(&lab, &netguard)?;
        publisher.kill();
        let synced = syncing
            .join()
            .map_err(|_| anyhow::anyhow!("the syncing thread panicked"))??;
        ensure!(synced.status == 1, "{synced:?}");
        Ok(())
    })?;
    let fault = netguard.list("six")?["fault"].to_string();
    ensure!(fault.contains("cannot be fetched"), "{fault}");
    stands(&lab, &netguard)
}

/// A list of whom never to block wins over lists of whom to block, and is not lost with its file.
#[test]
fn whom_never_to_block_is_not_blocked() -> Result<()> {
    let (lab, _server) = lab()?;
    let file = |name: &str| lab.dir.path().join(name);
    let good =
        "{\"name\": \"good\", \"type\": \"cidr\", \"list\": [\"198.18.0.0/24\", \"2001:db8:77:1::/64\"]}";
    fs::write(
        file("bad"),
        "[{\"scope\":\"Ip\",\"value\":\"198.18.0.1\",\"type\":\"ban\",\"duration\":\"4h\"},\
          {\"scope\":\"Ip\",\"value\":\"198.18.1.1\",\"type\":\"ban\",\"duration\":\"3h59m57.5s\"},\
          {\"scope\":\"Ip\",\"value\":\"198.18.2.1\",\"type\":\"ban\",\"duration\":\"-1m\"},\
          {\"scope\":\"Range\",\"value\":\"2001:db8:77::/48\",\"type\":\"ban\",\"duration\":\"4h\"},\
          {\"scope\":\"Range\",\"value\":\"10.0.0.0/8\",\"type\":\"ban\",\"duration\":\"4h\"}]",
    )?;
    let config = format!(
        "[[feed]]\nname = \"bad\"\nfile = {:?}\n[[feed]]\nname = \"good\"\nfile = {:?}\naction = \"never-block\"\n",
        file("bad"),
        file("good")
    );
    let netguard = protect(&lab, &config)?;
    // Without knowing whom not to block, nobody is.
    judged(&lab, &netguard, "198.18.1.1", "pass")?;
    let status = netguard.must(&["status"])?;
    ensure!(status.contains("no list is put in force until"), "{status}");
    let added = netguard.cli(&["block", "add", "198.18.9.9"])?;
    ensure!(
        added.status == 0 && added.stderr.contains("good was never read"),
        "{added:?}"
    );
    fs::write(file("good"), good)?;
    netguard.must(&["feed", "sync"])?;
    let as_told = || -> Result<()> {
        for (source, expected) in [
            ("198.18.0.1", "pass"),
            ("198.18.1.1", "block-feed"),
            ("198.18.2.1", "pass"),
            ("2001:db8:77:1::1", "pass"),
            ("2001:db8:77:2::1", "block-feed"),
        ] {
            judged(&lab, &netguard, source, expected)?;
        }
        Ok(())
    };
    as_told()?;
    let bad = netguard.list("bad")?;
    let trimmed = bad["trimmed_first"].to_string();
    ensure!(
        bad["format"] == "crowdsec" && bad["ended"] == 1 && bad["trimmed"] == 3,
        "{bad}"
    );
    ensure!(
        trimmed.contains("10.0.0.0/8 is private") && trimmed.contains("on good"),
        "{trimmed}"
    );
    let shown = netguard.must(&["feed", "list"])?;
    ensure!(
        shown.contains("never-block") && shown.contains("bad, trimmed: "),
        "{shown}"
    );
    let explained = || netguard.must(&["explain", "198.18.0.1"]);
    wait_until("the guard list", Duration::from_secs(15), || {
        Ok(explained()?
            .contains("a list of whom never to block")
            .then_some(()))
    })?;
    fs::remove_file(file("good"))?;
    ensure!(netguard.cli(&["feed", "sync"])?.status == 1);
    as_told()
}

#[test]
fn a_file_is_checked_without_a_daemon() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?.as_instance("none");
    let file = lab.dir.path().join("list");
    let name = file.display().to_string();
    let own = lab.victim.ip4;
    fs::write(
        &file,
        format!("192.0.2.0/24\n{own}\n10.0.0.0/8\n0.0.0.0/0\n2001:db8:77::/48\n"),
    )?;
    let checked = netguard.json(&["feed", "check", &name, "--json"])?;
    ensure!(
        checked["format"] == "plain" && checked["skipped"] == 1 && checked["trimmed"] == 2,
        "{checked}"
    );
    let text = netguard.must(&["feed", "check", &name])?;
    for part in [
        "3 prefixes would be in force",
        "line 3: 10.0.0.0/8 is private",
        "too wide to block",
        "this machine needs",
    ] {
        ensure!(text.contains(part), "{text}");
    }
    ensure!(
        text.contains("covers 0.00 % of all IPv4 addresses") && text.contains("may cover 10 %"),
        "{text}"
    );
    fs::write(&file, internet())?;
    let refused = netguard.cli(&["feed", "check", &name])?;
    ensure!(
        refused.status == 1 && refused.stderr.contains("write a higher `max_share_percent`"),
        "{refused:?}"
    );
    let checked = netguard.json(&["feed", "check", &name, "--max-share-percent", "90", "--json"])?;
    ensure!(
        checked["ipv4_percent"].as_f64() > Some(86.0) && checked["ipv6_percent"] == 0.0,
        "{checked}"
    );
    fs::write(&file, "<html>")?;
    let refused = netguard.cli(&["feed", "check", &name])?;
    ensure!(
        refused.status == 1 && refused.stderr.contains("page of the web"),
        "{refused:?}"
    );
    ensure!(netguard.cli(&["feed", "check", &name, "--format", "pdf"])?.status == 2);
    Ok(())
}
