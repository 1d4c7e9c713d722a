//! Replay of the captures beside the project: every one is read and judged without an error, honest traffic is not lost, and what is told is
//! what the kernel counted.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use netguard::{
    config::Config,
    replay::{Options, ReplayError, Report, Speed, capture::each_of, link::to_ethernet, replay},
};
use netguard_tests::{
    captures::{Capture, Captures},
    frames::frame,
    pcap::{ETHERNET, Writer},
};

/// Frames of honest traffic that may be lost.
const TOLERATED: f64 = 0.000_2;
const HOUR_NS: u64 = 3_600_000_000_000;
/// A frame that claims to be longer never was.
const LONGEST: usize = 65_549;
/// Loopback captures have no other end, and anonymised addresses can be anything.
const ARTEFACTS: [&str; 3] = ["land", "martian-source", "own-source"];

fn options(file: PathBuf, all: bool) -> Options {
    Options {
        file,
        config: Config::default(),
        servers: Vec::new(),
        all,
        speed: Speed::default(),
    }
}

/// Every capture is read; those of a class are judged as one, an hour apart, and one in forty by itself: to load the object takes as
/// long as to judge a hundred thousand frames.
#[test]
fn every_capture_is_replayed_and_honest_traffic_passes() {
    let Some(captures) = Captures::unpack().expect("the archive of captures can be unpacked") else {
        println!("there are no captures beside the project: nothing was replayed");
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let mut classes: BTreeMap<&str, Class> = BTreeMap::new();
    for (index, capture) in captures.all().enumerate() {
        let class = classes
            .entry(&capture.class)
            .or_insert_with(|| Class::begin(&directory.path().join(&capture.class)));
        if !class.add(&captures, capture) || index % 40 != 0 {
            continue;
        }
        let report = replay(&options(captures.path(capture), false));
        check(&report.unwrap_or_else(|error| panic!("{}: {error}", capture.name)));
    }
    let (mut judged, mut lost) = (0, BTreeMap::new());
    for (name, class) in classes {
        class.writer.end().expect("a capture of many");
        let report = replay(&options(class.file, true)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(report.frames, class.frames, "{name}");
        check(&report);
        if !["benign", "benign-encap", "benign-small"].contains(&name) {
            continue;
        }
        judged += report.packets;
        let dropped = report.verdicts.iter().filter(|verdict| verdict.action == "drop");
        for verdict in dropped.filter(|verdict| !ARTEFACTS.contains(&verdict.name.as_str())) {
            *lost.entry((name.to_owned(), verdict.name.clone())).or_insert(0) += verdict.packets;
        }
    }
    assert!(
        judged > 70_000,
        "only {judged} frames of honest traffic were judged"
    );
    let share = lost.values().sum::<u64>() as f64 / judged as f64;
    assert!(
        share <= TOLERATED,
        "{:.3} % of {judged} frames are lost: {lost:#?}",
        share * 100.0
    );
}

/// Every frame has a verdict or a reason why not, and is on the timeline.
fn check(report: &Report) {
    let told: u64 = report.verdicts.iter().map(|verdict| verdict.packets).sum();
    let skipped: u64 = report.skipped.iter().map(|skip| skip.frames).sum();
    let seen: u64 = report.timeline.iter().map(|second| second.packets).sum();
    assert_eq!((told, seen), (report.packets, report.packets), "{}", report.file);
    assert_eq!(told + skipped, report.frames, "{}", report.file);
}

/// The captures of a class, as one.
struct Class {
    file: PathBuf,
    writer: Writer,
    /// When the next capture begins.
    begin_ns: u64,
    frames: u64,
}

impl Class {
    fn begin(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            writer: Writer::create(file, ETHERNET).expect("a file"),
            begin_ns: 0,
            frames: 0,
        }
    }

    /// Adds the frames of `capture` that can be Ethernet; false where it is no capture.
    fn add(&mut self, captures: &Captures, capture: &Capture) -> bool {
        let (mut first_ns, mut last_ns) = (None, self.begin_ns);
        let read = each_of(&captures.path(capture), |record| {
            let at_ns = record.at_ns.unwrap_or(0);
            let since_ns = at_ns.saturating_sub(*first_ns.get_or_insert(at_ns));
            // Some captures say that they took years.
            last_ns = last_ns.max(self.begin_ns + since_ns.min(HOUR_NS));
            let mut frame = Vec::new();
            if let Ok(longer) = to_ethernet(record.link, record.bytes, &mut frame) {
                let kept = frame.len();
                let len = ((i64::from(record.original_len) + longer) as usize).min(LONGEST);
                frame.resize(len.max(kept), 0);
                self.writer.cut(last_ns, &frame, kept).expect("a file");
                self.frames += 1;
            }
            Ok(())
        });
        self.begin_ns = last_ns + HOUR_NS;
        match read {
            Ok(_) => true,
            Err(ReplayError::NotACapture { why, .. }) => {
                let odd = capture.name.ends_with(".gz") || capture.class.starts_with("malformed");
                assert!(odd, "{}: {why}", capture.name);
                false
            }
            Err(error) => panic!("{}: {error}", capture.name),
        }
    }
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
