//! Malformed packets that only a running netguard can know: in the name of the victim itself, and over fragments that came.

use std::{
    net::{IpAddr, UdpSocket},
    time::Duration,
};

use anyhow::Result;
use netguard_tests::{
    frames::{Frame, frame},
    lab::{Family, Lab, growth, send_frames, wait_until},
};

use crate::{calm::lab, protect};

#[test]
fn own_sources_and_overlaps_are_dropped() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    let before = netguard.stats()?;
    let mut frames = Vec::new();
    for family in [Family::V4, Family::V6] {
        let victim = lab.victim.ip(family);
        let neighbour = family.of("203.0.113.99", "2001:db8:3::99");
        frames.push(to(&lab, family, neighbour, victim).udp(1, 9));
        frames.push(to(&lab, family, victim, neighbour).udp(1, 9));
        frames.push(
            to(&lab, family, neighbour, victim)
                .fragment(0, true)
                .udp(1, 9)
                .udp_len(1_000)
                .payload(56),
        );
        frames.push(
            to(&lab, family, neighbour, victim)
                .fragment(24, false)
                .protocol(17)
                .payload(4),
        );
    }
    let frames: Vec<_> = frames.iter().map(Frame::build).collect();
    send_frames(&lab.attacker.ns, netguard_tests::lab::IFACE, &frames)?;
    wait_until("all to be judged", Duration::from_secs(5), || {
        let grown = growth(&before, &netguard.stats()?);
        let two = |name: &str| grown.get(name) == Some(&2);
        Ok((two("own-source") && two("fragment-overlap")).then_some(()))
    })?;
    // An address that is this machine's from now on is known within a sweep.
    lab.victim.ns.ip("addr add 203.0.113.98/24 dev eth0")?;
    let stolen = to(&lab, Family::V4, "203.0.113.98", "203.0.113.10")
        .udp(1, 9)
        .build();
    wait_until("the new address to be known", Duration::from_secs(15), || {
        send_frames(
            &lab.attacker.ns,
            netguard_tests::lab::IFACE,
            std::slice::from_ref(&stolen),
        )?;
        Ok((growth(&before, &netguard.stats()?)["own-source"] > 2).then_some(()))
    })?;
    // Whoever is honest is served, with fragments of the usual kind, too.
    for family in [Family::V4, Family::V6] {
        assert_eq!(server.curl(&lab, family, "/")?.0, 200);
        let before = netguard.stats()?;
        let to: IpAddr = lab.victim.ip(family).parse()?;
        lab.client.ns.enter(|| {
            let socket = UdpSocket::bind((family.of("0.0.0.0", "::"), 0))?;
            (0..20).try_for_each(|_| socket.send_to(&[7; 4_000], (to, 9)).map(drop))
        })??;
        wait_until("the fragments to pass", Duration::from_secs(5), || {
            let grown = growth(&before, &netguard.stats()?);
            Ok(grown
                .get("pass")
                .is_some_and(|passed| *passed >= 60)
                .then_some(()))
        })?;
        assert!(!growth(&before, &netguard.stats()?).contains_key("fragment-overlap"));
    }
    Ok(())
}

/// A frame right to the victim's card.
fn to(lab: &Lab, family: Family, source: &str, destination: &str) -> Frame {
    let start = frame().macs(lab.attacker.mac, lab.victim.mac);
    match family {
        Family::V4 => start.ipv4(source, destination),
        Family::V6 => start.ipv6(source, destination),
    }
}
