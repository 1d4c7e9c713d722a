//! The audit trail: what was done stands in it with its author and its evidence, and what is done to it is found.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use netguard_tests::lab::{Attack, Family, Flood, Lab, Netguard, Running, flood_frames, wait_until};
use serde_json::Value;

use crate::{protect, shared_lab};

/// The lines of the trail, once it has one that is `wanted`.
pub(crate) fn trail(netguard: &Netguard, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
    let found = wait_until(&format!("{what} in the trail"), Duration::from_secs(25), || {
        let lines = shown(netguard)?;
        Ok(lines.iter().any(&wanted).then_some(lines))
    });
    found.with_context(|| format!("the trail: {:?}", shown(netguard)))
}

pub(crate) fn shown(netguard: &Netguard) -> Result<Vec<Value>> {
    let answer = netguard.cli(&["audit", "show", "--json", "-n", "100000"])?;
    let lines = answer.stdout.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

pub(crate) fn is(kind: &str) -> impl Fn(&Value) -> bool {
    move |line| line["event"] == kind
}

pub(crate) fn one<'a>(lines: &'a [Value], kind: &str) -> Result<&'a Value> {
    lines
        .iter()
        .rfind(|line| is(kind)(line))
        .with_context(|| format!("no {kind} in {lines:#?}"))
}

pub(crate) fn must_verify(netguard: &Netguard) -> Result<Value> {
    let verified = netguard.json(&["audit", "verify", "--json"])?;
    ensure!(verified["ok"] == true, "{verified}");
    Ok(verified)
}

/// Over the end of a daemon, what is done without one, and the next.
#[test]
fn the_trail_is_followed() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    let mut netguard = protect(&lab, "")?;
    netguard.must(&["block", "add", "198.18.0.1"])?;
    let log = lab.dir.path().join("followed");
    let mut command = netguard.command()?;
    command.args([
        "audit",
        "show",
        "--follow",
        "--json",
        "-n",
        "2",
        "--kind",
        "rule-added",
    ]);
    let _follower = Running::start(&mut command, &log)?;
    let follows = |expected: &[&str]| {
        let what = format!("{expected:?}");
        wait_until(&what, Duration::from_secs(20), || {
            let lines = fs::read_to_string(&log)?;
            let prefixes = lines.lines().filter_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                Some(line["prefix"].as_str()?.trim_end_matches("/32").to_owned())
            });
            Ok((prefixes.collect::<Vec<_>>() == expected).then_some(()))
        })
    };
    follows(&["198.18.0.1"])?;
    netguard.must(&["block", "add", "198.18.0.2"])?;
    netguard.must(&["block", "del", "198.18.0.1"])?;
    follows(&["198.18.0.1", "198.18.0.2"])?;
    netguard.stop()?;
    netguard.must(&["block", "add", "198.18.0.3"])?;
    follows(&["198.18.0.1", "198.18.0.2", "198.18.0.3"])?;
    netguard.restart()?;
    netguard.must(&["block", "add", "198.18.0.4"])?;
    follows(&["198.18.0.1", "198.18.0.2", "198.18.0.3", "198.18.0.4"])?;
    let trail = netguard.trail().display().to_string();
    ensure!(netguard.cli(&["audit", "show", "--follow", &trail])?.status == 2);
    Ok(())
}

#[test]
fn who_did_what_and_why_is_in_the_trail_ipv4() -> Result<()> {
    who_did_what(Family::V4)
}

#[test]
fn who_did_what_and_why_is_in_the_trail_ipv6() -> Result<()> {
    who_did_what(Family::V6)
}

