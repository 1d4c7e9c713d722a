//! Detect: what the traffic of a stretch of time looks like an attack of. A detector is a function from features and baselines to a
//! suspicion with its evidence; whether it is an attack, and since when, the tracker says ([`super::attack`]).
//!
//! Without a baseline detectors have floors that no ordinary server reaches; with one, what is usual here counts.

mod carpet;
mod crowd;
mod flood;
mod held;
mod opened;
mod pieces;
mod rush;
mod scan;
mod syn;
mod syn_ack;

use netguard_common::Verdict;
use serde::{Deserialize, Serialize};

use super::{Baselines, Features, feature::Metric};

pub use opened::Recent;
pub use rush::Rush;

/// What traffic is like that is not as usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Connections are asked for that nobody goes on with.
    SynFlood,
    /// TCP segments of no connection.
    SegmentFlood,
    UdpFlood,
    /// Answers that nobody asked for.
    Reflection,
    IcmpFlood,
    FragmentFlood,
    /// Of other protocols.
    ProtocolFlood,
    /// Packets that cannot be real.
    Malformed,
    /// Answers to connections that nobody here asked for: servers all over the world were asked in this machine's name.
    SynAckReflection,
    /// Ports are tried where nothing is served.
    Scan,
    /// Many services get more than usual at once, each too little to be limited.
    CarpetBombing,
    /// Connections are taken and kept, and nothing is done with them.
    ConnectionExhaustion,
    /// The same by many sources, each of which keeps few.
    LowAndSlow,
    /// Many more clients than usual, who behave as clients do: no attack.
    FlashCrowd,
}

impl Class {
    pub const ALL: [Self; 14] = [
        Self::SynFlood,
        Self::SegmentFlood,
        Self::UdpFlood,
        Self::Reflection,
        Self::IcmpFlood,
        Self::FragmentFlood,
        Self::ProtocolFlood,
        Self::Malformed,
        Self::SynAckReflection,
        Self::Scan,
        Self::CarpetBombing,
        Self::ConnectionExhaustion,
        Self::LowAndSlow,
        Self::FlashCrowd,
    ];

    /// The word that the command line and JSON use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynFlood => "syn-flood",
            Self::SegmentFlood => "segment-flood",
            Self::UdpFlood => "udp-flood",
            Self::Reflection => "reflection",
            Self::IcmpFlood => "icmp-flood",
            Self::FragmentFlood => "fragment-flood",
            Self::ProtocolFlood => "protocol-flood",
            Self::Malformed => "malformed",
            Self::SynAckReflection => "syn-ack-reflection",
            Self::Scan => "scan",
            Self::CarpetBombing => "carpet-bombing",
            Self::ConnectionExhaustion => "connection-exhaustion",
            Self::LowAndSlow => "low-and-slow",
            Self::FlashCrowd => "flash-crowd",
        }
    }

    /// In a sentence.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::SynFlood => "connections are asked for that nobody goes on with",
            Self::SegmentFlood => "TCP segments of no connection",
            Self::UdpFlood => "datagrams over limits, or to ports where nothing listens",
            Self::Reflection => "answers of open servers that nobody here asked",
            Self::IcmpFlood => "ICMP messages over limits",
            Self::FragmentFlood => "pieces of packets in numbers",
            Self::ProtocolFlood => "packets of other protocols over limits",
            Self::Malformed => "packets that cannot be real",
            Self::SynAckReflection => "answers to connections that nobody here asked for",
            Self::Scan => "ports are tried where nothing is served",
            Self::CarpetBombing => "many services get more than usual at once, each too little to be limited",
            Self::ConnectionExhaustion => "connections are taken and kept, and nothing is done with them",
            Self::LowAndSlow => "many sources take connections and keep them, and do nothing with them",
            Self::FlashCrowd => "many more clients than usual, who behave as clients do",
        }
    }

    /// Whether somebody means harm.
    pub const fn is_attack(self) -> bool {
        !matches!(self, Self::FlashCrowd)
    }

    /// Verdicts on the packets of such an attack.
    pub const fn verdicts(self) -> &'static [Verdict] {
        use Verdict as V;
        match self {
            Self::SynFlood => &[V::SynCookie, V::LimitSyn],
            Self::SegmentFlood | Self::SynAckReflection => &[V::OutOfState],
            Self::UdpFlood => &[V::LimitUdp, V::ClosedPort, V::DnsTruncate],
            Self::Reflection => &[V::Reflection],
            Self::IcmpFlood => &[V::LimitIcmp, V::LimitIcmpAll, V::LimitControl],
            Self::FragmentFlood => &[
                V::FragmentOverlap,
                V::FragmentOverflow,
                V::TinyFragment,
                V::FragmentLength,
            ],
            Self::ProtocolFlood => &[V::LimitOther],
            Self::Malformed => &[
                V::Truncated,
                V::IpVersion,
                V::IpHeaderLength,
                V::IpTotalLength,
                V::TcpDataOffset,
                V::UdpLength,
                V::Land,
                V::MartianSource,
                V::TcpNull,
                V::TcpSynFin,
                V::TcpSynRst,
                V::TcpXmas,
                V::TcpFlags,
                V::Ipv6Chain,
                V::TtlZero,
                V::IpOptions,
                V::SourceRoute,
                V::RoutingHeader,
                V::ExtensionOrder,
                V::PortZero,
                V::OwnSource,
            ],
            // Over limits is only who tries many ports in a second.
            Self::Scan => &[V::LimitSyn],
            Self::CarpetBombing | Self::ConnectionExhaustion | Self::LowAndSlow | Self::FlashCrowd => &[],
        }
    }
}

