//! Sources of which none stands out are recognised as one campaign, and so are attacks by the same sources; crowds are none.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    os::fd::{AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use netguard_tests::{
    frames::{Frame, frame},
    lab::{Family, Lab, Netguard, Nginx, binary, output, wait_until},
    pcap::{ETHERNET, Writer},
};
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket},
};
use serde_json::{Value, json};

use super::lab;
use crate::{
    attacks::attacks,
    audit::{is, one, trail},
    detector::events,
    protect,
};

const SECOND: u64 = 1_000_000_000;
/// The kernel of this machine may be able to translate addresses; then it is not known who asks where nobody is.
const ENDS_HERE: &str = "[state]\nreach = \"all\"\n";
/// Sources of the attacker, four in each network.
pub(crate) const SOURCES: u32 = 280;
/// Connections that they begin in a second, all together: fewer than a scan has.
const PER_SECOND: u32 = 100;
const ASKED: [u16; 3] = [22, 25, 110];

#[test]
fn a_probe_that_no_single_source_shows_is_one_campaign_ipv6() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, ENDS_HERE)?;
    is_one_campaign(&lab, &server, &netguard, Family::V6).map(drop)
}

/// A probe is one campaign, and after a while its sources are suspicious. When what they asked for is served they were clients who came early.
#[test]
fn who_came_before_its_service_did_is_cleared_ipv4() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, ENDS_HERE)?;
    let address = is_one_campaign(&lab, &server, &netguard, Family::V4)?;
    let score = || -> Result<Value> {
        let explained = netguard.json(&["explain", &address, "--json"])?;
        ensure!(explained["verdict"] == "pass", "{explained}");
        Ok(explained["score"].clone())
    };
    wait_until("it to be suspicious", Duration::from_secs(30), || {
        Ok((score()?.as_u64() > Some(0)).then_some(()))
    })?;
    ensure!(netguard.blocked()?.is_empty(), "nobody is blocked for it");

    let listen = |port: &u16| TcpListener::bind((lab.victim.ip4, *port));
    let _services: Vec<TcpListener> = lab
        .victim
        .ns
        .enter(|| ASKED.iter().map(listen).collect::<std::io::Result<_>>())??;
    // A sweep may come in between: two ports are a service, and no probe.
    let taken_back = wait_until("it to be taken back", Duration::from_secs(20), || {
        let shown = netguard.json(&["campaigns", "show", "1", "--json"])?;
        Ok((!shown["taken_back"].is_null()).then_some(shown))
    })?;
    ensure!(
        taken_back["targets"] == json!([]) && taken_back["sources"] == json!([]),
        "{taken_back}"
    );
    let served = taken_back["served_since"].as_array().context("a list")?;
    ensure!(served.contains(&json!("tcp/22")), "{taken_back}");
    ensure!(score()? == 0, "{}", netguard.must(&["explain", &address])?);
    let remembered = netguard.json(&["reputation", "list", "--json"])?;
    ensure!(remembered["sources"] == json!([]), "{remembered}");
    let text = netguard.must(&["explain", &address])?;
    ensure!(!text.contains("campaign"), "{text}");
    ensure!(netguard.must(&["campaigns", "list"])?.contains("taken back"));
    let text = netguard.must(&["campaigns", "show", "1"])?;
    ensure!(text.contains("served since: tcp/22"), "{text}");
    let withdrawn = trail(&netguard, "what was taken back", is("campaign-withdrawn"))?;
    let withdrawn = one(&withdrawn, "campaign-withdrawn")?;
    ensure!(
        withdrawn["whole"] == true && withdrawn["sources"].as_u64() >= Some(48),
        "{withdrawn}"
    );
    Ok(())
}

