//! Acts on findings: decides with the proofs of the moment, places rules in the kernel, and tells what came of it.

use std::collections::HashMap;

use netguard_common::layout::Rule;
use tracing::{info, warn};

use super::{EventKind, State};
use crate::{
    bpf::{BpfError, List, Rules},
    engine::{Action, Cause, Decision, Enforced, Finding, RuleSink, conclude},
    host,
    prefix::Prefix,
};

/// Findings without consequence that are told one by one per tick: thousands of sources can be over their limits.
const TOLD_PER_TICK: u64 = 16;
/// Sources whose connections wait for their end.
const OUSTED: usize = 4_096;

/// Decides on `findings` with the proofs of this moment, and carries the decisions out.
pub(super) async fn act(state: &State, mut findings: Vec<Finding>, now_ns: u64) {
    // A dump of a hundred thousand sockets takes a quarter of a second: not on this thread.
    let listed = tokio::task::spawn_blocking(host::established_peers).await;
    let listed = listed.map_err(|error| error.to_string());
    let connected = match listed.and_then(|peers| peers.map_err(|error| error.to_string())) {
        Ok(peers) => peers.clients,
        Err(error) => {
            warn!("no source is proven: {error}");
            // Nor is it known behind which of them many people are.
            findings.retain(|finding| matches!(finding.cause, Cause::Limit(_)));
            HashMap::new()
        }
    };
    let guard = state.guard().clone();
    let concluded = {
        // Whoever holds both takes the rules last.
        let mut reputation = state.reputation();
        reputation.connect(connected, now_ns);
        let mut rules = state.rules();
        let mut sink = KernelSink {
            rules: &mut rules,
            now_ns,
        };
        conclude(findings, &guard, &mut reputation, now_ns, &mut sink)
    };
    let mut withheld = 0;
    for (decision, outcome) in concluded {
        if matches!(decision.action, Action::Withhold(_)) {
            withheld += 1;
            if withheld > TOLD_PER_TICK {
                continue;
            }
        }
        tell(state, &decision, outcome);
    }
    if withheld > TOLD_PER_TICK {
        state.journal.record(EventKind::WithheldMore {
            count: withheld - TOLD_PER_TICK,
        });
    }
}

fn tell(state: &State, decision: &Decision, outcome: Enforced<BpfError>) {
    let finding = &decision.finding;
    let verdict = finding.cause.name().to_owned();
    if let Some((network, sources)) = decision.network {
        return tell_network(state, network, sources, &decision.action, outcome);
    }
    match (&decision.action, outcome) {
        (Action::Block { prefix, .. }, Enforced::Failed(error)) => {
            warn!(%prefix, "not blocked: {error}");
            state.rule_refused(prefix.to_string(), error.to_string());
        }
        (Action::Block { prefix, ttl_ns }, _) => {
            info!(%prefix, verdict, dropped = finding.dropped, "blocked");
            if !matches!(finding.cause, Cause::Limit(_)) {
                // Where nobody watches connections, nobody takes them.
                let mut ousted = state.ousted();
                if ousted.len() < OUSTED {
                    ousted.push(*prefix);
                }
            }
            state.journal.record(EventKind::Blocked {
                prefix: prefix.to_string(),
                for_s: ttl_ns / 1_000_000_000,
                verdict,
                dropped: finding.dropped,
                over_for_ms: finding.over_for_ns / 1_000_000,
                score: decision.score,
                repeats: decision.repeats,
            });
        }
        (Action::Withhold(why), _) => {
            state.journal.record(EventKind::Withheld {
                source: finding.source.to_string(),
                why: why.describe(),
                verdict,
                dropped: finding.dropped,
            });
        }
    }
}

/// A network that as many of its `sources` were blocked of as lead to its block.
fn tell_network(state: &State, network: Prefix, sources: u64, action: &Action, outcome: Enforced<BpfError>) {
    let network = network.to_string();
    state.journal.record(match (action, outcome) {
        (Action::Block { .. }, Enforced::Failed(error)) => {
            warn!(network, "not blocked: {error}");
            return state.rule_refused(network, error.to_string());
        }
        (Action::Block { ttl_ns, .. }, _) => {
            info!(network, sources, "blocked");
            EventKind::NetworkBlocked {
                prefix: network,
                for_s: ttl_ns / 1_000_000_000,
                sources,
            }
        }
        (Action::Withhold(why), _) => EventKind::NetworkWithheld {
            prefix: network,
            why: why.describe(),
            sources,
        },
    });
}

/// The kernel's block tables as a sink of rules that are placed at `now_ns`.
pub(crate) struct KernelSink<'a> {
    pub(crate) rules: &'a mut Rules,
    pub(crate) now_ns: u64,
}

impl RuleSink for KernelSink<'_> {
    type Error = BpfError;

    fn block(&mut self, prefix: Prefix, rule: Rule) -> Result<(), BpfError> {
        // An operator's rule that lasts longer says the same, with their reason: it stays.
        self.rules
            .insert_unless_outlasted(List::Block, prefix, rule, self.now_ns)
    }
}
