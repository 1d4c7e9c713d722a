//! What services are told: who does harm by it is found, blocked and cut off; who does not is served.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netguard_tests::lab::{Family, Host, Lab, Netguard, OldTls, Running, curl, speak_tls, wait_until};
use serde_json::Value;

use crate::{lab, protect};

const SOON: Duration = Duration::from_secs(5);

fn url(lab: &Lab, family: Family, path: &str) -> String {
    family.of(
        format!("http://{}{path}", lab.victim.ip4),
        format!("http://[{}]{path}", lab.victim.ip6),
    )
}

/// Whether `offence` was found of the attacker.
fn found(netguard: &Netguard<'_>, lab: &Lab, family: Family, offence: &str) -> Result<bool> {
    let explained = netguard.json(&["explain", lab.attacker.ip(family), "--json"])?;
    let evidence = explained["evidence"].as_array().context("evidence")?;
    Ok(evidence
        .iter()
        .filter_map(Value::as_str)
        .any(|sentence| sentence.contains(offence)))
}

fn wait_found(netguard: &Netguard<'_>, lab: &Lab, family: Family, offence: &str) -> Result<()> {
    wait_until(&format!("{offence} to be found"), SOON, || {
        Ok(found(netguard, lab, family, offence)?.then_some(()))
    })
}

/// Asks for each of `paths` over one connection, as fast as answers come. Being cut off is no error.
fn ask(host: &Host, lab: &Lab, family: Family, paths: &str, args: &[&str]) -> Result<()> {
    let mut command = host.ns.command("curl")?;
    command.args(["-s", "-o", "/dev/null", "-m", "4"]).args(args);
    command.arg(url(lab, family, paths)).output()?;
    Ok(())
}

fn say(host: &Host, lab: &Lab, family: Family, words: &[u8]) -> Result<Option<TcpStream>> {
    let server = SocketAddr::new(lab.victim.ip(family).parse()?, 80);
    let connected = host.ns.enter(|| TcpStream::connect_timeout(&server, SOON))?;
    // Whoever is blocked by now is refused.
    let Ok(mut stream) = connected else {
        return Ok(None);
    };
    let _ = stream.write_all(words);
    Ok(Some(stream))
}

#[test]
fn a_flood_of_requests_ends_and_others_are_served() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "http.mode = \"enforce\"\n")?;
    for family in [Family::V4, Family::V6] {
        let mut wrk = lab.attacker.ns.command("wrk")?;
        wrk.args(["-t", "1", "-c", "200", "-d", "12"])
            .arg(url(&lab, family, "/"));
        let flood = Running::start(&mut wrk, &lab.dir.path().join("wrk.log"))?;
        let blocked = || -> Result<bool> {
            let of = lab.attacker.ip(family).split("::").next().unwrap_or_default();
            Ok(netguard.blocked()?.iter().any(|prefix| prefix.starts_with(of)))
        };
        wait_until("the flooder to be blocked", SOON, || {
            ensure!(server.curl(&lab, family, "/")?.0 == 200, "the client is served");
            Ok(blocked()?.then_some(()))
        })?;
        wait_until("its connections to be gone", Duration::from_secs(3), || {
            ensure!(server.curl(&lab, family, "/")?.0 == 200, "the client is served");
            let explained = netguard.json(&["explain", lab.attacker.ip(family), "--json"])?;
            Ok((explained["connections"][0]["connections"] == 0).then_some(()))
        })?;
        ensure!(found(&netguard, &lab, family, "-flood")?, "explain tells why");
        drop(flood);
    }
    let status = netguard.json(&["status", "--json"])?;
    ensure!(
        status["daemon"]["connections"]["ended"]["harmful"].as_u64() >= Some(200),
        "{status}"
    );
    let told = netguard.must(&["http"])?;
    ensure!(told.contains("GET /") && told.contains("2xx"), "{told}");
    Ok(())
}

#[test]
fn what_no_honest_client_does_is_found() -> Result<()> {
    const SMUGGLED: &[u8] =
        b"POST / HTTP/1.1\r\nHost: v\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX";
    let (lab, server) = lab()?;
    let netguard = protect(
        &lab,
        "service = [{ port = \"tcp/80\", speaks = \"http\" }]\nhttp.mode = \"shadow\"\n",
    )?;
    for family in [Family::V4, Family::V6] {
        let attacker = &lab.attacker;
        ask(attacker, &lab, family, "/wp-[1-700].php", &[])?;
        wait_found(&netguard, &lab, family, "enumeration")?;
        // What the one asked for is not new for the other.
        let queries = family.of("/?x=[1-3000]", "/?y=[1-3000]");
        ask(attacker, &lab, family, queries, &[])?;
        wait_found(&netguard, &lab, family, "cache-busting")?;
        for _ in 0..6 {
            say(attacker, &lab, family, SMUGGLED)?;
        }
        wait_found(&netguard, &lab, family, "http-violation")?;
        for number in 0..30_u8 {
            say(
                attacker,
                &lab,
                family,
                &[0x80 | number, 1, 2, 3, 0xff, 7, number, 9],
            )?;
        }
        wait_found(&netguard, &lab, family, "foreign-protocol")?;

        // A page with all that is in it, a search, and a typing error.
        ask(&lab.client, &lab, family, "/?page=[1-60]", &["-I"])?;
        ask(&lab.client, &lab, family, "/missing", &[])?;
        ensure!(server.curl(&lab, family, "/big")?.0 == 200);
        let explained = wait_until("the client to be heard", SOON, || {
            let explained = netguard.json(&["explain", lab.client.ip(family), "--json"])?;
            let is_heard = explained["http"]["requests_per_s"].as_f64() > Some(1.0);
            Ok(is_heard.then_some(explained))
        })?;
        ensure!(!explained["evidence"].to_string().contains("harm"), "{explained}");
    }
    Ok(())
}

#[test]
fn in_shadow_it_is_only_told() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "http.mode = \"shadow\"\n")?;
    ask(&lab.attacker, &lab, Family::V4, "/wp-[1-700].php", &[])?;
    wait_found(&netguard, &lab, Family::V4, "enumeration")?;
    ensure!(netguard.blocked()?.is_empty());
    ensure!(netguard.must(&["status"])?.contains("(shadow: only told)"));
    ensure!(curl(&lab.attacker, &url(&lab, Family::V4, "/"), &[])?.status == 200);
    Ok(())
}

#[test]
fn clients_of_tls_are_known_by_what_they_offer() -> Result<()> {
    let lab = Lab::new()?;
    let _server = OldTls::start(&lab)?;
    let netguard = protect(&lab, "http.mode = \"shadow\"\n")?;
    for (family, version) in [(Family::V4, "1.3"), (Family::V6, "1.2")] {
        speak_tls(&lab, family, version, "DEFAULT", "/")?;
    }
    let clients = wait_until("both to be known", SOON, || {
        let told = netguard.json(&["http", "--json"])?;
        let services = told["heard"]["services"].as_array().context("services")?;
        let clients = services.iter().filter(|service| service["port"] == 443);
        let clients: Vec<Value> = clients
            .flat_map(|service| service["clients"].as_array().cloned().unwrap_or_default())
            .collect();
        Ok((clients.len() >= 2).then_some(clients))
    })?;
    let has = |version: &str| {
        let is_it = |client: &Value| client["ja4"].as_str().is_some_and(|ja4| ja4.starts_with(version));
        clients.iter().any(is_it)
    };
    ensure!(has("t13i") && has("t12i"), "{clients:?}");
    Ok(())
}
