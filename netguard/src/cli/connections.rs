//! `netguard connections`: who holds how many TCP connections with this machine, and who is refused more; works with the daemon dead.

use clap::Args;
use hyper::Method;
use serde::Serialize;
use tabled::Tabled;

use super::{
    CliError, Context,
    output::{seconds, table},
};
use crate::{
    bpf::{Connections, SettingsMap, holder_text},
    clock::monotonic_ns,
    control::{Client, ClientError, DaemonStatus},
    daemon::ConnectionsReport,
};

#[derive(Args, Debug)]
pub(super) struct ConnectionArgs {
    /// How many sources and prefixes to show, those with most connections first.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: usize,
}

/// The answer.
#[derive(Serialize)]
struct Told {
    /// What a source, and a prefix, may hold; `null`: any number.
    per_source: Option<u32>,
    per_prefix: Option<u32>,
    holders: Vec<Holder>,
    /// Sources and prefixes that hold some, beyond those shown.
    more: usize,
    /// What the daemon says; `null` when none runs.
    daemon: Option<ConnectionsReport>,
}

/// A source, or a prefix.
#[derive(Serialize)]
struct Holder {
    holder: String,
    connections: u32,
    /// `null`: any number.
    limit: Option<u32>,
    /// Times in a row that it asked for too many.
    penalties: u32,
    /// How long it is refused; 0: not at all.
    refused_for_s: u64,
}

#[derive(Tabled)]
struct Row {
    #[tabled(rename = "HOLDER")]
    holder: String,
    #[tabled(rename = "CONNECTIONS")]
    connections: u32,
    #[tabled(rename = "LIMIT")]
    limit: String,
    #[tabled(rename = "REFUSED FOR")]
    refused: String,
    #[tabled(rename = "PENALTIES")]
    penalties: u32,
}

pub(super) async fn run(context: &Context, args: &ConnectionArgs) -> Result<(), CliError> {
    let limits = SettingsMap::open(&context.pins)?.read()?.connections;
    let now_ns = monotonic_ns();
    let mut list = Connections::open(&context.pins)?.list()?;
    list.retain(|held| held.count > 0 || held.until_ns > now_ns);
    list.sort_by_key(|held| std::cmp::Reverse((held.count, held.until_ns)));
    let more = list.len().saturating_sub(args.limit);
    let holders = list.iter().take(args.limit).map(|held| Holder {
        holder: holder_text(&held.holder),
        connections: held.count,
        limit: some(limits.most(&held.holder)),
        penalties: held.penalties,
        refused_for_s: held.until_ns.saturating_sub(now_ns).div_ceil(1_000_000_000),
    });
    let told = Told {
        per_source: some(limits.per_source),
        per_prefix: some(limits.per_prefix),
        holders: holders.collect(),
        more,
        daemon: report(context).await?,
    };
    context.output.print(&told, text)
}

async fn report(context: &Context) -> Result<Option<ConnectionsReport>, CliError> {
    let mut client = match Client::connect(&context.instance).await {
        Ok(client) => client,
        Err(ClientError::NotRunning) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let status: DaemonStatus = client.request(Method::GET, "/v1/status", None::<&()>).await?;
    Ok(Some(status.connections))
}

fn some(most: u32) -> Option<u32> {
    (most != 0).then_some(most)
}

fn text(told: &Told) -> String {
    let rows: Vec<Row> = told
        .holders
        .iter()
        .map(|holder| Row {
            holder: holder.holder.clone(),
            connections: holder.connections,
            limit: holder
                .limit
                .map_or_else(|| "-".to_owned(), |limit| limit.to_string()),
            refused: match holder.refused_for_s {
                0 => "-".to_owned(),
                refused => seconds(refused),
            },
            penalties: holder.penalties,
        })
        .collect();
    let mut lines = vec![match rows.is_empty() {
        true => "nobody holds connections with this machine".to_owned(),
        false => table(rows, &[1, 2, 4]),
    }];
    if told.more > 0 {
        lines.push(format!("and {} more: --limit shows them", told.more));
    }
    match &told.daemon {
        Some(report) => {
            lines.push(format!(
                "{} connections of {} sources",
                report.held, report.sources
            ));
            lines.extend(ended(report));
            lines.extend(pressed(report));
            lines.extend(report.faults());
        }
        None => lines.push("no daemon runs: limits hold, and nothing is ended".to_owned()),
    }
    lines.join("\n")
}

/// What was ended, if anything was.
fn ended(report: &ConnectionsReport) -> Option<String> {
    let ended = report
        .ended
        .by_reason()
        .into_iter()
        .filter(|(_, count)| *count > 0);
    let ended: Vec<String> = ended.map(|(reason, count)| format!("{count} {reason}")).collect();
    (!ended.is_empty()).then(|| format!("ended since the daemon began: {}", ended.join(", ")))
}

/// Which services are under pressure, if any are.
pub(super) fn pressed(report: &ConnectionsReport) -> Option<String> {
    let pressed = report.pressed.join(", ");
    (!pressed.is_empty()).then(|| format!("under pressure by connections: {pressed}"))
}
