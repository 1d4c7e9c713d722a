//! Events: what can happen, as it is told. Whose doing each is by itself, and what it is worth to the trail, `authors` says.

use serde::{Deserialize, Serialize};

use super::{Spared, StateReach};
use crate::{audit::Author, clock::wall_clock_text, config::CookieMode};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// RFC 3339, UTC.
    pub at: String,
    /// Whose doing it is.
    pub author: Author,
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// The daemon protects these interfaces.
    Started {
        interfaces: Vec<String>,
        adopted: bool,
        mode: String,
    },
    /// What the configuration says at this start. Digests are SHA-256 over its JSON, of which a copy lies beside the trail.
    Configured {
        digest: String,
        /// Of the start before; `None`: this is the first one that is known.
        before: Option<String>,
        /// What is different from then, or, at the first start, from the defaults: `limit.syn.rate_per_s: 200 -> 300`.
        changes: Vec<String>,
        /// Changes beyond those.
        more: usize,
    },
    /// A start failed.
    StartFailed { why: String },
    /// An interface lost the filter, and it could not be attached again.
    Unprotected { interface: String, why: String },
    /// An interface that had lost the filter has it again.
    ProtectedAgain { interface: String },
    /// Packets were dropped (or, in shadow, would have been) during the last second.
    Dropped {
        verdict: String,
        action: String,
        packets_per_s: u64,
        top_source: Option<String>,
    },
    /// A detector blocked a source.
    Blocked {
        prefix: String,
        for_s: u64,
        verdict: String,
        dropped: u64,
        over_for_ms: u64,
        /// Of the source, from 0 to 100, by evidence that nobody can have forged.
        #[serde(default)]
        score: u8,
        /// Blocks of the source in a row before this one.
        #[serde(default)]
        repeats: u32,
    },
    /// A detector found a source, and policy decided against a block.
    Withheld {
        source: String,
        why: String,
        verdict: String,
        dropped: u64,
    },
    /// A source does harm to a service, as it was found in what it says; `count` requests, hellos or conversations are estimated.
    Offence {
        source: String,
        service: String,
        offence: String,
        evidence: String,
        count: u64,
        /// Only told.
        shadow: bool,
    },
    /// That many more sources were found to do harm at the same moment.
    OffencesMore { count: u64 },
    /// So many `sources` of a network were blocked lately that all of it was.
    NetworkBlocked {
        prefix: String,
        for_s: u64,
        sources: u64,
    },
    /// The same, and policy decided against a block of the network.
    NetworkWithheld {
        prefix: String,
        why: String,
        sources: u64,
    },
    /// An automatic block ended before its time, since somebody is in it who must not be blocked.
    BlockEnded { prefix: String, why: String },
    /// That many findings of one tick were not told one by one.
    WithheldMore { count: u64 },
    /// An operator had a source forgotten, or all of them.
    ReputationForgotten { source: Option<String>, count: usize },
    /// What is remembered of sources cannot be kept on disk, or, without a reason, it can again.
    ReputationStore { file: String, why: Option<String> },
    /// An operator added a rule.
    RuleAdded {
        list: String,
        prefix: String,
        for_s: Option<u64>,
        note: Option<String>,
        /// Whether the guard list was not to be asked.
        #[serde(default)]
        forced: bool,
    },
    /// An operator added that many rules at once.
    RulesAdded {
        list: String,
        count: usize,
        /// SHA-256 over the prefixes in the order of the request, each with a line feed behind it.
        #[serde(default)]
        sha256: String,
    },
    /// What an operator asked for was refused.
    Refused { request: String, why: String },
    /// An operator removed a rule.
    RuleRemoved { list: String, prefix: String },
    /// A rule reached its end.
    RuleExpired { list: String, prefix: String },
    /// An operator changed a limit.
    LimitChanged {
        class: String,
        rate_per_s: u32,
        burst: u32,
    },
    /// A change of an operator goes back unless somebody confirms it; `why`, where they did not ask for that.
    ChangeUnconfirmed {
        id: u64,
        what: String,
        within_s: u64,
        why: Option<String>,
    },
    /// An operator says that a change stays.
    ChangeConfirmed { id: u64, what: String },
    /// A change went back: what held before holds again, but for what somebody changed after it.
    ChangeUndone { id: u64, what: String, why: String },
    /// A configured block leaves something out from now on.
    Spared(Spared),
    /// A configured block no longer leaves that out.
    SparedNoMore(Spared),
    /// A list was read; so many of its entries were refused, and so many others are not in force as a whole. `lines` are the first.
    ListRead {
        file: String,
        skipped: usize,
        trimmed: usize,
        lines: Vec<String>,
    },
    /// A list could not be read or fetched, or the lists could not be put in force.
    ListFailed { file: String, why: String },
    /// That many ranges of addresses, compiled of all lists, are in force in exchange for those before.
    ListsInForce { ranges: usize },
    /// An operator had all lists read again.
    ListsSynced,
    /// An operator had one feed read again, and perhaps accepted however it has grown or shrunk.
    FeedSynced { feed: String, accepted: bool },
    /// The daemon changed a setting of the kernel.
    Sysctl { name: String, value: String },
    /// SYN cookies were switched off.
    CookiesOff { why: String },
    /// Segments without a connection are judged that far from now on.
    StateReach(StateReach),
    /// An operator added a signature.
    SignatureAdded {
        id: u32,
        conditions: String,
        for_s: Option<u64>,
        shadow: bool,
    },
    /// An operator removed a signature.
    SignatureRemoved { id: u32 },
    /// A signature reached its end.
    SignatureExpired { id: u32 },
    /// Questions cannot be remembered, so no answer is refused.
    ReflectionOff { why: String },
    /// A rule could not be placed.
    RuleFailed { prefix: String, why: String },
    /// The ring buffer was full: samples were lost (counters were not).
    SamplesLost { count: u64 },
    /// A reader of the stream was too slow and missed events.
    Missed { count: u64 },
    /// An operator changed what holds for a service.
    ServiceChanged {
        service: String,
        rate_per_s: u32,
        burst: u32,
        #[serde(default)]
        cookies: CookieMode,
    },
    /// An operator changed what becomes of a service's handshakes of TLS: `off`, `shadow` or `enforce` below version `minimum`.
    TlsPolicy {
        service: String,
        mode: String,
        minimum: String,
    },
    /// Handshakes of a service were refused, or, in shadow, would have been: so many since this was told last. The other fields are those of one
    /// of them.
    HandshakesRefused {
        service: String,
        count: u64,
        shadow: bool,
        client: String,
        /// What the server chose.
        version: String,
        cipher: String,
        why: String,
    },
    /// Policies for TLS do not hold, since what leaves cannot be looked at.
    TlsOff { why: String },
    /// They hold again.
    TlsOn,
    /// An operator let the common limits hold for a service again.
    ServiceReset { service: String },
    /// Questions are remembered again, and answers to none are refused.
    ReflectionOn,
    /// The daemon ends.
    Stopped { detach: bool },
    /// These interfaces are no longer filtered, and all rules are gone.
    Detached { interfaces: Vec<String> },
    /// The kernel does not count connections as they open and close: sockets are listed every few seconds instead.
    ConnectionsListed { why: String },
    /// A service is under pressure: its queue fills up, or many of its connections say nothing.
    ServicePressed { service: String },
    /// It is not any more.
    ServiceRelieved { service: String },
    /// Connections were ended, or, in shadow, would have been: `excess`, `blocked`, `crowd`, `share`, `slow` or `half-open`.
    ConnectionsEnded {
        service: String,
        reason: String,
        count: usize,
        sources: usize,
        /// Who had most of them.
        top_source: Option<String>,
        shadow: bool,
    },
    /// So many addresses of this machine find no room in the kernel's table; 0: no more.
    OwnLeftOut { count: usize },
    /// An attack was recognised, or a crowd that is none; `evidence` are sentences.
    AttackBegun {
        id: u64,
        class: String,
        packets_per_s: u64,
        evidence: Vec<String>,
    },
    /// An attack that was over goes on.
    AttackResumed { id: u64, class: String, pulses: u32 },
    /// What an earlier daemon learnt is in use; it was `written` (RFC 3339).
    NormalRestored {
        file: String,
        learnt_s: u64,
        written: String,
        from_future: bool,
    },
    /// What an earlier daemon learnt is not taken, and learning begins anew.
    NormalRefused {
        file: String,
        why: String,
        kept_in: Option<String>,
    },
    /// What is normal cannot be written; it is tried again.
    NormalNotSaved { why: String },
    /// What is normal is written again.
    NormalSavedAgain,
    /// Numbers have had another level for long, which is normal now; sentences, and how many more changed in the same second.
    NormalChanged { changes: Vec<String>, more: usize },
    /// An operator had forgotten what was learnt of a service, or all of it.
    NormalForgotten { service: Option<String> },
    /// Nothing has spoken for an attack for a while.
    AttackEnded {
        id: u64,
        class: String,
        lasted_s: u64,
        packets: u64,
        peak_packets_per_s: u64,
    },
    /// Attacks, or sources of which none stands out, turned out to belong together; `evidence` are sentences.
    CampaignBegun {
        id: u64,
        /// `attacks`, `probing` or `both`.
        kind: String,
        attacks: Vec<u64>,
        sources: usize,
        networks: usize,
        evidence: Vec<String>,
    },
    /// A campaign has another part, goes on again, or has twice as many sources.
    CampaignGrown {
        id: u64,
        kind: String,
        attacks: Vec<u64>,
        sources: usize,
        networks: usize,
    },
    /// A campaign turned out to be part of an older one.
    CampaignMerged { id: u64, into: u64 },
    /// What sources of a campaign asked for, all that was named so far in `services`, is served since. So many of them asked for nothing else, and
    /// what was said of them for it is taken back; `whole`: of all, since too little is left to be a probe.
    CampaignWithdrawn {
        id: u64,
        services: Vec<String>,
        sources: usize,
        whole: bool,
    },
    /// Nothing of a campaign has gone on for a while.
    CampaignEnded {
        id: u64,
        kind: String,
        attacks: Vec<u64>,
        sources: usize,
        networks: usize,
        lasted_s: u64,
    },
    /// Something is done about an attack, or, in shadow, would be.
    MeasureTaken {
        attack: u64,
        /// `limit`, `challenge`, `signature`, `geo` or `circuit-break`.
        measure: String,
        /// A sentence.
        what: String,
        shadow: bool,
    },
    /// So much is asked of the decision endpoint that clients must work first.
    ChallengeBegun { checks_per_s: u64 },
    /// Clients need not work any more.
    ChallengeEnded,
    /// It begins to drop packets, or only counts them for a while: "it `now`".
    MeasureChanged {
        attack: u64,
        measure: String,
        what: String,
        now: String,
        shadow: bool,
    },
    /// It is not done any more; `packets` are those that its signature fitted.
    MeasureEnded {
        attack: u64,
        measure: String,
        what: String,
        why: String,
        packets: u64,
        shadow: bool,
    },
}

impl Event {
    /// An event that happened now, for the reader of a stream only.
    pub fn now(kind: EventKind) -> Self {
        Self {
            at: wall_clock_text(),
            author: kind.author(),
            kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_flat_json() {
        let event = Event::now(EventKind::RuleRemoved {
            list: "block".into(),
            prefix: "192.0.2.1/32".into(),
        });
        let json = serde_json::to_value(&event).expect("events are JSON");
        assert_eq!(json["event"], "rule-removed");
        assert_eq!(json["prefix"], "192.0.2.1/32");
        assert_eq!(json["author"]["by"], "daemon");
        assert_eq!(serde_json::from_value::<Event>(json).expect("and back"), event);
    }
}
