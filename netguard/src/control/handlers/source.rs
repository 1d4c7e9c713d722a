//! What is known of one source: the journal, the lists, its connections and its reputation. It decides nothing.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State as Shared},
};

use crate::{
    control::SourceReport,
    daemon::{EventKind, State, source_reputation},
    engine::{
        Account, SLOW_CONNECTIONS, accountable,
        campaign::Campaign,
        response::{Measure, Mode},
    },
    host,
    prefix::Prefix,
};

/// What the journal and the lists say about a source.
pub(in crate::control) async fn source(
    Shared(state): Shared<Arc<State>>,
    Path(address): Path<std::net::IpAddr>,
) -> Json<SourceReport> {
    let about = |text: &str| {
        text.parse::<Prefix>()
            .is_ok_and(|prefix| prefix.contains(address))
    };
    let evidence = state.journal.recent(usize::MAX).into_iter().filter_map(|event| {
        let sentence = match event.kind {
            EventKind::Blocked {
                prefix,
                for_s,
                verdict,
                dropped,
                over_for_ms,
                ..
            } if about(&prefix) => {
                let found = found(&verdict, dropped);
                format!("blocked for {for_s} s: {found} in {over_for_ms} ms")
            }
            EventKind::Withheld {
                source,
                why,
                verdict,
                dropped,
            } if about(&source) => format!("not blocked although {}: {why}", found(&verdict, dropped)),
            EventKind::Dropped {
                verdict,
                action,
                packets_per_s,
                top_source: Some(source),
            } if about(&source) => {
                format!("top source of {verdict} ({action}), {packets_per_s} packets/s over all sources")
            }
            EventKind::NetworkBlocked {
                prefix,
                for_s,
                sources,
            } if about(&prefix) => {
                format!("all of {prefix} was blocked for {for_s} s, after {sources} of its sources")
            }
            EventKind::NetworkWithheld { prefix, why, sources } if about(&prefix) => {
                format!("all of {prefix} was not blocked although {sources} of its sources were: {why}")
            }
            EventKind::Offence {
                source,
                service,
                offence,
                evidence,
                shadow,
                ..
            } if about(&source) => {
                let shadow = if shadow { " (shadow: only told)" } else { "" };
                format!("it was found to do harm to {service}: {offence}: {evidence}{shadow}")
            }
            EventKind::BlockEnded { prefix, why } if about(&prefix) => {
                format!("the block of {prefix} ended: {why}")
            }
            EventKind::RuleExpired { list, prefix } if about(&prefix) => {
                format!("the {list} rule for {prefix} ended")
            }
            _ => return None,
        };
        Some(format!("{} {sentence}", event.at))
    });
    let account = accountable(Account::of(address), address, &state.guard());
    let guarded = state
        .guard()
        .objection(&Prefix::from(address))
        .map(|(prefix, kind)| format!("no detector may block it: {prefix} is {}", kind.describe()));
    let mut evidence: Vec<String> = evidence.collect();
    let campaigns = {
        let campaigns = state.campaigns();
        let its = campaigns.of_source(Account::of(address));
        its.map(|campaign| (campaign.id, sentence(campaign)))
            .collect::<Vec<_>>()
    };
    evidence.extend(campaigns.iter().map(|(_, sentence)| sentence.clone()));
    let listed = {
        let state = Arc::clone(&state);
        tokio::task::spawn_blocking(move || {
            let lists = state.lists();
            (lists.matching(address.to_canonical()), lists.unknown())
        })
        .await
    };
    let ((lists, list_verdict), lists_unknown) = listed.unwrap_or_default();
    let peers = tokio::task::spawn_blocking(host::established_peers).await;
    let connections = match peers {
        Ok(Ok(peers)) => {
            let of_it = peers
                .all
                .iter()
                .filter(|(peer, _)| account.prefix().contains(**peer));
            Some(of_it.fold(0, |sum: u32, (_, count)| sum.saturating_add(*count)))
        }
        _ => None,
    };
    Json(SourceReport {
        evidence,
        connections,
        connections_of: Some(account.prefix()),
        guarded,
        lists,
        list_verdict,
        lists_unknown,
        campaigns: campaigns.into_iter().map(|(id, _)| id).collect(),
        http: state.heard().source(account),
        reputation: source_reputation(&state, address),
        measures: measures(&state),
    })
}

/// What a source was found to do: connections that end are no packets that are dropped.
fn found(verdict: &str, count: u64) -> String {
    match verdict {
        SLOW_CONNECTIONS => format!("{count} {verdict} ended"),
        _ => format!("{verdict} dropped about {count} packets"),
    }
}

fn sentence(campaign: &Campaign) -> String {
    let (id, count) = (campaign.id, campaign.sources_seen);
    let when = if campaign.is_going() { "goes on" } else { "is over" };
    format!(
        "it is one of {count} sources of campaign {id}, which {when}: {} (`netguard campaigns show {id}`)",
        campaign.kind().describe()
    )
}

/// Services that take nobody new, whoever it is.
fn measures(state: &State) -> Vec<String> {
    let responder = state.responder();
    let broken = responder
        .wanted()
        .filter(|(_, taken)| matches!(taken.measure, Measure::CircuitBreak { .. }));
    broken
        .map(|(attack, taken)| {
            let shadow = if taken.mode_now() == Mode::Enforce {
                ""
            } else {
                " (only counted now)"
            };
            format!("{}{shadow}: `netguard attacks show {attack}`", taken.measure)
        })
        .collect()
}
