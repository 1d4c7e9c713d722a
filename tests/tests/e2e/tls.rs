//! The floor of TLS in front of a server that still speaks every version: old handshakes never end, wherever segments are cut, and new ones are
//! not touched.

use std::time::Duration;

use anyhow::{Result, ensure};
use netguard_tests::lab::{
    BIG_BYTES, Family, IFACE, Lab, Netguard, OldTls, SMALL_BODY, egress_programs, held_by_tls, speak_tls,
    wait_until,
};

use crate::protect;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const SMALL: usize = SMALL_BODY.len();

/// Handshakes with this outcome: at services that enforce, and in shadow.
fn counted(netguard: &Netguard<'_>, outcome: &str) -> Result<(u64, u64)> {
    let stats = netguard.json(&["stats", "--json"])?;
    let rows = stats["tls"].as_array().into_iter().flatten();
    let row = rows.into_iter().find(|row| row["outcome"] == outcome);
    let row = row.ok_or_else(|| anyhow::anyhow!("no {outcome} in {stats}"))?;
    Ok((
        row["enforced"].as_u64().unwrap_or(0),
        row["shadow"].as_u64().unwrap_or(0),
    ))
}

#[test]
fn old_handshakes_are_ended_and_new_ones_untouched() -> Result<()> {
    let lab = Lab::new()?;
    let mut server = OldTls::start(&lab)?;
    let speak = |family, version, path| speak_tls(&lab, family, version, "ALL", path);
    // Without reflection nothing else looks at what leaves.
    let mut netguard = protect(
        &lab,
        "reflection.mode = \"off\"\n[[service]]\nport = \"tcp/443\"\ntls = \"enforce\"\n",
    )?;
    ensure!(egress_programs(&lab.victim.ns, IFACE)?.len() == 1);
    // As cards have it: what is sent lies in pages beside the headers, many segments in one.
    let mut ethtool = lab.victim.ns.command("ethtool")?;
    ensure!(
        ethtool
            .args(["-K", IFACE, "tx", "on", "sg", "on", "tso", "on", "gso", "on"])
            .output()?
            .status
            .success()
    );
    let mut refused = 0;
    for family in FAMILIES {
        for version in ["1.0", "1.1", "1.2"] {
            let spoken = speak(family, version, "/")?;
            ensure!(spoken.is_reset(), "{version} over {}: {spoken:?}", family.name());
            refused += 1;
        }
        for path in ["/", "/big"] {
            let spoken = speak(family, "1.3", path)?;
            let bytes = if path == "/" { SMALL } else { BIG_BYTES };
            ensure!(spoken.is_served(bytes), "1.3 over {}: {spoken:?}", family.name());
        }
    }
    ensure!(counted(&netguard, "version")? == (refused, 0));
    ensure!(counted(&netguard, "accepted")? == (4, 0));
    ensure!(counted(&netguard, "unseen")? == (0, 0) && counted(&netguard, "untold")? == (0, 0));
    wait_until(
        "the server to hold no refused connection",
        Duration::from_secs(1),
        || Ok((held_by_tls(&lab)? == 0).then_some(())),
    )?;
    let status = netguard.json(&["status", "--json"])?;
    ensure!(status["daemon"]["tls"]["state"] == "on", "{status}");
    ensure!(
        status["daemon"]["tls"]["ended"].as_u64() == Some(refused),
        "{status}"
    );
    let events = netguard.must(&["events"])?;
    ensure!(
        events.contains("handshakes-refused") && events.contains("version=\"TLS 1."),
        "{events}"
    );

    // A client that takes small segments only gets the hello in pieces.
    let routes = |advmss: &str| {
        lab.client.ns.ip(&format!(
            "route change default via 198.51.100.1{advmss}\nroute change ::/0 via 2001:db8:1::1{advmss}"
        ))
    };
    routes(" advmss 88")?;
    for family in FAMILIES {
        let spoken = speak(family, "1.2", "/")?;
        ensure!(
            spoken.is_reset(),
            "1.2 in small segments over {}: {spoken:?}",
            family.name()
        );
        ensure!(speak(family, "1.3", "/big")?.is_served(BIG_BYTES));
    }
    routes("")?;

    changed_while_it_runs(&lab, &netguard)?;

    // With the daemon dead no handshake ends either, though the connections wait for their time-outs.
    enforce(&netguard)?;
    netguard.kill9();
    let spoken = speak(Family::V6, "1.2", "/")?;
    ensure!(spoken.status == 28 && spoken.bytes == 0, "{spoken:?}");
    ensure!(speak(Family::V6, "1.3", "/")?.is_served(SMALL));
    // The next one finds what was refused meanwhile, and ends it.
    netguard.restart()?;
    wait_until("what was refused to end", Duration::from_secs(2), || {
        Ok((held_by_tls(&lab)? == 0).then_some(()))
    })?;
    server.must_run()
}

