//! `netguard replay`: what would have happened to a capture, the same each time, without an interface or a daemon.

use std::fs;

use anyhow::{Context as _, Result};
use netguard_tests::{
    frames::{Frame, frame},
    pcap::{ETHERNET, Writer},
};
use serde_json::Value;

use super::desk::{Desk, json, netguard};

const SERVER: &str = "198.51.100.1";
const SERVER6: &str = "2001:db8::1";
const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// Packets with the verdict `name`.
fn packets(report: &Value, name: &str) -> u64 {
    let verdicts = report["verdicts"].as_array().map_or(&[][..], Vec::as_slice);
    let found = verdicts.iter().find(|verdict| verdict["name"] == name);
    found.and_then(|verdict| verdict["packets"].as_u64()).unwrap_or(0)
}

/// SYNs from one source, 10,000 a second.
fn syn_flood(source: &'static str, server: &'static str, count: u64) -> impl Iterator<Item = (u64, Frame)> {
    (0..count).map(move |number| {
        let begun = if source.contains(':') {
            frame().ipv6(source, server)
        } else {
            frame().ipv4(source, server)
        };
        (
            number * SECOND / 10_000,
            begun.tcp(1024 + (number % 60_000) as u16, 80).flags("S"),
        )
    })
}

#[test]
fn a_flood_meets_the_limit_at_the_rate_of_the_capture() -> Result<()> {
    let desk = Desk::new()?;
    for (source, server) in [("192.0.2.1", SERVER), ("2001:db8:1::1", SERVER6)] {
        let file = desk.capture("flood.pcap", syn_flood(source, server, 20_000))?;
        let report = json(&file, &[])?;
        assert_eq!(report["packets"], 20_000);
        assert_eq!(report["servers"]["addresses"][0], server);
        assert_eq!(report["servers"]["guessed"], true);
        // The burst of 1000 passes, and 200 a second.
        let passed = packets(&report, "pass");
        assert!((1_200..=1_500).contains(&passed), "{passed} passed");
        assert_eq!(packets(&report, "limit-syn"), 20_000 - passed);
        assert!(
            report["top_sources"][0]["dropped"].as_u64() > Some(18_000),
            "{report}"
        );
        assert_eq!(report["timeline"].as_array().map(Vec::len), Some(2));
        let attacks = report["attacks"].as_array().context("attacks")?;
        assert_eq!(attacks.len(), 1, "{attacks:?}");
        assert_eq!(attacks[0]["class"], "syn-flood");
        // Nobody answered, so nobody is proven: a finding, and no block.
        assert_eq!(report["blocked"], Value::Array(Vec::new()));
        let finding = report["findings"][0]["outcome"].as_str().context("a finding")?;
        assert!(finding.contains("may be forged"), "{finding}");
        // The same at ten a second is no flood.
        let slow = json(&file, &["--speed", "0.001"])?;
        assert_eq!(packets(&slow, "pass"), 20_000, "{}", slow["verdicts"]);
        assert_eq!(slow["attacks"], Value::Array(Vec::new()));
        assert_eq!(
            slow["duration_ms"],
            report["duration_ms"].as_u64().unwrap_or(0) * 1000 + 900
        );
    }
    Ok(())
}

#[test]
fn the_same_replay_says_the_same_to_the_byte() -> Result<()> {
    let desk = Desk::new()?;
    let floods = (0..200_u64).flat_map(|tick| {
        (0..60_u8).map(move |host| {
            let source = format!("192.0.{}.{host}", host % 7);
            let at_ns = tick * 10 * MS + u64::from(host);
            (
                at_ns,
                frame()
                    .ipv4(&source, SERVER)
                    .udp(4000, 9000 + u16::from(host % 3))
                    .payload(20),
            )
        })
    });
    let floods: Vec<(u64, Frame)> = floods.collect();
    let repeated = floods.iter().chain(&floods).chain(&floods).cloned();
    let file = desk.capture("floods.pcap", repeated)?;
    let strict = desk.config("strict.toml", "[limit.udp]\nrate_per_s = 50\nburst = 60\n")?;
    for args in [
        &["-c", &strict, "--json"][..],
        &["-c", &strict],
        &["--compare", &strict],
    ] {
        let first = netguard(&file, args)?;
        let second = netguard(&file, args)?;
        assert_eq!((first.status, &first.stdout), (0, &second.stdout));
        for line in first.stdout.lines().filter(|_| !args.contains(&"--json")) {
            assert!(
                line.contains(file.to_str().unwrap_or("-")) || line.chars().count() <= 80,
                "{line}"
            );
        }
    }
    Ok(())
}

