//! Connections: how many a source may hold, what ends those that do nothing, and who is cut off.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netguard_tests::lab::{Family, Host, Lab, Netguard, Nginx, Running, wait_until};
use serde_json::Value;

use super::lab;
use crate::protect;

const SOON: Duration = Duration::from_secs(5);
/// A SYN that is dropped is sent again after a second.
const REFUSED: Duration = Duration::from_millis(700);

fn connect(lab: &Lab, host: &Host, family: Family) -> Result<io::Result<TcpStream>> {
    let server = SocketAddr::new(lab.victim.ip(family).parse()?, 80);
    host.ns.enter(|| TcpStream::connect_timeout(&server, REFUSED))
}

fn open(lab: &Lab, host: &Host, family: Family, count: usize) -> Result<Vec<TcpStream>> {
    (0..count)
        .map(|number| connect(lab, host, family)?.with_context(|| format!("connection {number} of {count}")))
        .collect()
}

/// How many connections `source` holds, as netguard counts them.
fn held(netguard: &Netguard<'_>, source: &str) -> Result<u64> {
    let explained = netguard.json(&["explain", source, "--json"])?;
    explained["connections"][0]["connections"]
        .as_u64()
        .with_context(|| format!("no connections in {explained}"))
}

fn wait_held(netguard: &Netguard<'_>, source: &str, count: u64) -> Result<()> {
    wait_until(&format!("{source} to hold {count} connections"), SOON, || {
        Ok((held(netguard, source)? == count).then_some(()))
    })
}

#[test]
fn a_source_holds_as_many_as_it_may_and_no_more() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(
        &lab,
        "connections = { per_source = 20, longest_penalty = \"4s\" }\n",
    )?;
    for family in [Family::V4, Family::V6] {
        let source = lab.attacker.ip(family);
        let mut standing = open(&lab, &lab.attacker, family, 20)?;
        wait_held(&netguard, source, 20)?;
        ensure!(
            connect(&lab, &lab.attacker, family)?.is_err(),
            "the 21st, {}",
            family.name()
        );
        ensure!(connect(&lab, &lab.client, family)?.is_ok(), "others are served");
        // Its connections go on meanwhile.
        standing[7].write_all(b"GET / HTTP/1.1\r\nHost: victim\r\n\r\n")?;
        ensure!(standing[7].read(&mut [0; 64])? > 0);

        // Again after the penalty: the next one is longer.
        let penalties = || -> Result<Value> {
            let explained = netguard.json(&["explain", source, "--json"])?;
            Ok(explained["connections"][0]["penalties"].clone())
        };
        wait_until("a second penalty", SOON, || {
            ensure!(
                connect(&lab, &lab.attacker, family)?.is_err(),
                "{}",
                family.name()
            );
            Ok((penalties()?.as_u64() >= Some(2)).then_some(()))
        })?;
        let told = netguard.must(&["connections"])?;
        ensure!(told.contains("20") && told.contains("PENALTIES"), "{told}");

        drop(standing);
        wait_held(&netguard, source, 0)?;
        wait_until("the penalty to be over", SOON * 2, || {
            Ok(connect(&lab, &lab.attacker, family)?.is_ok().then_some(()))
        })?;
    }
    ensure!(netguard.drops()?.get("connection-limit") > Some(&0));
    let refused = netguard.cli(&["connections", "--limit", "many"])?;
    ensure!(refused.status == 2, "{}", refused.stderr);
    Ok(())
}

#[test]
fn connections_outlive_the_daemon_and_are_counted_all_the_same() -> Result<()> {
    let (lab, _server) = lab()?;
    let source = lab.attacker.ip4;
    let before = open(&lab, &lab.attacker, Family::V4, 15)?;
    let mut netguard = protect(&lab, "connections.per_source = 20\n")?;
    ensure!(held(&netguard, source)? == 15, "{}", held(&netguard, source)?);
    let after = open(&lab, &lab.attacker, Family::V4, 5)?;
    wait_held(&netguard, source, 20)?;
    ensure!(connect(&lab, &lab.attacker, Family::V4)?.is_err());

    // Without a daemon the kernel goes on counting, and another daemon takes that over.
    netguard.kill9();
    drop(after);
    wait_held(&netguard, source, 15)?;
    netguard.restart()?;
    let again = open(&lab, &lab.attacker, Family::V4, 3)?;
    wait_held(&netguard, source, 18)?;
    drop((before, again));
    wait_held(&netguard, source, 0)
}

/// slowhttptest in the attacker's namespace on `path`, with `arguments` of the attack.
fn slowhttptest(lab: &Lab, path: &str, arguments: &[&str]) -> Result<Running> {
    let url = format!("http://{}{path}", lab.victim.ip4);
    let mut command = lab.attacker.ns.command("slowhttptest")?;
    command
        .args(arguments)
        .args(["-r", "1000", "-l", "15", "-u", &url]);
    Running::start(&mut command, &lab.dir.path().join("slowhttptest.log"))
}

