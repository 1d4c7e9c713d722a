//! `netguard normal`: what was learnt to be normal, beside what is now; and how to have it forgotten.

use clap::Subcommand;
use hyper::Method;
use serde::Serialize;
use tabled::Tabled;

use super::{
    CliError, Context,
    alone::{alone, record},
    output::{seconds, table},
};
use crate::{
    clock::wall_clock_s,
    config::ServicePort,
    control::{Client, ClientError},
    daemon::{EventKind, normal_file, read_normal, write_normal},
    engine::{
        Learnt,
        baseline::{ComeAbout, Normal, NormalService, NormalTraffic, NormalWhole, NowService},
        feature::ServiceMetric,
    },
};

#[derive(Subcommand, Debug)]
pub(super) enum NormalCommand {
    /// Show what each number is now, what it usually is, and what this hour of the week has us expect.
    Show {
        /// Only this service, such as tcp/80, or `other`.
        #[arg(long, value_name = "SERVICE")]
        service: Option<String>,
    },
    /// Forget what was learnt, of all traffic or of one service, so that it is learnt anew; works with the daemon dead.
    Forget {
        /// Only this service, such as tcp/80, or `other`.
        #[arg(long, value_name = "SERVICE", value_parser = service)]
        service: Option<String>,
    },
}

#[derive(Tabled)]
struct Row {
    #[tabled(rename = "OF")]
    of: String,
    #[tabled(rename = "NUMBER")]
    metric: String,
    #[tabled(rename = "NOW")]
    now: String,
    /// Deviations above the median.
    #[tabled(rename = "Z")]
    z: String,
    #[tabled(rename = "MEDIAN")]
    median: String,
    #[tabled(rename = "P95")]
    p95: String,
    #[tabled(rename = "P99")]
    p99: String,
    /// What detectors go by.
    #[tabled(rename = "USUALLY TO")]
    usual: String,
    #[tabled(rename = "THIS HOUR")]
    expected: String,
    #[tabled(rename = "IN A WEEK")]
    trend: String,
    #[tabled(rename = "LEARNT")]
    learnt: String,
}

/// Answer to `forget`.
#[derive(Serialize)]
struct Forgotten {
    /// `null`: all of it.
    service: Option<String>,
    /// `forgotten`, or `absent`.
    outcome: &'static str,
}

pub(super) async fn run(context: &Context, command: NormalCommand) -> Result<(), CliError> {
    match command {
        NormalCommand::Show { service } => show(context, service).await,
        NormalCommand::Forget { service } => forget(context, service).await,
    }
}

async fn show(context: &Context, service: Option<String>) -> Result<(), CliError> {
    let mut client = Client::connect(&context.instance).await?;
    let mut normal: NormalTraffic = client.request(Method::GET, "/v1/normal", None::<&()>).await?;
    if let Some(name) = service {
        if !normal.services.contains_key(&name) {
            return Err(CliError::Failed(format!(
                "nothing was learnt of {name}: `netguard normal show` has the services that are known"
            )));
        }
        normal.services.retain(|service, _| *service == name);
        normal.totals.clear();
        normal.now.clear();
        normal.come_about = ComeAbout::default();
    }
    context.output.print(&normal, text)
}

fn text(normal: &NormalTraffic) -> String {
    let mut rows: Vec<Row> = normal
        .totals
        .iter()
        .map(|(name, number)| row("all traffic", name, normal.now.get(name).copied(), number))
        .collect();
    for (name, service) in &normal.services {
        rows.extend(of_service(name, service));
    }
    if rows.is_empty() {
        return "nothing was learnt yet: wait a second, and see that `telemetry.mode` is \"on\"".to_owned();
    }
    let mut text = table(rows, &[2, 3, 4, 5, 6, 7, 8, 9, 10]);
    text.push_str(&come_about(normal.come_about));
    text.push_str(&whole(&normal.unusual));
    text
}

/// Its numbers, those that are known.
fn of_service(name: &str, service: &NormalService) -> Vec<Row> {
    let now = |of: fn(&NowService) -> Option<f64>| service.now.as_ref().and_then(of);
    let numbers = [
        (Some(service.packets), now(|now| Some(now.packets))),
        (Some(service.bytes), now(|now| Some(now.bytes))),
        (Some(service.opening), now(|now| Some(now.opening))),
        (service.payload, now(|now| now.payload)),
        (service.duration_s, now(|now| now.duration_s)),
        (service.requests, now(|now| now.requests)),
        (service.errors_percent, now(|now| now.errors_percent)),
        (service.response_ms, now(|now| now.response_ms)),
    ];
    let numbers = ServiceMetric::ALL.into_iter().zip(numbers);
    numbers
        .filter_map(|(metric, (normal, now))| Some(row(name, metric.name(), now, &normal?)))
        .collect()
}

