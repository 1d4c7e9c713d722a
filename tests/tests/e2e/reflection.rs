//! Services all over the world answer to the victim, which did not ask; what it does ask is answered all the same.

use std::{
    net::{SocketAddr, UdpSocket},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use netguard_tests::{
    frames::{Frame, frame},
    lab::{
        BIG_NAME, Dig, Family, Flood, IFACE, Lab, ROUTER_MAC, SMALL_NAME, Unbound, Verdicts, egress_programs,
        growth, send_frames, wait_until,
    },
};

use crate::protect;

/// A port of the victim that its kernel does not choose for who asks: there is no grace for it at the start.
pub(crate) const PORT: u16 = 20_123;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Answers as amplifiers send them: the port that they come from, and how they begin.
const ANSWERS: [(u16, &[u8]); 5] = [
    (53, &[0x12, 0x34, 0x81, 0x80, 0, 1, 0, 20, 0, 0, 0, 1]),
    (123, &[0xd7, 0, 3, 0x2a, 0, 6, 0, 72]),
    (389, &[0x30, 0x84, 0, 0, 0, 0x9d, 2, 1, 1, 0x64]),
    (1900, b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\n"),
    (11_211, &[0, 0, 0, 0, 5, 0x78, 0, 0, b'V', b'A', b'L']),
];

#[test]
fn own_questions_are_answered_during_a_reflection_ipv4() -> Result<()> {
    own_questions_are_answered(Family::V4)
}

#[test]
fn own_questions_are_answered_during_a_reflection_ipv6() -> Result<()> {
    own_questions_are_answered(Family::V6)
}

fn own_questions_are_answered(family: Family) -> Result<()> {
    let lab = Lab::new()?;
    let mut name_server = Unbound::start(&lab, &lab.client)?;
    let mut service = Unbound::start(&lab, &lab.victim)?;
    let mut netguard = protect(&lab, "")?;
    let before = netguard.stats()?;
    let flood = Flood::by_trafgen(&lab, &reflected(&lab, family))?;
    asks_and_answers(&lab, family)?;
    // The kernel goes on without the daemon, and with the next one.
    netguard.kill9();
    asks_and_answers(&lab, family)?;
    netguard.restart()?;
    asks_and_answers(&lab, family)?;
    let sent = flood.stop()?.packets;
    let grown = growth(&before, &netguard.stats()?);
    println!("{}: {sent} sent, {grown:?}", family.name());
    mostly_refused(&grown, 99)?;
    ensure!(egress_programs(&lab.victim.ns, IFACE)?.len() == 1);
    netguard.must(&["detach"])?;
    ensure!(egress_programs(&lab.victim.ns, IFACE)?.is_empty());
    name_server.must_run()?;
    service.must_run()
}

/// At least that part of what arrived was refused, in per cent. The switch may lose some of a flood before it arrives.
fn mostly_refused(grown: &Verdicts, percent: u64) -> Result<()> {
    let (refused, arrived) = (grown["reflection"], grown.values().sum::<u64>());
    ensure!(refused > 5_000, "no flood: {grown:?}");
    ensure!(refused * 100 >= arrived * percent, "{grown:?}");
    Ok(())
}

/// The victim asks a name server and a time server; and answers as a name server itself, whichever port it is asked from.
fn asks_and_answers(lab: &Lab, family: Family) -> Result<()> {
    for _ in 0..5 {
        Dig::from(&lab.victim).ask(&lab.client, family, SMALL_NAME)?;
        let len = Dig::from(&lab.victim).ask(&lab.client, family, BIG_NAME)?;
        ensure!(len > 3_000, "{len} bytes are no answer in three fragments");
        for port in [0, 53, 11_211] {
            Dig::from(&lab.client)
                .port(port)
                .ask(&lab.victim, family, SMALL_NAME)
                .with_context(|| format!("from port {port}"))?;
        }
        synchronise(lab, family)?;
    }
    Ok(())
}

/// A client of NTP and its server. The client's socket is not connected: only its question speaks for the answer.
pub(crate) fn synchronise(lab: &Lab, family: Family) -> Result<()> {
    let exchange = Exchange::begin(lab, lab.victim.ip(family), PORT, lab.client.ip(family))?;
    exchange.end()
}

/// A question that the victim has asked the client, and that is not answered yet.
pub(crate) struct Exchange {
    pub(crate) asking: UdpSocket,
    server: UdpSocket,
    from: SocketAddr,
}

impl Exchange {
    /// The victim asks from `own` and `port`, the client takes the question at `peer`.
    pub(crate) fn begin(lab: &Lab, own: &str, port: u16, peer: &str) -> Result<Self> {
        let bind = |host: &str, port: u16| UdpSocket::bind((host, port)).context("binding a socket");
        let server = lab.client.ns.enter(|| bind(peer, 123))??;
        let asking = lab.victim.ns.enter(|| bind(own, port))??;
        for socket in [&server, &asking] {
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        }
        asking.send_to(&[0x23; 48], server.local_addr()?)?;
        let (_, from) = server.recv_from(&mut [0; 48]).context("no question came")?;
        Ok(Self { asking, server, from })
    }

    /// The answer comes, or that is an error.
    pub(crate) fn end(self) -> Result<()> {
        self.server.send_to(&[0x24; 48], self.from)?;
        self.asking.recv_from(&mut [0; 48]).context("no answer came")?;
        Ok(())
    }
}

/// Answers from many amplifiers, among them the name server that the victim uses, to all kinds of ports of the victim.
pub(crate) fn reflected(lab: &Lab, family: Family) -> Vec<Vec<u8>> {
    let amplifiers = (0..60).map(|number| match (number, family) {
        (0, _) => lab.client.ip(family).to_owned(),
        (_, Family::V4) => format!("198.18.7.{number}"),
        (_, Family::V6) => format!("2001:db8:77:{number:x}::53"),
    });
    let mut frames = Vec::new();
    for (amplifier, to) in amplifiers.zip([53, 80, 123, 443, 33_000, 40_000, 50_000].into_iter().cycle()) {
        for (from, begin) in ANSWERS {
            frames.push(
                from_afar(lab, &amplifier)
                    .udp(from, to)
                    .data(&[begin, &[0x55; 400]].concat())
                    .build(),
            );
        }
    }
    frames
}

/// A frame for the victim that has crossed routers.
fn from_afar(lab: &Lab, source: &str) -> Frame {
    let start = frame().macs(lab.attacker.mac, ROUTER_MAC);
    match source.contains(':') {
        true => start.ipv6(source, lab.victim.ip6).ttl(51),
        false => start.ipv4(source, lab.victim.ip4).ttl(51),
    }
}

/// Amplifiers send their answers in pieces; nobody can tell to which question a later one belongs.
#[test]
fn a_flood_of_later_fragments_is_cut_and_own_answers_are_put_together() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let _name_server = Unbound::start(&lab, &lab.client)?;
        let netguard = protect(&lab, "reflection.fragments = { rate_per_s = 50, burst = 100 }")?;
        let frames: Vec<Vec<u8>> = (1..200)
            .map(|number| {
                let source = family.of(
                    format!("198.18.7.{number}"),
                    format!("2001:db8:77:{number:x}::53"),
                );
                let begun = from_afar(&lab, &source).fragment(1480, number % 2 == 0);
                begun.protocol(17).payload(800).build()
            })
            .collect();
        let before = netguard.stats()?;
        let flood = Flood::by_trafgen(&lab, &frames)?;
        for _ in 0..10 {
            let len = Dig::from(&lab.victim).ask(&lab.client, family, BIG_NAME)?;
            ensure!(len > 3_000, "{len} bytes");
        }
        let sent = flood.stop()?.packets;
        let grown = growth(&before, &netguard.stats()?);
        println!("{}: {sent} sent, {grown:?}", family.name());
        mostly_refused(&grown, 95)?;
    }
    Ok(())
}

