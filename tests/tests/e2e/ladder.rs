//! The upper rungs of the ladder: a service that takes nobody new while nothing else helps, and countries that are held.

use std::{
    fs,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netguard_tests::{
    frames::frame,
    lab::{
        Family, Flood, Honest, IFACE, Lab, Mute, Netguard, Steady, growth, newcomers, send_frames, wait_until,
    },
};
use serde_json::Value;

use crate::{
    attacks::attacks,
    protect, shared_lab,
    verdicts::{datagram, judged},
};

/// Without cookies and signatures a flood of SYNs passes limits and challenge.
const HELPLESS: &str = "[syn_cookies]\nmode = \"off\"\n[response]\nsignatures = \"off\"\n";

/// The first measure of this kind that `is_meant`.
fn measure(netguard: &Netguard<'_>, kind: &str, is_meant: impl Fn(&Value) -> bool) -> Result<Option<Value>> {
    let attacks = attacks(netguard)?;
    let measures = attacks
        .iter()
        .filter_map(|attack| attack["response"]["measures"].as_array())
        .flatten();
    let mut measures = measures.filter(|measure| measure["measure"] == kind && is_meant(measure));
    Ok(measures.next().cloned())
}

fn taken(netguard: &Netguard<'_>, kind: &str, at_least: u64) -> Result<Value> {
    let taken = wait_until(kind, Duration::from_secs(20), || {
        let fits = |measure: &Value| measure["packets"].as_u64() > Some(at_least);
        measure(netguard, kind, fits)
    });
    taken.with_context(|| {
        format!(
            "{:?}",
            attacks(netguard).map(|attacks| attacks[0]["response"].clone())
        )
    })
}

#[test]
fn a_service_takes_nobody_new_while_nothing_else_helps_ipv4() -> Result<()> {
    takes_nobody_new(Family::V4)
}

#[test]
fn a_service_takes_nobody_new_while_nothing_else_helps_ipv6() -> Result<()> {
    takes_nobody_new(Family::V6)
}

/// Who is connected goes on, a newcomer is not served, and is again after the flood.
fn takes_nobody_new(family: Family) -> Result<()> {
    let (lab, _server) = shared_lab()?;
    lab.take_answers()?;
    survive(&lab)?;
    crate::calm::normal::prepare(&lab)?;
    let netguard = protect(&lab, &format!("{HELPLESS}circuit_break = \"enforce\"\n"))?;
    let steady = Steady::start(&lab, family, 5)?;
    let client = lab.client.ip(family);
    wait_until("the client to be proven", Duration::from_secs(25), || {
        let text = netguard.must(&["explain", client])?;
        Ok(text.contains("its address is proven").then_some(()))
    })?;
    let flood = Flood::lasting(&lab, family)?;
    let broken = taken(&netguard, "circuit-break", 1_000)?;
    ensure!(broken["shadow"] == false && broken["until"].is_null(), "{broken}");
    let before = (netguard.drops()?, steady.answered());
    let strangers = come(&lab, family)?;
    let honest = Honest::start(&lab, family, 10)?;
    let felt = honest.stop_after(30)?;
    let after = netguard.drops()?;
    ensure!(strangers == 0, "{strangers} newcomers were served");
    ensure!(felt.success() > 0.95, "who is proven may come again: {felt:?}");
    ensure!(steady.answered() >= before.1 + 10, "the connections go on");
    ensure!(growth(&before.0, &after).get("signature") > Some(&1_000));
    let explained = netguard.must(&["explain", lab.attacker.ip(family)])?;
    ensure!(explained.contains("tcp/80 takes nobody new"), "{explained}");
    let attack = attacks(&netguard)?[0].clone();
    ensure!(attack["response"]["rung"] == "circuit-break", "{attack}");
    let shown = netguard.must(&["attacks", "show", &attack["id"].to_string()])?;
    ensure!(shown.contains("no geo: no database"), "{shown}");

    flood.stop()?;
    wait_until("the service to be open", Duration::from_secs(30), || {
        let is_over = |measure: &Value| !measure["until"].is_null();
        measure(&netguard, "circuit-break", is_over)
    })?;
    let strangers = come(&lab, family)?;
    ensure!(strangers >= 9, "{strangers} of 10 newcomers were served");
    let kept = steady.stop()?;
    ensure!(kept.iter().all(|answers| *answers > 5), "{kept:?}");
    Ok(())
}

/// Lets the server answer by itself with cookies when its queue is full: what the flood left in there would otherwise refuse who is
/// let through for a minute.
fn survive(lab: &Lab) -> Result<()> {
    lab.victim.ns.sysctl("net.ipv4.tcp_syncookies", "1")
}

/// How many of ten newcomers are served who come from a host that has no connection.
fn come(lab: &Lab, family: Family) -> Result<usize> {
    let victim = lab.victim.ip(family).parse()?;
    let come = lab
        .attacker
        .ns
        .enter(|| newcomers(victim, 10, Duration::from_secs(1)))??;
    Ok(come.served)
}

#[test]
fn unless_the_operator_says_so_it_is_only_told() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    lab.take_answers()?;
    crate::calm::normal::prepare(&lab)?;
    let lacks = "[geo]\ncountry_database = \"/nowhere/country.csv\"\n";
    let netguard = protect(&lab, &format!("{HELPLESS}{lacks}"))?;
    let flood = Flood::lasting(&lab, Family::V4)?;
    let told = taken(&netguard, "circuit-break", 1_000)?;
    flood.stop()?;
    ensure!(told["shadow"] == true, "{told}");
    let id = attacks(&netguard)?[0]["id"].to_string();
    let missing = "/nowhere/country.csv cannot be read: No such file";
    for (command, expected) in [
        (&["status"][..], "it is not known where sources are"),
        (&["doctor"], "it is not known where sources are"),
        (&["events"], "/nowhere/country.csv"),
        (
            &["attacks", "show", &id],
            "no geo: it is not known where sources are",
        ),
    ] {
        let told = netguard.cli(command)?.stdout;
        ensure!(
            told.contains(missing) && told.contains(expected),
            "{command:?}: {told}"
        );
    }
    ensure!(
        netguard
            .drops()?
            .get("signature")
            .is_none_or(|packets| *packets == 0)
    );
    Ok(())
}

