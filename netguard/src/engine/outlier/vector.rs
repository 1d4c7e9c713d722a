//! The numbers of a moment that are looked at together: logarithms of rates, ratios, evennesses. What of them is unusual is not known here.

use netguard_common::telemetry::Kind;

use crate::engine::feature::{Features, Metric};

/// How many numbers there are.
pub const LENGTH: usize = 15;

/// A moment; what cannot be told is `NaN`.
pub type Vector = [f32; LENGTH];

/// What each number is, for people.
pub const NAMES: [&str; LENGTH] = [
    "packets/s",
    "bytes/s",
    "SYNs/s",
    "TCP segments/s",
    "UDP packets/s",
    "ICMP packets/s",
    "fragments/s",
    "other packets/s",
    "refused packets/s",
    "bytes for each packet",
    "segments for each SYN",
    "evenness of sources",
    "evenness of destination ports",
    "evenness of sizes",
    "evenness of TTLs",
];

/// The numbers of `features`.
pub fn vector(features: &Features) -> Vector {
    let rate = |metric| features.metric(metric).map(f64::ln_1p);
    let [packets, bytes] = [features.packets(), features.bytes];
    let syn = features.of_kinds(&[Kind::Syn]);
    let segments = features.metric(Metric::Segments).unwrap_or_default();
    let refused: f64 = features.refused.iter().sum();
    let ratio = |part: f64, whole: f64| (whole > 0.0).then(|| (part / whole).ln_1p());
    [
        rate(Metric::Packets),
        rate(Metric::Bytes),
        rate(Metric::Syn),
        rate(Metric::Segments),
        rate(Metric::Udp),
        rate(Metric::Icmp),
        rate(Metric::Fragments),
        rate(Metric::Other),
        Some(refused.ln_1p()),
        ratio(bytes, packets),
        ratio(segments, syn),
        features.source,
        features.destination_port,
        features.size,
        features.ttl,
    ]
    .map(|number| {
        let number = number
            .filter(|number| number.is_finite())
            .map(|number| number as f32);
        number.unwrap_or(f32::NAN)
    })
}

/// The least by which a number varies where it was always the same: a tenth of a rate or ratio, a fiftieth of an evenness.
pub(super) fn least_spread(index: usize) -> f32 {
    if NAMES[index].starts_with("evenness") {
        0.02
    } else {
        0.1
    }
}
