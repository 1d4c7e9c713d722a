//! `netguard http`: what services are asked for, by route; how they answer; which TLS clients come; and what was found.

use clap::Args;
use hyper::Method;
use tabled::Tabled;

use super::{CliError, Context, output::table};
use crate::{
    control::Client,
    daemon::{HttpReport, Listens},
    engine::l7::report::{ClientReport, RouteReport, ServiceReport},
};

#[derive(Args, Debug)]
pub(super) struct HttpArgs {
    /// How many routes and TLS clients to show of each service.
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    limit: usize,
}

#[derive(Tabled)]
#[tabled(rename_all = "UPPERCASE")]
struct RouteRow {
    route: String,
    #[tabled(rename = "REQUESTS/S")]
    rate: String,
    requests: u64,
    #[tabled(rename = "MEAN MS")]
    mean_ms: String,
    failed: String,
}

#[derive(Tabled)]
#[tabled(rename_all = "UPPERCASE")]
struct ClientRow {
    #[tabled(rename = "TLS CLIENT (JA4)")]
    ja4: String,
    hellos: u64,
    #[tabled(rename = "LAST NAME")]
    name: String,
}

pub(super) async fn run(context: &Context, args: &HttpArgs) -> Result<(), CliError> {
    let mut client = Client::connect(&context.instance).await?;
    let mut report: HttpReport = client.request(Method::GET, "/v1/http", None::<&()>).await?;
    for service in &mut report.heard.services {
        service.routes.truncate(args.limit);
        service.clients.truncate(args.limit);
    }
    context.output.print(&report, text)
}

fn text(report: &HttpReport) -> String {
    let mut lines = report.faults();
    if report.state == Listens::Off {
        lines.push("services are not listened to: `http.mode` is off in the configuration".to_owned());
        return lines.join("\n");
    }
    let ports: Vec<String> = report.ports.iter().map(|port| format!("tcp/{port}")).collect();
    lines.push(match ports.is_empty() {
        true => "nothing listens here that others could ask".to_owned(),
        false => format!("listening to {}", ports.join(", ")),
    });
    lines.push(read(report));
    lines.extend(report.heard.services.iter().map(service));
    lines.extend(report.sentence());
    lines.join("\n")
}

/// How much of what was said was read.
fn read(report: &HttpReport) -> String {
    let mut line = format!("{} turns of clients read", report.turns);
    if report.skipped > 0 {
        line.push_str(&format!(", {} more left out under load", report.skipped));
    }
    line.push_str(&format!(
        "; {} conversations of {} sources are followed",
        report.conversations, report.heard.sources
    ));
    line
}

fn service(service: &ServiceReport) -> String {
    let statuses: Vec<String> = (1..)
        .zip(service.statuses)
        .filter(|(_, count)| *count > 0)
        .map(|(class, count)| format!("{count} {class}xx"))
        .collect();
    let mut lines = vec![String::new()];
    if service.requests > 0 {
        lines.push(format!(
            "tcp/{}: {:.1} requests/s, {} in all; answers: {}",
            service.port,
            service.requests_per_s,
            service.requests,
            match statuses.is_empty() {
                true => "none".to_owned(),
                false => statuses.join(", "),
            }
        ));
        lines.push(table(
            service.routes.iter().map(route).collect::<Vec<_>>(),
            &[1, 2, 3, 4],
        ));
    }
    if service.hellos > 0 {
        lines.push(format!(
            "tcp/{}: {} handshakes of TLS",
            service.port, service.hellos
        ));
        lines.push(table(
            service.clients.iter().map(client).collect::<Vec<_>>(),
            &[1],
        ));
    }
    lines.join("\n")
}

fn route(route: &RouteReport) -> RouteRow {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    RouteRow {
        route: route.route.clone(),
        rate: format!("{:.1}", route.requests_per_s),
        requests: route.requests,
        mean_ms: or_dash(route.mean_ms.map(|mean| format!("{mean:.1}"))),
        failed: or_dash(route.failed.map(|share| format!("{:.0} %", share * 100.0))),
    }
}

fn client(client: &ClientReport) -> ClientRow {
    ClientRow {
        ja4: client.ja4.clone(),
        hellos: client.hellos,
        name: client.name.clone(),
    }
}
