//! Attacks that no limit sees, and that only what is usual here tells: a little for many services at once, connections that are kept by few, and
//! by many; and a crowd of clients, which is none. Five minutes must be learnt before, so the tests begin with a file that the library made.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use netguard::{
    clock::wall_clock_s,
    daemon::write_normal,
    engine::{
        Controller, Features, Learnt,
        feature::{Connections, ServiceFeatures},
        observe,
    },
};
use netguard_common::telemetry::Kind;
use netguard_tests::{
    frames::frame,
    lab::{Family, Felt, Flood, Honest, IFACE, Lab, Netguard, ROUTER_MAC, crowd, growth, wait_until},
};
use serde_json::Value;

use crate::{
    attacks::attacks,
    calm::campaigns::{SOURCES, begin, give_addresses, source},
    lab, protect,
};

/// Services beside the web server, which get some packets a second.
const SERVICES: std::ops::Range<u16> = 5_001..5_013;
/// Connections that are kept, and how many begin in a second: no more than what is usual.
const KEPT: u32 = 480;
const PER_SECOND: u32 = 120;
/// Addresses of the victim beside its own.
const MORE: [&str; 2] = ["203.0.113.11/24", "2001:db8:3::11/64"];

/// Has the daemon that begins next know what is usual for a server of sixty clients that are connected, and some services that get little.
fn prepare(lab: &Lab) -> Result<()> {
    let mut controller = Controller::new(Learnt::new(7));
    for second in 1..=400_u64 {
        let service = |(name, packets, opening): (String, f64, f64)| ServiceFeatures {
            service: name,
            packets,
            bytes: 100.0 * packets,
            opening,
            ..ServiceFeatures::default()
        };
        let few = SERVICES.map(|port| (format!("udp/{port}"), (second % 3) as f64, 0.0));
        let web = ("tcp/80".to_owned(), 400.0, 60.0);
        let mut features = Features {
            at_ns: second * 1_000_000_000,
            length_ns: 1_000_000_000,
            services: few.chain([web]).map(service).collect(),
            sources: Some(20.0 + (second % 3) as f64),
            connections: Some(Connections {
                established: 60.0 + (second % 9) as f64,
                ..Connections::default()
            }),
            ..Features::default()
        };
        features.kinds[Kind::Syn as usize] = 60.0 + (second % 7) as f64;
        features.kinds[Kind::Ack as usize] = 330.0 + (second % 5) as f64;
        features.kinds[Kind::Udp as usize] = 12.0 + (second % 3) as f64;
        let nobody = observe(&[], &[], &[], 0, features.at_ns, features.length_ns);
        controller.tick(&features, &nobody, &BTreeMap::new());
        controller.second(&features);
    }
    let file = Path::new("/var/lib/netguard").join(&lab.name).join("normal.json");
    let now_s = wall_clock_s().context("a clock")?;
    Ok(write_normal(&file, controller.learnt(), now_s)?)
}

/// The attack under way is of `class` and the only one.
fn recognised(netguard: &Netguard<'_>, class: &str) -> Result<Value> {
    let told = wait_until(class, Duration::from_secs(10), || {
        Ok(attacks(netguard)?.into_iter().next())
    })?;
    ensure!(told["class"] == class && told["harmful"] == true, "{told}");
    let evidence = told["evidence"].as_array().context("there is evidence")?;
    let usual = |evidence: &Value| evidence["usual"].is_number();
    ensure!(evidence.iter().any(usual), "{told}");
    Ok(told)
}

/// It is over, there was no other, and nobody felt anything of it or of what was done.
fn over(netguard: &Netguard<'_>, class: &str, honest: &Felt) -> Result<()> {
    ensure!(honest.success() > 0.99, "{honest:?}");
    ensure!(netguard.blocked()?.is_empty(), "nobody is blocked for it");
    wait_until("it to be over", Duration::from_secs(25), || {
        let told = attacks(netguard)?;
        Ok(told.iter().all(|attack| !attack["ended"].is_null()).then_some(()))
    })?;
    let told = attacks(netguard)?;
    ensure!(told.len() == 1 && told[0]["class"] == class, "{told:?}");
    Ok(())
}

