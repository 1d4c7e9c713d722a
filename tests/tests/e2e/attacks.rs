//! Attacks are recognised for what they are, told, and over when they are over; honest clients are none.

use std::{
    net::{IpAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result};
use netguard_tests::lab::{Attack, Family, Flood, Honest, Lab, Netguard, newcomers, wait_until};
use serde_json::Value;

use crate::{lab, protect};

#[test]
fn a_forged_syn_flood_is_recognised_ipv4() -> Result<()> {
    is_recognised(|lab| Flood::spread(lab, Family::V4), "syn-flood", "distributed").map(drop)
}

#[test]
fn a_forged_syn_flood_is_recognised_ipv6() -> Result<()> {
    is_recognised(|lab| Flood::spread(lab, Family::V6), "syn-flood", "distributed").map(drop)
}

#[test]
fn a_udp_flood_is_recognised_ipv4() -> Result<()> {
    is_recognised(
        |lab| Flood::start(lab, Attack::Udp, Family::V4),
        "udp-flood",
        "single",
    )
    .map(drop)
}

#[test]
fn a_udp_flood_is_recognised_ipv6() -> Result<()> {
    is_recognised(
        |lab| Flood::start(lab, Attack::Udp, Family::V6),
        "udp-flood",
        "single",
    )
    .map(drop)
}

#[test]
fn an_icmp_flood_is_recognised() -> Result<()> {
    is_recognised(
        |lab| Flood::start(lab, Attack::Icmp, Family::V4),
        "icmp-flood",
        "single",
    )
    .map(drop)
}

#[test]
fn a_flood_of_segments_without_connection_is_recognised() -> Result<()> {
    for (flags, kind) in [("A", "ack"), ("R", "rst"), ("FA", "fin")] {
        let told = is_recognised(
            |lab| Flood::spread_as(lab, Attack::Stray(flags), Family::V4),
            "segment-flood",
            "distributed",
        )?;
        let of_kind = format!("{kind} segments/s that were dropped");
        assert!(told["evidence"].to_string().contains(&of_kind), "{told}");
    }
    Ok(())
}

#[test]
fn a_flood_of_resets_is_recognised_ipv6() -> Result<()> {
    let told = is_recognised(
        |lab| Flood::spread_as(lab, Attack::Stray("R"), Family::V6),
        "segment-flood",
        "distributed",
    )?;
    assert!(told["evidence"].to_string().contains("rst segments/s"), "{told}");
    Ok(())
}

#[test]
fn a_flood_of_pieces_of_no_packet_is_recognised_ipv4() -> Result<()> {
    is_recognised(
        |lab| Flood::spread_as(lab, Attack::Pieces, Family::V4),
        "fragment-flood",
        "distributed",
    )
    .map(drop)
}

#[test]
fn a_flood_of_pieces_of_no_packet_is_recognised_ipv6() -> Result<()> {
    is_recognised(
        |lab| Flood::spread_as(lab, Attack::Pieces, Family::V6),
        "fragment-flood",
        "distributed",
    )
    .map(drop)
}

/// Less than the limit by default, so that the test does not depend on how much a tool can send.
const FEW_OTHERS: &str = "[limit.other]\nrate_per_s = 500\nburst = 1000\n";

#[test]
fn a_flood_of_another_protocol_is_recognised_ipv4() -> Result<()> {
    is_recognised_under(
        FEW_OTHERS,
        |lab| Flood::start(lab, Attack::Tunnel, Family::V4),
        "protocol-flood",
        "single",
    )
    .map(drop)
}

#[test]
fn a_flood_of_another_protocol_is_recognised_ipv6() -> Result<()> {
    is_recognised_under(
        FEW_OTHERS,
        |lab| Flood::start(lab, Attack::Tunnel, Family::V6),
        "protocol-flood",
        "single",
    )
    .map(drop)
}

#[test]
fn pulses_are_one_attack_ipv4() -> Result<()> {
    are_one(|lab| Flood::start(lab, Attack::Udp, Family::V4), "udp-flood")
}

#[test]
fn pulses_are_one_attack_ipv6() -> Result<()> {
    are_one(|lab| Flood::spread(lab, Family::V6), "syn-flood")
}

/// A flood that comes, goes and comes again is one attack: with a short pause it never ended, and with a long one it is taken up again.
fn are_one(start: impl Fn(&Lab) -> Result<Flood<'_>>, class: &str) -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let the_only = || -> Result<Option<Value>> {
        let told = attacks(&netguard)?;
        assert!(told.len() <= 1, "{told:?}");
        Ok(told.into_iter().next())
    };
    let drawn = |attack: &Value| attack["packets"].as_u64().unwrap_or(0);
    let mut before = 0;
    // Twice at once, and once more when it was over.
    for (pulse, pulses) in [1, 1, 2].into_iter().enumerate() {
        let flood = start(&lab)?;
        let told = wait_until("the pulse to be told", Duration::from_secs(10), || {
            Ok(the_only()?.filter(|told| told["ended"].is_null() && drawn(told) > before + 1_000))
        })
        .with_context(|| format!("{pulse}: {:?}", attacks(&netguard)))?;
        flood.stop()?;
        assert_eq!(
            (&told["id"], &told["class"], &told["pulses"]),
            (&1.into(), &class.into(), &pulses.into()),
            "{told}"
        );
        if pulse > 0 {
            wait_until("it to be over", Duration::from_secs(30), || {
                Ok(the_only()?.filter(|told| !told["ended"].is_null()))
            })?;
        }
        // What its last tick saw is counted, too.
        before = wait_until("its packets to be counted", Duration::from_secs(5), || {
            let count = || anyhow::Ok(drawn(&the_only()?.context("it is remembered")?));
            let counted = count()?;
            std::thread::park_timeout(Duration::from_millis(300));
            Ok((count()? == counted).then_some(counted))
        })?;
    }
    let events = netguard.must(&["events", "--json", "-n", "1000"])?;
    let count = |event: &str| events.matches(&format!("\"event\":\"{event}\"")).count();
    assert_eq!(
        ["attack-begun", "attack-resumed", "attack-ended"].map(count),
        [1, 1, 2],
        "{events}"
    );
    Ok(())
}