/// Who asks everybody on the link is answered by somebody whom they did not name.
#[test]
fn questions_to_everybody_are_answered_from_the_link_only() -> Result<()> {
    let lab = Lab::new()?;
    let netguard = protect(&lab, "")?;
    let asking = lab.victim.ns.enter(|| -> Result<UdpSocket> {
        let socket = UdpSocket::bind((lab.victim.ip4, PORT))?;
        socket.send_to(b"M-SEARCH * HTTP/1.1\r\n\r\n", "239.255.255.250:1900")?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        Ok(socket)
    })??;
    let answer = |ttl: u8| {
        let near = frame().macs(lab.attacker.mac, lab.victim.mac);
        let near = near.ipv4("203.0.113.77", lab.victim.ip4).ttl(ttl);
        near.udp(1900, PORT).data(&[ttl]).build()
    };
    let before = netguard.stats()?;
    send_frames(&lab.attacker.ns, IFACE, &[answer(51), answer(64)])?;
    let mut byte = [0];
    asking.recv_from(&mut byte).context("no answer came")?;
    ensure!(byte == [64], "an answer from afar came");
    wait_until("the other to be counted", Duration::from_secs(5), || {
        Ok(growth(&before, &netguard.stats()?).get("reflection").copied())
    })?;
    Ok(())
}

#[test]
fn a_shadow_counts_and_off_does_not_watch() -> Result<()> {
    let lab = Lab::new()?;
    let mut netguard = protect(&lab, "reflection.mode = \"shadow\"")?;
    let port = lab
        .victim
        .ns
        .enter(|| UdpSocket::bind((lab.victim.ip4, PORT)))??;
    port.set_read_timeout(Some(Duration::from_secs(2)))?;
    let answer = from_afar(&lab, "198.18.7.9")
        .udp(11_211, PORT)
        .payload(20)
        .build();
    send_frames(&lab.attacker.ns, IFACE, std::slice::from_ref(&answer))?;
    port.recv_from(&mut [0; 64]).context("a shadow dropped it")?;
    let counted = wait_until("it to be counted", Duration::from_secs(5), || {
        let stats = netguard.must(&["stats"])?;
        Ok(stats.contains("reflection").then_some(stats))
    })?;
    ensure!(counted.contains("shadow"), "{counted}");
    netguard.stop()?;

    let config = lab.dir.path().join("netguard.toml");
    std::fs::write(&config, "reflection.mode = \"off\"\n")?;
    netguard.restart()?;
    ensure!(egress_programs(&lab.victim.ns, IFACE)?.is_empty());
    ensure!(
        Path::new(&netguard.pins())
            .join("egress")
            .read_dir()?
            .next()
            .is_none()
    );
    Ok(())
}
