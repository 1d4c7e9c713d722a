//! What holds for services, beside what usually comes to them.

use netguard_common::{
    layout::{Cookies, Service, Settings},
    service::FREE,
};
use serde::Serialize;
use tabled::Tabled;

use super::super::{
    CliError, Context,
    output::table,
    usual::{self, Usual},
};
use crate::{
    bpf::{Services, SettingsMap},
    config::{PolicyMode, ServicePort},
    control::told,
    engine::baseline::{Normal, NormalService, NormalTraffic},
};

/// A service in force.
#[derive(Serialize, Tabled)]
struct Row {
    #[tabled(rename = "SERVICE")]
    service: String,
    #[tabled(rename = "RATE/S")]
    rate_per_s: u64,
    #[tabled(rename = "BURST")]
    burst: u64,
    /// `-` for UDP.
    #[tabled(rename = "COOKIES")]
    cookies: &'static str,
    /// `off`, or what becomes of handshakes below which version; `-` for UDP.
    #[tabled(rename = "TLS")]
    tls: String,
    /// Whether its rate is the common one.
    #[tabled(rename = "LIMITS", display("limits_text"))]
    common: bool,
    /// Whether anything else than the common limits holds; else it is told since what usually comes to it is known.
    #[tabled(skip)]
    own: bool,
    /// What of it usually comes in a second, connection attempts or datagrams; absent where nobody knows.
    #[tabled(rename = "USUALLY P50/P95/P99", display("usual::text"))]
    usual: Option<Usual>,
}

/// Services without anything of their own that are shown in the table.
const OTHERS_SHOWN: usize = 32;

fn limits_text(common: &bool) -> &'static str {
    if *common { "common" } else { "own" }
}

pub(super) async fn list(context: &Context) -> Result<(), CliError> {
    let normal = usual::normal(context).await;
    let settings = SettingsMap::open(&context.pins)?.read()?;
    let own = Services::open(&context.pins)?.list()?;
    let rows = rows(&own, &settings, &normal);
    context.output.print(&rows, |rows| text(rows))
}

fn text(rows: &[Row]) -> String {
    let (own, others): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.own);
    let mut text = Vec::new();
    if own.is_empty() {
        text.push("the common limits hold for every service: `netguard limit list` shows them".to_owned());
    }
    let shown = others.iter().take(OTHERS_SHOWN);
    if !rows.is_empty() {
        text.push(table(own.iter().chain(shown), &[1, 2]));
    }
    if let Some(more) = others.len().checked_sub(OTHERS_SHOWN).filter(|more| *more > 0) {
        text.push(format!(
            "and {more} more, to which less comes: `netguard normal show`"
        ));
    }
    text.join("\n")
}

/// Those of `own`, and then others of which is known what is normal, the busiest first.
fn rows(own: &[Service], settings: &Settings, normal: &NormalTraffic) -> Vec<Row> {
    let of = |entry: &Service, is_own| row(entry, is_own, settings, normal);
    let mut rows: Vec<Row> = own.iter().filter_map(|entry| of(entry, true)).collect();
    let has_entry = |port: ServicePort| {
        let is_it = |entry: &Service| (entry.protocol, entry.port) == (port.protocol(), port.port());
        own.iter().any(is_it)
    };
    let known = normal.services.iter().filter_map(|(name, normal)| {
        let port: ServicePort = name.parse().ok()?;
        let is_shown = of_port(port, normal).usual.is_some() && !has_entry(port);
        is_shown.then_some((port, normal.packets.p95))
    });
    let mut known: Vec<(ServicePort, f64)> = known.collect();
    known.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let common = |port: ServicePort| Service {
        protocol: port.protocol(),
        port: port.port(),
        common: 1,
        ..FREE
    };
    rows.extend(known.into_iter().filter_map(|(port, _)| of(&common(port), false)));
    rows
}

/// What is limited of the service at `port`: connection attempts, or datagrams.
fn of_port(port: ServicePort, normal: &NormalService) -> Normal {
    if port.is_tcp() {
        normal.opening
    } else {
        normal.packets
    }
}

