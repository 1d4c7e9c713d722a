//! `netguard reputation`: what is remembered of sources, and having it forgotten.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use hyper::Method;
use tabled::Tabled;

use super::{
    CliError, Context,
    alone::{alone, record},
    output::{seconds, table},
};
use crate::{
    control::{Client, ClientError, told},
    daemon::{
        Forgotten, ReasonReport, ReputationReport, SourceReputation, StoreError, StoreState, forget_kept,
        kept_reputation, reputation_place,
    },
};

#[derive(Subcommand, Debug)]
pub(super) enum ReputationCommand {
    /// Show the sources that most speaks against: 0 is neutral, 100 surely harmful.
    List {
        /// How many, 1000 at the most.
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
        top: u16,
    },
    /// Forget what is remembered of a source, its penalties, too. A block that stands is ended by `netguard block del`.
    Forget(ForgetArgs),
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct ForgetArgs {
    /// The source, an IPv4 or IPv6 address; of IPv6 its /64 is meant.
    address: Option<IpAddr>,
    /// All of them.
    #[arg(long)]
    all: bool,
}

#[derive(Tabled)]
struct Row {
    #[tabled(rename = "SOURCE")]
    source: String,
    #[tabled(rename = "SCORE")]
    score: u8,
    #[tabled(rename = "PROVEN")]
    proven: u8,
    #[tabled(rename = "NETWORK")]
    network: u8,
    #[tabled(rename = "LIMITS")]
    limits: String,
    #[tabled(rename = "BLOCKED")]
    blocked: String,
    #[tabled(rename = "NEXT BLOCK")]
    next: String,
    #[tabled(rename = "NEWEST REASON")]
    reason: String,
}

pub(super) async fn run(context: &Context, command: ReputationCommand) -> Result<(), CliError> {
    let mut client = match Client::connect(&context.instance).await {
        Ok(client) => client,
        Err(ClientError::NotRunning) => return without_daemon(context, command).await,
        Err(error) => return Err(error.into()),
    };
    match command {
        ReputationCommand::List { top } => {
            let path = format!("/v1/reputation?top={top}");
            let report: ReputationReport = client.request(Method::GET, &path, None::<&()>).await?;
            context.output.print(&report, text)
        }
        ReputationCommand::Forget(ForgetArgs { address, .. }) => {
            let path = address.map_or_else(
                || "/v1/reputation".to_owned(),
                |address| format!("/v1/reputation/{address}"),
            );
            let forgotten: Forgotten = client.request(Method::DELETE, &path, None::<&()>).await?;
            tell_forgotten(context, address, &forgotten)
        }
    }
}

/// What the last daemon kept. Nobody must begin meanwhile.
async fn without_daemon(context: &Context, command: ReputationCommand) -> Result<(), CliError> {
    let _lock = alone(context).await?;
    let (file, config) = reputation_place(&context.instance);
    let shown = file.display();
    let failed = |error: StoreError| CliError::Failed(error.to_string());
    match command {
        ReputationCommand::List { top } => {
            let kept = kept_reputation(&file, &config, &context.pins, top.into()).map_err(failed)?;
            let Some(report) = kept else {
                return Err(CliError::Failed(format!(
                    "no daemon is running for this instance, and none kept anything in {shown}: start it with `netguard run`"
                )));
            };
            context.output.print(&report, |report| {
                format!(
                    "no daemon runs: this is what was kept in {shown}\n{}",
                    text(report)
                )
            })
        }
        ReputationCommand::Forget(ForgetArgs { address, .. }) => {
            let forgotten = forget_kept(&file, address).map_err(failed)?;
            record(context, told::forgotten(&forgotten));
            tell_forgotten(context, address, &forgotten)
        }
    }
}

fn tell_forgotten(context: &Context, address: Option<IpAddr>, forgotten: &Forgotten) -> Result<(), CliError> {
    context.output.print(forgotten, sentence)?;
    let is_done = forgotten.fault.is_none() && (forgotten.forgotten > 0 || address.is_none());
    if is_done { Ok(()) } else { Err(CliError::Negative) }
}

fn sentence(forgotten: &Forgotten) -> String {
    let mut told = match (&forgotten.source, forgotten.forgotten) {
        (Some(source), 0) => format!("nothing is remembered of {source}"),
        (Some(source), _) => format!("{source} is forgotten"),
        (None, count) => format!("{count} sources are forgotten"),
    };
    if let Some(fault) = &forgotten.fault {
        told.push_str(&format!(", but only until the next start: {fault}"));
    }
    told
}

fn text(report: &ReputationReport) -> String {
    let mut lines = Vec::new();
    lines.push(match report.mode.as_str() {
        "off" => "nothing is remembered: `reputation.mode` is off".to_owned(),
        mode => format!(
            "sources remembered: {}; from a proven score of {} on they are blocked when they are found flooding (mode: {mode})",
            report.remembered, report.block_from
        ),
    });
    lines.extend(report.store.iter().filter_map(StoreState::sentence));
    if !report.outcomes.is_empty() {
        let outcomes = report.outcomes.iter();
        let outcomes: Vec<String> = outcomes
            .map(|counted| format!("{} {}", counted.count, counted.outcome))
            .collect();
        lines.push(format!("findings since the start: {}", outcomes.join(", ")));
    }
    if !report.sources.is_empty() {
        lines.push(table(report.sources.iter().map(row), &[1, 2, 3]));
    }
    lines.join("\n")
}

fn row(source: &SourceReputation) -> Row {
    let times = source.blocked_times;
    Row {
        source: source.source.clone(),
        score: source.score,
        proven: source.proven_score,
        network: source.network_score,
        limits: match source.limit_divisor {
            1 => "all".to_owned(),
            divisor => format!("1/{divisor}"),
        },
        blocked: match (source.blocked, times) {
            (true, 0) => "with others".to_owned(),
            (true, _) => format!("now, {times}x"),
            (false, 0) => "never".to_owned(),
            (false, _) => format!("{times}x"),
        },
        next: seconds(source.next_block_s),
        reason: source.reasons.first().map_or_else(String::new, |reason| {
            format!("{} ({})", reason.kind, reason.detail)
        }),
    }
}

/// What `netguard explain` says of it.
pub(super) fn lines(source: &SourceReputation) -> Vec<String> {
    let mut lines = vec![format!(
        "score: {} of 100, {} of it proven; its network {}: {}",
        source.score,
        source.proven_score,
        source.network.as_deref().unwrap_or("(the link)"),
        source.network_score
    )];
    lines.extend(source.reasons.iter().map(reason));
    let last = source.last_blocked.iter();
    lines.extend(last.map(|last| {
        let stands = if source.blocked { ", which stands" } else { "" };
        format!("blocked: {} times, last at {last}{stands}", source.blocked_times)
    }));
    if source.limit_divisor > 1 {
        lines.push(format!(
            "limits: 1/{} of what others have, until the score is lower (`reputation.limit_step`)",
            source.limit_divisor
        ));
    }
    lines.push(format!("next block: for {}", seconds(source.next_block_s)));
    let why = source.not_blocked.iter();
    lines.extend(why.map(|why| format!("not blocked: {why}")));
    lines
}

fn reason(reason: &ReasonReport) -> String {
    let times = if reason.times > 1 {
        format!(", {} times since {}", reason.times, reason.first)
    } else {
        String::new()
    };
    let forged = if reason.proven {
        ""
    } else {
        "; without a connection, so it may have been forged"
    };
    format!(
        "reason: {} {} ({}){times}: adds {}, half of which lasts {}{forged}",
        reason.last,
        reason.what,
        reason.detail,
        reason.weight,
        seconds(reason.half_life_s)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> SourceReputation {
        SourceReputation {
            source: "192.0.2.1/32".to_owned(),
            score: 76,
            proven_score: 60,
            network: Some("192.0.2.0/24".to_owned()),
            network_score: 7,
            connections: 2,
            blocked: true,
            blocked_times: 2,
            last_blocked: Some("T2".to_owned()),
            next_block_s: 240,
            limit_divisor: 4,
            not_blocked: None,
            reasons: vec![ReasonReport {
                kind: "flood".to_owned(),
                what: "it kept exceeding its limits".to_owned(),
                detail: "limit-syn".to_owned(),
                first: "T1".to_owned(),
                last: "T2".to_owned(),
                times: 3,
                packets: 9,
                proven: true,
                weight: 60,
                half_life_s: 600,
            }],
        }
    }

    #[test]
    fn a_source_is_explained() {
        assert_eq!(
            lines(&source()),
            [
                "score: 76 of 100, 60 of it proven; its network 192.0.2.0/24: 7",
                "reason: T2 it kept exceeding its limits (limit-syn), 3 times since T1: adds 60, half of which lasts 10m",
                "blocked: 2 times, last at T2, which stands",
                "limits: 1/4 of what others have, until the score is lower (`reputation.limit_step`)",
                "next block: for 4m",
            ]
        );
        let mut stranger = SourceReputation {
            limit_divisor: 1,
            blocked_times: 0,
            last_blocked: None,
            not_blocked: Some("it may be forged".to_owned()),
            ..source()
        };
        stranger.reasons[0].proven = false;
        stranger.reasons[0].times = 1;
        let told = lines(&stranger);
        assert!(told[1].ends_with("may have been forged"), "{told:?}");
        assert_eq!(told[3], "not blocked: it may be forged");
    }

    #[test]
    fn the_list_says_what_findings_led_to() {
        let report = ReputationReport {
            mode: "enforce".to_owned(),
            block_from: 50,
            release_below: 30,
            throttled: 1,
            remembered: 7,
            displaced: 0,
            outcomes: vec![crate::daemon::OutcomeCount {
                outcome: "shared".to_owned(),
                count: 4,
            }],
            store: None,
            sources: vec![source()],
        };
        let told = text(&report);
        assert!(
            told.starts_with("sources remembered: 7; from a proven score of 50 on"),
            "{told}"
        );
        assert!(told.contains("4 shared") && told.contains("now, 2x"), "{told}");
        assert!(told.contains("flood (limit-syn)"), "{told}");
    }

    #[test]
    fn what_is_forgotten_only_for_now_is_told() {
        let forgotten = Forgotten {
            source: Some("192.0.2.1/32".to_owned()),
            forgotten: 1,
            fault: Some("the disk is full".to_owned()),
        };
        assert_eq!(
            sentence(&forgotten),
            "192.0.2.1/32 is forgotten, but only until the next start: the disk is full"
        );
    }
}