/// A connection that the capture shows from both sides, then a flood from the client; then the block ends.
#[test]
fn only_who_saw_the_servers_number_is_blocked() -> Result<()> {
    let desk = Desk::new()?;
    let client = "192.0.2.7";
    let arrives = || frame().ipv4(client, SERVER);
    let flood = |from_ns: u64| {
        (0..30_000_u64).map(move |number| {
            (
                from_ns + number * SECOND / 20_000,
                arrives().udp(4000, 9000).payload(9),
            )
        })
    };
    let late = (80 * SECOND, arrives().udp(4000, 9000).payload(9));
    let handshake = |acknowledged: u32| {
        [
            (0, arrives().tcp(5000, 80).flags("S").seq(7)),
            (
                MS,
                frame()
                    .ipv4(SERVER, client)
                    .tcp(80, 5000)
                    .flags("SA")
                    .seq(1000)
                    .ack(8),
            ),
            (
                2 * MS,
                arrives().tcp(5000, 80).flags("A").seq(8).ack(acknowledged),
            ),
        ]
    };
    let config = desk.config("low.toml", "[limit.udp]\nrate_per_s = 500\nburst = 500\n")?;
    for (acknowledged, blocked) in [(1001, true), (1002, false)] {
        let frames = handshake(acknowledged)
            .into_iter()
            .chain(flood(SECOND))
            .chain([late.clone()]);
        let file = desk.capture("proven.pcap", frames)?;
        let report = json(&file, &["-c", &config, "--server", SERVER])?;
        assert_eq!(report["honest"]["sources"], u64::from(blocked));
        assert_eq!(
            packets(&report, "block-address") > 5_000,
            blocked,
            "{}",
            report["verdicts"]
        );
        assert_eq!(
            report["blocked"].as_array().map(Vec::len),
            Some(usize::from(blocked))
        );
        let last = report["timeline"]
            .as_array()
            .and_then(|seconds| seconds.last())
            .cloned();
        let last = last.context("a timeline")?;
        assert_eq!(
            (&last["at_s"], &last["passed"]),
            (&Value::from(80), &Value::from(1)),
            "{last}"
        );
        if blocked {
            assert_eq!(report["blocked"][0]["prefix"], format!("{client}/32"));
            assert_eq!(report["blocked"][0]["verdict"], "limit-udp");
        }
    }
    Ok(())
}