fn row(entry: &Service, own: bool, settings: &Settings, normal: &NormalTraffic) -> Option<Row> {
    let service = ServicePort::new(entry.protocol, entry.port)?;
    let normal = normal.services.get(&service.to_string());
    let usual = normal.map(|normal| Usual::of(&of_port(service, normal)));
    let common = entry.common != 0;
    let (rate, cookies) = match (common, service.is_tcp()) {
        (false, _) => (entry.rate, u32::from(entry.cookies)),
        (true, true) => (settings.service_syn, settings.cookies),
        (true, false) => (settings.levels.service_udp, 0),
    };
    let (mode, minimum) = told::floor_of(Some(entry));
    Some(Row {
        usual,
        service: service.to_string(),
        rate_per_s: rate.per_second(),
        burst: rate.burst(),
        tls: match (service.is_tcp(), mode) {
            (false, _) => "-".to_owned(),
            (true, PolicyMode::Off) => "off".to_owned(),
            (true, mode) => format!("{} {}", mode.name(), minimum.name()),
        },
        common,
        own,
        cookies: match (service.is_tcp(), Cookies::from_number(cookies)) {
            (false, _) => "-",
            (true, Cookies::Off) => "off",
            (true, Cookies::Auto) => "auto",
            (true, Cookies::Always) => "always",
        },
    })
}

#[cfg(test)]
mod tests {
    use netguard_common::{layout::Rate, shared::Field as _};

    use super::*;

    fn normal(per_s: f64, known: bool) -> NormalService {
        let number = Normal {
            median: per_s / 2.0,
            p95: per_s,
            p99: 2.0 * per_s,
            learnt_s: 900,
            usual: known.then_some(per_s),
            ..Normal::default()
        };
        NormalService {
            packets: number,
            opening: number,
            ..NormalService::default()
        }
    }

    fn common() -> Settings {
        let mut settings = Settings::ZERO;
        settings.service_syn = Rate::new(700, 70);
        settings.levels.service_udp = Rate::new(900, 90);
        settings.cookies = Cookies::Auto as u32;
        settings
    }

    fn traffic(services: &[(&str, f64, bool)]) -> NormalTraffic {
        let services = services.iter();
        let services = services.map(|(name, per_s, known)| ((*name).to_owned(), normal(*per_s, *known)));
        NormalTraffic {
            services: services.collect(),
            ..NormalTraffic::default()
        }
    }

    #[test]
    fn each_limit_stands_beside_what_is_usual() {
        let own = Service {
            protocol: 17,
            port: 53,
            rate: Rate::new(50, 50),
            ..FREE
        };
        let known = [
            ("tcp/80", 10.0, true),
            ("tcp/443", 90.0, true),
            ("udp/53", 40.0, true),
            ("udp/9", 5.0, false),
            ("other", 5.0, true),
        ];
        let rows = rows(&[own], &common(), &traffic(&known));
        let told = serde_json::to_value(&rows).expect("it can be written");
        let of = |at: usize| {
            let row = &told[at];
            (
                row["service"].as_str(),
                row["own"].as_bool(),
                row["common"].as_bool(),
                row["rate_per_s"].as_u64(),
            )
        };
        assert_eq!(of(0), (Some("udp/53"), Some(true), Some(false), Some(50)));
        assert_eq!(of(1), (Some("tcp/443"), Some(false), Some(true), Some(700)));
        assert_eq!(of(2), (Some("tcp/80"), Some(false), Some(true), Some(700)));
        assert_eq!(rows.len(), 3, "of others nobody knows what is normal");
        assert_eq!(told[1]["usual"]["p99"], 180.0);
        let text = text(&rows);
        assert!(
            text.contains("45/90/180") && !text.contains("common limits"),
            "{text}"
        );
    }

    #[test]
    fn of_many_the_busiest_are_shown() {
        let names: Vec<String> = (1..=40).map(|port| format!("udp/{port}")).collect();
        let known: Vec<(&str, f64, bool)> = names
            .iter()
            .enumerate()
            .map(|(index, name)| (name.as_str(), index as f64, true))
            .collect();
        let rows = rows(&[], &common(), &traffic(&known));
        let text = text(&rows);
        assert_eq!((rows.len(), text.lines().count()), (40, 1 + 1 + OTHERS_SHOWN + 1));
        assert!(
            text.contains("common limits hold") && text.contains("and 8 more"),
            "{text}"
        );
        assert!(text.contains("udp/40 ") && !text.contains("udp/8 "), "{text}");
        assert!(super::text(&[]).contains("common limits hold"));
    }
}