#[test]
fn headers_that_never_end_are_ended_and_a_poor_line_is_not() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    let mut poor = connect(&lab, &lab.client, Family::V4)??;
    poor.write_all(b"GET / HTTP/1.0\r\nA: 1\r\n")?;
    // Others are served meanwhile, over connections that they keep.
    let mut others = Vec::new();
    for (host, family) in [
        (&lab.client, Family::V4),
        (&lab.client, Family::V6),
        (&lab.attacker, Family::V6),
    ] {
        others.push(connect(&lab, host, family)??);
    }
    // As many as a source may hold; what does nothing goes.
    let mut wave = || -> Result<Running> {
        let attack = slowhttptest(&lab, "/", &["-H", "-c", "400", "-i", "5"])?;
        wait_until("the attack to be there", SOON, || {
            Ok((held(&netguard, lab.attacker.ip4)? >= 256).then_some(()))
        })?;
        wait_until("its connections to be gone", Duration::from_secs(8), || {
            serves_both(&lab, &server)?;
            for other in &mut others {
                other.write_all(b"GET / HTTP/1.1\r\nHost: victim\r\n\r\n")?;
                ensure!(other.read(&mut [0; 512])? > 0);
            }
            Ok((held(&netguard, lab.attacker.ip4)? < 32).then_some(()))
        })?;
        Ok(attack)
    };
    let first = wave()?;
    poor.write_all(b"B: 2\r\n\r\n")?;
    let mut answer = String::new();
    poor.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    ensure!(netguard.blocked()?.is_empty(), "once may be chance");
    // Who does it again is blocked, however many people could be behind so many connections.
    let again = wave()?;
    wait_until("the source to be blocked", SOON, || {
        Ok((netguard.blocked()? == [format!("{}/32", lab.attacker.ip4)]).then_some(()))
    })?;
    drop((first, again));
    let status = netguard.json(&["status", "--json"])?;
    let ended = &status["daemon"]["connections"]["ended"];
    ensure!(ended["crowd"].as_u64() >= Some(256), "{status}");
    ensure!(netguard.must(&["events"])?.contains("tcp/80"), "events tell it");
    let explained = netguard.must(&["explain", lab.attacker.ip4])?;
    ensure!(explained.contains("slow-connections"), "{explained}");
    Ok(())
}

fn serves_both(lab: &Lab, server: &Nginx) -> Result<()> {
    for family in [Family::V4, Family::V6] {
        ensure!(server.curl(lab, family, "/")?.0 == 200);
    }
    Ok(())
}

/// The limit holds first; then what does nothing goes.
#[test]
fn headers_beyond_the_limit_are_ended() -> Result<()> {
    ends("/", &["-H", "-c", "1000", "-i", "5"])
}

#[test]
fn bodies_that_trickle_are_ended() -> Result<()> {
    ends("/upload", &["-B", "-c", "400", "-i", "5", "-s", "8192"])
}

#[test]
fn answers_that_nobody_takes_are_ended() -> Result<()> {
    ends(
        "/big",
        &["-X", "-c", "400", "-w", "1", "-y", "8", "-n", "5", "-z", "8"],
    )
}

/// That what an attack by slowhttptest opens on `path` is soon gone, and others are served.
fn ends(path: &str, arguments: &[&str]) -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    let attack = slowhttptest(&lab, path, arguments)?;
    wait_until("the attack to be there", SOON, || {
        Ok((held(&netguard, lab.attacker.ip4)? >= 256).then_some(()))
    })?;
    wait_until("its connections to be gone", Duration::from_secs(10), || {
        serves_both(&lab, &server)?;
        Ok((held(&netguard, lab.attacker.ip4)? < 32).then_some(()))
    })?;
    drop(attack);
    let status = netguard.json(&["status", "--json"])?;
    let ended = &status["daemon"]["connections"]["ended"];
    ensure!(ended["crowd"].as_u64() >= Some(256), "{status}");
    Ok(())
}

#[test]
fn who_is_blocked_by_a_person_is_cut_off() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    for family in [Family::V4, Family::V6] {
        let mut served = connect(&lab, &lab.client, family)??;
        let mut other = connect(&lab, &lab.attacker, family)??;
        served.set_read_timeout(Some(SOON))?;
        netguard.must(&["block", "add", lab.client.ip(family), "--ttl", "1h"])?;
        let cut = served.read(&mut [0]).map_err(|error| error.kind());
        ensure!(
            cut == Err(io::ErrorKind::ConnectionReset),
            "{}: {cut:?}",
            family.name()
        );
        other.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        ensure!(other.read(&mut [0; 64])? > 0, "others are served");
        netguard.must(&["block", "del", lab.client.ip(family)])?;
    }
    Ok(())
}
