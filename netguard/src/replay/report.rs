//! What a replay tells: plain data, the same to the byte for the same capture, configuration and version. How it is printed is the
//! command line's business.

use std::net::IpAddr;

use serde::Serialize;

use super::campaigns::Campaign;
use crate::engine::response::Why;
use crate::{
    engine::{
        attack::SourceSpread,
        detect::{Class, Evidence},
    },
    prefix::Prefix,
};

/// All of it. What is a list has an end: timeline, findings and sources are the first, or the most.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Frames that were judged.
    pub packets: u64,
    /// Those that occurred.
    pub verdicts: Vec<VerdictCount>,
    /// Attacks as a whole.
    pub attacks: Vec<Attack>,
    /// What of it belongs together, and sources of which none stands out.
    pub campaigns: Vec<Campaign>,
    /// What was blocked, in the order of time.
    pub blocked: Vec<Blocked>,
    /// The capture.
    pub file: String,
    /// Frames in it.
    pub frames: u64,
    pub duration_ms: u64,
    pub link_types: Vec<LinkCount>,
    pub servers: Servers,
    /// Frames that were not judged, by reason.
    pub skipped: Vec<SkipCount>,
    /// Judged although a part of them was not kept: zeros stand for it.
    pub cut: u64,
    /// Frames that were captured before the one before them: judged at the time of that one.
    pub backwards: u64,
    pub untimed: u64,
    /// What is wrong with the rest of the file, if something is.
    pub damaged: Option<String>,
    pub kinds: Vec<KindCount>,
    /// Of how many seconds each entry of the timeline is.
    pub timeline_step_s: u64,
    /// Seconds in which something was judged.
    pub timeline: Vec<Second>,
    /// Who was dropped most.
    pub top_sources: Vec<Source>,
    /// Services that were sent most.
    pub services: Vec<Service>,
    /// Sources over their limits, and what came of it; the first of them.
    pub findings: Vec<Found>,
    pub findings_untold: u64,
    /// What became of those that proved their address.
    pub honest: Honest,
    /// What was known to be normal when the capture began; `None`: nothing.
    pub normal: Option<Known>,
    /// What was learnt, if it was to be kept.
    pub learnt: Option<Learning>,
    /// What holds in a replay and not on a machine.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerdictCount {
    pub name: String,
    /// `pass`, `drop`, `answer` or `shadow`.
    pub action: String,
    pub packets: u64,
    pub bytes: u64,
}

/// An attack as a whole, or a crowd that is none. Times are since the first frame.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attack {
    pub id: u64,
    pub class: Class,
    pub harmful: bool,
    pub began_ms: u64,
    /// From the beginning of the tick in which it was noticed.
    pub detected_after_ms: u64,
    /// `None` where the capture ends before.
    pub ended_ms: Option<u64>,
    /// How often it began.
    pub pulses: u32,
    pub packets: u64,
    pub peak_packets_per_s: u64,
    /// How many sources it came from, as far as that is known.
    pub spread: Option<SourceSpread>,
    /// What spoke for it when it began.
    pub evidence: Vec<Evidence>,
    /// The campaign that it is part of, if it is.
    pub campaign: Option<u64>,
    /// What was done about it.
    pub measures: Vec<Measure>,
    /// Why no signature was found when one was last looked for.
    pub no_signature: Option<String>,
    /// Other measures that were not taken when it was their turn last.
    pub withheld: Vec<NotTaken>,
}

/// A measure that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotTaken {
    /// `limit`, `geo` or `circuit-break`.
    pub measure: String,
    /// A sentence.
    pub why: String,
}

/// Something that was done about an attack. Times are since the first frame.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measure {
    /// `limit`, `challenge`, `signature`, `geo` or `circuit-break`.
    pub measure: String,
    /// A sentence.
    pub what: String,
    /// Whether it is only counted.
    pub shadow: bool,
    pub since_ms: u64,
    /// `None` where the capture ends before.
    pub until_ms: Option<u64>,
    pub why: Option<Why>,
    /// Why it could not be taken.
    pub error: Option<String>,
    /// Packets that its signature fitted.
    pub packets: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocked {
    /// Since the first frame.
    pub at_ms: u64,
    pub prefix: Prefix,
    pub for_s: u64,
    pub verdict: String,
    /// Packets dropped before, estimated from samples as the daemon does.
    pub dropped: u64,
    pub over_for_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkCount {
    pub name: String,
    pub frames: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Servers {
    pub addresses: Vec<IpAddr>,
    /// Nobody named them: the one that most frames go to; with `all`, none goes to a host.
    pub guessed: bool,
    /// Everything was judged, whoever it was for.
    pub all: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkipCount {
    pub reason: String,
    pub frames: u64,
}

/// Traffic of one kind, without that of blocked sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KindCount {
    /// `ipv4` or `ipv6`.
    pub family: String,
    pub kind: String,
    pub packets: u64,
    pub bytes: u64,
    pub dropped: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Second {
    /// Since the first frame.
    pub at_s: u64,
    pub packets: u64,
    pub passed: u64,
    pub dropped: u64,
    pub answered: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// An IPv4 address or an IPv6 /64.
    pub source: Prefix,
    pub packets: u64,
    pub dropped: u64,
    /// The verdict that dropped most of it.
    pub verdict: String,
}

/// A port of the server, and what came to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Such as `tcp/443`.
    pub service: String,
    pub packets: u64,
    pub bytes: u64,
    pub dropped: u64,
    /// By netguard in its place.
    pub answered: u64,
    /// Whether the server answered there, or refused; `None`: neither is in the capture.
    pub served: Option<bool>,
}

/// What was known to be normal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Known {
    pub file: String,
    /// Seconds of all traffic.
    pub learnt_s: u64,
    pub services: u64,
    /// RFC 3339.
    pub written: String,
    /// Parts that another version wrote otherwise, and why they are left out.
    pub left: Vec<String>,
}

/// What was kept of what was learnt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Learning {
    pub file: String,
    /// Seconds of all traffic, with those known before.
    pub learnt_s: u64,
    pub services: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    pub at_ms: u64,
    pub source: IpAddr,
    pub verdict: String,
    pub dropped: u64,
    pub over_for_ms: u64,
    /// What came of it, in a sentence.
    pub outcome: String,
}

/// Packets of sources while they had a connection, which the capture shows from its handshake on, and of those that were named as honest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Honest {
    /// Sources that ever had one, whoever was named.
    pub sources: u64,
    pub packets: u64,
    pub dropped: u64,
}
