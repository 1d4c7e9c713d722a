//! Reverse proxies ask netguard what to serve: a real nginx and a real HAProxy, by the files that are shipped for them.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Context, Result, ensure};
use netguard::decision::{Secret, is_solved, signature};
use netguard_tests::lab::{ENDPOINT, Family, ReverseProxy, curl, wait_until};
use serde_json::Value;

use crate::{lab, protect};

const SIGNER: &str = "0123456789abcdef";

fn count<'a>(report: &'a Value, answer: &str) -> Option<&'a Value> {
    let checks = report["checks"].as_array()?;
    checks.iter().find(|count| count["answer"] == answer)
}

#[test]
fn a_real_nginx_asks() -> Result<()> {
    let (lab, _server) = lab()?;
    let signers = lab.dir.path().join("signers");
    fs::write(&signers, format!("ops {SIGNER}\n"))?;
    fs::set_permissions(&signers, fs::Permissions::from_mode(0o600))?;
    let netguard = protect(
        &lab,
        &format!(
            "[decision]\nlisten = \"{ENDPOINT}\"\n\
             [[decision.limit]]\nname = \"front\"\nkey = [\"client\"]\nrequests = 3\nper = \"1m\"\npaths = [\"/\"]\n\
             [[decision.signed]]\npaths = [\"/big\"]\nkey_file = \"{}\"\n",
            signers.display()
        ),
    )?;
    let proxy = ReverseProxy::nginx(&lab)?;
    let (client, attacker) = (&lab.client, &lab.attacker);

    for family in [Family::V4, Family::V6] {
        for asked in 0..3 {
            let reply = proxy.ask(client, family, "/", &[])?;
            ensure!(reply.status == 200, "{asked}: {reply:?} {}", proxy.log());
        }
        let reply = proxy.ask(client, family, "//%2e/?x", &[])?;
        assert_eq!(reply.status, 429, "{reply:?}");
        let wait: u32 = reply.header("retry-after").context("Retry-After")?.parse()?;
        assert!((1..=20).contains(&wait), "{wait}");
        // Whoever it says it is.
        let lie = proxy.ask(client, family, "/", &["-H", "X-Forwarded-For: 198.51.100.77"])?;
        assert_eq!(lie.status, 429);
        let other = proxy.ask(
            attacker,
            family,
            "/",
            &["-H", &format!("X-Forwarded-For: {}", client.ip(family))],
        )?;
        assert_eq!(other.status, 200, "one client's limit is not another's");
    }

    let unsigned = proxy.ask(client, Family::V4, "/big", &[])?;
    assert_eq!(unsigned.status, 401, "{unsigned:?}");
    // What was signed before netguard began, or in that very second, is not taken.
    let now = lab_clock()? + 2;
    let secret = Secret::new(SIGNER.as_bytes());
    let header = format!(
        "Netguard-Signature: {}",
        signature(&secret, "ops", ("GET", "/big"), now, "nonce-number-1")
    );
    let signed = ["-H", header.as_str(), "-o", "/dev/null", "-D", "-"];
    assert_eq!(proxy.ask(client, Family::V4, "/big", &signed)?.status, 200);
    assert_eq!(
        proxy.ask(client, Family::V4, "/big", &signed)?.status,
        401,
        "it is a replay"
    );

    // Who is blocked at the network card is refused through a proxy farther away, too.
    netguard.must(&["block", "add", "203.0.113.200"])?;
    let check = |address: &str| {
        let forwarded = format!("X-Forwarded-For: {address}");
        let args = ["-H", "X-Original-URI: /x", "-H", forwarded.as_str()];
        curl(&lab.victim, &format!("http://{ENDPOINT}/v1/check"), &args)
    };
    wait_until("the rule to be known", std::time::Duration::from_secs(5), || {
        Ok((check("203.0.113.200")?.status == 403).then_some(()))
    })?;
    assert_eq!(check("203.0.113.201")?.status, 200);

    let missing = proxy.ask(client, Family::V4, "/missing", &[])?;
    assert_eq!(missing.status, 404, "{missing:?}");
    let report = wait_until(
        "the failure to be reported",
        std::time::Duration::from_secs(5),
        || {
            let report = netguard.json(&["decision", "show", "--json"])?;
            Ok((report["failures"].as_u64() > Some(0)).then_some(report))
        },
    )?;
    let limited = count(&report, "limited").context("limited")?;
    assert_eq!(limited["count"], 4, "{report}");
    assert!(
        netguard
            .must(&["status"])?
            .contains("decision endpoint at http://127.0.0.1:9465: ")
    );
    assert!(netguard.must(&["decision", "show"])?.contains("198.51.100.10/32"));
    Ok(())
}

#[test]
fn a_real_haproxy_asks_and_clients_work() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(
        &lab,
        &format!(
            "[decision]\nlisten = \"{ENDPOINT}\"\nchallenge = {{ mode = \"always\", bits = 12, paths = [\"/big\"] }}\n\
             [[decision.limit]]\nname = \"front\"\nkey = [\"client\"]\nrequests = 3\nper = \"1m\"\npaths = [\"/\"]\n"
        ),
    )?;
    let proxy = ReverseProxy::haproxy(&lab)?;
    let (client, attacker) = (&lab.client, &lab.attacker);
    for _ in 0..3 {
        let reply = proxy.ask(client, Family::V4, "/", &[])?;
        ensure!(reply.status == 200, "{reply:?} {}", proxy.log());
    }
    let lie = ["-H", "X-Forwarded-For: 198.51.100.77"];
    let reply = proxy.ask(client, Family::V4, "/", &lie)?;
    assert_eq!(reply.status, 429, "{reply:?}");
    assert!(
        reply.header("retry-after").is_some() && reply.header("ratelimit").is_some(),
        "{reply:?}"
    );
    assert_eq!(proxy.ask(attacker, Family::V4, "/", &[])?.status, 200);
    assert_eq!(proxy.ask(client, Family::V6, "/", &[])?.status, 200);

    let page = proxy.ask(client, Family::V4, "/big", &[])?;
    assert_eq!(page.status, 403, "{page:?}");
    let rest = page
        .body
        .split_once("data-challenge=\"")
        .context("a challenge")?
        .1;
    let challenge = rest.split('"').next().context("its end")?;
    let number = (0_u64..)
        .map(|number| number.to_string())
        .find(|number| is_solved(challenge, number, 12));
    let target = format!(
        "/.netguard/pass?c={challenge}&n={}&to=%2Fbig",
        number.context("a number")?
    );
    let granted = proxy.ask(client, Family::V4, &target, &[])?;
    assert_eq!(
        (granted.status, granted.header("location")),
        (303, Some("/big")),
        "{granted:?}"
    );
    let cookie = granted
        .header("set-cookie")
        .and_then(|cookie| cookie.split(';').next())
        .context("a cookie")?;
    let with = ["-b", cookie, "-o", "/dev/null", "-D", "-"];
    assert_eq!(proxy.ask(client, Family::V4, "/big", &with)?.status, 200);
    assert_eq!(
        proxy.ask(attacker, Family::V4, "/big", &with)?.status,
        403,
        "it is another's"
    );
    assert_eq!(
        proxy.ask(attacker, Family::V4, &target, &[])?.status,
        403,
        "so is the work"
    );
    let report = netguard.json(&["decision", "show", "--json"])?;
    assert_eq!(
        count(&report, "granted").context("granted")?["count"],
        1,
        "{report}"
    );
    Ok(())
}

fn lab_clock() -> Result<u64> {
    netguard::clock::wall_clock_s().context("a clock")
}
