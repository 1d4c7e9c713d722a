//! Conversations over a real network: what was handed on, put together, is what was said.

mod ears;

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netguard::l7::Side;
use netguard_common::l7::{CLIENT_BYTES, HearingLimits, SERVER_BYTES};
use netguard_tests::{
    frames::{Frame, frame},
    lab::{Family, IFACE, Lab, send_frames, wait_until},
};

use ears::{Ears, Heard, PORT, Service, Talker};

const PLENTY: HearingLimits = HearingLimits::new(1_000_000, 1_000_000);
const SOON: Duration = Duration::from_secs(5);

/// What a client asks and a service answers, so many bytes each; none begins as TLS does.
fn exchange(ask: usize, answer: usize) -> (Vec<u8>, Vec<u8>) {
    let bytes = |len: usize, mark: u8| (0..len).map(|at| (at % 97) as u8 | mark).collect();
    (bytes(ask, 0x40), bytes(answer, 0x80))
}

/// Bytes that came, by turn: each side's in the order of what it said.
fn put_together(heard: &[Heard], side: Side) -> Vec<Vec<u8>> {
    let of_side = heard
        .iter()
        .filter(|segment| segment.from == side && !segment.bytes.is_empty());
    let first = of_side.clone().next().map_or(0, |segment| segment.turn_start);
    let mut turns: BTreeMap<u32, BTreeMap<u32, u8>> = BTreeMap::new();
    for segment in of_side {
        let turn = turns.entry(segment.turn_start.wrapping_sub(first)).or_default();
        let offset = segment.sequence.wrapping_sub(segment.turn_start);
        turn.extend((offset..).zip(segment.bytes.iter().copied()));
    }
    let whole = |turn: BTreeMap<u32, u8>| {
        let len = u32::try_from(turn.len()).unwrap_or(u32::MAX);
        // Without gaps.
        (turn.keys().last() == Some(&(len - 1))).then(|| turn.into_values().collect())
    };
    turns
        .into_values()
        .map(|turn| whole(turn).unwrap_or_default())
        .collect()
}

fn beginnings<'a>(said: impl Iterator<Item = &'a Vec<u8>>, limit: u32) -> Vec<Vec<u8>> {
    said.map(|bytes| bytes[..bytes.len().min(limit as usize)].to_vec())
        .collect()
}

#[test]
fn what_is_handed_on_is_what_was_said() -> Result<()> {
    let lab = Lab::new()?;
    let mut ears = Ears::open(&lab, PLENTY)?;
    let service = Service::start(&lab)?;
    for offload in ["off", "on"] {
        ears::offload(&lab, offload)?;
        for family in [Family::V4, Family::V6] {
            let small = [exchange(300, 100), exchange(200, 700), exchange(1, 1)];
            let large = [
                exchange(40_000, 60_000),
                exchange(2_000, 10),
                exchange(17_000, 300),
            ];
            // Byte by byte, in segments of a hundred, and as fast as it goes.
            for (exchanges, cut) in [(&small, 1), (&small, 100), (&large, 900), (&large, usize::MAX)] {
                let end = service.converse(&lab, family, exchanges, cut)?;
                let heard = ears.until_end(end)?;
                let what = format!("{} in pieces of {cut}, offload {offload}", family.name());
                let asked = beginnings(exchanges.iter().map(|pair| &pair.0), CLIENT_BYTES);
                let answered = beginnings(exchanges.iter().map(|pair| &pair.1), SERVER_BYTES);
                ensure!(put_together(&heard, Side::Client) == asked, "asked over {what}");
                ensure!(
                    put_together(&heard, Side::Server) == answered,
                    "answered over {what}"
                );
                ensure!(
                    heard
                        .iter()
                        .all(|segment| segment.is_whole && segment.weight == 1),
                    "{what}"
                );
                let server = ears::address(&lab, family)?;
                ensure!(
                    heard.iter().all(|segment| segment.ends.server == server),
                    "{what}"
                );
            }
        }
    }
    let counts = ears.listening.counts()?;
    ensure!(
        (counts.skipped, counts.broken, counts.lost) == (0, 0, 0),
        "{counts:?}"
    );
    ensure!(counts.turns == 2 * 2 * 4 * 3, "{counts:?}");
    // Other services are not listened to.
    ears.listening.watch_ports(&[1, u16::MAX])?;
    service.converse(&lab, Family::V4, &[exchange(10, 10)], usize::MAX)?;
    ensure!(ears.listening.counts()? == counts, "nobody minds that port");
    // Nor is an interface that is not kept.
    ears.listening.watch_ports(&[PORT])?;
    ears.listening.forget(|_| false);
    service.converse(&lab, Family::V4, &[exchange(10, 10)], usize::MAX)?;
    ensure!(ears.listening.counts()? == counts, "nobody listens");
    Ok(())
}

