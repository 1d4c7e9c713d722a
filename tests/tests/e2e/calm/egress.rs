//! Questions are remembered beside other programs on egress, with tags, on interfaces that come, go and change their names,
//! and those are not lost that were asked before anybody remembered them.

use std::{net::IpAddr, time::Duration};

use anyhow::{Result, ensure};
use netguard_tests::{
    frames::frame,
    lab::{
        EgressProgram, Family, IFACE, Lab, Netguard, TCX_NEXT, TCX_PASS, binary, egress_programs, growth,
        send_frames, wait_until,
    },
};

use crate::{
    protect,
    reflection::{Exchange, PORT, reflected, synchronise},
};

/// A port that kernels choose for who asks.
const CHOSEN_PORT: u16 = 45_678;

/// A watch that others share, take away, or leave no room for.
#[test]
fn other_programs_on_the_way_out() -> Result<()> {
    let lab = Lab::beside_others()?;
    let others = [TCX_NEXT, TCX_PASS].map(|verdict| EgressProgram::attach(&lab.victim.ns, IFACE, verdict));
    let mut netguard = protect(&lab, "")?;
    ensure!(egress_programs(&lab.victim.ns, IFACE)?.len() == 3);
    answered(&lab, &netguard)?;
    netguard.must(&["detach"])?;
    ensure!(
        egress_programs(&lab.victim.ns, IFACE)?.len() == 2,
        "the others stay"
    );
    drop(others);

    // Somebody removes the pin and with it the watch: it comes back.
    netguard.restart()?;
    std::fs::remove_dir_all(netguard.pins().join("egress"))?;
    std::fs::create_dir(netguard.pins().join("egress"))?;
    wait_until("the watch to come back", Duration::from_secs(5), || {
        Ok((egress_programs(&lab.victim.ns, IFACE)?.len() == 1).then_some(()))
    })?;
    answered(&lab, &netguard)?;
    netguard.must(&["detach"])?;

    // The kernel has room for 63.
    let more = || EgressProgram::attach(&lab.victim.ns, IFACE, TCX_NEXT).ok();
    let crowd: Vec<_> = std::iter::from_fn(more).take(100).collect();
    ensure!(crowd.len() < 100);
    netguard.restart()?;
    let status = netguard.json(&["status", "--json"])?;
    ensure!(status["daemon"]["reflection"] == "unavailable", "{status}");
    ensure!(netguard.must(&["status"])?.contains("reflection is OFF"));
    let doctor = netguard.must(&["doctor"])?;
    ensure!(doctor.contains("what leaves cannot be watched"), "{doctor}");
    ensure!(netguard.must(&["events"])?.contains("reflection-off"));
    synchronise(&lab, Family::V4)?;

    // As soon as there is room it begins after all.
    drop(crowd);
    wait_until("reflection to be refused", Duration::from_secs(20), || {
        let status = netguard.json(&["status", "--json"])?;
        Ok((status["daemon"]["reflection"] == "enforce").then_some(()))
    })?;
    ensure!(netguard.must(&["events"])?.contains("reflection-on"));
    answered(&lab, &netguard)
}

/// The victim's question is answered, and answers to others are not let in.
fn answered(lab: &Lab, netguard: &Netguard) -> Result<()> {
    let before = netguard.stats()?;
    synchronise(lab, Family::V4)?;
    send_frames(&lab.attacker.ns, IFACE, &reflected(lab, Family::V4))?;
    wait_until("answers to be refused", Duration::from_secs(5), || {
        Ok(growth(&before, &netguard.stats()?).get("reflection").copied())
    })?;
    Ok(())
}

/// As on an interface that carries VLANs; the kernel of this laboratory may have no VLAN devices.
#[test]
fn questions_leave_with_tags() -> Result<()> {
    let lab = Lab::beside_others()?;
    let netguard = protect(&lab, "")?;
    let tagged = |from: (&str, u16), to: (&str, u16), begin: u8| {
        let start = frame().macs([2, 0, 0, 0, 0, 9], lab.victim.mac).qinq(20, 30);
        let ip = match from.0.contains(':') {
            true => start.ipv6(from.0, to.0).ttl(51),
            false => start.ipv4(from.0, to.0).ttl(51),
        };
        ip.udp(from.1, to.1).data(&[begin; 48]).build()
    };
    for (own, peer, other) in [
        (lab.victim.ip4, "198.18.7.1", "198.18.7.2"),
        (lab.victim.ip6, "2001:db8:77::1", "2001:db8:77::2"),
    ] {
        let question = tagged((own, PORT), (peer, 123), 0x23);
        send_frames(&lab.victim.ns, IFACE, &[question])?;
        let questions = netguard.must(&["map", "dump", "QUESTIONS"])?;
        ensure!(
            questions.contains(peer) && !questions.contains(other),
            "{questions}"
        );
        let before = netguard.stats()?;
        let answer = |from| tagged((from, 123), (own, PORT), 0x24);
        send_frames(&lab.attacker.ns, IFACE, &[answer(peer), answer(other)])?;
        let refused = wait_until("answers to be counted", Duration::from_secs(5), || {
            Ok(growth(&before, &netguard.stats()?).get("reflection").copied())
        })?;
        ensure!(refused == 1, "{refused} were refused");
    }
    Ok(())
}

#[test]
fn interfaces_come_go_and_change_their_names() -> Result<()> {
    const PAIR: &str = "link add v9 type veth peer name v9p";
    let lab = Lab::beside_others()?;
    lab.victim.ns.ip(PAIR)?;
    let mut netguard = Netguard::start_with(&lab, &binary()?, "", &["-i", "v9"])?;
    let watched = |name: &str| -> Result<bool> {
        // An interface that is gone has no programs.
        let programs = egress_programs(&lab.victim.ns, name);
        Ok(programs.is_ok_and(|programs| programs.len() == 1))
    };
    ensure!(watched(IFACE)? && watched("v9")?);
    lab.victim.ns.ip("link set v9 name v8")?;
    ensure!(watched("v8")?);
    netguard.kill9();
    lab.victim.ns.ip("link set v8 name v9")?;
    netguard.restart()?;
    ensure!(watched(IFACE)? && watched("v9")?);
    lab.victim.ns.ip("link del v9")?;
    lab.victim.ns.ip(PAIR)?;
    wait_until("the new interface to be watched", Duration::from_secs(5), || {
        Ok(watched("v9")?.then_some(()))
    })?;
    synchronise(&lab, Family::V4)?;
    netguard.must(&["detach"])?;
    ensure!(!watched(IFACE)? && !watched("v9")?);
    Ok(())
}

#[test]
fn what_was_asked_before_the_start_is_answered() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let lab = Lab::beside_others()?;
        let (own, peer) = (lab.victim.ip(family), lab.client.ip(family));
        let connected = Exchange::begin(&lab, own, PORT, peer)?;
        connected.asking.connect((peer.parse::<IpAddr>()?, 123))?;
        let _netguard = protect(&lab, "")?;
        connected.end()?;
    }
    let lab = Lab::beside_others()?;
    let in_grace = Exchange::begin(&lab, lab.victim.ip4, CHOSEN_PORT, lab.client.ip4)?;
    let _netguard = protect(&lab, "")?;
    in_grace.end()
}