#[test]
fn a_reflection_of_connections_is_recognised_ipv4() -> Result<()> {
    is_recognised(
        |lab| Flood::spread_as(lab, Attack::Stray("SA"), Family::V4),
        "syn-ack-reflection",
        "distributed",
    )
    .map(drop)
}

#[test]
fn a_reflection_of_connections_is_recognised_ipv6() -> Result<()> {
    is_recognised(
        |lab| Flood::spread_as(lab, Attack::Stray("SA"), Family::V6),
        "syn-ack-reflection",
        "distributed",
    )
    .map(drop)
}

#[test]
fn a_scan_is_recognised_and_no_flood() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    for (family, id) in [(Family::V4, 1), (Family::V6, 1)] {
        let victim: IpAddr = lab.victim.ip(family).parse()?;
        lab.attacker.ns.enter(|| {
            for port in 2_000..3_200 {
                // Each is refused, until the limit of the source drops it: then nobody waits.
                let _ = TcpStream::connect_timeout(&(victim, port).into(), Duration::from_millis(5));
            }
        })?;
        let told = wait_until("the scan to be recognised", Duration::from_secs(5), || {
            Ok(attacks(&netguard)?.into_iter().next())
        })?;
        assert_eq!(
            (&told["class"], &told["id"]),
            (&"scan".into(), &id.into()),
            "{told}"
        );
        assert_eq!(attacks(&netguard)?.len(), 1);
        wait_until("the scan to be over", Duration::from_secs(30), || {
            Ok(attacks(&netguard)?
                .iter()
                .all(|attack| !attack["ended"].is_null())
                .then_some(()))
        })?;
    }
    Ok(())
}

