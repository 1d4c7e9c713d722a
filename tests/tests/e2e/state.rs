//! Floods of segments that belong to no connection, from thousands of forged sources: connections that exist go on, new ones
//! are made, with and without SYN cookies.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, TcpStream},
    time::Duration,
};

use anyhow::{Result, ensure};
use netguard_tests::lab::{
    Attack, Family, Flood, Honest, Lab, SMALL_BODY, growth, spread_frames, wait_until,
};

use crate::{lab, protect};

#[test]
fn an_ack_flood_is_dropped_ipv4() -> Result<()> {
    is_dropped("A", Family::V4)
}

#[test]
fn an_ack_flood_is_dropped_ipv6() -> Result<()> {
    is_dropped("A", Family::V6)
}

#[test]
fn a_reset_flood_is_dropped_ipv4() -> Result<()> {
    is_dropped("R", Family::V4)
}

#[test]
fn a_reset_flood_is_dropped_ipv6() -> Result<()> {
    is_dropped("R", Family::V6)
}

#[test]
fn a_fin_flood_is_dropped_ipv4() -> Result<()> {
    is_dropped("FA", Family::V4)
}

#[test]
fn a_fin_flood_is_dropped_ipv6() -> Result<()> {
    is_dropped("FA", Family::V6)
}

#[test]
fn a_syn_ack_flood_is_dropped_ipv4() -> Result<()> {
    is_dropped("SA", Family::V4)
}

#[test]
fn a_syn_ack_flood_is_dropped_ipv6() -> Result<()> {
    is_dropped("SA", Family::V6)
}

/// Whoever returns a cookie has no connection yet, and is no stray.
#[test]
fn cookies_are_taken_amid_strays_ipv4() -> Result<()> {
    takes_cookies(Family::V4)
}

#[test]
fn cookies_are_taken_amid_strays_ipv6() -> Result<()> {
    takes_cookies(Family::V6)
}

fn is_dropped(flags: &'static str, family: Family) -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    let mut standing = Connection::open(&lab, family)?;
    standing.ask()?;
    let before = netguard.stats()?;
    let flood = Flood::spread_as(&lab, Attack::Stray(flags), family)?;
    let honest = Honest::start(&lab, family, 20)?;
    for _ in 0..50 {
        standing.ask()?;
    }
    let felt = honest.stop_after(60)?;
    let (status, _) = server.curl(&lab, family, "/big")?;
    let sent = flood.stop()?.packets;
    let grown = growth(&before, &netguard.stats()?);
    standing.ask()?;

    assert_eq!(felt.succeeded, felt.requests, "{felt:?} {grown:?}");
    assert_eq!(status, 200);
    let dropped = grown.get("out-of-state").copied().unwrap_or(0);
    assert!(dropped * 100 >= sent * 95, "{grown:?} of {sent}");
    assert!(dropped <= sent, "{grown:?} of {sent}");
    Ok(())
}

fn takes_cookies(family: Family) -> Result<()> {
    let (lab, server) = lab()?;
    lab.take_answers()?;
    let netguard = protect(&lab, "syn_cookies = { rate_per_s = 100, burst = 200 }")?;
    let mut standing = Connection::open(&lab, family)?;
    let before = netguard.stats()?;
    let syn = spread_frames(&lab, Attack::Syn, family);
    let strays = spread_frames(&lab, Attack::Stray("A"), family);
    let mixed: Vec<_> = syn
        .into_iter()
        .zip(strays)
        .flat_map(|(syn, stray)| [syn, stray])
        .collect();
    let flood = Flood::by_trafgen(&lab, &mixed)?;
    wait_until("both to be met", Duration::from_secs(10), || {
        let grown = growth(&before, &netguard.stats()?);
        let met = |name: &str| grown.get(name).is_some_and(|packets| *packets > 10_000);
        Ok((met("syn-cookie") && met("out-of-state")).then_some(()))
    })?;
    let felt = Honest::start(&lab, family, 20)?.stop_after(60)?;
    standing.ask()?;
    let (status, _) = server.curl(&lab, family, "/big")?;
    let sent = flood.stop()?.packets;
    let grown = growth(&before, &netguard.stats()?);
    assert_eq!(felt.succeeded, felt.requests, "{felt:?} {grown:?}");
    assert_eq!(status, 200);
    assert!(
        grown["out-of-state"] * 100 >= sent / 2 * 95,
        "{grown:?} of {sent}"
    );
    Ok(())
}

/// What ends elsewhere is not for this machine's sockets to tell.
#[test]
fn a_machine_that_forwards_is_left_alone() -> Result<()> {
    let (lab, _server) = lab()?;
    lab.victim.ns.sysctl("net.ipv4.ip_forward", "1")?;
    let netguard = protect(&lab, "")?;
    assert_eq!(
        netguard.json(&["status", "--json"])?["daemon"]["state"]["reach"],
        "nothing"
    );
    assert!(netguard.must(&["status"])?.contains("forwards packets"));
    let before = netguard.stats()?;
    let flood = Flood::spread_as(&lab, Attack::Stray("A"), Family::V4)?;
    wait_until("the flood to pass", Duration::from_secs(10), || {
        let grown = growth(&before, &netguard.stats()?);
        Ok(grown
            .get("pass")
            .is_some_and(|passed| *passed > 10_000)
            .then_some(()))
    })?;
    lab.victim.ns.sysctl("net.ipv4.ip_forward", "0")?;
    wait_until("the change to be seen", Duration::from_secs(15), || {
        let grown = growth(&before, &netguard.stats()?);
        Ok(grown
            .get("out-of-state")
            .is_some_and(|dropped| *dropped > 1_000)
            .then_some(()))
    })?;
    flood.stop()?;
    assert!(netguard.must(&["events"])?.contains("state-reach"));
    Ok(())
}

/// A connection from the client that is kept.
struct Connection(TcpStream);

impl Connection {
    fn open(lab: &Lab, family: Family) -> Result<Self> {
        let server: IpAddr = lab.victim.ip(family).parse()?;
        let stream = lab.client.ns.enter(|| TcpStream::connect((server, 80)))??;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        Ok(Self(stream))
    }

    /// Fetches the page.
    fn ask(&mut self) -> Result<()> {
        self.0.write_all(b"GET / HTTP/1.1\r\nHost: victim\r\n\r\n")?;
        let mut answer = Vec::new();
        while !answer.ends_with(SMALL_BODY.as_bytes()) {
            let mut piece = [0; 4096];
            let len = self.0.read(&mut piece)?;
            ensure!(len > 0, "the connection ended");
            answer.extend_from_slice(&piece[..len]);
        }
        Ok(())
    }
}