#[test]
fn questions_of_the_server_let_answers_in() -> Result<()> {
    let desk = Desk::new()?;
    let resolver = "192.0.2.53";
    let question = frame()
        .ipv4(SERVER, resolver)
        .udp(40_000, 53)
        .data(&[1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let answer = |from: &str| {
        frame()
            .ipv4(from, SERVER)
            .udp(53, 40_000)
            .data(&[1, 2, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0])
    };
    let frames = [
        (0, question),
        (20 * MS, answer(resolver)),
        (30 * MS, answer("192.0.2.54")),
        (60 * SECOND, answer(resolver)),
    ];
    let file = desk.capture("dns.pcap", frames)?;
    let report = json(&file, &["--server", SERVER])?;
    assert_eq!(
        (packets(&report, "pass"), packets(&report, "reflection")),
        (1, 2),
        "{report}"
    );
    assert_eq!(report["skipped"][0]["reason"], "from-the-server");
    Ok(())
}

#[test]
fn two_configurations_are_compared() -> Result<()> {
    let desk = Desk::new()?;
    let file = desk.capture("flood.pcap", syn_flood("192.0.2.1", SERVER, 5_000))?;
    let list = desk.config("list.txt", "192.0.2.0/24\n")?;
    let feed = |file: &str| format!("[[feed]]\nname = \"bad\"\nfile = \"{file}\"\nmax_age = \"1h\"\n");
    let fed = desk.config("fed.toml", &feed(&list))?;
    let report = json(&file, &["--compare", &fed])?;
    let compared = &report["compared"];
    assert_eq!(packets(&compared["report"], "block-feed"), 5_000);
    let differences = compared["differences"]["verdicts"]
        .as_array()
        .context("differences")?;
    let names: Vec<&str> = differences
        .iter()
        .filter_map(|verdict| verdict["name"].as_str())
        .collect();
    assert_eq!(names, ["block-feed", "limit-syn", "pass"]);
    assert_eq!(compared["differences"]["passed"]["second"], 0);
    let text = netguard(&file, &["--compare", &fed])?.stdout;
    assert!(text.contains("DIFFERS") && text.contains("block-feed"), "{text}");
    // A list that is not there is told, and the rest holds.
    let gone = desk.config("gone.toml", &feed("/nowhere/list.txt"))?;
    let report = json(&file, &["-c", &gone])?;
    assert!(packets(&report, "limit-syn") > 0);
    let notes = report["notes"].to_string();
    assert!(notes.contains("/nowhere/list.txt"), "{notes}");
    Ok(())
}

#[test]
fn damaged_and_odd_captures_are_told() -> Result<()> {
    let desk = Desk::new()?;
    let file = desk.capture("whole.pcap", syn_flood("192.0.2.1", SERVER, 10))?;
    let whole = fs::read(&file)?;
    fs::write(&file, &whole[..whole.len() - 5])?;
    let answered = netguard(&file, &["--json"])?;
    assert_eq!(answered.status, 1, "{answered:?}");
    let report: Value = serde_json::from_str(&answered.stdout)?;
    assert_eq!(report["packets"], 9);
    assert!(answered.stderr.contains("after 9 frames"), "{}", answered.stderr);

    let empty = desk.capture("empty.pcap", [])?;
    let report = json(&empty, &[])?;
    assert_eq!(
        (&report["packets"], &report["frames"]),
        (&Value::from(0), &Value::from(0))
    );
    assert!(netguard(&empty, &[])?.stdout.contains("judged: nothing"));

    for (name, bytes, named) in [
        ("nothing.pcap", &b""[..], "it is empty"),
        (
            "text.pcap",
            b"this is no capture at all, but text",
            "neither pcap nor pcapng",
        ),
        ("capture.pcap.gz", b"\x1f\x8b\x08\x00", "gunzip"),
    ] {
        let path = desk.path(name);
        fs::write(&path, bytes)?;
        let answered = netguard(&path, &[])?;
        assert_eq!(answered.status, 1, "{name}");
        assert!(
            answered.stderr.contains(named) && answered.stderr.contains(name),
            "{answered:?}"
        );
    }
    assert_eq!(netguard(&desk.path("absent.pcap"), &[])?.status, 1);
    for args in [
        &["--speed", "0"][..],
        &["--server", "somebody"],
        &["--all", "--server", SERVER],
        &["-c", "/nowhere"],
    ] {
        assert_eq!(netguard(&empty, args)?.status, 2, "{args:?}");
    }
    Ok(())
}

/// Frames of another link layer, cut, out of order, years apart, and for others.
#[test]
fn what_is_odd_about_frames_is_counted() -> Result<()> {
    let desk = Desk::new()?;
    let path = desk.path("odd.pcap");
    let mut writer = Writer::create(&path, ETHERNET)?;
    let datagram = frame()
        .ipv4("192.0.2.1", SERVER)
        .udp(4000, 9000)
        .payload(1000)
        .build();
    let elsewhere = frame().ipv4("192.0.2.1", "192.0.2.99").udp(4000, 9000).build();
    writer.frame(SECOND, &datagram)?;
    writer.cut(2 * SECOND, &datagram, 60)?;
    writer.cut(2 * SECOND, &datagram, 30)?;
    writer.frame(SECOND, &datagram)?;
    writer.frame(3 * SECOND, &elsewhere)?;
    writer.frame(3 * SECOND, &frame().arp().build())?;
    writer.frame(3 * SECOND, &datagram[..13])?;
    writer.frame(100_000_000 * SECOND, &datagram)?;
    writer.end()?;
    let report = json(&path, &["--server", SERVER])?;
    assert_eq!(
        (packets(&report, "pass"), &report["packets"]),
        (4, &Value::from(4)),
        "{report}"
    );
    assert_eq!(
        (&report["cut"], &report["backwards"]),
        (&Value::from(1), &Value::from(1))
    );
    let skipped = report["skipped"].as_array().context("skipped")?;
    let mut reasons: Vec<&str> = skipped
        .iter()
        .filter_map(|skip| skip["reason"].as_str())
        .collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        ["headers-cut", "not-for-the-server", "not-ip", "short-link-layer"]
    );
    assert_eq!(packets(&json(&path, &["--all"])?, "pass"), 5);

    let raw = desk.path("raw.pcap");
    let mut writer = Writer::create(&raw, 101)?;
    writer.frame(0, &datagram[14..])?;
    writer.end()?;
    let report = json(&raw, &[])?;
    assert_eq!(
        (packets(&report, "pass"), &report["link_types"][0]["name"]),
        (1, &Value::from("raw IP"))
    );
    let bytes = report["verdicts"][0]["bytes"].as_u64();
    assert_eq!(bytes, Some(datagram.len() as u64));
    Ok(())
}
