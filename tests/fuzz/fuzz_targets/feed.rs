//! Feeds under any text, in every format: what is read is sorted, and nobody is blocked who must not be.
#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use netguard::{
    config::FeedFormat,
    lists::{Reading, parse_feed},
    prefix::Prefix,
};

fuzz_target!(|text: &[u8]| {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let private: Vec<Prefix> = ["10.0.0.0/8", "127.0.0.0/8", "192.168.0.0/16", "fc00::/7", "::1"]
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    for &format in FeedFormat::all() {
        let reading = Reading {
            format,
            max_bytes: 1 << 20,
            written: Some(now),
            now,
            ..Reading::default()
        };
        let Ok(feed) = parse_feed("f", text.to_vec(), &reading) else {
            continue;
        };
        assert_eq!(feed.prefixes.len(), feed.places.len());
        for prefix in &feed.prefixes {
            assert!(
                prefix.bits() >= if prefix.address().is_ipv4() { 8 } else { 16 },
                "{prefix}"
            );
            assert!(
                !private
                    .iter()
                    .any(|private| private.covers(prefix) || prefix.covers(private)),
                "{prefix}"
            );
        }
    }
});
