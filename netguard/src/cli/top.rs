//! `netguard top`: what the traffic of the last second was like.

use hyper::Method;
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
    let entropy = &traffic.entropy;
    let spread =
        |name: &str, spread: Spread| format!("{name} {:.2} ({:.0} %)", spread.bits, spread.evenness * 100.0);
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
            "{} sends {} to {} packets/s\n",
            source.source, source.at_least_per_s, source.at_most_per_s
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
