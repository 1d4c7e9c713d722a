//! What `netguard top` tells about floods is what was sent.

use std::{fmt::Write as _, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use netguard_tests::{
    frames::{Frame, frame},
    lab::{
        Attack, ECHO_PORT, Echo, Family, Flood, IFACE, Lab, Netguard, ROUTER_MAC, SOURCE_V4, SOURCE_V6,
        wait_until,
    },
};
use serde_json::Value;

use crate::{lab, protect};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
/// Networks that a flood comes from, and hosts (IPv6: /64s) in each.
const NETWORKS: u32 = 512;
const HOSTS: u32 = 6;

#[test]
fn a_flood_of_many_sources_is_seen_as_one() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    for family in FAMILIES {
        let frames: Vec<Vec<u8>> = (0..NETWORKS * HOSTS)
            .map(|number| forged(&lab, family, number).udp(4444, 9999).payload(64).build())
            .collect();
        let flood = Flood::by_trafgen(&lab, &frames)?;
        // It sees each source several times.
        let traffic = window(&netguard, |traffic| is_all(traffic, family, "udp", 10_000))?;
        flood.stop()?;
        let sources = number(&traffic["sources"])?;
        let sent = f64::from(NETWORKS * HOSTS);
        // Three standard errors, and the few sources of the lab itself.
        ensure!(
            (sources - sent).abs() < 3.0 * 0.023 * sent + 5.0,
            "{family:?}: {traffic}"
        );
        // Hashing 512 networks into 1024 buckets costs about half a bit of nine.
        ensure!(bits(&traffic, "source")? > 8.2, "{family:?}: {traffic}");
        for steady in ["source_port", "destination_port", "size", "ttl"] {
            ensure!(bits(&traffic, steady)? < 0.3, "{family:?}, {steady}: {traffic}");
        }
        ensure!(
            traffic["heavy_sources"] == Value::Array(Vec::new()),
            "{family:?}: {traffic}"
        );
    }
    let shown = netguard.must(&["top"])?;
    assert!(
        shown.contains("entropy in bits") && shown.contains("udp"),
        "{shown}"
    );
    assert_eq!(netguard.cli(&["top", "--all"])?.status, 2);
    Ok(())
}

#[test]
fn a_flood_of_one_source_is_seen_as_one() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    for (family, source) in [(Family::V4, SOURCE_V4), (Family::V6, SOURCE_V6)] {
        let flood = Flood::start(&lab, Attack::Syn, family)?;
        let traffic = window(&netguard, |traffic| is_all(traffic, family, "syn", 3_000))?;
        let shown = netguard.must(&["top"])?;
        flood.stop()?;
        ensure!(number(&traffic["sources"])? < 10.0, "{family:?}: {traffic}");
        ensure!(bits(&traffic, "source")? < 0.3, "{family:?}: {traffic}");
        ensure!(bits(&traffic, "destination_port")? < 0.3, "{family:?}: {traffic}");
        // Each SYN comes from another of 256 ports, or of all.
        ensure!(bits(&traffic, "source_port")? > 6.0, "{family:?}: {traffic}");
        let heavy = &traffic["heavy_sources"][0];
        ensure!(heavy["source"] == source, "{family:?}: {traffic}");
        let (at_least, all) = (
            number(&heavy["at_least_per_s"])?,
            number(&traffic["packets_per_s"])?,
        );
        ensure!(at_least > 0.8 * all, "{family:?}: {traffic}");
        // So many are looked at in part.
        ensure!(shown.contains(&format!("{source} sends ~")), "{shown}");
        ensure!(number(&heavy["error_per_s"])? > 0.0, "{family:?}: {traffic}");
        let syn = kind(&traffic, family, "syn")?;
        ensure!(
            syn["dropped_per_s"].as_u64() > Some(1_000),
            "over its limit: {traffic}"
        );
    }
    Ok(())
}

#[test]
fn services_are_counted_to_the_packet() -> Result<()> {
    let (lab, _server) = lab()?;
    let _echo = Echo::start(&lab)?;
    let netguard = protect(
        &lab,
        "[[service]]\nport = \"udp/53\"\nrate_per_s = 100\nburst = 100\n",
    )?;
    window(&netguard, |_| true)?;
    let echo = format!("udp/{ECHO_PORT}");
    for family in FAMILIES {
        let before = netguard.json(&["top", "--json"])?;
        let from = || forged(&lab, family, 7);
        let syn = from().tcp(4444, 80).flags("S").build();
        let datagram = from().udp(4444, ECHO_PORT).payload(100).build();
        let elsewhere = from().udp(4444, 5555).payload(10).build();
        for (frame, count) in [(&syn, 300), (&datagram, 400), (&elsewhere, 200)] {
            send(&lab, frame, count)?;
        }
        let services = [("tcp/80", 300, 300, &syn), (&echo, 400, 0, &datagram)];
        let counted = |name: &str, field: &str| -> Result<u64> {
            let now = netguard.json(&["top", "--json"])?;
            Ok(service(&now, name)?[field].as_u64().context("a count")?
                - service(&before, name)?[field].as_u64().context("a count")?)
        };
        for (name, packets, opening, frame) in services {
            wait_until("packets to be counted", Duration::from_secs(10), || {
                Ok((counted(name, "packets")? >= packets).then_some(()))
            })?;
            assert_eq!(counted(name, "packets")?, packets, "{family:?} {name}");
            assert_eq!(counted(name, "opening")?, opening, "{family:?} {name}");
            assert_eq!(
                counted(name, "bytes")?,
                packets * frame.len() as u64,
                "{family:?} {name}"
            );
            assert_eq!(counted(name, "dropped")?, 0, "{family:?} {name}");
        }
        assert_eq!(
            counted("udp/53", "packets")?,
            0,
            "named by the configuration, and nobody asks"
        );
        assert!(counted("other", "packets")? >= 200);
    }
    Ok(())
}