/// Tells a source of it.
fn is_one_campaign(lab: &Lab, server: &Nginx, netguard: &Netguard<'_>, family: Family) -> Result<String> {
    give_addresses(lab, family)?;
    // As many of the same sources at a service that is there.
    ask(lab, family, &[80])?;
    ensure!(campaigns(netguard)?.is_empty(), "{:?}", campaigns(netguard)?);
    ask(lab, family, &ASKED)?;
    let campaign = wait_until("the campaign", Duration::from_secs(20), || {
        Ok(campaigns(netguard)?.into_iter().next())
    })?;
    ensure!(
        campaign["id"] == 1 && campaign["kind"] == "probing" && campaign["ended"].is_null(),
        "{campaign}"
    );
    ensure!(campaign["sources_seen"].as_u64() >= Some(48), "{campaign}");
    let targets: Vec<&Value> = campaign["targets"]
        .as_array()
        .context("a list")?
        .iter()
        .map(|target| &target["service"])
        .collect();
    ensure!(
        targets.len() == 3 && targets.iter().all(|target| *target != "tcp/80"),
        "{campaign}"
    );
    ensure!(campaign["joints"][0]["score"].as_u64() >= Some(70), "{campaign}");
    // One in eight is looked at, and each CPU begins anew.
    let [passed, looked_at] = ["passed", "looked_at"].map(|name| campaign[name].as_f64().unwrap_or(0.0));
    ensure!(
        looked_at >= 48.0 && (4.0..16.0).contains(&(passed / looked_at)),
        "{campaign}"
    );
    ensure!(campaigns(netguard)?.len() == 1 && attacks(netguard)?.is_empty());

    let source = campaign["sources"][0]["source"].as_str().context("a source")?;
    let address = source.split('/').next().context("an address")?;
    let explained = netguard.json(&["explain", address, "--json"])?;
    ensure!(explained["campaigns"] == json!([1]), "{explained}");
    ensure!(explained["verdict"] == "pass", "{explained}");
    let text = netguard.must(&["explain", address])?;
    ensure!(text.contains("campaign 1, which goes on"), "{text}");
    ensure!(
        netguard.blocked()?.is_empty() && server.curl(lab, family, "/")?.0 == 200,
        "nobody is blocked for it"
    );

    let text = netguard.must(&["campaigns", "list"])?;
    ensure!(text.contains("probing") && text.contains("goes on"), "{text}");
    let text = netguard.must(&["campaigns", "show", "1"])?;
    ensure!(
        text.contains("tcp/22") && text.contains("services: ") && text.contains("looked at: of "),
        "{text}"
    );
    // While it goes on it lasts until now, not until its last packet.
    let lasted_s = campaign["lasted_s"].as_u64();
    wait_until("it to last", Duration::from_secs(5), || {
        let shown = netguard.json(&["campaigns", "show", "1", "--json"])?;
        Ok((shown["id"] == 1 && shown["lasted_s"].as_u64() > lasted_s).then_some(()))
    })?;
    let begun = events(netguard, "campaign-begun")?;
    ensure!(
        begun.len() == 1 && begun[0]["author"]["name"] == "campaign",
        "{begun:?}"
    );
    let lines = trail(netguard, "the campaign", is("campaign-begun"))?;
    ensure!(one(&lines, "campaign-begun")?["kind"] == "probing");
    Ok(address.to_owned())
}

#[test]
fn a_campaign_that_is_not_known_is_an_error_in_words() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, ENDS_HERE)?;
    let output = netguard.cli(&["campaigns", "show", "7"])?;
    ensure!(output.status == 1, "{output:?}");
    ensure!(
        output.stderr.contains("no campaign has the number 7"),
        "{output:?}"
    );
    ensure!(netguard.cli(&["campaigns", "show", "x"])?.status == 2);
    ensure!(netguard.must(&["campaigns", "list"])?.contains("no campaign"));
    Ok(())
}

fn campaigns(netguard: &Netguard<'_>) -> Result<Vec<Value>> {
    let campaigns = netguard.json(&["campaigns", "list", "--json"])?;
    Ok(campaigns.as_array().context("a list")?.clone())
}

/// The attacker's source of this number: four in each IPv4 /24, or each in an IPv6 /48 of its own.
pub(crate) fn source(family: Family, number: u32) -> String {
    family.of(
        format!("198.18.{}.{}", number / 4, 10 + number % 4),
        format!("2001:db8:{:x}::7", 0x4000 + number),
    )
}

/// Gives the attacker all of them, and has answers find the way back.
pub(crate) fn give_addresses(lab: &Lab, family: Family) -> Result<()> {
    let bits = family.of(32, 128);
    let mut lines: Vec<String> = (0..SOURCES)
        .map(|number| format!("addr add {}/{bits} dev eth0", source(family, number)))
        .collect();
    if family == Family::V6 {
        lines.iter_mut().for_each(|line| line.push_str(" nodad"));
    }
    lab.attacker.ns.ip(&lines.join("\n"))?;
    let (network, gateway) = (
        family.of("198.18.0.0/16", "2001:db8:4000::/34"),
        lab.attacker.ip(family),
    );
    lab.switch.ip(&format!("route add {network} via {gateway}"))
}

/// Has each source begin a connection to each of `ports`, one after the other, and not wait for what comes of it.
fn ask(lab: &Lab, family: Family, ports: &[u16]) -> Result<()> {
    let victim: IpAddr = lab.victim.ip(family).parse()?;
    lab.attacker.ns.enter(|| -> Result<()> {
        let begun = Instant::now();
        for (round, port) in (0..).zip(ports) {
            for number in 0..SOURCES {
                let due = begun + Duration::from_secs(1) * (round * SOURCES + number) / PER_SECOND;
                wait_until("its turn", Duration::from_secs(5), || {
                    Ok((Instant::now() >= due).then_some(()))
                })?;
                drop(begin(
                    source(family, number).parse()?,
                    SocketAddr::new(victim, *port),
                )?);
            }
        }
        Ok(())
    })?
}

