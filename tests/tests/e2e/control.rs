//! What a network cannot do without survives blocks and floods: address resolution (ARP, neighbour discovery) and the messages
//! that tell how long a packet may be.

use std::time::Duration;

use anyhow::{Result, ensure};
use netguard_tests::{
    frames::frame,
    lab::{
        Attack, BIG_BYTES, Family, Flood, Lab, Namespace, Netguard, Nginx, ROUTER_MAC, Verdicts, growth,
        output, wait_until,
    },
};

use crate::{lab, protect};

const GATEWAYS: [&str; 2] = ["203.0.113.1", "2001:db8:3::1"];

#[test]
fn a_blocked_gateway_is_still_resolved() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    for gateway in GATEWAYS.into_iter().chain(["fe80::/64"]) {
        netguard.must(&["block", "add", gateway, "--force"])?;
    }
    for family in [Family::V4, Family::V6] {
        ensure!(!pings(&lab, family)?, "{} of a blocked gateway", family.name());
    }
    let before = netguard.stats()?;
    forget_neighbours(&lab)?;
    for family in [Family::V4, Family::V6] {
        ensure!(server.curl(&lab, family, "/")?.0 == 200, "{}", family.name());
    }
    let grown = growth(&before, &netguard.stats()?);
    ensure!(
        grown.contains_key("pass-arp") && grown.contains_key("pass-control"),
        "{grown:?}"
    );
    for gateway in GATEWAYS {
        netguard.must(&["block", "del", gateway])?;
    }
    for family in [Family::V4, Family::V6] {
        ensure!(pings(&lab, family)?, "{} of the gateway", family.name());
    }
    Ok(())
}

#[test]
fn neighbours_are_found_during_an_icmp_flood_ipv4() -> Result<()> {
    are_found_during(Attack::Icmp, Family::V4)
}

#[test]
fn neighbours_are_found_during_an_icmp_flood_ipv6() -> Result<()> {
    are_found_during(Attack::Icmp, Family::V6)
}

fn are_found_during(attack: Attack, family: Family) -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    let before = netguard.stats()?;
    let flood = Flood::start(&lab, attack, family)?;
    wait_for(&netguard, &before, "limit-icmp")?;
    are_found(&lab, &server, family)?;
    flood.stop().map(drop)
}

/// The flood is made of the very messages, from the link itself: solicitations of a neighbour that nobody has, and path-MTU
/// messages in the name of the router.
#[test]
fn neighbours_are_found_during_a_flood_of_control_messages() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    let before = netguard.stats()?;
    let on_link = || frame().macs(lab.attacker.mac, lab.victim.mac);
    let solicitation = on_link()
        .ipv6("fe80::bad", lab.victim.ip6)
        .ttl(255)
        .icmp6(135, 0)
        .payload(16);
    let router = format!("fe80::{:x}ff:fe00:{:x}", 0, ROUTER_MAC[5]);
    let too_big = |source: &str| on_link().ipv6(source, lab.victim.ip6).icmp6(2, 0).payload(48);
    let needed = on_link().ipv4(GATEWAYS[0], lab.victim.ip4).icmp(3, 4).payload(28);
    let frames = [solicitation, too_big(GATEWAYS[1]), too_big(&router), needed];
    let flood = Flood::by_trafgen(&lab, &frames.map(|frame| frame.build()))?;
    wait_for(&netguard, &before, "limit-control")?;
    for family in [Family::V4, Family::V6] {
        are_found(&lab, &server, family)?;
    }
    flood.stop().map(drop)
}

#[test]
fn a_smaller_path_is_learnt_during_an_icmp_flood_ipv4() -> Result<()> {
    is_learnt(Family::V4)
}

#[test]
fn a_smaller_path_is_learnt_during_an_icmp_flood_ipv6() -> Result<()> {
    is_learnt(Family::V6)
}

/// The router says that packets to the client may have 1300 bytes, while somebody floods in the router's name.
fn is_learnt(family: Family) -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    let (client, bits) = (lab.client.ip(family), family.of(32, 128));
    lab.switch
        .ip(&format!("route add {client}/{bits} dev br0 mtu lock 1300"))?;
    let start = frame().macs(lab.attacker.mac, lab.victim.mac);
    let ping = match family {
        Family::V4 => start.ipv4(GATEWAYS[0], lab.victim.ip4).icmp(8, 0),
        Family::V6 => start.ipv6(GATEWAYS[1], lab.victim.ip6).icmp6(128, 0),
    };
    let before = netguard.stats()?;
    let flood = Flood::by_trafgen(&lab, &[ping.payload(56).build()])?;
    wait_for(&netguard, &before, "limit-icmp")?;
    let (status, body) = server.curl(&lab, family, "/big")?;
    flood.stop()?;
    ensure!(
        status == 200 && body.len() == BIG_BYTES,
        "{status}, {} bytes",
        body.len()
    );
    let mut route = lab.victim.ns.command("ip")?;
    let route = output(route.args(["route", "get", client]), Duration::from_secs(5))?;
    ensure!(route.stdout.contains("mtu 1300"), "{route:?}");
    let grown = growth(&before, &netguard.stats()?);
    ensure!(grown.contains_key("pass-control"), "{grown:?}");
    Ok(())
}

/// Waits until the flood is cut.
fn wait_for(netguard: &Netguard<'_>, before: &Verdicts, verdict: &str) -> Result<()> {
    wait_until("the flood to be cut", Duration::from_secs(10), || {
        let grown = growth(before, &netguard.stats()?);
        Ok(grown
            .get(verdict)
            .is_some_and(|packets| *packets > 5_000)
            .then_some(()))
    })
}

/// Three times nobody on the link knows anybody, and the client is served at once.
fn are_found(lab: &Lab, server: &Nginx, family: Family) -> Result<()> {
    for _ in 0..3 {
        forget_neighbours(lab)?;
        let (status, _) = server.curl(lab, family, "/")?;
        ensure!(status == 200, "{}: {status}", family.name());
    }
    Ok(())
}

/// On the link of the victim, at both of its ends.
fn forget_neighbours(lab: &Lab) -> Result<()> {
    // While a flood brings them back `ip` gives up after ten rounds, each of which has emptied the table.
    wait_until("the neighbours to be forgotten", Duration::from_secs(10), || {
        let flushed = |ns: &Namespace| ns.ip("neigh flush all").is_ok();
        Ok((flushed(&lab.switch) && flushed(&lab.victim.ns)).then_some(()))
    })
}

/// Whether the victim answers the gateway.
fn pings(lab: &Lab, family: Family) -> Result<bool> {
    let mut ping = lab.switch.command("ping")?;
    ping.args(["-n", "-c", "2", "-i", "0.2", "-W", "1", lab.victim.ip(family)]);
    Ok(output(&mut ping, Duration::from_secs(10))?.status == 0)
}
