//! Feeds: no text makes a parser panic or give what must not be blocked, and what a format can say is read as it was said.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use flate2::{Compression, write::GzEncoder};
use netguard::{
    config::{FeedAction, FeedFormat},
    lists::{Feed, Reading, parse_feed, read_feed},
    prefix::Prefix,
};
use netguard_tests::captures::beside;
use proptest::{prelude::*, sample::select};

fn reading(format: FeedFormat) -> Reading {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    Reading {
        format,
        written: Some(now),
        now,
        ..Reading::default()
    }
}

/// What holds for whatever was read.
fn is_sane(feed: &Feed) {
    assert_eq!(feed.prefixes.len(), feed.places.len());
    assert!(
        feed.prefixes.is_sorted_by(|one, next| one < next),
        "sorted, each once"
    );
    assert!(feed.refused.first.len() <= 5 && feed.trimmed.first.len() <= 5);
    for prefix in &feed.prefixes {
        let widest = if prefix.address().is_ipv4() { 8 } else { 16 };
        assert!(prefix.bits() >= widest, "{prefix}");
        for private in [
            "10.0.0.0/8",
            "127.0.0.0/8",
            "192.168.0.0/16",
            "224.0.0.0/4",
            "fc00::/7",
            "ff00::/8",
            "::1",
        ] {
            let private: Prefix = private.parse().expect("a prefix");
            assert!(!private.covers(prefix) && !prefix.covers(&private), "{prefix}");
        }
    }
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut packing = GzEncoder::new(Vec::new(), Compression::default());
    packing.write_all(text).expect("memory");
    packing.finish().expect("memory")
}

/// Prefixes that may be blocked.
fn prefix() -> impl Strategy<Value = Prefix> {
    let v4 = (0xc612_0000..0xc613_ffff_u32, 16..=32_u8)
        .prop_map(|(address, bits)| (IpAddr::from(Ipv4Addr::from(address)), bits));
    let v6 = (any::<u64>(), 33..=128_u8).prop_map(|(low, bits)| {
        let address = (0x2001_0db8_u128 << 96) | (u128::from(low) << 20);
        (IpAddr::from(Ipv6Addr::from(address)), bits)
    });
    prop_oneof![v4, v6]
        .prop_map(|(address, bits)| Prefix::truncated(address, bits).expect("a length of its family"))
}

