//! The lab itself, without netguard: a flood that harms nobody would prove nothing, nor would a deaf client.

use std::path::Path;

use anyhow::Result;
use netguard_tests::{
    frames::frame,
    lab::{
        Attack, BIG_BYTES, Family, Flood, Honest, IFACE, Lab, SMALL_BODY, SYN_BACKLOG, send_frames,
        wait_until,
    },
};

use crate::lab;

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
