//! A signature takes a flood from forged sources, each below its limit, and leaves the service to others.

use std::time::Duration;

use anyhow::Result;
use netguard_tests::lab::{Attack, Family, Flood, Honest, growth, wait_until};

use crate::{lab, protect};

#[test]
fn a_signature_takes_the_flood_ipv4() -> Result<()> {
    takes(Family::V4)
}

#[test]
fn a_signature_takes_the_flood_ipv6() -> Result<()> {
    takes(Family::V6)
}

fn takes(family: Family) -> Result<()> {
    let (lab, server) = lab()?;
    let mut netguard = protect(&lab, "syn_cookies.mode = \"off\"")?;
    // What `spread` sends: no client has this one option and source port.
    let conditions = ["port=80", "flags=S", "source-port=20000", "header-length=24"];
    let add = [&["signature", "add"][..], &conditions, &["--ttl", "1h", "--json"]].concat();
    assert_eq!(netguard.json(&add)?["outcome"], "added");
    let before = netguard.stats()?;
    let flood = Flood::spread_as(&lab, Attack::Syn, family)?;
    let felt = Honest::start(&lab, family, 20)?.stop_after(60)?;
    let (status, _) = server.curl(&lab, family, "/big")?;
    let sent = flood.stop()?.packets;
    let grown = growth(&before, &netguard.stats()?);
    assert_eq!(felt.succeeded, felt.requests, "{felt:?} {grown:?}");
    assert_eq!(status, 200);
    assert!(grown["signature"] * 100 >= sent * 99, "{grown:?} of {sent}");

    let listed = netguard.json(&["signature", "list", "--json"])?;
    assert_eq!(listed[0]["packets"], grown["signature"]);
    assert!(
        listed[0]["expires_in_s"]
            .as_u64()
            .is_some_and(|left| left > 3_500 && left <= 3_603)
    );
    assert!(netguard.must(&["signature", "list"])?.contains("port=80"));
    let explained = netguard.must(&["explain", "192.0.2.77"])?;
    assert!(explained.contains("signatures in force: 1;"), "{explained}");
    assert!(netguard.must(&["events"])?.contains("signature-added"));

    // It needs no daemon.
    netguard.kill9();
    assert_eq!(
        netguard.json(&["signature", "del", "0", "--json"])?["outcome"],
        "removed"
    );
    let absent = netguard.cli(&["signature", "del", "0", "--json"])?;
    assert!(
        absent.status == 1 && absent.stdout.contains("\"absent\""),
        "{absent:?}"
    );
    assert!(netguard.must(&["signature", "list"])?.contains("no signatures"));
    Ok(())
}

#[test]
fn a_signature_ends_and_wrong_ones_are_refused() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    for wrong in [&["port=80"][..], &["ttl=999"], &["colour=red"]] {
        let output = netguard.cli(&[&["signature", "add"][..], wrong].concat())?;
        assert_eq!(output.status, 2, "{wrong:?}: {}", output.stderr);
    }
    let absent = netguard.cli(&["signature", "del", "0"])?;
    assert!(
        absent.status == 1 && absent.stdout.contains("`netguard signature list`"),
        "{absent:?}"
    );
    netguard.must(&["signature", "add", "port=80", "--ttl", "2s", "--force"])?;
    assert!(server.curl(&lab, Family::V4, "/").is_err());
    wait_until("the signature to end", Duration::from_secs(15), || {
        Ok(server.curl(&lab, Family::V4, "/").ok())
    })?;
    wait_until("its end to be told", Duration::from_secs(15), || {
        Ok(netguard
            .must(&["events"])?
            .contains("signature-expired")
            .then_some(()))
    })?;
    netguard.must(&["signature", "add", "port=80", "--shadow", "--force"])?;
    assert_eq!(server.curl(&lab, Family::V4, "/")?.0, 200);
    assert!(netguard.stats()?["shadow-signature"] > 0);
    Ok(())
}
