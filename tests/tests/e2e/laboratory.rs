//! The lab itself, without netguard: a flood that harms nobody would prove nothing, nor would a deaf client.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use netguard_tests::{
    frames::frame,
    lab::{
        Attack, BIG_BYTES, Family, Flood, Forged, Forgery, Honest, IFACE, Lab, SMALL_BODY, SYN_BACKLOG,
        send_frames, wait_until,
    },
};

use crate::{lab, protect};

#[test]
fn in_peace_everybody_is_served() -> Result<()> {
    let (lab, server) = lab()?;
    for family in [Family::V4, Family::V6] {
        let felt = Honest::start(&lab, family, 20)?.stop_after(20)?;
        assert_eq!(felt.succeeded, felt.requests, "{felt:?}");
        assert_eq!(server.curl(&lab, family, "/")?, (200, SMALL_BODY.into()));
        assert_eq!(server.curl(&lab, family, "/big")?.1.len(), BIG_BYTES);
        assert_eq!(server.curl(&lab, family, "/nothing")?.0, 404);
    }
    Ok(())
}

#[test]
fn an_unprotected_server_falls_to_a_syn_flood() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let (lab, _server) = lab()?;
        let arrived_before = lab.victim.ns.counters(IFACE)?.rx;
        let flood = Flood::start(&lab, Attack::Syn, family)?;
        let felt = Honest::start(&lab, family, 20)?.stop_after(30)?;
        let sent = flood.stop()?.packets;
        let arrived = lab.victim.ns.counters(IFACE)?.rx - arrived_before;
        assert!(felt.success() < 0.2, "{}: {felt:?}", family.name());
        // Several times what the backlog holds; how fast the tool is depends on the machine.
        assert!(sent > 4 * u64::from(SYN_BACKLOG), "only {sent} packets");
        assert!(arrived >= sent, "{sent} packets sent, {arrived} arrived");
    }
    Ok(())
}

#[test]
fn injected_frames_arrive() -> Result<()> {
    let lab = Lab::new()?;
    let before = lab.victim.ns.counters(IFACE)?.rx;
    let plain = || frame().macs(lab.attacker.mac, lab.victim.mac);
    let frames = [
        plain()
            .ipv4("192.0.2.77", lab.victim.ip4)
            .udp(1, 2)
            .payload(20)
            .build(),
        plain()
            .vlan(10)
            .ipv4("192.0.2.77", lab.victim.ip4)
            .udp(1, 2)
            .payload(20)
            .build(),
        plain()
            .qinq(20, 30)
            .ipv6("2001:db8:77::1", lab.victim.ip6)
            .udp(1, 2)
            .payload(20)
            .build(),
    ];
    let many: Vec<_> = frames.iter().cycle().take(300).cloned().collect();
    send_frames(&lab.attacker.ns, IFACE, &many)?;
    wait_until("300 frames to arrive", std::time::Duration::from_secs(5), || {
        Ok((lab.victim.ns.counters(IFACE)?.rx >= before + 300).then_some(()))
    })
}

#[test]
fn nothing_remains() -> Result<()> {
    let (lab, server) = lab()?;
    let flood = Flood::start(&lab, Attack::Udp, Family::V6)?;
    let (name, files) = (lab.name.clone(), lab.dir.path().to_owned());
    let namespaces = || -> Result<usize> {
        let names = std::fs::read_dir("/run/netns")?.filter_map(|entry| Some(entry.ok()?.file_name()));
        Ok(names
            .filter(|found| found.to_string_lossy().starts_with(&name))
            .count())
    };
    assert_eq!(namespaces()?, 4);
    drop((flood, server));
    drop(lab);
    assert_eq!(namespaces()?, 0);
    assert!(!Path::new(&files).exists());
    Ok(())
}

/// A flood of forged sources would prove nothing if the kernel refused its packets anyway.
#[test]
fn forged_packets_are_whole() -> Result<()> {
    let driver = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bpf/driver.bpf.o"))?;
    let (lab, _server) = lab()?;
    let _wire = lab.swallow_answers(&driver)?;
    // The cable takes frames of this kind only where an XDP program runs.
    let _netguard = protect(&lab, "mode = \"shadow\"")?;
    for (attack, family, table, proto, arrived) in [
        (Attack::Udp, Family::V4, "snmp", "Udp", "NoPorts"),
        (Attack::Udp, Family::V6, "snmp6", "Udp6", "NoPorts"),
        (Attack::Syn, Family::V4, "snmp", "Tcp", "InSegs"),
        (Attack::Syn, Family::V6, "snmp", "Tcp", "InSegs"),
    ] {
        let count = |name: &str| statistic(&lab, table, proto, name);
        let (before, wrong) = (count(arrived)?, count("InCsumErrors")?);
        let forgery = Forgery {
            attack,
            family,
            first: 0,
            sources: 1 << 16,
            per_second: 5_000,
        };
        let flood = Forged::start(&lab, &driver, forgery)?;
        wait_until("forged packets to arrive", Duration::from_secs(10), || {
            Ok((count(arrived)? > before + 1_000).then_some(()))
        })
        .with_context(|| format!("{attack:?} {family:?}"))?;
        flood.stop()?;
        assert_eq!(count("InCsumErrors")?, wrong, "{attack:?} {family:?}");
    }
    Ok(())
}

/// A count of the victim's kernel: `snmp` has a line of names and one of numbers for each protocol, `snmp6` a line for each.
fn statistic(lab: &Lab, table: &str, proto: &str, name: &str) -> Result<u64> {
    let text = lab
        .victim
        .ns
        .enter(|| std::fs::read_to_string(format!("/proc/thread-self/net/{table}")))??;
    let flat = format!("{proto}{name}");
    let single = text
        .lines()
        .find_map(|line| line.strip_prefix(&flat)?.trim().parse().ok());
    let mut lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(proto)?.strip_prefix(": "));
    let (names, numbers) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let column = names.split(' ').position(|column| column == name);
    let listed = column.and_then(|column| numbers.split(' ').nth(column)?.parse().ok());
    single
        .or(listed)
        .with_context(|| format!("no {name} of {proto} in {table}"))
}
