//! What the traffic of a window was like, as the control socket tells it.

use netguard_common::telemetry::{Kind, ServiceTraffic, Sketch};
use serde::{Deserialize, Serialize};

use crate::{
    bpf::source_of_key,
    engine::{
        Entropy, TrafficWindow,
        sketch::{DISTINCT_ERROR, HeavySource, deviation, distinct, heavy, is_sampled, seen},
        traffic::per_second,
    },
};

/// Heavy sources that are told at the most, and the part of all packets that each must have sent: one in so many.
const HEAVY_TOLD: usize = 10;
const HEAVY_PART: u64 = 100;

/// The traffic of the last window. Packets of blocked sources, and frames that are no IP, are counted by their verdicts only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrafficReport {
    pub window_ms: u64,
    pub packets_per_s: u64,
    pub bytes_per_s: u64,
    pub dropped_per_s: u64,
    /// Only those that occurred.
    pub kinds: Vec<KindRate>,
    /// Distinct sources (IPv4 addresses, IPv6 /64), an estimate.
    pub sources: u64,
    /// Its standard error, as a part of it.
    pub sources_error: f64,
    pub entropy: Entropies,
    /// Who sent a hundredth of all packets or more.
    pub heavy_sources: Vec<HeavyRate>,
    /// Whether heavy sources and entropies were estimated from a part of the packets.
    pub sampled: bool,
    pub services: Vec<ServiceRate>,
    /// Services that listen and have no counters of their own, since there are too many.
    pub unwatched_services: usize,
}

/// Packets of one kind and family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindRate {
    /// `ipv4` or `ipv6`.
    pub family: String,
    pub kind: String,
    pub packets_per_s: u64,
    pub bytes_per_s: u64,
    pub dropped_per_s: u64,
}

/// How much things varied.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entropies {
    /// Networks: IPv4 /24, IPv6 /48.
    pub source: Spread,
    pub source_port: Spread,
    pub destination_port: Spread,
    pub size: Spread,
    pub ttl: Spread,
}

/// An entropy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub bits: f64,
    /// 0: always the same, 1: as different as can be told.
    pub evenness: f64,
}

/// A source that sends much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeavyRate {
    /// An IPv4 address or an IPv6 /64.
    pub source: String,
    pub at_least_per_s: u64,
    pub at_most_per_s: u64,
    /// The standard deviation of both; 0: they are exact.
    #[serde(default)]
    pub error_per_s: u64,
}

/// Packets to one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRate {
    /// Such as `tcp/80`, or `other` for all that have no counters of their own.
    pub service: String,
    pub packets_per_s: u64,
    pub bytes_per_s: u64,
    /// Connections asked for.
    pub opening_per_s: u64,
    pub dropped_per_s: u64,
    /// The same, as counts since the daemon watches the service.
    pub packets: u64,
    pub bytes: u64,
    pub opening: u64,
    pub dropped: u64,
}

impl TrafficReport {
    /// Without services.
    pub(super) fn of(window: &TrafficWindow, sketches: &[Sketch], seed: u64) -> Self {
        let rate = |count| per_second(count, window.length_ns);
        let kinds = || window.traffic.iter().flatten();
        let families = ["ipv4", "ipv6"].iter().zip(&window.traffic);
        let seen = seen(sketches).max(1);
        let sampled = is_sampled(sketches);
        let notable = |source: &HeavySource| source.at_least.saturating_mul(HEAVY_PART) >= seen;
        Self {
            window_ms: window.length_ns / 1_000_000,
            packets_per_s: rate(kinds().map(|kind| kind.packets).sum()),
            bytes_per_s: rate(kinds().map(|kind| kind.bytes).sum()),
            dropped_per_s: rate(kinds().map(|kind| kind.dropped).sum()),
            kinds: families
                .flat_map(|(family, kinds)| {
                    Kind::ALL
                        .iter()
                        .zip(kinds)
                        .map(move |(kind, traffic)| (family, kind, traffic))
                })
                .filter(|(_, _, traffic)| traffic.packets > 0)
                .map(|(family, kind, traffic)| KindRate {
                    family: (*family).to_owned(),
                    kind: kind.name().to_owned(),
                    packets_per_s: rate(traffic.packets),
                    bytes_per_s: rate(traffic.bytes),
                    dropped_per_s: rate(traffic.dropped),
                })
                .collect(),
            sources: distinct(sketches).round() as u64,
            sources_error: DISTINCT_ERROR,
            entropy: Entropies {
                source: window.source.into(),
                source_port: window.source_port.into(),
                destination_port: window.destination_port.into(),
                size: window.size.into(),
                ttl: window.ttl.into(),
            },
            heavy_sources: heavy(sketches, seed)
                .into_iter()
                .take_while(notable)
                .take(HEAVY_TOLD)
                .map(|source| HeavyRate {
                    source: source_of_key(source.key),
                    at_least_per_s: rate(source.at_least),
                    at_most_per_s: rate(source.at_most),
                    error_per_s: if sampled {
                        rate(deviation(source.at_most))
                    } else {
                        0
                    },
                })
                .collect(),
            sampled,
            services: Vec::new(),
            unwatched_services: 0,
        }
    }
}

impl From<Entropy> for Spread {
    fn from(entropy: Entropy) -> Self {
        // A hundredth is all that is sure.
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        Self {
            bits: rounded(entropy.bits),
            evenness: rounded(entropy.evenness()),
        }
    }
}

impl ServiceRate {
    pub(super) fn of(
        service: String,
        window: &ServiceTraffic,
        length_ns: u64,
        total: &ServiceTraffic,
    ) -> Self {
        let rate = |count| per_second(count, length_ns);
        Self {
            service,
            packets_per_s: rate(window.packets),
            bytes_per_s: rate(window.bytes),
            opening_per_s: rate(window.opening),
            dropped_per_s: rate(window.dropped),
            packets: total.packets,
            bytes: total.bytes,
            opening: total.opening,
            dropped: total.dropped,
        }
    }
}