/// One number that speaks for a suspicion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was measured, with its unit.
    pub what: String,
    pub value: f64,
    /// From where on it is suspicious.
    pub threshold: f64,
    /// What it usually is, where that was learnt.
    pub usual: Option<f64>,
}

/// What a detector noticed.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspicion {
    pub class: Class,
    /// How much by its threshold; below 1 it is not enough to begin with, but from half on enough to go on.
    pub strength: f64,
    /// Packets a second that it is about.
    pub packets: f64,
    pub evidence: Vec<Evidence>,
}

/// What suspicions are told from.
pub const LEAST_STRENGTH: f64 = 0.5;
/// The same for connections that do not come about, which must have been suspected a tick ago to be believed: a flood may have begun at the end of that.
const HINT: f64 = 0.2;

/// What every detector says of `features`, a tick or a second, the newest of `recent` and of `rush`: those of at least
/// half their threshold, and hints of a flood of SYNs.
pub fn detect(features: &Features, recent: &Recent, rush: &Rush, baselines: &Baselines) -> Vec<Suspicion> {
    let syn_acks = syn_ack::syn_ack_reflection(features, baselines);
    let crowd = crowd::flash_crowd(features, baselines);
    let floods = flood::floods(features, baselines, syn_acks.as_ref(), crowd.as_ref(), rush);
    let single = [syn::syn_flood(features, recent, baselines), syn_acks, crowd];
    told(single.into_iter().flatten().chain(floods))
}

/// The same where nothing is known of what was before.
pub fn detect_alone(features: &Features, baselines: &Baselines) -> Vec<Suspicion> {
    let rush = Rush::of(features, baselines);
    detect(features, &Recent::of(features), &rush, baselines)
}

/// What those say of a whole second whose rates are too small to be told in a tick, where five packets more are a hundred a second.
pub fn detect_patiently(second: &Features, baselines: &Baselines) -> Vec<Suspicion> {
    let single = [
        // In a tick so few may come that a scan cannot be told from it.
        syn::syn_flood(second, &Recent::of(second), baselines),
        scan::scan(second, baselines),
        carpet::carpet_bombing(second, baselines),
        held::held_connections(second, baselines),
    ];
    let suspicions = single.into_iter().flatten();
    told(suspicions.chain(flood::slow_floods(second, baselines)))
}

fn told(suspicions: impl Iterator<Item = Suspicion>) -> Vec<Suspicion> {
    let least = |class| match class {
        Class::SynFlood => HINT,
        _ => LEAST_STRENGTH,
    };
    suspicions
        .filter(|suspicion| suspicion.strength >= least(suspicion.class))
        .collect()
}

/// The value of `metric` that so much of the time was not exceeded, once it is learnt.
fn usually(baselines: &Baselines, metric: Metric, part: f64) -> Option<f64> {
    baselines.total(metric)?.quantile(part)
}