#[test]
fn a_carpet_over_many_ports_and_addresses_is_recognised() -> Result<()> {
    const CLASS: &str = "carpet-bombing";
    let (lab, _server) = lab()?;
    prepare(&lab)?;
    let lines = MORE.map(|address| format!("addr add {address} dev {IFACE}"));
    lab.victim.ns.ip(&lines.join("\n"))?;
    let listen = |port| UdpSocket::bind(("::", port));
    let _services: Vec<UdpSocket> = lab
        .victim
        .ns
        .enter(|| SERVICES.map(listen).collect::<std::io::Result<_>>())??;
    let netguard = protect(&lab, "")?;
    let honest = Honest::start(&lab, Family::V4, 20)?;
    // To each of them less than to the web server, by a thousand sources of both families.
    let flood = Flood::paced(&lab, &carpet(&lab), Duration::from_micros(300))?;
    let told = recognised(&netguard, CLASS)?;
    let services = told["evidence"][0]["value"].as_f64();
    ensure!(services >= Some(8.0), "{told}");
    // No limit saw it but the one that each service has because of it, which begins no other attack, and does not make this one seem over.
    wait_until(
        "each service to be held for longer than silence takes",
        Duration::from_secs(30),
        || {
            let drops = netguard.drops()?;
            Ok((drops["limit-service"] > 36_000).then_some(()))
        },
    )?;
    let mut drops = netguard.drops()?;
    drops.remove("limit-service");
    ensure!(drops.values().all(|&dropped| dropped == 0), "{drops:?}");
    let going = attacks(&netguard)?;
    ensure!(going.len() == 1 && going[0]["ended"].is_null(), "{going:?}");
    flood.stop()?;
    let felt = honest.stop_after(60)?;
    over(&netguard, CLASS, &felt)
}

/// Datagrams to all services at all addresses.
fn carpet(lab: &Lab) -> Vec<Vec<u8>> {
    let start = || frame().macs(lab.attacker.mac, ROUTER_MAC);
    let frames = (0..1_008_u16).map(|number| {
        let port = SERVICES.start + number % SERVICES.len() as u16;
        let host = number / 2;
        let start = match number / SERVICES.len() as u16 % 4 {
            0 => start().ipv4(
                &format!("198.18.{}.{}", host / 250, 1 + host % 250),
                lab.victim.ip4,
            ),
            1 => start().ipv4(
                &format!("198.18.{}.{}", host / 250, 1 + host % 250),
                "203.0.113.11",
            ),
            2 => start().ipv6(&format!("2001:db8:66:{host:x}::1"), lab.victim.ip6),
            _ => start().ipv6(&format!("2001:db8:66:{host:x}::1"), "2001:db8:3::11"),
        };
        start.udp(20_000 + number, port).payload(64).build()
    });
    frames.collect()
}

#[test]
fn connections_that_few_keep_are_exhaustion_ipv6() -> Result<()> {
    const CLASS: &str = "connection-exhaustion";
    let (lab, _server) = lab()?;
    prepare(&lab)?;
    let netguard = protect(&lab, "")?;
    let honest = Honest::start(&lab, Family::V6, 20)?;
    let own: IpAddr = lab.attacker.ip6.parse()?;
    let kept = keep(&lab, Family::V6, |_| own)?;
    let told = recognised(&netguard, CLASS)?;
    ensure!(told["evidence"][0]["value"].as_f64() >= Some(200.0), "{told}");
    let felt = honest.stop_after(100)?;
    // It goes on for as long as they stand, though nothing is sent.
    ensure!(attacks(&netguard)?[0]["ended"].is_null());
    drop(kept);
    over(&netguard, CLASS, &felt)
}

#[test]
fn connections_that_many_keep_and_hardly_use_are_low_and_slow_ipv4() -> Result<()> {
    const CLASS: &str = "low-and-slow";
    let (lab, _server) = lab()?;
    prepare(&lab)?;
    give_addresses(&lab, Family::V4)?;
    let netguard = protect(&lab, "")?;
    let honest = Honest::start(&lab, Family::V4, 20)?;
    let sources: Vec<IpAddr> = (0..SOURCES)
        .map(|number| Ok(source(Family::V4, number).parse()?))
        .collect::<Result<_>>()?;
    let mut kept = keep(&lab, Family::V4, |number| sources[(number % SOURCES) as usize])?;
    let told = recognised(&netguard, CLASS)?;
    let sources = told["evidence"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|evidence| evidence["what"] == "sources/s");
    ensure!(sources.is_some(), "{told}");
    // Each says one more word of its request now and then.
    drip(&mut kept, Duration::from_secs(4))?;
    ensure!(attacks(&netguard)?[0]["ended"].is_null());
    let felt = honest.stop_after(100)?;
    drop(kept);
    over(&netguard, CLASS, &felt)
}

