//! Floods of datagrams to a port where nothing listens, from thousands of forged sources: they are dropped, and a service at another
//! port is served as ever.

use anyhow::Result;
use netguard_tests::lab::{Attack, Family, Flood, NAME_ADDRESS, Unbound, dig, growth};

use crate::{lab, protect};

#[test]
fn a_flood_to_a_closed_port_is_dropped_ipv4() -> Result<()> {
    is_dropped(Family::V4)
}

#[test]
fn a_flood_to_a_closed_port_is_dropped_ipv6() -> Result<()> {
    is_dropped(Family::V6)
}

fn is_dropped(family: Family) -> Result<()> {
    let (lab, server) = lab()?;
    let _resolver = Unbound::start(&lab, &lab.victim)?;
    let netguard = protect(&lab, "state = { reach = \"all\" }")?;
    let before = netguard.stats()?;
    let flood = Flood::spread_as(&lab, Attack::Udp, family)?;
    let mut answered = 0;
    for _ in 0..50 {
        // Not each datagram finds its way through the cable beside a flood.
        let asked = dig(&lab, family, &["+tries=3", "+time=2"])?;
        answered += usize::from(asked.stdout.lines().last() == Some(NAME_ADDRESS));
    }
    let (status, _) = server.curl(&lab, family, "/big")?;
    let sent = flood.stop()?.packets;
    let grown = growth(&before, &netguard.stats()?);
    assert_eq!((answered, status), (50, 200), "{grown:?}");
    let dropped = grown.get("closed-port").copied().unwrap_or(0);
    assert!(dropped * 100 >= sent * 90, "{grown:?} of {sent}");
    assert!(dropped <= sent, "{grown:?} of {sent}");
    Ok(())
}