/// netguard with a database in which the flood comes from AQ, where the attacker is, too, and everybody else is in BV.
fn in_the_world<'lab>(lab: &'lab Lab, response: &str) -> Result<Netguard<'lab>> {
    let database = lab.dir.path().join("country.csv");
    let world = "198.18.0.0/16,AQ\n2001:db8:66::/48,AQ\n";
    let hosts = [(&lab.attacker, "AQ"), (&lab.client, "BV")];
    let hosts = hosts.map(|(host, code)| format!("{}/32,{code}\n{}/128,{code}\n", host.ip4, host.ip6));
    fs::write(&database, format!("{world}{}", hosts.concat()))?;
    crate::calm::normal::prepare(lab)?;
    protect(
        lab,
        &format!(
            "{HELPLESS}{response}[geo]\ncountry_database = \"{}\"\n",
            database.display()
        ),
    )
}

/// Ordinary clients for a while, so that it is known where those come from.
fn teach(lab: &Lab, family: Family) -> Result<()> {
    let victim = lab.victim.ip(family).parse()?;
    let crowd = lab
        .client
        .ns
        .enter(|| newcomers(victim, 80, Duration::from_secs(12)))??;
    ensure!(crowd.served > 700, "{crowd:?}");
    Ok(())
}

fn held(netguard: &Netguard<'_>) -> Result<Vec<Value>> {
    let lists = netguard.json(&["feed", "list", "--json"])?;
    let lists = lists.as_array().into_iter().flatten();
    Ok(lists
        .filter(|list| list["kind"] == "held-country")
        .cloned()
        .collect())
}

#[test]
fn the_country_that_sends_the_flood_is_held_ipv4() -> Result<()> {
    is_held(Family::V4, "198.18.0.1")
}

#[test]
fn the_country_that_sends_the_flood_is_held_ipv6() -> Result<()> {
    is_held(Family::V6, "2001:db8:66::77")
}

fn is_held(family: Family, source: &str) -> Result<()> {
    let (lab, _server) = shared_lab()?;
    lab.take_answers()?;
    survive(&lab)?;
    let netguard = in_the_world(&lab, "geo = \"enforce\"\n")?;
    teach(&lab, family)?;
    let flood = Flood::lasting(&lab, family)?;
    let taken = taken(&netguard, "geo", 1_000)?;
    ensure!(
        taken["what"]
            .as_str()
            .is_some_and(|what| what.starts_with("AQ is held at ")),
        "{taken}"
    );
    ensure!(taken["shadow"] == false, "{taken}");
    let standing = held(&netguard)?;
    ensure!(standing.len() == 1 && standing[0]["name"] == "AQ", "{standing:?}");
    let before = netguard.drops()?;
    let felt = Honest::start(&lab, family, 20)?.stop_after(100)?;
    let after = netguard.drops()?;
    ensure!(felt.success() > 0.95, "{felt:?}");
    ensure!(growth(&before, &after).get("limit-country") > Some(&1_000));
    let asked = ask(&lab, family)?;
    ensure!(
        asked == 20,
        "{asked} of 20 connections that the server opened to AQ"
    );
    let explained = netguard.must(&["explain", source])?;
    ensure!(
        explained.contains("it belongs to AQ, which is held"),
        "{explained}"
    );
    flood.stop()?;
    wait_until("the country to be let go", Duration::from_secs(60), || {
        Ok(held(&netguard)?.is_empty().then_some(()))
    })?;
    judged(&lab, &netguard, source, "pass")?;
    let events = netguard.must(&["events", "--json"])?;
    ensure!(
        events.contains("measure-ended") && events.contains("AQ is held at"),
        "{events}"
    );
    Ok(())
}

