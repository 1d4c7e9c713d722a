//! `netguard explain`: why a source is treated as it is, and how to change that.

mod connections;
mod http;
mod undo;
mod verdict;

use std::net::IpAddr;

use clap::Args;
use hyper::Method;
use serde::Serialize;

use super::{
    CliError, Context,
    output::seconds,
    reputation::lines as reputation_lines,
    rules::{Listed, listed},
};
use undo::undo;
use verdict::{Lists, blocked, blocked_by_detector, verdict};

use crate::{
    bpf::{List, Proven, Ranges, Rules, SettingsMap, Signatures, limit_levels},
    clock::monotonic_ns,
    control::{Client, ClientError, SourceReport},
    daemon::{ListMatch, SourceReputation},
    host,
};

#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// The source, an IPv4 or IPv6 address.
    address: IpAddr,
}

#[derive(Serialize)]
struct Explanation {
    address: String,
    /// The verdict on a well-formed packet of this source now; `unknown` where lists decide that nobody can look at.
    verdict: String,
    /// Why the lists could not be looked at.
    lists_unknown: Option<String>,
    /// From 0, neutral, to 100, surely harmful; `null` where nobody keeps scores: no daemon runs, or `reputation.mode` is off.
    score: Option<u8>,
    /// `handshake` when the source has an established TCP connection with this machine, else `none`.
    proof: &'static str,
    evidence: Vec<String>,
    /// What the score is made of, how often the source was blocked, and why it is not.
    reputation: Option<SourceReputation>,
    /// Campaigns that it is a source of, the newest first.
    campaigns: Vec<u64>,
    rules: Vec<RuleMatch>,
    limits: Vec<LimitUse>,
    /// TCP connections that it holds, and its prefix, as the kernel counts them.
    connections: Vec<connections::Holding>,
    /// What it asks services for in the clear, of late.
    http: Option<http::SourceReport>,
    /// Commands that change the verdict.
    undo: Vec<String>,
}

#[derive(Serialize)]
struct RuleMatch {
    list: &'static str,
    #[serde(flatten)]
    rule: Listed,
}

#[derive(Serialize)]
struct LimitUse {
    class: &'static str,
    /// Whose packets count together: of the `source`, or of its `prefix`.
    level: &'static str,
    rate_per_s: u64,
    burst: u64,
    used: u64,
}

pub(super) async fn run(context: &Context, args: &ExplainArgs) -> Result<(), CliError> {
    let address = args.address.to_canonical();
    let now_ns = monotonic_ns();
    let settings = SettingsMap::open(&context.pins)?.read()?;
    let tables = Rules::open(&context.pins)?;
    let mut matching = Vec::new();
    for list in [List::Allow, List::Block] {
        let entries = tables.matching(list, address, now_ns)?;
        matching.extend(entries.into_iter().map(|entry| (list, entry)));
    }
    let levels = limit_levels(&context.pins, address, now_ns)?;
    let report = report(context, address).await?;
    let connections = match report.connections {
        Some(connections) => connections,
        // No daemon: this process may stand in another network namespace, but nobody else can be asked.
        None => host::established_peers()?.all.get(&address).copied().unwrap_or(0),
    };
    let of = report.connections_of.filter(|prefix| !prefix.is_host());
    let of = of.map_or_else(String::new, |prefix| format!(" of {prefix}"));
    // Whoever a rule blocks is not to be told why it is not.
    let is_blocked = blocked(&matching).is_some();
    let told = |reputation: SourceReputation| SourceReputation {
        not_blocked: reputation.not_blocked.filter(|_| !is_blocked),
        ..reputation
    };

    let verdict = verdict(&settings, &matching, &Lists::of(&report), &levels);
    let mut evidence = report.evidence;
    if connections > 0 {
        evidence.push(format!(
            "{connections} established TCP connections{of} with this machine now"
        ));
    }
    if Proven::open(&context.pins)?
        .until_ns(address)?
        .is_some_and(|until_ns| until_ns > now_ns)
    {
        evidence.push("its address is proven: it is served first when a UDP service is flooded".to_owned());
    }
    let holdings = connections::holdings(&context.pins, &settings, address, now_ns)?;
    evidence.extend(holdings.iter().filter_map(connections::Holding::sentence));
    evidence.extend(report.http.iter().filter_map(http::sentence));
    evidence.extend(report.guarded);
    if blocked_by_detector(&matching) {
        evidence.push(
            "a detector's block spares TCP packets that open nothing: connections that stand go on"
                .to_owned(),
        );
    }
    evidence.extend(report.lists.iter().map(on_list));
    evidence.extend(report.measures);
    let signatures = Signatures::open(&context.pins)?.list(now_ns)?.len();
    if signatures > 0 {
        evidence.push(format!(
            "signatures in force: {signatures}; they judge packets, whosever they are (`netguard signature list`)"
        ));
    }
    let explanation = Explanation {
        address: address.to_string(),
        verdict,
        lists_unknown: report.lists_unknown,
        score: report.reputation.as_ref().map(|reputation| reputation.score),
        reputation: report.reputation.map(told),
        campaigns: report.campaigns,
        proof: if connections > 0 { "handshake" } else { "none" },
        evidence,
        connections: holdings,
        http: report.http,
        undo: undo(address, &matching, &report.lists, &levels),
        rules: matching
            .into_iter()
            .map(|(list, entry)| RuleMatch {
                list: list.name(),
                rule: listed(entry, now_ns),
            })
            .collect(),
        limits: levels
            .iter()
            .map(|level| LimitUse {
                class: level.class.name(),
                level: if level.of_prefix { "prefix" } else { "source" },
                rate_per_s: level.rate_per_s,
                burst: level.burst,
                used: level.used,
            })
            .collect(),
    };
    context.output.print(&explanation, text)
}

