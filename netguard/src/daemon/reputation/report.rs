//! Reputation as it is told over the control socket, with the wall clock and in sentences.

use std::{net::IpAddr, time::Duration};

use netguard_common::layout::Mode;
use serde::{Deserialize, Serialize};

use super::{Keeper, StoreState};
use crate::{
    clock::{monotonic_ns, wall_clock_before},
    daemon::State,
    engine::{
        Account, Guard, Reputation, accountable, divisor, objection,
        reputation::{Reason, View},
    },
};

const SECOND_NS: u64 = 1_000_000_000;

/// Answer of `GET /v1/reputation`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReputationReport {
    /// `off`, `shadow` or `enforce`.
    pub mode: String,
    /// The score from which on a source with an established connection that is found flooding is blocked.
    pub block_from: u8,
    pub release_below: u8,
    /// Sources whose limits are divided.
    #[serde(default)]
    pub throttled: usize,
    /// Sources of which something is remembered.
    pub remembered: usize,
    /// Sources that were forgotten to make room since the daemon began.
    pub displaced: u64,
    /// What findings led to since the daemon began.
    pub outcomes: Vec<OutcomeCount>,
    /// Where it is kept; `None`: only in memory.
    pub store: Option<StoreState>,
    /// Those with the highest scores.
    pub sources: Vec<SourceReputation>,
}

/// How often findings led to the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCount {
    /// `blocked`, or why not: `unproven`, `guarded`, `off`, `shared`, `busy`, `people`, `below-threshold`, `blast-radius`, `shadow`. Decisions on
    /// networks, which follow from findings: `network-blocked`, `network-shadow`, `network-withheld`.
    pub outcome: String,
    pub count: u64,
}

/// What is remembered of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReputation {
    /// An IPv4 address or an IPv6 /64; an IPv6 address where somebody guarded shares its /64.
    pub source: String,
    /// From 0, neutral, to 100.
    pub score: u8,
    /// Of evidence that nobody can have forged: blocks rest on this.
    pub proven_score: u8,
    /// The IPv4 /24 or IPv6 /48 that it lies in.
    pub network: Option<String>,
    pub network_score: u8,
    /// Established connections, as last looked.
    pub connections: u32,
    /// Whether an automatic block stands.
    pub blocked: bool,
    pub blocked_times: u64,
    /// RFC 3339, UTC.
    pub last_blocked: Option<String>,
    /// How long the next block would be, give or take a tenth when it is a repetition.
    pub next_block_s: u64,
    /// By what its limits are divided; 1: not at all.
    #[serde(default = "undivided")]
    pub limit_divisor: u8,
    /// Why it would not be blocked now, as a sentence; `None`: it is, or it would be, when it is found flooding.
    pub not_blocked: Option<String>,
    /// Those met last first.
    pub reasons: Vec<ReasonReport>,
}

/// A reason, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonReport {
    /// `flood`, `attack`, `malformed`, `feed` or `campaign`.
    pub kind: String,
    /// In a sentence.
    pub what: String,
    /// The verdict, the class of the attack, the feed, or the kind of the campaign.
    pub detail: String,
    /// When it was first and last met, RFC 3339, UTC.
    pub first: String,
    pub last: String,
    pub times: u32,
    /// Dropped packets, estimated.
    pub packets: u64,
    /// Whether the source had an established connection then.
    pub proven: bool,
    /// What one time adds to a score of 0.
    pub weight: u8,
    pub half_life_s: u64,
}

/// Answer of `DELETE /v1/reputation` and `DELETE /v1/reputation/{address}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// `None`: all of them.
    pub source: Option<String>,
    /// Of how many something was remembered.
    pub forgotten: usize,
    /// Why it is not on disk, too, where that is so.
    pub fault: Option<String>,
}

/// What is remembered, with the `top` highest scores.
pub fn report(state: &State, top: usize) -> ReputationReport {
    let guard = state.guard().clone();
    let now_ns = monotonic_ns();
    let store = state.keeper.get().map(Keeper::state);
    of(&state.reputation(), &guard, store, top, now_ns)
}

/// The same of any `reputation`.
pub(super) fn of(
    reputation: &Reputation,
    guard: &Guard,
    store: Option<StoreState>,
    top: usize,
    now_ns: u64,
) -> ReputationReport {
    let settings = reputation.settings();
    let (remembered, displaced) = reputation.counts();
    let told = |view: View| source(view, reputation, guard, now_ns);
    ReputationReport {
        mode: match settings.mode {
            Mode::Off => "off",
            Mode::Shadow => "shadow",
            Mode::Enforce => "enforce",
        }
        .to_owned(),
        block_from: settings.block_from,
        release_below: settings.release_below,
        throttled: reputation.throttled(),
        remembered,
        displaced,
        outcomes: reputation
            .outcomes()
            .map(|(outcome, count)| OutcomeCount {
                outcome: outcome.to_owned(),
                count,
            })
            .collect(),
        store,
        sources: reputation.top(top, now_ns).into_iter().map(told).collect(),
    }
}

/// What is remembered of the source at `address`; `None`: nothing is remembered of anybody.
pub fn of_source(state: &State, address: IpAddr) -> Option<SourceReputation> {
    let guard = state.guard().clone();
    let now_ns = monotonic_ns();
    let reputation = state.reputation();
    if reputation.settings().mode == Mode::Off {
        return None;
    }
    let account = accountable(Account::of(address), address, &guard);
    let view = reputation.view(account, now_ns);
    Some(source(view, &reputation, &guard, now_ns))
}

fn source(view: View, reputation: &Reputation, guard: &Guard, now_ns: u64) -> SourceReputation {
    // Whoever is blocked is not to be told why not.
    let is_proven = reputation.connections(view.account) > 0;
    let objection = objection(view.account, is_proven, guard, reputation, now_ns);
    let not_blocked = objection.err().filter(|_| !view.blocked);
    let penalty = view.record.penalty;
    let told = |at_ns: u64| told(reputation.at(now_ns), at_ns);
    let half_life_s = reputation.settings().half_life_ns / SECOND_NS;
    let reason = |reason: &Reason| ReasonReport {
        kind: reason.kind.name().to_owned(),
        what: reason.kind.describe().to_owned(),
        detail: reason.detail.clone(),
        first: told(reason.first_ns),
        last: told(reason.last_ns),
        times: reason.times,
        packets: reason.packets,
        proven: reason.proven,
        weight: reason.kind.weight().score(),
        half_life_s: half_life_s.saturating_mul(reason.kind.half_lives().into()),
    };
    let mut reasons: Vec<&Reason> = view.record.reasons.iter().rev().collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.last_ns));
    SourceReputation {
        source: view.account.to_string(),
        score: view.score,
        proven_score: view.proven_score,
        network: view.account.network().map(|network| network.to_string()),
        network_score: view.network_score,
        connections: view.connections,
        blocked: view.blocked,
        blocked_times: penalty.total,
        last_blocked: (penalty.total > 0).then(|| told(penalty.begun_ns)),
        next_block_s: view.next_block_ns / SECOND_NS,
        limit_divisor: divisor(view.account, guard, reputation, now_ns),
        not_blocked: not_blocked.map(|why| why.describe()),
        reasons: reasons.into_iter().map(reason).collect(),
    }
}

/// What daemons of before did to limits.
const fn undivided() -> u8 {
    1
}

/// When `at_ns` of the records was, as RFC 3339.
fn told(now_ns: u64, at_ns: u64) -> String {
    wall_clock_before(Duration::from_nanos(now_ns.saturating_sub(at_ns))).unwrap_or_default()
}