/// How many of twenty connections stand that the protected machine opens to the attacker's.
fn ask(lab: &Lab, family: Family) -> Result<usize> {
    const TIMEOUT: Duration = Duration::from_millis(900);
    let there = SocketAddr::new(lab.attacker.ip(family).parse::<IpAddr>()?, 8_025);
    // The kernel accepts them.
    let _listener = lab.attacker.ns.enter(|| TcpListener::bind(there))??;
    lab.victim.ns.enter(|| {
        let connected = (0..20).map(|_| TcpStream::connect_timeout(&there, TIMEOUT));
        connected.filter(Result::is_ok).count()
    })
}

/// What a daemon held that was killed is held no longer by the next, whatever else of its lists stays.
#[test]
fn who_begins_after_a_kill_holds_nothing() -> Result<()> {
    begins_anew(|_, netguard| {
        netguard.kill9();
        Ok(())
    })
}

#[test]
fn who_stops_lets_go() -> Result<()> {
    begins_anew(|_, netguard| netguard.stop())
}

/// Found in review: while a file was read that never came to its end (on a server that does not answer), a daemon that was told to stop
/// did not, and the country stayed held.
#[test]
fn who_stops_lets_go_also_while_a_file_does_not_answer() -> Result<()> {
    let directory = tempfile::TempDir::new()?;
    let mute = Mute::mount(&directory.path().join("mute"))?;
    begins_anew(|lab, netguard| {
        let feed = netguard.list("a")?["file"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        fs::remove_file(&feed)?;
        std::os::unix::fs::symlink(mute.file(), &feed)?;
        wait_until("the file to be read", Duration::from_secs(30), || {
            Ok(mute.is_opened().then_some(()))
        })?;
        ensure!(is_limited(lab, netguard)?, "AQ is not held any more");
        netguard.stop()
    })
}

fn begins_anew(end: impl Fn(&Lab, &mut Netguard<'_>) -> Result<()>) -> Result<()> {
    let (lab, _server) = shared_lab()?;
    lab.take_answers()?;
    let feed = lab.dir.path().join("feed.txt");
    fs::write(&feed, "198.51.101.0/24\n")?;
    let list = format!("[[feed]]\nname = \"a\"\nfile = {feed:?}\n");
    let mut netguard = in_the_world(&lab, &format!("geo = \"enforce\"\n{list}"))?;
    teach(&lab, Family::V4)?;
    let flood = Flood::lasting(&lab, Family::V4)?;
    taken(&netguard, "geo", 100)?;
    flood.stop()?;
    end(&lab, &mut netguard)?;
    fs::remove_file(&feed)?;
    netguard.restart()?;
    ensure!(held(&netguard)?.is_empty());
    let status = netguard.must(&["status"])?;
    ensure!(
        status.contains("the lists of an earlier daemon stay in force"),
        "{status}"
    );
    judged(&lab, &netguard, "198.51.101.9", "block-feed")?;
    ensure!(netguard.list("a")?["packets"] == 0, "it was never read");
    ensure!(!is_limited(&lab, &netguard)?, "AQ is held");
    Ok(())
}

/// Whether the country is held, by many more packets than it may send at once then.
fn is_limited(lab: &Lab, netguard: &Netguard<'_>) -> Result<bool> {
    let before = netguard.stats()?;
    let frames = vec![datagram(frame(), "198.18.0.1", lab); 300];
    send_frames(&lab.attacker.ns, IFACE, &frames)?;
    wait_until("the frames", Duration::from_secs(5), || {
        let grown = growth(&before, &netguard.stats()?);
        let of = |verdict: &str| grown.get(verdict).copied().unwrap_or(0);
        let limited = of("limit-country");
        Ok((of("pass") + limited >= 300).then_some(limited > 0))
    })
}