fn who_did_what(family: Family) -> Result<()> {
    let (lab, _server) = shared_lab()?;
    let mut netguard = protect(&lab, "detect.flooder.block_for = \"2s\"")?;
    let source = family.of("198.18.0.7/32", "2001:db8:77::7/128");
    netguard.must(&["block", "add", source, "--ttl", "600s", "--reason", "ticket 7"])?;
    netguard.must(&["block", "del", source])?;
    netguard.must(&["limit", "set", "udp.prefix", "--rate", "4321"])?;
    netguard.must(&["service", "set", "udp/53", "--rate", "77"])?;
    netguard.must(&["signature", "add", "protocol=udp", "port=53", "ttl=57"])?;
    let gateway = family.of("203.0.113.1", "2001:db8:3::1");
    ensure!(netguard.cli(&["block", "add", gateway])?.status == 2);

    let address = lab.attacker.ip(family);
    let victim = SocketAddr::new(lab.victim.ip(family).parse()?, 80);
    let _proof = lab
        .attacker
        .ns
        .enter(|| TcpStream::connect_timeout(&victim, Duration::from_secs(2)))??;
    let flood = Flood::by_trafgen(&lab, &flood_frames(&lab, Attack::Icmp, &[address]))?;
    trail(&netguard, "a block", is("blocked"))?;
    flood.stop()?;
    let lines = trail(&netguard, "the end of the block", is("rule-expired"))?;

    for (kind, field, value) in [
        ("rule-added", "prefix", source),
        ("rule-added", "note", "ticket 7"),
        ("rule-removed", "prefix", source),
        ("limit-changed", "class", "udp.prefix"),
        ("service-changed", "service", "udp/53"),
        ("signature-added", "conditions", "protocol=udp port=53 ttl=57"),
        ("refused", "request", "POST /v1/rules/block"),
    ] {
        let line = one(&lines, kind)?;
        ensure!(line[field] == value, "{line}");
        let author = &line["author"];
        ensure!(
            author["by"] == "operator" && author["uid"] == 0 && author["user"] == "root",
            "{line}"
        );
        ensure!(author["pid"].as_u64().is_some(), "{line}");
    }
    ensure!(
        one(&lines, "refused")?["why"]
            .as_str()
            .is_some_and(|why| why.contains("gateway"))
    );
    let blocked = one(&lines, "blocked")?;
    let prefix = family.of(format!("{address}/32"), "2001:db8:2::/64".to_owned());
    ensure!(
        blocked["prefix"] == prefix && blocked["author"]["name"] == "flooder",
        "{blocked}"
    );
    ensure!(
        blocked["verdict"] == "limit-icmp" && blocked["dropped"].as_u64() > Some(0),
        "{blocked}"
    );
    ensure!(one(&lines, "rule-expired")?["author"]["by"] == "time");
    ensure!(
        lines
            .iter()
            .any(|line| line["event"] == "dropped" && line["verdict"] == "limit-icmp")
    );
    ensure!(one(&lines, "configured")?["changes"][0] == "detect.flooder.block_for: \"1m\" -> \"2s\"");
    must_verify(&netguard)?;

    // What is done while no daemon runs, and what the next one finds.
    netguard.stop()?;
    netguard.must(&["allow", "add", source])?;
    netguard.must(&["limit", "set", "icmp", "--rate", "11"])?;
    fs::write(
        lab.dir.path().join("netguard.toml"),
        "limit.icmp = { rate_per_s = 5, burst = 6 }",
    )?;
    netguard.restart()?;
    let digest = one(&lines, "configured")?["digest"].clone();
    let lines = trail(&netguard, "the second start", |line| line["before"] == digest)?;
    let stopped = lines.iter().position(is("stopped")).context("no end")?;
    ensure!(lines[stopped]["author"]["by"] == "signal");
    let alone: Vec<&Value> = lines[stopped + 1..]
        .iter()
        .take_while(|line| line["event"] != "started")
        .filter(|line| line["author"]["by"] == "operator" && line["author"]["user"] == "root")
        .map(|line| &line["event"])
        .collect();
    ensure!(alone == ["rule-added", "limit-changed"], "{alone:?}");
    let changes = one(&lines, "configured")?["changes"].to_string();
    ensure!(
        changes.contains("limit.icmp.burst: 100 -> 6") && changes.contains("\\\"2s\\\" -> \\\"1m\\\""),
        "{changes}"
    );
    let verified = must_verify(&netguard)?;
    ensure!(
        verified["daemon"]["seq"].as_u64().is_some(),
        "the daemon was asked: {verified}"
    );

    let table = netguard.must(&["audit", "show", "--kind", "rule-added", "--since", "1h"])?;
    ensure!(
        table.contains("ticket 7") && !table.contains("limit-changed"),
        "{table}"
    );
    netguard.must(&["detach"])?;
    let lines = trail(&netguard, "the detachment", is("detached"))?;
    ensure!(one(&lines, "stopped")?["author"]["user"] == "root");
    must_verify(&netguard)?;
    Ok(())
}

