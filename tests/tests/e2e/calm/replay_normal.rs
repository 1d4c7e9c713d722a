//! What a replay makes of what is normal: learnt from a capture of peace, known when another begins.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use netguard_tests::frames::{Frame, frame};
use serde_json::Value;

use super::desk::{Desk, json, netguard};

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
/// When captures begin: a Wednesday.
const BEGIN: u64 = 1_800_000_000 * SECOND;
/// Long enough for what is learnt to be believed.
const PEACE_S: u64 = 330;
const SERVICES: u16 = 12;

/// A family of addresses.
#[derive(Clone, Copy)]
struct Net {
    is_v6: bool,
}

impl Net {
    fn client(self, number: u64) -> String {
        match self.is_v6 {
            false => format!("60.{}.{}.7", number / 256 % 256, number % 256),
            true => format!("2001:db8:{:x}::7", 1 + number % 60_000),
        }
    }

    fn server(self) -> &'static str {
        if self.is_v6 { "2001:db8::1" } else { "198.51.100.1" }
    }

    /// From client `number` to the server.
    fn arrives(self, number: u64) -> Frame {
        self.between(&self.client(number), self.server())
    }

    fn leaves(self, number: u64) -> Frame {
        self.between(self.server(), &self.client(number))
    }

    fn between(self, from: &str, to: &str) -> Frame {
        if self.is_v6 {
            frame().ipv6(from, to)
        } else {
            frame().ipv4(from, to)
        }
    }
}

/// For so many seconds each of the services is asked so often, and answers in peace.
fn datagrams(net: Net, seconds: u64, each_per_s: u64, answers: bool) -> Vec<(u64, Frame)> {
    let mut frames = Vec::new();
    for count in 0..seconds * each_per_s {
        let at_ns = BEGIN + count * SECOND / each_per_s;
        for service in 0..SERVICES {
            let client = count * 31 + u64::from(service);
            let client = if answers { client % 20 } else { client };
            let port = 4_000 + (client % 997) as u16;
            frames.push((at_ns, net.arrives(client).udp(port, 2_000 + service).payload(30)));
            if answers {
                frames.push((at_ns, net.leaves(client).udp(2_000 + service, port).payload(60)));
            }
        }
    }
    frames
}

/// For so many seconds so many clients a second connect to the web server, and go on.
fn clients(net: Net, seconds: u64, each_s: u64) -> Vec<(u64, Frame)> {
    let mut frames = Vec::new();
    for count in 0..seconds * each_s {
        let at_ns = BEGIN + count * SECOND / each_s;
        let (client, port) = (count % 5_000, 10_000 + (count / 5_000) as u16);
        let arrives = |flags, seq, ack| net.arrives(client).tcp(port, 80).flags(flags).seq(seq).ack(ack);
        let answer = net.leaves(client).tcp(80, port).flags("SA").seq(1_000).ack(8);
        frames.extend([
            (at_ns, arrives("S", 7, 0)),
            (at_ns + MS / 100, answer),
            (at_ns + MS / 10, arrives("A", 8, 1_001)),
            (at_ns + MS / 5, arrives("PA", 8, 1_001).payload(80)),
            (at_ns + MS / 4, arrives("A", 88, 1_001)),
            (at_ns + MS / 3, arrives("FA", 88, 1_001)),
        ]);
    }
    frames.sort_by_key(|(at_ns, _)| *at_ns);
    frames
}

/// What is learnt of `frames`, and where that is kept.
fn learn(desk: &Desk, frames: Vec<(u64, Frame)>) -> Result<String> {
    let normal = desk.path("normal.json").display().to_string();
    let report = json(&desk.capture("peace.pcap", frames)?, &["--learn", &normal])?;
    ensure!(
        report["attacks"] == Value::Array(Vec::new()) && report["learnt"]["learnt_s"].as_u64() >= Some(300),
        "{report}"
    );
    Ok(normal)
}

/// The first attack, or crowd, of `class`.
fn told<'a>(report: &'a Value, class: &str) -> Option<&'a Value> {
    let attacks = report["attacks"].as_array()?;
    attacks.iter().find(|attack| attack["class"] == class)
}

