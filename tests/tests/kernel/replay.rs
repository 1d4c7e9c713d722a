//! Replay of the captures beside the project: every one is read and judged without an error, honest traffic is not lost, and what is told is
//! what the kernel counted.

use std::collections::BTreeMap;

use netguard::{
    config::Config,
    replay::{Options, ReplayError, Report, Speed, replay},
};
use netguard_tests::{
    captures::{Capture, Captures},
    frames::frame,
    pcap::{ETHERNET, Writer},
};

/// Frames of honest traffic that may be lost.
const TOLERATED: f64 = 0.000_2;
/// Loopback captures have no other end, and anonymised addresses can be anything.
const ARTEFACTS: [&str; 3] = ["land", "martian-source", "own-source"];

fn options(file: std::path::PathBuf, all: bool) -> Options {
    Options {
        file,
        config: Config::default(),
        servers: Vec::new(),
        all,
        speed: Speed::default(),
    }
}

#[test]
fn every_capture_is_replayed_and_honest_traffic_passes() {
    let Some(captures) = Captures::unpack().expect("the archive of captures can be unpacked") else {
        println!("there are no captures beside the project: nothing was replayed");
        return;
    };
    let (mut judged, mut lost) = (0_u64, BTreeMap::new());
    for capture in captures.all() {
        let report = match replayed(&captures, capture) {
            Ok(report) => report,
            Err(ReplayError::NotACapture { why, .. }) => {
                assert!(
                    capture.name.ends_with(".gz") || capture.class.starts_with("malformed"),
                    "{}: {why}",
                    capture.name
                );
                continue;
            }
            Err(error) => panic!("{}: {error}", capture.name),
        };
        let told: u64 = report.verdicts.iter().map(|verdict| verdict.packets).sum();
        let skipped: u64 = report.skipped.iter().map(|skip| skip.frames).sum();
        assert_eq!(
            (told, told + skipped),
            (report.packets, report.frames),
            "{}",
            capture.name
        );
        if !["benign", "benign-encap", "benign-small"].contains(&capture.class.as_str()) {
            continue;
        }
        judged += report.packets;
        let dropped = report.verdicts.iter().filter(|verdict| verdict.action == "drop");
        for verdict in dropped.filter(|verdict| !ARTEFACTS.contains(&verdict.name.as_str())) {
            *lost
                .entry((verdict.name.clone(), capture.name.clone()))
                .or_insert(0) += verdict.packets;
        }
    }
    let share = lost.values().sum::<u64>() as f64 / judged as f64;
    assert!(
        judged > 20_000,
        "only {judged} frames of honest traffic were judged"
    );
    assert!(
        share <= TOLERATED,
        "{:.3} % of {judged} frames are lost: {lost:#?}",
        share * 100.0
    );
}

fn replayed(captures: &Captures, capture: &Capture) -> Result<Report, ReplayError> {
    replay(&options(captures.path(capture), false))
}

/// The longest frame that the kernel takes, and one of each length at which it changes how it takes them.
#[test]
fn frames_of_any_length_are_judged_as_long_as_they_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("lengths.pcap");
    let mut writer = Writer::create(&file, ETHERNET).expect("a file");
    let mut bytes = 0;
    for payload in [0, 1, 18, 1_458, 3_400, 3_430, 3_460, 3_500, 4_054, 9_000, 65_000] {
        let frame = frame()
            .ipv4("192.0.2.1", "198.51.100.1")
            .udp(4000, 9000)
            .payload(payload)
            .build();
        bytes += frame.len() as u64;
        writer.frame(0, &frame).expect("a frame");
    }
    writer.end().expect("the end");
    for all in [false, true] {
        let report = replay(&options(file.clone(), all)).expect("it is replayed");
        assert_eq!(report.verdicts.len(), 1, "{:?}", report.verdicts);
        assert_eq!(
            (report.verdicts[0].packets, report.verdicts[0].bytes),
            (11, bytes)
        );
    }
}