/// What the daemon remembers; when it is dead, no more than whether the kernel has lists: those are not to be read back.
async fn report(context: &Context, address: IpAddr) -> Result<SourceReport, CliError> {
    match Client::connect(&context.instance).await {
        Ok(mut client) => Ok(client
            .request(Method::GET, &format!("/v1/sources/{address}"), None::<&()>)
            .await?),
        Err(ClientError::NotRunning) => {
            let are_set = Ranges::open(&context.pins)?.is_set();
            Ok(SourceReport {
                lists_unknown: are_set.then(|| DEAD.to_owned()),
                ..SourceReport::default()
            })
        }
        Err(error) => Err(error.into()),
    }
}

const DEAD: &str = "lists are in force, and only a daemon can say what is on them: `netguard run`";

fn on_list(list: &ListMatch) -> String {
    match list.kind.as_str() {
        "feed" => format!("it is on the feed {} (`netguard feed list`)", list.name),
        "held-country" | "held-asn" => {
            let held = if list.shadow {
                "would be held (`response.geo` is in shadow)"
            } else {
                "is held"
            };
            format!(
                "it belongs to {}, which {held} at a rate because of an attack, beyond which only sources pass that are connected or known \
                 (`netguard attacks list`)",
                list.name
            )
        }
        "default" => "it lies in no place that the configuration names".to_owned(),
        kind => format!("it belongs to {kind} {} (`netguard feed list`)", list.name),
    }
}

fn text(explanation: &Explanation) -> String {
    let mut lines = vec![format!("{}: {}", explanation.address, explanation.verdict)];
    lines.push(match explanation.proof {
        "none" => "proof: none (no established connection: the address may be forged)".to_owned(),
        proof => format!("proof: {proof}"),
    });
    lines.extend(explanation.reputation.iter().flat_map(reputation_lines));
    let unknown = explanation.lists_unknown.iter();
    lines.extend(unknown.map(|why| format!("lists: could not be looked at: {why}")));
    for RuleMatch { list, rule } in &explanation.rules {
        let ends = rule.expires_in_s.map_or_else(
            || "for good".to_owned(),
            |left| format!("for {} more", seconds(left)),
        );
        lines.push(format!(
            "rule: {list}list {} {ends}, by {}, reason: {}",
            rule.prefix, rule.origin, rule.reason
        ));
    }
    for limit in &explanation.limits {
        lines.push(format!(
            "limit: {} per {} {}/s, {} of a burst of {} used",
            limit.class, limit.level, limit.rate_per_s, limit.used, limit.burst
        ));
    }
    lines.extend(
        explanation
            .evidence
            .iter()
            .map(|sentence| format!("evidence: {sentence}")),
    );
    lines.extend(explanation.undo.iter().map(|command| format!("undo: {command}")));
    lines.join("\n")
}