fn a_carpet_is_told_by_what_is_usual(net: Net) -> Result<()> {
    let desk = Desk::new()?;
    let normal = learn(&desk, datagrams(net, PEACE_S, 2, true))?;
    let carpet = desk.capture("carpet.pcap", datagrams(net, 8, 250, false))?;
    let without = json(&carpet, &[])?;
    ensure!(told(&without, "carpet-bombing").is_none(), "{without}");
    ensure!(
        without["normal"].is_null() && without["notes"].to_string().contains("--normal"),
        "{without}"
    );

    let with = json(&carpet, &["--normal", &normal])?;
    let attack = told(&with, "carpet-bombing").with_context(|| with.to_string())?;
    ensure!(attack["measures"][0]["measure"] == "limit", "{attack}");
    ensure!(with["normal"]["services"].as_u64() >= Some(12), "{with}");
    ensure!(with["notes"].to_string().contains(&normal), "{with}");
    ensure!(with["services"][0]["packets"] == 2_000, "{with}");

    // So two ways to respond differ.
    let off = desk.path("off.toml");
    fs::write(&off, "[response]\nlimits = \"off\"\n")?;
    let off = off.display().to_string();
    let args = ["--normal", &normal, "--compare", &off];
    let compared = json(&carpet, &args)?;
    let differences = compared["compared"]["differences"]["verdicts"].to_string();
    ensure!(differences.contains("limit-service"), "{differences}");
    for args in [&args[..2], &args, &["--normal", &normal, "--json"]] {
        let [first, second] = [netguard(&carpet, args)?, netguard(&carpet, args)?];
        ensure!(
            first.status == 0 && first.stdout == second.stdout,
            "{first:?}\n{second:?}"
        );
    }
    Ok(())
}

#[test]
fn a_carpet_is_told_by_what_is_usual_ipv4() -> Result<()> {
    a_carpet_is_told_by_what_is_usual(Net { is_v6: false })
}

#[test]
fn a_carpet_is_told_by_what_is_usual_ipv6() -> Result<()> {
    a_carpet_is_told_by_what_is_usual(Net { is_v6: true })
}

#[test]
fn a_crowd_is_told_by_what_is_usual() -> Result<()> {
    let desk = Desk::new()?;
    let net = Net { is_v6: false };
    let normal = learn(&desk, clients(net, PEACE_S, 5))?;
    let learnt = fs::read(&normal)?;
    let crowd = desk.capture("crowd.pcap", clients(net, 3, 600))?;
    let without = json(&crowd, &[])?;
    ensure!(told(&without, "flash-crowd").is_none(), "{without}");
    let with = json(&crowd, &["--normal", &normal])?;
    let told = told(&with, "flash-crowd").with_context(|| with.to_string())?;
    ensure!(told["harmful"] == false, "{told}");
    ensure!(
        with["services"][0]["service"] == "tcp/80" && with["services"][0]["served"] == true,
        "{with}"
    );
    // The same is learnt of the same.
    learn(&desk, clients(net, PEACE_S, 5))?;
    ensure!(fs::read(&normal)? == learnt, "what is learnt differs");
    Ok(())
}

#[test]
fn what_is_no_normal_file_is_told() -> Result<()> {
    let desk = Desk::new()?;
    let capture = desk.capture("some.pcap", clients(Net { is_v6: false }, 1, 5))?;
    let written = capture.display().to_string();
    let odd = desk.path("odd.json");
    let odd_name = odd.display().to_string();
    fs::write(&odd, "{\"kind\":\"netguard-normal\",\"version\":99}\n")?;
    for (args, part) in [
        (
            &["--normal", "/nowhere/normal.json"][..],
            "/nowhere/normal.json is not there",
        ),
        (&["--normal", &odd_name], "another version of netguard (form 99"),
        (
            &["--normal", &written],
            "some.pcap is not a file that netguard wrote",
        ),
        (&["--learn", &written], "left as it is"),
        (
            &["--learn", "/proc/nowhere/x"],
            "/proc/nowhere/x: what was learnt cannot be kept",
        ),
        (
            &["--normal", "live", "--instance", "no-such-instance"],
            "/var/lib/netguard/no-such-instance/normal.json is not there",
        ),
    ] {
        let answered = netguard(&capture, args)?;
        ensure!(
            answered.status == 1 && answered.stderr.contains(part),
            "{args:?}: {answered:?}"
        );
    }
    let both = netguard(&capture, &["--learn", "x", "--compare", "y"])?;
    ensure!(both.status == 2, "{both:?}");
    Ok(())
}
