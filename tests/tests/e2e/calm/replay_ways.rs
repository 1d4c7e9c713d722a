//! Whom frames of a capture are for, where nobody says so, and what its honest sources lose.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Result, ensure};
use netguard_tests::{
    frames::{Frame, frame},
    lab::{Output, binary, output},
    pcap::{ETHERNET, Writer},
};
use serde_json::{Value, json};

const MS: u64 = 1_000_000;

fn replay(frames: impl IntoIterator<Item = (u64, Frame)>, args: &[&str]) -> Result<Output> {
    let file = tempfile::NamedTempFile::new()?;
    let mut writer = Writer::create(file.path(), ETHERNET)?;
    for (at_ns, frame) in frames {
        writer.frame(at_ns, &frame.build())?;
    }
    writer.end()?;
    run(file.path(), args)
}

fn run(file: &Path, args: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary()?);
    command.arg("replay").arg(file).args(args);
    let told = output(&mut command, Duration::from_secs(120))?;
    ensure!(told.status == 0, "{args:?}: {told:?}");
    Ok(told)
}

fn report(frames: impl IntoIterator<Item = (u64, Frame)>, args: &[&str]) -> Result<Value> {
    let told = replay(frames, &[args, &["--json"]].concat())?;
    Ok(serde_json::from_str(&told.stdout)?)
}

/// Machines that ask for an address, all at once.
fn askers() -> impl Iterator<Item = (u64, Frame)> {
    let asking = || {
        frame()
            .ipv4("0.0.0.0", "255.255.255.255")
            .udp(68, 67)
            .payload(244)
    };
    (0..10_000).map(move |_| (0, asking()))
}

#[test]
fn what_goes_to_everybody_is_judged_where_nothing_goes_to_a_host() -> Result<()> {
    let told = report(askers(), &[])?;
    assert_eq!(told["packets"], 10_000, "{told}");
    assert_eq!(
        told["servers"],
        json!({"addresses": [], "guessed": true, "all": true})
    );
    assert_eq!(told["attacks"][0]["class"], "udp-flood");
    let text = replay(askers(), &[])?.stdout;
    assert!(text.contains("since no frame goes to a host"), "{text}");
    // Beside a host's own traffic it is not.
    let host = frame()
        .ipv4("192.0.2.1", "198.51.100.1")
        .udp(4_000, 9_999)
        .payload(9);
    let told = report(askers().chain([(MS, host)]), &[])?;
    assert_eq!(
        (&told["packets"], &told["servers"]["all"]),
        (&1.into(), &false.into())
    );
    Ok(())
}

#[test]
fn a_server_that_is_asked_over_both_families_has_an_address_of_each() -> Result<()> {
    let asked = |at_ms: u64, is_v6: bool| {
        let arriving = match is_v6 {
            true => frame().ipv6("2001:db8:9::7", "2001:db8::1"),
            false => frame().ipv4("192.0.2.1", "198.51.100.1"),
        };
        (at_ms * MS, arriving.udp(4_000, 9_999).payload(9))
    };
    let told = report((0..30).map(|number| asked(number, number % 3 == 0)), &[])?;
    let both = json!(["198.51.100.1", "2001:db8::1"]);
    assert_eq!(
        (&told["servers"]["addresses"], &told["packets"]),
        (&both, &30.into())
    );
    // Hardly anything over the other: it may be anybody's.
    let told = report((0..30).map(|number| asked(number, number % 9 == 0)), &[])?;
    assert_eq!(told["servers"]["addresses"], json!(["198.51.100.1"]));
    Ok(())
}

#[test]
fn what_named_sources_lose_is_told_though_they_never_connect() -> Result<()> {
    // Both send echo requests at ten times their limit.
    let pings = |number: u64| {
        let source = ["192.0.2.7", "203.0.113.7"][(number % 2) as usize];
        (
            number * 2 * MS,
            frame().ipv4(source, "198.51.100.1").icmp(8, 0).payload(9),
        )
    };
    let told = report((0..1_000).map(pings), &["--honest", "192.0.2.0/24"])?;
    assert_eq!(
        (&told["honest"]["packets"], &told["honest"]["sources"]),
        (&500.into(), &0.into())
    );
    let dropped = told["honest"]["dropped"].as_u64().unwrap_or(0);
    assert!(
        (300..=400).contains(&dropped),
        "the burst of 100 and 20 a second pass: {dropped}"
    );
    let told = report((0..1_000).map(pings), &[])?;
    assert_eq!(told["honest"]["packets"], 0);
    Ok(())
}
