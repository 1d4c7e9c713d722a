//! Detect: what the traffic of a stretch of time looks like an attack of. A detector is a function from features and baselines to a
//! suspicion with its evidence; whether it is an attack, and since when, the tracker says ([`super::attack`]).
//!
//! Without a baseline detectors have floors that no ordinary server reaches; with one, what is usual here counts.

mod crowd;
mod flood;
mod syn;

use netguard_common::Verdict;
use serde::{Deserialize, Serialize};

use super::{Baselines, Features};

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
    /// Many more clients than usual, who behave as clients do: no attack.
    FlashCrowd,
}

impl Class {
    pub const ALL: [Self; 9] = [
        Self::SynFlood,
        Self::SegmentFlood,
        Self::UdpFlood,
        Self::Reflection,
        Self::IcmpFlood,
        Self::FragmentFlood,
        Self::ProtocolFlood,
        Self::Malformed,
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
            Self::SegmentFlood => &[V::OutOfState],
            Self::UdpFlood => &[V::LimitUdp, V::ClosedPort, V::DnsTruncate],
            Self::Reflection => &[V::Reflection],
            Self::IcmpFlood => &[V::LimitIcmp, V::LimitControl],
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
            Self::FlashCrowd => &[],
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

/// What every detector says of `features`: those of at least half their threshold.
pub fn detect(features: &Features, baselines: &Baselines) -> Vec<Suspicion> {
    let single = [
        syn::syn_flood(features, baselines),
        crowd::flash_crowd(features, baselines),
    ];
    let suspicions = single
        .into_iter()
        .flatten()
        .chain(flood::floods(features, baselines));
    suspicions
        .filter(|suspicion| suspicion.strength >= LEAST_STRENGTH)
        .collect()
}
