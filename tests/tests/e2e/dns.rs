//! A name server flooded with queries in the name of thousands of forged sources sends those who are real to TCP.

use anyhow::Result;
use netguard_tests::lab::{Family, Flood, NAME_ADDRESS, Unbound, dig, growth};

use crate::{lab, protect};

#[test]
fn queries_over_the_limit_go_to_tcp_ipv4() -> Result<()> {
    go_to_tcp(Family::V4)
}

#[test]
fn queries_over_the_limit_go_to_tcp_ipv6() -> Result<()> {
    go_to_tcp(Family::V6)
}

fn go_to_tcp(family: Family) -> Result<()> {
    let (lab, _server) = lab()?;
    lab.take_answers()?;
    let _resolver = Unbound::start(&lab, &lab.victim)?;
    // So little that the flood leaves nothing, however slow it is on a machine that is busy.
    let netguard = protect(
        &lab,
        "[[service]]\nport = \"udp/53\"\nrate_per_s = 1\nburst = 4\n",
    )?;
    let before = netguard.stats()?;
    let flood = Flood::scattered_to(&lab, family, 53, &query())?;
    let mut over_tcp = 0;
    for _ in 0..20 {
        let asked = dig(&lab, family, &["+tries=3", "+time=2"])?;
        assert_eq!(asked.stdout.lines().last(), Some(NAME_ADDRESS), "{asked:?}");
        // Asked as if there were no TCP, the client is told that the answer is cut short.
        let told = dig(
            &lab,
            family,
            &["+ignore", "+noshort", "+comments", "+tries=3", "+time=2"],
        )?;
        over_tcp += usize::from(told.stdout.contains("flags: qr tc"));
    }
    let sent = flood.stop()?.packets;
    let grown = growth(&before, &netguard.stats()?);
    println!(
        "{}: {over_tcp} of 20 over TCP, {sent} sent: {grown:?}",
        family.name()
    );
    assert!(grown["dns-truncate"] > sent / 2, "{grown:?} of {sent}");
    assert!(over_tcp > 10, "{over_tcp} of 20 were sent to TCP: {grown:?}");
    Ok(())
}

/// What a client asks for [`netguard_tests::lab::NAME`], with an OPT record.
fn query() -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in ["www", "lab", ""] {
        query.push(label.len() as u8);
        query.extend(label.bytes());
    }
    query.extend([0, 1, 0, 1]);
    query.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    query
}