/// As on an interface that carries VLANs; the kernel of this laboratory may have no VLAN devices.
#[test]
fn tags_hide_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let mut ears = Ears::open(&lab, PLENTY)?;
    let towards = |tags: u8| {
        let start = frame().macs([2, 0, 0, 0, 0, 9], lab.victim.mac);
        tagged(start, tags)
    };
    let back = |tags: u8| tagged(frame().macs(lab.victim.mac, [2, 0, 0, 0, 0, 9]), tags);
    for (port, tags) in [(40_001, 1), (40_002, 2)] {
        let (client, server) = ("198.18.7.1", lab.victim.ip4);
        let answer = back(tags).ipv4(server, client).tcp(PORT, port);
        send_frames(
            &lab.victim.ns,
            IFACE,
            &[answer.clone().flags("SA").seq(99).ack(1000).build()],
        )?;
        let ask = towards(tags)
            .ipv4(client, server)
            .tcp(port, PORT)
            .flags("PA")
            .seq(1000)
            .ack(100);
        send_frames(&lab.attacker.ns, IFACE, &[ask.data(b"GET /").build()])?;
        let said = ears.wait_for(1)?;
        ensure!(
            said[0].bytes == b"GET /" && said[0].is_whole,
            "{tags} tags: {said:?}"
        );
        let data = answer.flags("PA").seq(100).ack(1005).data(b"HTTP/1.1").build();
        send_frames(&lab.victim.ns, IFACE, &[data])?;
        let said = ears.wait_for(1)?;
        ensure!(
            said[0].bytes == b"HTTP/1.1" && said[0].from == Side::Server,
            "{tags} tags: {said:?}"
        );
    }
    Ok(())
}

fn tagged(start: Frame, tags: u8) -> Frame {
    match tags {
        1 => start.vlan(20),
        _ => start.qinq(20, 30),
    }
}

#[test]
fn of_tls_little_is_handed_on_and_of_what_is_hushed_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let mut ears = Ears::open(&lab, PLENTY)?;
    let service = Service::start(&lab)?;
    let encrypted = |first: u8, len: usize| [vec![first], vec![3; len - 1]].concat();
    let exchanges = [
        (encrypted(22, 500), encrypted(22, 3000)),
        (encrypted(20, 80), encrypted(23, 300)),
        (encrypted(23, 900), encrypted(23, 9000)),
        (encrypted(23, 900), encrypted(23, 9000)),
    ];
    for family in [Family::V4, Family::V6] {
        let heard = ears.until_end(service.converse(&lab, family, &exchanges, usize::MAX)?)?;
        let lens = |side| {
            put_together(&heard, side)
                .iter()
                .map(Vec::len)
                .collect::<Vec<_>>()
        };
        ensure!(
            lens(Side::Client) == [500, 16] && lens(Side::Server) == [256],
            "{heard:?}"
        );

        let mut talker = Talker::connect(&lab, &service, family)?;
        talker.exchange(&exchange(10, 10))?;
        let ends = ears.wait_for(2)?[0].ends;
        ears.listening.hush(&ends)?;
        talker.exchange(&exchange(20, 20))?;
        let end = talker.end()?;
        let heard = ears.until_end(end)?;
        ensure!(
            heard
                .iter()
                .all(|segment| segment.is_last && segment.bytes.is_empty()),
            "{heard:?}"
        );
    }
    Ok(())
}

#[test]
fn turns_over_the_budget_are_counted() -> Result<()> {
    const TURNS: u64 = 200;
    let lab = Lab::new()?;
    let mut ears = Ears::open(&lab, HearingLimits::new(16, 16))?;
    let service = Service::start(&lab)?;
    let exchanges: Vec<_> = (0..TURNS).map(|_| exchange(30, 30)).collect();
    let heard = ears.until_end(service.converse(&lab, Family::V4, &exchanges, usize::MAX)?)?;
    let counts = ears.listening.counts()?;
    ensure!(
        counts.turns + counts.skipped == TURNS && counts.skipped > TURNS / 2,
        "{counts:?}"
    );
    let asked = heard
        .iter()
        .filter(|segment| segment.from == Side::Client && !segment.is_last);
    let weights: BTreeMap<u32, u32> = asked
        .map(|segment| (segment.turn_start, segment.weight))
        .collect();
    ensure!(weights.len() as u64 == counts.turns, "{weights:?}");
    let stands_for: u64 = weights.values().copied().map(u64::from).sum();
    ensure!((counts.turns..=TURNS).contains(&stands_for), "{weights:?}");
    // A turn has its answer with it.
    ensure!(put_together(&heard, Side::Server).len() as u64 == counts.turns);
    Ok(())
}

/// The daemon is not there, a connection is; then who listens joins in the middle.
#[test]
fn who_joins_late_hears_the_rest() -> Result<()> {
    let lab = Lab::new()?;
    let service = Service::start(&lab)?;
    let server = ears::address(&lab, Family::V4)?;
    let mut before = lab
        .client
        .ns
        .enter(|| TcpStream::connect_timeout(&server, SOON))??;
    before.write_all(b"said before")?;
    let mut ears = Ears::open(&lab, PLENTY)?;
    before.write_all(b"GET /")?;
    let heard = ears.wait_for(1)?;
    ensure!(heard[0].bytes == b"GET /" && !heard[0].is_whole, "{heard:?}");
    drop(service);
    // The service resets what it has not answered; that is the end of it for both.
    let mut rest = Vec::new();
    let _ = before.read_to_end(&mut rest);
    let mut heard = Vec::new();
    wait_until("the end of the connection", SOON, || {
        heard.extend(ears.drain());
        Ok(heard.iter().any(|segment| segment.is_last).then_some(()))
    })
    .with_context(|| format!("{heard:?}"))
}