#[test]
fn what_is_done_to_the_trail_is_found() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    let mut netguard = protect(&lab, "")?;
    for host in 1..20 {
        netguard.must(&["block", "add", &format!("198.18.0.{host}"), "--reason", "mallory"])?;
    }
    let file = netguard.trail();
    trail(&netguard, "the last block", |line| {
        line["prefix"] == "198.18.0.19/32"
    })?;
    let head = netguard.must(&["audit", "head"])?.trim().to_owned();
    let whole = fs::read_to_string(&file)?;
    // Under a running daemon: who cuts off the end is found by what that remembers.
    let cut = whole.lines().count() - 5;
    let shortened: String = whole.split_inclusive('\n').take(cut).collect();
    fs::write(&file, &shortened)?;
    found(&netguard, &[], &format!("{}:", file.display()))?;
    netguard.stop()?;
    found(&netguard, &[], "missing before this one")?;

    // Without one, by who kept the head.
    fs::write(&file, &shortened)?;
    must_verify(&netguard)?;
    found(
        &netguard,
        &["--expect", &head],
        &format!("{}:{cut}: the trail ends with", file.display()),
    )?;
    fs::write(&file, &whole)?;
    netguard.must(&["audit", "verify", "--expect", &head])?;

    let number = whole
        .lines()
        .position(|line| line.contains("198.18.0.7/32"))
        .context("no such line")?
        + 1;
    fs::write(&file, whole.replace("198.18.0.7/32", "198.18.0.8/32"))?;
    found(
        &netguard,
        &[],
        &format!("{}:{number}: was edited", file.display()),
    )?;
    let without = |left_out: usize| -> String {
        let lines = whole.split_inclusive('\n').enumerate();
        lines
            .filter(|(index, _)| index + 1 != left_out)
            .map(|(_, line)| line)
            .collect()
    };
    fs::write(&file, without(number))?;
    found(
        &netguard,
        &[],
        &format!(
            "{}:{number}: line {number} of the trail is missing",
            file.display()
        ),
    )?;
    // Also of a copy somewhere else.
    let copy = lab.dir.path().join("copy.jsonl");
    fs::copy(&file, &copy)?;
    found(
        &netguard,
        &[&copy.display().to_string()],
        &format!("{}:{number}: ", copy.display()),
    )?;
    ensure!(netguard.cli(&["audit", "verify", "--expect", "7"])?.status == 2);
    fs::remove_file(&file)?;
    let none = netguard.cli(&["audit", "verify"])?;
    ensure!(
        none.status == 1 && none.stderr.contains("no audit trail"),
        "{none:?}"
    );
    Ok(())
}

/// The trail does not verify, as text and as JSON, and `what` is told.
fn found(netguard: &Netguard, args: &[&str], what: &str) -> Result<()> {
    let text = netguard.cli(&[&["audit", "verify"], args].concat())?;
    ensure!(text.status == 1 && text.stdout.contains(what), "{what}: {text:?}");
    let json = netguard.cli(&[&["audit", "verify", "--json"], args].concat())?;
    let json: Value = serde_json::from_str(&json.stdout)?;
    ensure!(
        json["ok"] == false && json["findings"][0]["line"].as_u64().is_some(),
        "{json}"
    );
    Ok(())
}

/// Floods of decisions neither fill the disk nor push out what operators did.
#[test]
fn full_files_are_put_beside_and_the_oldest_goes() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    let netguard = protect(&lab, "audit.max_bytes = 65536\naudit.keep = 2\n")?;
    let files = |lab: &Lab| -> Result<usize> {
        let directory = netguard.trail();
        let directory = directory
            .parent()
            .with_context(|| format!("no directory of {}", lab.name))?;
        let names =
            fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let names = names.collect::<Result<Vec<_>>>()?;
        Ok(names
            .iter()
            .filter(|name| name.starts_with("audit.jsonl") && !name.contains("conf"))
            .count())
    };
    // Some 12 KiB a line: notes are cut for the kernel, not for the trail.
    let note = "n".repeat(12_000);
    let mut oldest = 1;
    for round in 0..60 {
        netguard.must(&["block", "add", "198.18.0.1", "--reason", &note])?;
        ensure!(files(&lab)? <= 4, "round {round}: {} files", files(&lab)?);
    }
    let verified = wait_until("files to go", Duration::from_secs(10), || {
        let verified = must_verify(&netguard)?;
        oldest = verified["first"]["seq"].as_u64().unwrap_or(0);
        Ok((oldest > 1).then_some(verified))
    })?;
    ensure!(
        verified["files"].as_array().map(Vec::len) == Some(3),
        "{verified}"
    );
    // One that goes by other hands is missed.
    let first = verified["files"][0].as_str().context("no file")?;
    fs::remove_file(first)?;
    found(&netguard, &[], "a file is gone")
}
