//! A machine with thousands of addresses: netguard starts, knows them, and says when they do not fit.

use std::{fmt::Write as _, time::Duration};

use anyhow::Result;
use netguard_tests::{
    frames::{Frame, frame},
    lab::{Family, IFACE, Lab, growth, send_frames, wait_until},
};

use crate::{calm::lab, protect};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
/// Addresses of each family that the victim gets besides its own.
const ADDRESSES: u32 = 2_500;

#[test]
fn thousands_of_own_addresses_are_known() -> Result<()> {
    let (lab, server) = lab()?;
    change(&lab, "add", ADDRESSES)?;
    let netguard = protect(&lab, "")?;
    let status = netguard.json(&["status", "--json"])?;
    assert_eq!(status["daemon"]["own_left_out"], 0);
    let before = netguard.stats()?;
    let stolen = FAMILIES.map(|family| stolen(&lab, family, ADDRESSES - 1).build());
    send_frames(&lab.attacker.ns, IFACE, &stolen)?;
    wait_until("both to be judged", Duration::from_secs(5), || {
        let grown = growth(&before, &netguard.stats()?);
        Ok((grown.get("own-source") == Some(&2)).then_some(()))
    })?;
    for family in FAMILIES {
        assert_eq!(server.curl(&lab, family, "/")?.0, 200);
    }
    Ok(())
}

/// What is not in the table is neither judged by it nor hurt.
#[test]
fn addresses_beyond_the_table_are_told_and_served() -> Result<()> {
    let (lab, server) = lab()?;
    change(&lab, "add", ADDRESSES)?;
    let netguard = protect(&lab, "[tables]\nown_addresses = 1000\n")?;
    let left_out = || -> Result<Option<u64>> {
        Ok(netguard.json(&["status", "--json"])?["daemon"]["own_left_out"].as_u64())
    };
    assert!(left_out()?.is_some_and(|count| count > u64::from(2 * ADDRESSES - 1_000)));
    let shown = netguard.must(&["status"])?;
    assert!(shown.contains("raise `tables.own_addresses`"), "{shown}");
    assert!(netguard.must(&["events"])?.contains("own-left-out"));
    assert_eq!(
        netguard.log().matches("find no room").count(),
        1,
        "{}",
        netguard.log()
    );

    // IPv4 addresses come first, the lowest before the others.
    let before = netguard.stats()?;
    let frames = [
        stolen(&lab, Family::V4, 0),
        stolen(&lab, Family::V4, ADDRESSES - 1),
        stolen(&lab, Family::V6, 0),
    ];
    send_frames(&lab.attacker.ns, IFACE, &frames.map(|frame| frame.build()))?;
    wait_until("all to be judged", Duration::from_secs(5), || {
        let grown = growth(&before, &netguard.stats()?);
        let packets = |name| grown.get(name).copied().unwrap_or(0);
        Ok((packets("own-source") == 1 && packets("pass") >= 2).then_some(()))
    })?;
    for family in FAMILIES {
        assert_eq!(server.curl(&lab, family, "/")?.0, 200);
    }

    change(&lab, "del", ADDRESSES - 100)?;
    wait_until("the others to find room", Duration::from_secs(25), || {
        Ok((left_out()? == Some(0)).then_some(()))
    })
}

/// The address with `number` of those that the victim gets.
fn address(family: Family, number: u32) -> String {
    match family {
        Family::V4 => format!("10.77.{}.{}", number / 250, 1 + number % 250),
        Family::V6 => format!("2001:db8:77::{:x}", 1 + number),
    }
}

/// Gives the victim the first `count` addresses of both families, or takes them away.
fn change(lab: &Lab, verb: &str, count: u32) -> Result<()> {
    let mut lines = String::new();
    for number in 0..count {
        for (family, bits) in [(Family::V4, 32), (Family::V6, 128)] {
            writeln!(
                lines,
                "addr {verb} {}/{bits} dev {IFACE}",
                address(family, number)
            )?;
        }
    }
    lab.victim.ns.ip(&lines)
}

/// A packet to the victim in the name of one of its own addresses.
fn stolen(lab: &Lab, family: Family, number: u32) -> Frame {
    let start = frame().macs(lab.attacker.mac, lab.victim.mac);
    let source = address(family, number);
    match family {
        Family::V4 => start.ipv4(&source, lab.victim.ip4),
        Family::V6 => start.ipv6(&source, lab.victim.ip6),
    }
    .udp(4444, 9999)
}
