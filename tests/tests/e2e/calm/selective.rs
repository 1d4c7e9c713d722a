//! A port or a protocol that is cut off takes nothing else with it, and the count is that of the packets.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netguard_tests::{
    frames::{Frame, frame},
    lab::{ECHO_PORT, Echo, Family, IFACE, Lab, Netguard, ask, output, send_frames, wait_until},
};

use crate::{calm::lab, protect};

/// Adds a signature of one whole service; tells its number.
fn cut(netguard: &Netguard<'_>, conditions: &[&str]) -> Result<u64> {
    let added = [&["signature", "add", "--force", "--json"][..], conditions].concat();
    netguard.json(&added)?["id"].as_u64().context("it has a number")
}

fn packets(netguard: &Netguard<'_>, id: u64) -> Result<u64> {
    let listed = netguard.json(&["signature", "list", "--json"])?;
    let listed = listed.as_array().into_iter().flatten();
    let one = listed.filter(|signature| signature["id"] == id);
    one.filter_map(|signature| signature["packets"].as_u64())
        .next()
        .with_context(|| format!("no signature {id}"))
}

fn pings(lab: &Lab, family: Family) -> Result<bool> {
    let mut ping = lab.client.ns.command("ping")?;
    ping.args(["-n", "-c", "1", "-W", "1", lab.victim.ip(family)]);
    Ok(output(&mut ping, Duration::from_secs(5))?.status == 0)
}

#[test]
fn a_tunnel_is_cut_and_nothing_else() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    let id = cut(&netguard, &["protocol=47"])?;
    for (family, before) in [(Family::V4, 0), (Family::V6, 1)] {
        let start = frame().macs(lab.attacker.mac, lab.victim.mac);
        let ip = |start: Frame| match family {
            Family::V4 => start.ipv4(lab.attacker.ip4, lab.victim.ip4),
            Family::V6 => start.ipv6(lab.attacker.ip6, lab.victim.ip6),
        };
        // A header of GRE without options, and IPv4 in it.
        let tunnel = ip(start).protocol(47).data(&[0, 0, 8, 0]).payload(84).build();
        ensure!(packets(&netguard, id)? == before);
        send_frames(&lab.attacker.ns, IFACE, &[tunnel])?;
        wait_until("the packet to be judged", Duration::from_secs(5), || {
            Ok((packets(&netguard, id)? == before + 1).then_some(()))
        })?;
        ensure!(pings(&lab, family)? && server.curl(&lab, family, "/")?.0 == 200);
        ensure!(packets(&netguard, id)? == before + 1);
    }
    Ok(())
}

#[test]
fn a_port_is_cut_and_opened_again() -> Result<()> {
    let (lab, _server) = lab()?;
    let _echo = Echo::start(&lab)?;
    let netguard = protect(&lab, "")?;
    let udp = format!("port={ECHO_PORT}");
    let served = |family| -> Result<[bool; 2]> {
        let web = SocketAddr::new(lab.victim.ip(family).parse()?, 80);
        let connect = || TcpStream::connect_timeout(&web, Duration::from_millis(500));
        let connected = lab.client.ns.enter(connect)?.is_ok();
        Ok([ask(&lab, &lab.client, family, 1, 10)? == 1, connected])
    };
    let all = |expected: [bool; 2], when: &str| -> Result<()> {
        for family in [Family::V4, Family::V6] {
            ensure!(served(family)? == expected, "{} {when}", family.name());
        }
        Ok(())
    };
    all([true, true], "before")?;
    let id = cut(&netguard, &["protocol=udp", &udp])?.to_string();
    all([false, true], "without the UDP port")?;
    netguard.must(&["signature", "del", &id])?;
    let id = cut(&netguard, &["protocol=tcp", "port=80"])?.to_string();
    all([true, false], "without the TCP port")?;
    netguard.must(&["signature", "del", &id])?;
    all([true, true], "after all")
}