#[test]
fn a_service_that_begins_is_watched_and_off_is_off() -> Result<()> {
    let (lab, _server) = lab()?;
    {
        let netguard = protect(&lab, "")?;
        let traffic = window(&netguard, |_| true)?;
        assert!(service(&traffic, &format!("udp/{ECHO_PORT}")).is_err());
        let _echo = Echo::start(&lab)?;
        wait_until("the service to be watched", Duration::from_secs(15), || {
            let stats = netguard.json(&["top", "--json"])?;
            Ok(service(&stats["traffic"], &format!("udp/{ECHO_PORT}"))
                .ok()
                .map(drop))
        })?;
    }
    let netguard = protect(&lab, "[telemetry]\nmode = \"off\"\n")?;
    assert!(netguard.must(&["top"])?.contains("not described"));
    let stats = netguard.json(&["top", "--json"])?;
    assert_eq!(
        (&stats["telemetry"], &stats["traffic"]),
        (&Value::Bool(false), &Value::Null)
    );
    assert!(netguard.json(&["map", "dump", "TELEMETRY", "--json"])?.is_array());
    Ok(())
}

/// The first window that is as wanted, and the one behind it: the first may have begun before what it is to show.
fn window(netguard: &Netguard<'_>, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut met = None;
    wait_until("a window of traffic", Duration::from_secs(15), || {
        let traffic = netguard.json(&["top", "--json"])?["traffic"].take();
        if !traffic.is_object() || !wanted(&traffic) {
            return Ok(None);
        }
        let first = met.get_or_insert_with(|| traffic.clone());
        Ok((*first != traffic).then_some(traffic))
    })
}

/// Whether nearly all packets were of this kind, and at least so many a second: none are left of a flood before.
fn is_all(traffic: &Value, family: Family, name: &str, least: u64) -> bool {
    let all = traffic["packets_per_s"].as_u64().unwrap_or(0);
    kind(traffic, family, name).is_ok_and(|row| {
        let own = row["packets_per_s"].as_u64().unwrap_or(0);
        own >= least && own + 10 > all
    })
}

/// A packet to the victim in the name of a source that nobody owns: one of `HOSTS` in one of `NETWORKS` networks.
fn forged(lab: &Lab, family: Family, number: u32) -> Frame {
    let (network, host) = (number % NETWORKS, 1 + number / NETWORKS);
    let start = frame().macs(lab.attacker.mac, ROUTER_MAC);
    match family {
        Family::V4 => start.ipv4(
            &format!("198.{}.{}.{host}", 18 + network / 256, network % 256),
            lab.victim.ip4,
        ),
        Family::V6 => start.ipv6(
            &format!("2001:db8:{:x}:{host}::1", 0x6600 + network),
            lab.victim.ip6,
        ),
    }
}

/// Sends `frame` `count` times from the attacker, slowly.
fn send(lab: &Lab, frame: &[u8], count: u32) -> Result<()> {
    let mut config = String::from("{");
    for byte in frame {
        let _ = write!(config, " 0x{byte:02x},");
    }
    config.push_str(" }\n");
    let path = lab.dir.path().join("send.cfg");
    fs::write(&path, config)?;
    let mut command = lab.attacker.ns.command("trafgen")?;
    command.args(["--dev", IFACE, "--cpus", "1", "--no-sock-mem", "--gap", "100us"]);
    let status = command
        .args(["--num", &count.to_string(), "--conf"])
        .arg(&path)
        .output()?;
    ensure!(status.status.success(), "trafgen: {status:?}");
    Ok(())
}

fn bits(traffic: &Value, of: &str) -> Result<f64> {
    number(&traffic["entropy"][of]["bits"])
}

fn number(value: &Value) -> Result<f64> {
    value.as_f64().with_context(|| format!("{value} is no number"))
}

fn kind<'v>(traffic: &'v Value, family: Family, kind: &str) -> Result<&'v Value> {
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let mut kinds = traffic["kinds"].as_array().into_iter().flatten();
    kinds
        .find(|row| row["kind"] == kind && row["family"] == family)
        .with_context(|| format!("no {family} {kind} in {traffic}"))
}

fn service<'v>(stats: &'v Value, name: &str) -> Result<&'v Value> {
    let traffic = stats.get("traffic").unwrap_or(stats);
    let mut services = traffic["services"].as_array().into_iter().flatten();
    services
        .find(|row| row["service"] == name)
        .with_context(|| format!("no {name} in {stats}"))
}