fn rendered(prefixes: &[Prefix]) -> Vec<(FeedFormat, String)> {
    let lines = |line: &dyn Fn(&Prefix) -> String| {
        prefixes
            .iter()
            .map(|prefix| line(prefix) + "\n")
            .collect::<String>()
    };
    let list = |entry: &dyn Fn(&Prefix) -> String| prefixes.iter().map(entry).collect::<Vec<_>>().join(",");
    let range = |prefix: &Prefix| format!("{}-{}", prefix.net().network(), prefix.net().broadcast());
    let kind = |prefix: &Prefix| {
        if prefix.address().is_ipv4() {
            "ipv4"
        } else {
            "ipv6"
        }
    };
    vec![
        (FeedFormat::Plain, lines(&|prefix| format!("{prefix} ; SBL1"))),
        (FeedFormat::Plain, lines(&range)),
        (
            FeedFormat::Csv,
            format!(
                "\"when\",\"net\"\n{}",
                lines(&|prefix| format!("\"2026-01-01 00:00:00\",\"{prefix}\""))
            ),
        ),
        (
            FeedFormat::Csv,
            lines(&|prefix| format!("x, y,{}", range(prefix))),
        ),
        (
            FeedFormat::Spamhaus,
            lines(&|prefix| format!("{{\"cidr\":\"{prefix}\"}}")),
        ),
        (
            FeedFormat::Crowdsec,
            format!(
                "[{}]",
                list(&|prefix| format!(
                    "{{\"scope\":\"Range\",\"value\":\"{prefix}\",\"type\":\"ban\",\"duration\":\"1h2.5s\"}}"
                ))
            ),
        ),
        (
            FeedFormat::Ipset,
            format!(
                "create x hash:net\n{}",
                lines(&|prefix| format!("add x {prefix} timeout 60"))
            ),
        ),
        (
            FeedFormat::Misp,
            format!(
                "{{\"Event\":{{\"Attribute\":[{}]}}}}",
                list(&|prefix| format!("{{\"type\":\"ip-src\",\"value\":\"{prefix}\"}}"))
            ),
        ),
        (
            FeedFormat::Stix,
            format!(
                "{{\"objects\":[{}]}}",
                list(&|prefix| format!(
                    "{{\"type\":\"indicator\",\"pattern\":\"[{}-addr:value ISSUBSET '{prefix}']\"}}",
                    kind(prefix)
                ))
            ),
        ),
        (
            FeedFormat::Warninglist,
            format!("{{\"list\":[{}]}}", list(&|prefix| format!("\"{prefix}\""))),
        ),
    ]
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in "(?s).{0,400}", format in select(FeedFormat::all())) {
        if let Ok(feed) = parse_feed("f", text.into_bytes(), &reading(format)) {
            is_sane(&feed);
        }
    }

    /// Text that looks like a feed, cut and mixed.
    #[test]
    fn no_broken_feed_is_too_much(
        prefixes in prop::collection::vec(prefix(), 1..20),
        shape in 0..10_usize,
        cut in 0.0..1.0_f64,
        noise in "[0-9a-f.:/,;\"{}\\[\\] -]{0,30}",
        format in select(FeedFormat::all()),
    ) {
        let (_, text) = &rendered(&prefixes)[shape];
        let at = (text.len() as f64 * cut) as usize;
        for broken in [text[..at].to_owned(), format!("{}{noise}{}", &text[..at], &text[at..])] {
            if let Ok(feed) = parse_feed("f", broken.into_bytes(), &reading(format)) {
                is_sane(&feed);
            }
        }
    }

    /// Packed in one part or in two, cut, and with bits that are wrong or something behind them.
    #[test]
    fn no_packed_feed_is_too_much(
        prefixes in prop::collection::vec(prefix(), 1..40),
        parts in 1..3_usize,
        cut in 0.0..1.0_f64,
        wrong in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 1..30),
    ) {
        let (format, text) = &rendered(&prefixes)[0];
        let middle = text.len() / parts;
        let parts = [&text.as_bytes()[..middle], &text.as_bytes()[middle..]].map(packed);
        let whole = parts.concat();
        let read = |bytes: Vec<u8>| parse_feed("f", bytes, &reading(FeedFormat::Auto));
        let feed = read(whole.clone()).expect("it is whole");
        prop_assert_eq!(feed.format, *format);
        prop_assert_eq!(feed.prefixes, parse_feed("f", text.clone().into_bytes(), &reading(*format)).expect("a list").prefixes);
        let short = &whole[..(whole.len() as f64 * cut) as usize];
        // Its first part may be all of it.
        if short.len() != parts[0].len() {
            prop_assert!(read(short.to_vec()).is_err());
        }
        let mut bits = whole.clone();
        let at = wrong.index(bits.len());
        bits[at] ^= 1 << (at % 8);
        for broken in [bits, [whole.clone(), noise.clone()].concat()] {
            if let Ok(feed) = read(broken) {
                is_sane(&feed);
            }
        }
        // The bound is that of the text.
        let bounded = |max_bytes| {
            let reading = Reading { max_bytes, ..reading(FeedFormat::Auto) };
            parse_feed("f", whole.clone(), &reading).is_ok()
        };
        prop_assert!(bounded(text.len() as u64) && !bounded(text.len() as u64 - 1));
    }

    #[test]
    fn every_format_says_what_it_says(prefixes in prop::collection::vec(prefix(), 1..40)) {
        let mut expected = prefixes.clone();
        expected.sort_unstable();
        expected.dedup();
        for (format, text) in rendered(&prefixes) {
            let feed = parse_feed("f", text.clone().into_bytes(), &reading(format)).expect(&text);
            prop_assert_eq!(&feed.prefixes, &expected, "{}", text);
            prop_assert_eq!((feed.refused.count, feed.format), (0, format));
            if format != FeedFormat::Warninglist {
                let guessed = parse_feed("f", text.into_bytes(), &reading(FeedFormat::Auto)).expect("it is recognised");
                prop_assert_eq!((&guessed.prefixes, guessed.format), (&expected, format));
            }
        }
    }
}

