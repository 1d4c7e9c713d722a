//! `netguard top`: what the traffic of the last second was like.

use hyper::Method;
use netguard_common::telemetry::{EIGHTH, EXACT};
use tabled::Tabled;

use super::{CliError, Context, output::table};
use crate::{
    control::{Client, Stats},
    daemon::{KindRate, ServiceRate, Spread, TrafficReport},
};

/// Services shown, those with most packets first; JSON has all.
const SERVICES: usize = 10;

#[derive(Tabled)]
#[tabled(rename_all = "UPPERCASE")]
struct KindRow {
    kind: String,
    family: String,
    #[tabled(rename = "PACKETS/S")]
    packets: u64,
    #[tabled(rename = "BYTES/S")]
    bytes: u64,
    #[tabled(rename = "DROPPED/S")]
    dropped: u64,
}

#[derive(Tabled)]
#[tabled(rename_all = "UPPERCASE")]
struct ServiceRow {
    service: String,
    #[tabled(rename = "PACKETS/S")]
    packets: u64,
    #[tabled(rename = "BYTES/S")]
    bytes: u64,
    #[tabled(rename = "SYN/S")]
    opening: u64,
    #[tabled(rename = "DROPPED/S")]
    dropped: u64,
}

pub(super) async fn run(context: &Context) -> Result<(), CliError> {
    let mut client = Client::connect(&context.instance).await?;
    let stats: Stats = client.request(Method::GET, "/v1/stats", None::<&()>).await?;
    context
        .output
        .print(&stats, |stats| match (&stats.traffic, stats.telemetry) {
            (Some(traffic), _) => text(traffic),
            (None, true) => "the first second is not over yet, or the log says why".to_owned(),
            (None, false) => "traffic is not described: `telemetry` is off in the configuration".to_owned(),
        })
}

fn text(traffic: &TrafficReport) -> String {
    let mut text = format!(
        "{} packets/s, {} bytes/s, {} dropped/s, from about {} sources (give or take {:.0})\n\n",
        traffic.packets_per_s,
        traffic.bytes_per_s,
        traffic.dropped_per_s,
        traffic.sources,
        traffic.sources as f64 * traffic.sources_error,
    );
    let about = if traffic.sampled { "~" } else { "" };
    let entropy = &traffic.entropy;
    let spread = |name: &str, spread: Spread| {
        format!(
            "{name} {about}{:.2} ({:.0} %)",
            spread.bits,
            spread.evenness * 100.0
        )
    };
    let entropies = [
        spread("source networks", entropy.source),
        spread("source ports", entropy.source_port),
        spread("ports", entropy.destination_port),
        spread("sizes", entropy.size),
        spread("TTLs", entropy.ttl),
    ];
    text.push_str(&format!(
        "entropy in bits (of the most there can be): {}\n",
        entropies.join(", ")
    ));
    for source in &traffic.heavy_sources {
        text.push_str(&format!(
            "{} sends {about}{} to {about}{} packets/s",
            source.source, source.at_least_per_s, source.at_most_per_s
        ));
        if source.error_per_s > 0 {
            text.push_str(&format!(" (give or take {})", source.error_per_s));
        }
        text.push('\n');
    }
    if traffic.sampled {
        text.push_str(&format!(
            "~ is an estimate: beyond {EXACT} packets a second a CPU looks at one in {EIGHTH}; kinds and services are exact\n"
        ));
    }
    let kinds = traffic.kinds.iter().cloned().map(KindRow::from);
    text.push_str(&format!("\n{}\n", table(kinds, &[2, 3, 4])));
    let mut services: Vec<&ServiceRate> = traffic
        .services
        .iter()
        .filter(|service| service.packets_per_s > 0)
        .collect();
    services.sort_by_key(|service| std::cmp::Reverse(service.packets_per_s));
    let rows = services.into_iter().take(SERVICES).map(ServiceRow::from);
    text.push_str(&format!("\n{}\n", table(rows, &[1, 2, 3, 4])));
    if traffic.unwatched_services > 0 {
        text.push_str(&format!(
            "\n{} more services listen, and are counted as \"other\"\n",
            traffic.unwatched_services
        ));
    }
    text
}

impl From<KindRate> for KindRow {
    fn from(rate: KindRate) -> Self {
        Self {
            kind: rate.kind,
            family: rate.family,
            packets: rate.packets_per_s,
            bytes: rate.bytes_per_s,
            dropped: rate.dropped_per_s,
        }
    }
}

impl From<&ServiceRate> for ServiceRow {
    fn from(rate: &ServiceRate) -> Self {
        Self {
            service: rate.service.clone(),
            packets: rate.packets_per_s,
            bytes: rate.bytes_per_s,
            opening: rate.opening_per_s,
            dropped: rate.dropped_per_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::{Entropies, HeavyRate};

    fn report(sampled: bool, error_per_s: u64) -> TrafficReport {
        let same = Spread {
            bits: 1.0,
            evenness: 0.5,
        };
        TrafficReport {
            window_ms: 1_000,
            packets_per_s: 9_000,
            bytes_per_s: 0,
            dropped_per_s: 0,
            kinds: Vec::new(),
            sources: 100,
            sources_error: 0.023,
            entropy: Entropies {
                source: same,
                source_port: same,
                destination_port: same,
                size: same,
                ttl: same,
            },
            heavy_sources: vec![HeavyRate {
                source: "192.0.2.1".to_owned(),
                at_least_per_s: 800,
                at_most_per_s: 900,
                error_per_s,
            }],
            sampled,
            services: Vec::new(),
            unwatched_services: 0,
        }
    }

    #[test]
    fn estimates_are_told_from_counts() {
        let exact = text(&report(false, 0));
        assert!(
            exact.contains("192.0.2.1 sends 800 to 900 packets/s\n"),
            "{exact}"
        );
        assert!(!exact.contains('~'), "{exact}");
        let sampled = text(&report(true, 80));
        for part in [
            "192.0.2.1 sends ~800 to ~900 packets/s (give or take 80)\n",
            "sizes ~1.00 (50 %)",
            "~ is an estimate: beyond 4096 packets",
        ] {
            assert!(sampled.contains(part), "{sampled}");
        }
    }
}