/// The flood that `start` begins is of `class` and of no other, comes from as many sources as `spread` says, is told everywhere, and is over
/// after it has stopped. Returns what is told at its end.
fn is_recognised(start: impl Fn(&Lab) -> Result<Flood<'_>>, class: &str, spread: &str) -> Result<Value> {
    is_recognised_under("", start, class, spread)
}

/// The same with these settings.
fn is_recognised_under(
    config: &str,
    start: impl Fn(&Lab) -> Result<Flood<'_>>,
    class: &str,
    spread: &str,
) -> Result<Value> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, config)?;
    assert_eq!(attacks(&netguard)?, Vec::<Value>::new());
    let flood = start(&lab)?;
    // It can be recognised before the first packet is dropped, and whose they are is told by those.
    let began = wait_until("the attack to be recognised", Duration::from_secs(5), || {
        let mut attacks = attacks(&netguard)?.into_iter();
        Ok(attacks.find(|attack| attack["spread"] == spread))
    })
    .with_context(|| format!("{:?}", attacks(&netguard)))?;
    flood.stop()?;
    assert_eq!(began["class"], class, "{began}");
    assert_eq!(began["harmful"], true);
    let id = began["id"].to_string();
    let ended = wait_until("the attack to be over", Duration::from_secs(30), || {
        let attack = netguard.json(&["attacks", "show", &id, "--json"])?;
        Ok((!attack["ended"].is_null()).then_some(attack))
    })?;
    let all = attacks(&netguard)?;
    assert!(all.iter().all(|attack| attack["class"] == class), "{all:?}");
    assert!(ended["packets"].as_u64() > Some(100), "{ended}");
    let evidence = ended["evidence"].as_array().context("there is evidence")?;
    let speaks = |evidence: &Value| evidence["value"].as_f64() > evidence["threshold"].as_f64();
    assert!(evidence.iter().any(speaks), "{ended}");
    let points = ended["timeline"].as_array().context("there is a timeline")?;
    let drawn: u64 = points.iter().filter_map(|point| point["packets"].as_u64()).sum();
    assert!(drawn > 0, "{ended}");
    let text = netguard.must(&["attacks", "list"])?;
    assert!(text.contains(class) && text.contains("over"), "{text}");
    assert_eq!(ended["spread"], spread, "{ended}");
    assert!(text.contains(spread), "{text}");
    let events = netguard.must(&["events", "--json"])?;
    for event in ["attack-begun", "attack-ended"] {
        assert!(events.contains(event), "{event}: {events}");
    }
    Ok(ended)
}

#[test]
fn honest_clients_are_no_attack_however_many() -> Result<()> {
    let (lab, _server) = lab()?;
    // All of them come from one address.
    let netguard = protect(&lab, "[limit.syn]\nrate_per_s = 5000\nburst = 5000\n")?;
    let steady = Honest::start(&lab, Family::V6, 20)?;
    let victim = lab.victim.ip4.parse()?;
    let crowd = lab
        .client
        .ns
        .enter(|| newcomers(victim, 800, Duration::from_secs(3)))??;
    let felt = steady.stop()?;
    assert!(crowd.served > 0 && felt.success() > 0.99, "{crowd:?} {felt:?}");
    assert_eq!(attacks(&netguard)?, Vec::<Value>::new());
    Ok(())
}

#[test]
fn an_attack_that_is_not_known_is_an_error_in_words() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let output = netguard.cli(&["attacks", "show", "7"])?;
    assert_eq!(output.status, 1, "{output:?}");
    assert!(output.stderr.contains("no attack has the number 7"), "{output:?}");
    assert_eq!(netguard.cli(&["attacks", "show", "x"])?.status, 2);
    Ok(())
}

pub(crate) fn attacks(netguard: &Netguard<'_>) -> Result<Vec<Value>> {
    let attacks = netguard.json(&["attacks", "list", "--json"])?;
    Ok(attacks.as_array().context("a list")?.clone())
}