fn come_about(come_about: ComeAbout) -> String {
    let percent = |share: Option<f64>, unknown: &str| {
        share.map_or_else(|| unknown.to_owned(), |share| format!("{:.0} %", 100.0 * share))
    };
    if come_about == ComeAbout::default() {
        return String::new();
    }
    format!(
        "\nconnections that come about, of those that are asked for: {} now, usually {}",
        percent(come_about.now, "-"),
        percent(come_about.usual, "not known")
    )
}

fn row(of: &str, metric: &str, now: Option<f64>, normal: &Normal) -> Row {
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    Row {
        of: of.to_owned(),
        metric: metric.to_owned(),
        now: shown(now),
        z: normal.z_score.map_or_else(|| "-".to_owned(), z_score),
        median: number(normal.median),
        p95: number(normal.p95),
        p99: number(normal.p99),
        usual: shown(normal.usual),
        expected: shown(normal.expected),
        trend: normal
            .trend_per_week
            .map_or_else(|| "-".to_owned(), |part| format!("{:+.0} %", 100.0 * part)),
        learnt: seconds(normal.learnt_s),
    }
}

/// As far as it says anything: beyond a hundred deviations it does not matter how many.
fn z_score(score: f64) -> String {
    match score {
        ..-99.0 => "<-99".to_owned(),
        ..=99.0 => format!("{score:+.1}"),
        _ => ">99".to_owned(),
    }
}

/// Rates in whole numbers, evennesses and what is small with two places, and what is big in thousands or millions.
fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        ..10.0 => format!("{value:.2}"),
        ..1e6 => format!("{value:.0}"),
        ..1e8 => format!("{:.0}k", value / 1e3),
        _ => format!("{:.0}M", value / 1e6),
    }
}

fn whole(whole: &NormalWhole) -> String {
    let (Some(score), Some(threshold)) = (whole.score, whole.threshold) else {
        return format!(
            "\nall numbers together: {} calm moments of 300 are learnt until it can be said how unusual one is",
            whole.learnt
        );
    };
    let is = if score > threshold { "UNUSUAL" } else { "as usual" };
    let because = whole
        .because
        .iter()
        .map(|(name, part)| format!("{name} {part:.1}"));
    let because = because.collect::<Vec<_>>().join(", ");
    let because = match because.is_empty() {
        true => String::new(),
        false => format!(", for the most part by {because}"),
    };
    format!("\nall numbers together: {is}, {score:.1} (unusual from {threshold:.1} on){because}")
}

/// A service as it is named in what was learnt.
fn service(text: &str) -> Result<String, String> {
    if text == "other" {
        return Ok(text.to_owned());
    }
    text.parse::<ServicePort>().map(|service| service.to_string())
}

async fn forget(context: &Context, service: Option<String>) -> Result<(), CliError> {
    let was = match Client::connect(&context.instance).await {
        Ok(mut client) => {
            let query = service
                .as_ref()
                .map_or_else(String::new, |name| format!("?service={name}"));
            let path = format!("/v1/normal{query}");
            client.request(Method::DELETE, &path, None::<&()>).await?
        }
        Err(ClientError::NotRunning) => forget_alone(context, service.as_deref()).await?,
        Err(error) => return Err(error.into()),
    };
    let forgotten = Forgotten {
        outcome: if was { "forgotten" } else { "absent" },
        service,
    };
    context.output.print(&forgotten, |forgotten| {
        let what = forgotten.service.as_deref().unwrap_or("all traffic");
        match was {
            true => format!("what was normal of {what} is forgotten, and is learnt anew"),
            false => format!("nothing was learnt of {what}"),
        }
    })?;
    if was { Ok(()) } else { Err(CliError::Negative) }
}