/// Begins a connection from one address, and does not wait for what comes of it.
pub(crate) fn begin(from: IpAddr, to: SocketAddr) -> Result<OwnedFd> {
    let family = match from {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Stream, flags, None)?;
    let own = SockaddrStorage::from(SocketAddr::new(from, 0));
    bind(socket.as_raw_fd(), &own).with_context(|| format!("binding {from}"))?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(error) => Err(error).with_context(|| format!("connecting from {from} to {to}")),
    }
}

/// What a replay of `frames` reports, the same each time.
fn replay(frames: impl IntoIterator<Item = (u64, Frame)>) -> Result<Value> {
    let file = tempfile::NamedTempFile::new()?;
    let mut writer = Writer::create(file.path(), ETHERNET)?;
    for (at_ns, frame) in frames {
        writer.frame(at_ns, &frame.build())?;
    }
    writer.end()?;
    let run = || {
        let mut command = std::process::Command::new(binary()?);
        let told = output(
            command
                .arg("replay")
                .arg(file.path())
                .args(["--json", "--server", "198.51.100.1"]),
            Duration::from_secs(120),
        )?;
        ensure!(told.status == 0, "{told:?}");
        Ok(told.stdout)
    };
    let told = run()?;
    ensure!(told == run()?, "the same capture is the same campaign");
    Ok(serde_json::from_str(&told)?)
}

/// Four hundred sources that ask for the ports in turn, with the answers of a server where nobody is there but at port 80.
fn asked(ports: &'static [u16]) -> impl Iterator<Item = (u64, Frame)> {
    const SERVER: &str = "198.51.100.1";
    (0..1_200_u32).flat_map(move |number| {
        let at_ns = u64::from(number) * SECOND / 20;
        let source = format!("20.{}.{}.1", number % 400 / 4, number % 4);
        let port = ports[(number / 400) as usize % ports.len()];
        let asks = frame().ipv4(&source, SERVER).tcp(4_000, port).flags("S").seq(7);
        let answer = frame().ipv4(SERVER, &source).tcp(port, 4_000);
        let answer = match port {
            80 => answer.flags("SA").seq(9).ack(8),
            _ => answer.flags("RA").seq(0).ack(8),
        };
        [(at_ns, asks), (at_ns + 1_000, answer)]
    })
}

#[test]
fn a_replay_tells_a_probe_that_no_single_source_shows_and_no_crowd() -> Result<()> {
    let told = replay(asked(&[22, 25, 110]))?;
    let campaigns = told["campaigns"].as_array().context("a list")?;
    ensure!(
        campaigns.len() == 1 && campaigns[0]["kind"] == "probing",
        "{told}"
    );
    ensure!(
        told["attacks"] == json!([]) && told["blocked"] == json!([]),
        "{told}"
    );
    for (ports, why) in [
        (&[80][..], "a crowd"),
        (&[8_080], "a service that is gone"),
        (&[80, 8_080], "both"),
    ] {
        let told = replay(asked(ports))?;
        ensure!(told["campaigns"] == json!([]), "{why}: {told}");
    }
    Ok(())
}

/// Five seconds of SYNs and of echo requests, each from 200 sources of its own, or from the same.
fn floods(are_same: bool) -> impl Iterator<Item = (u64, Frame)> {
    (0..75_000_u32).map(move |number| {
        let is_syn = number.is_multiple_of(3);
        let turn = number / 3 % 200;
        let first = if is_syn || are_same { 20 } else { 40 };
        let source = format!("{first}.{turn}.{}.1", turn / 7);
        let start = frame().ipv4(&source, "198.51.100.1");
        let at_ns = u64::from(number) * (SECOND / 15_000);
        match is_syn {
            true => (
                at_ns,
                start
                    .ttl(50 + (turn % 12) as u8)
                    .tcp(4_000, 80)
                    .flags("S")
                    .seq(number),
            ),
            false => (at_ns, start.ttl(90 + (turn % 12) as u8).icmp(8, 0).payload(9)),
        }
    })
}

#[test]
fn attacks_by_the_same_sources_are_one_campaign_in_a_replay() -> Result<()> {
    let told = replay(floods(true))?;
    let campaigns = told["campaigns"].as_array().context("a list")?;
    ensure!(
        campaigns.len() == 1 && campaigns[0]["kind"] == "attacks",
        "{told}"
    );
    ensure!(campaigns[0]["attacks"] == json!([1, 2]), "{told}");
    let attacks = told["attacks"].as_array().context("a list")?;
    ensure!(attacks.iter().all(|attack| attack["campaign"] == 1), "{told}");
    let kinds: Vec<&Value> = campaigns[0]["joints"][0]["evidence"]
        .as_array()
        .context("a list")?
        .iter()
        .map(|link| &link["kind"])
        .collect();
    ensure!(kinds.iter().any(|kind| *kind == "sources"), "{told}");

    let told = replay(floods(false))?;
    ensure!(
        told["attacks"]
            .as_array()
            .is_some_and(|attacks| attacks.len() == 2),
        "{told}"
    );
    ensure!(
        told["campaigns"] == json!([]),
        "the same moment is not enough: {told}"
    );
    Ok(())
}