/// Has the service at port 443 refuse all below TLS 1.3.
fn enforce(netguard: &Netguard<'_>) -> Result<()> {
    let to = [
        "service",
        "set",
        "tcp/443",
        "--tls",
        "enforce",
        "--tls-minimum",
        "1.3",
    ];
    netguard.must(&to).map(drop)
}

/// The floor is lowered, only counted, and gone: what is told, and what becomes of handshakes.
fn changed_while_it_runs(lab: &Lab, netguard: &Netguard<'_>) -> Result<()> {
    let speak = |family, suites| speak_tls(lab, family, "1.2", suites, "/");
    netguard.must(&["service", "set", "tcp/443", "--tls-minimum", "1.2"])?;
    let before = counted(netguard, "cipher")?.0;
    for family in FAMILIES {
        let spoken = speak(family, "ECDHE-RSA-AES128-GCM-SHA256")?;
        ensure!(spoken.is_served(SMALL), "AEAD over {}: {spoken:?}", family.name());
        for weak in ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"] {
            let spoken = speak(family, weak)?;
            ensure!(spoken.is_reset(), "{weak} over {}: {spoken:?}", family.name());
        }
    }
    ensure!(counted(netguard, "cipher")?.0 == before + 4);
    netguard.must(&[
        "service",
        "set",
        "tcp/443",
        "--tls",
        "shadow",
        "--tls-minimum",
        "1.3",
    ])?;
    let row = &netguard.json(&["service", "list", "--json"])?[0];
    ensure!(
        row["tls"] == "shadow 1.3" && row["common"] == true && row["rate_per_s"] == 1000,
        "{row}"
    );
    for family in FAMILIES {
        ensure!(speak(family, "ALL")?.is_served(SMALL));
    }
    ensure!(counted(netguard, "version")?.1 == 2);
    netguard.must(&["service", "set", "tcp/443", "--tls", "off"])?;
    ensure!(speak(Family::V4, "ALL")?.is_served(SMALL));
    ensure!(netguard.must(&["service", "list"])?.contains("common limits"));
    wait_until("what leaves to be left alone", Duration::from_secs(3), || {
        Ok(egress_programs(&lab.victim.ns, IFACE)?.is_empty().then_some(()))
    })?;
    enforce(netguard)?;
    wait_until("what leaves to be looked at", Duration::from_secs(3), || {
        Ok((egress_programs(&lab.victim.ns, IFACE)?.len() == 1).then_some(()))
    })?;
    ensure!(speak(Family::V4, "ALL")?.is_reset());
    for wrong in [
        &["service", "set", "udp/443", "--tls", "enforce"][..],
        &["service", "set", "tcp/443"],
        &["service", "set", "tcp/443", "--tls", "enforce", "--burst", "5"],
        &["service", "set", "tcp/443", "--tls-minimum", "1.1"],
    ] {
        ensure!(netguard.cli(wrong)?.status == 2, "{wrong:?}");
    }
    Ok(())
}