/// Lists as they are published, where they lie beside the project.
#[test]
fn published_lists_are_read_whole() {
    let Some(archive) = beside("data/feeds-shared.tar.xz") else {
        println!("there are no published lists beside the project: nothing was looked at");
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let mut tar = Command::new("tar");
    tar.arg("-xJf")
        .arg(&archive)
        .arg("-C")
        .arg(directory.path())
        .args(["samples", "large"]);
    assert!(
        tar.status().expect("tar runs").success(),
        "{} cannot be unpacked",
        archive.display()
    );
    let at = |name: &str| directory.path().join(name);
    let read = |file: &Path, action| {
        let reading = Reading {
            action,
            ..reading(FeedFormat::Auto)
        };
        read_feed(file, &reading).map_err(|error| error.to_string())
    };
    for (name, format, prefixes, trimmed) in [
        ("large/malicious-ip-552k-v4.txt", FeedFormat::Plain, 552_293, 0),
        ("large/prefixes-v6.txt", FeedFormat::Plain, 167_903, 0),
        ("samples/plain_sans_106k.txt", FeedFormat::Plain, 106_399, 5),
        ("samples/ipsum_level3.txt", FeedFormat::Plain, 14_217, 0),
        (
            "samples/plain_tor_exit_with_duplicates.txt",
            FeedFormat::Plain,
            1_372,
            0,
        ),
        ("samples/spamhaus_drop.txt", FeedFormat::Plain, 4, 0),
        ("samples/firehol_level1_excerpt.netset", FeedFormat::Plain, 4, 8),
        ("samples/feodotracker.csv", FeedFormat::Csv, 4, 1),
        ("samples/crowdsec_decisions.csv", FeedFormat::Csv, 5, 0),
        ("samples/crowdsec_decisions.json", FeedFormat::Crowdsec, 5, 0),
        ("samples/misp_ip_attributes.json", FeedFormat::Misp, 3, 0),
        ("samples/ipset_save.txt", FeedFormat::Ipset, 3, 0),
    ] {
        let feed = read(&at(name), FeedAction::Block).unwrap_or_else(|error| panic!("{name}: {error}"));
        is_sane(&feed);
        assert_eq!(
            (feed.format, feed.prefixes.len(), feed.trimmed.count),
            (format, prefixes, trimmed),
            "{name}"
        );
        assert_eq!(feed.refused.count, 0, "{name}: {:?}", feed.refused.first);
        // A tenth of all addresses is what a list may cover.
        let shares = feed.size.percent();
        assert!(
            shares.iter().all(|(_, percent)| *percent < 1.0),
            "{name}: {shares:?}"
        );
    }
    let scored =
        read(&at("samples/ipsum_scored.txt"), FeedAction::Block).expect("scores are part of the format");
    assert!(
        scored.prefixes.len() > 100_000 && scored.refused.count == 0,
        "{}",
        scored.prefixes.len()
    );
    for (name, told) in [
        ("samples/misp_attributes.json", "no prefix at all"),
        ("samples/stix21_bundle_event.json", "no prefix at all"),
        ("samples/stix21_bundle_attributes.json", "no prefix at all"),
        (
            "samples/allow_warninglist_cloudflare.json",
            "action = \"never-block\"",
        ),
    ] {
        let error = read(&at(name), FeedAction::Block).expect_err(name);
        assert!(error.contains(told), "{name}: {error}");
    }
    let samples = std::fs::read_dir(at("samples")).expect("samples");
    let names = samples.map(|entry| entry.expect("an entry").path());
    let mut allowed = 0;
    for path in names.filter(|path| path.display().to_string().contains("allow_warninglist_")) {
        let feed =
            read(&path, FeedAction::NeverBlock).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(
            (feed.format, feed.refused.count),
            (FeedFormat::Warninglist, 0),
            "{}",
            path.display()
        );
        allowed += 1;
    }
    assert!(allowed >= 10, "{allowed}");
}
