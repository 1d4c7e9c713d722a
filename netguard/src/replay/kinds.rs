//! Traffic of a replay by kind and family, as the kernel counted it: without that of blocked sources.

use std::collections::BTreeMap;

use netguard_common::telemetry::Kind;

use super::report::KindCount;
use crate::engine::TrafficWindow;

/// Sums by family and kind: packets, bytes, those dropped.
#[derive(Default)]
pub(super) struct Kinds(BTreeMap<(usize, usize), [u64; 3]>);

impl Kinds {
    pub(super) fn add(&mut self, traffic: &TrafficWindow) {
        for (family, kinds) in traffic.traffic.iter().enumerate() {
            let came = kinds.iter().enumerate();
            for (kind, traffic) in came.filter(|(_, traffic)| traffic.packets > 0) {
                let sums = self.0.entry((family, kind)).or_default();
                let more = [traffic.packets, traffic.bytes, traffic.dropped];
                for (sum, more) in sums.iter_mut().zip(more) {
                    *sum += more;
                }
            }
        }
    }

    pub(super) fn told(&self) -> Vec<KindCount> {
        let sums = self.0.iter();
        sums.map(|((family, kind), [packets, bytes, dropped])| KindCount {
            family: ["ipv4", "ipv6"].get(*family).unwrap_or(&"other").to_string(),
            kind: Kind::ALL
                .get(*kind)
                .map_or("other", |kind| kind.name())
                .to_owned(),
            packets: *packets,
            bytes: *bytes,
            dropped: *dropped,
        })
        .collect()
    }
}