/// Connections of the attacker to the web server, of the source that `from` says for each.
fn keep(lab: &Lab, family: Family, from: impl Fn(u32) -> IpAddr + Sync) -> Result<Vec<TcpStream>> {
    let victim: IpAddr = lab.victim.ip(family).parse()?;
    lab.attacker.ns.enter(|| {
        let begun = Instant::now();
        let kept = (0..KEPT).map(|number| {
            let due = begun + Duration::from_secs(1) * number / PER_SECOND;
            wait_until("its turn", Duration::from_secs(5), || {
                Ok((Instant::now() >= due).then_some(()))
            })?;
            begin(from(number), SocketAddr::new(victim, 80)).map(TcpStream::from)
        });
        kept.collect()
    })?
}

/// Has each send a byte of a request that never ends, in turn, once in `period`.
fn drip(kept: &mut [TcpStream], period: Duration) -> Result<()> {
    let begun = Instant::now();
    for (number, stream) in (0..).zip(kept.iter_mut()) {
        let due = begun + period * number / KEPT;
        wait_until("its turn", Duration::from_secs(5), || {
            Ok((Instant::now() >= due).then_some(()))
        })?;
        stream.write_all(b"G").context("the server ended a connection")?;
    }
    Ok(())
}

#[test]
fn a_flash_crowd_is_told_and_served_ipv4() -> Result<()> {
    is_served(Family::V4)
}

#[test]
fn a_flash_crowd_is_told_and_served_ipv6() -> Result<()> {
    is_served(Family::V6)
}

/// Clients a second, ten times as many as are usual. Each of their addresses stays below every limit.
const CROWD: u32 = 600;
const CROWD_STAYS: Duration = Duration::from_secs(8);

/// A crowd is told for what it is, and nothing is done about it: all are answered, as is who was there before.
fn is_served(family: Family) -> Result<()> {
    let (lab, _server) = lab()?;
    prepare(&lab)?;
    give_addresses(&lab, family)?;
    let netguard = protect(&lab, "")?;
    let honest = Honest::start(&lab, family, 20)?;
    let victim: IpAddr = lab.victim.ip(family).parse()?;
    let sources: Vec<IpAddr> = (0..SOURCES)
        .map(|number| Ok(source(family, number).parse()?))
        .collect::<Result<_>>()?;
    let before = netguard.drops()?;
    let (told, came) = std::thread::scope(|scope| {
        let attacker = &lab.attacker.ns;
        let come = || attacker.enter(|| crowd(&sources, victim, CROWD, CROWD_STAYS));
        let coming = scope.spawn(come);
        let told = wait_until("the crowd to be told", Duration::from_secs(10), || {
            Ok(attacks(&netguard)?.into_iter().next())
        });
        (told, coming.join())
    });
    let came = came.map_err(|_| anyhow::anyhow!("the crowd panicked"))???;
    let told = told?;
    ensure!(
        told["class"] == "flash-crowd" && told["harmful"] == false,
        "{told}"
    );
    let evidence = &told["evidence"][0];
    ensure!(
        evidence["what"] == "connections/s to tcp/80" && evidence["usual"].as_f64() > Some(20.0),
        "{told}"
    );
    // Nothing is done about it, nobody is refused for it, and no other name is given to it.
    let felt = honest.stop_after(100)?;
    let told = attacks(&netguard)?;
    ensure!(told.len() == 1 && told[0]["class"] == "flash-crowd", "{told:?}");
    let response = &told[0]["response"];
    ensure!(
        response["measures"].as_array().is_some_and(Vec::is_empty),
        "{response}"
    );
    ensure!(netguard.blocked()?.is_empty(), "{:?}", netguard.blocked()?);
    let refused = growth(&before, &netguard.drops()?);
    // A segment that comes late, behind the end of its connection, is of none.
    ensure!(refused.values().sum::<u64>() < 20, "{refused:?}");
    ensure!(came.served * 100 >= came.began * 99, "{came:?}");
    ensure!(felt.success() > 0.99, "{felt:?}");
    let text = netguard.must(&["attacks", "list"])?;
    ensure!(text.contains("flash-crowd"), "{text}");
    Ok(())
}