/// In the file, while no daemon runs.
async fn forget_alone(context: &Context, service: Option<&str>) -> Result<bool, CliError> {
    let _lock = alone(context).await?;
    let file = normal_file(&context.instance);
    let now_s = wall_clock_s().unwrap_or(0);
    let failed = |error: crate::daemon::NormalFileError| CliError::Failed(error.to_string());
    let Some(kept) = read_normal(&file, now_s).map_err(failed)? else {
        return Ok(false);
    };
    let mut learnt = kept.learnt;
    let mut was = learnt.baselines.forget(service);
    if service.is_none() {
        was |= learnt.calm.forget();
        learnt = Learnt {
            calm: learnt.calm,
            ..Learnt::new(fastrand::u64(..))
        };
    }
    if !was {
        return Ok(false);
    }
    write_normal(&file, &learnt, now_s).map_err(failed)?;
    let service = service.map(str::to_owned);
    record(context, [EventKind::NormalForgotten { service }]);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal() -> NormalTraffic {
        let number = Normal {
            median: 100.0,
            p95: 180.0,
            p99: 220.4,
            learnt_s: 7_200,
            usual: Some(300.0),
            expected: Some(90.0),
            trend_per_week: Some(0.123),
            z_score: Some(1.26),
            ..Normal::default()
        };
        NormalTraffic {
            totals: [
                ("syn".to_owned(), number),
                (
                    "size-evenness".to_owned(),
                    Normal {
                        median: 0.5,
                        ..number
                    },
                ),
            ]
            .into(),
            services: [(
                "tcp/80".to_owned(),
                NormalService {
                    packets: number,
                    duration_s: Some(number),
                    response_ms: Some(Normal {
                        median: 1.25,
                        ..number
                    }),
                    now: Some(NowService {
                        packets: 7.0,
                        duration_s: Some(4.2),
                        response_ms: Some(0.5),
                        ..NowService::default()
                    }),
                    ..NormalService::default()
                },
            )]
            .into(),
            now: [("syn".to_owned(), 1_234.6)].into(),
            come_about: ComeAbout {
                usual: Some(0.985),
                now: None,
            },
            unusual: NormalWhole {
                score: Some(2.25),
                threshold: Some(1.0),
                because: vec![("SYNs/s".to_owned(), 1.5)],
                learnt: 900,
            },
        }
    }

    #[test]
    fn each_number_has_a_line_within_a_terminal() {
        let text = text(&normal());
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(words).collect();
        for line in [
            "all traffic syn 1235 +1.3 100 180 220 300 90 +12 % 2h",
            "all traffic size-evenness - +1.3 0.50 180 220 300 90 +12 % 2h",
            "tcp/80 packets 7.00 +1.3 100 180 220 300 90 +12 % 2h",
            "tcp/80 bytes 0 - 0 0 0 - - - 0s",
            "tcp/80 duration-s 4.20 +1.3 100 180 220 300 90 +12 % 2h",
            "tcp/80 response-ms 0.50 +1.3 1.25 180 220 300 90 +12 % 2h",
            "connections that come about, of those that are asked for: - now, usually 98 %",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line}\n{text}");
        }
        assert!(
            text.contains("UNUSUAL, 2.2 (unusual from 1.0 on), for the most part by SYNs/s 1.5"),
            "{text}"
        );
        assert!(!text.contains("requests"), "they are not known: {text}");
        assert!(text.lines().all(|line| line.len() <= 110), "{text}");
    }

    #[test]
    fn services_are_named_as_everywhere() {
        assert_eq!(service("udp/53").as_deref(), Ok("udp/53"));
        assert_eq!(service("other").as_deref(), Ok("other"));
        assert!(service("http").is_err() && service("tcp/0").is_err());
    }

    #[test]
    fn numbers_are_short() {
        let told = [0.0, 0.25, 9.9, 10.4, 999_999.0, 12_345_678.0, 12_345_678_901.0].map(number);
        assert_eq!(
            [-1e9, -0.34, 0.0, 99.0, 1e300].map(z_score),
            ["<-99", "-0.3", "+0.0", "+99.0", ">99"]
        );
        assert_eq!(told, ["0", "0.25", "9.90", "10", "999999", "12346k", "12346M"]);
    }

    #[test]
    fn nothing_is_told_as_that() {
        assert!(text(&NormalTraffic::default()).contains("nothing was learnt"));
        assert!(
            whole(&NormalWhole {
                learnt: 12,
                ..NormalWhole::default()
            })
            .contains("12 calm moments of 300")
        );
    }
}
