//! Feature: what a stretch of time was like, in numbers that detectors and baselines compare. They say nothing of what is normal.

mod service;

use netguard_common::{Action, Verdict, telemetry::Kind};

use super::{TrafficWindow, Window, traffic::Entropy};

pub use service::{HttpFeatures, ServiceFeatures, ServiceMetric};

/// Packets that must have been looked at before an entropy says something.
const TELLING: f64 = 64.0;

/// One stretch of time. Rates are per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// When it ended, ns of the monotonic clock.
    pub at_ns: u64,
    /// The same by the wall clock, seconds since 1970, for the hour of the week; `None` where nobody says.
    pub wall_s: Option<u64>,
    pub length_ns: u64,
    pub bytes: f64,
    /// Packets by [`Kind`], those of blocked sources not among them.
    pub kinds: [f64; Kind::ALL.len()],
    /// How many of them were dropped or answered.
    pub refused: [f64; Kind::ALL.len()],
    /// Bytes in pieces of packets, and packets that came in pieces.
    pub fragment_bytes: f64,
    pub cut: f64,
    /// Segments that this machine reset, and datagrams that it called undeliverable; nought where it was not watched for that.
    pub reset: f64,
    pub unreachable: f64,
    /// Packets by [`Verdict`], enforced or only counted.
    pub verdicts: Vec<f64>,
    /// How many of those were over limits that services have because of a carpet that is known.
    pub refused_of_carpet: f64,
    /// How even things were, 0 to 1; `None` where too few packets came to tell.
    pub source: Option<f64>,
    pub destination_port: Option<f64>,
    pub size: Option<f64>,
    pub ttl: Option<f64>,
    /// Those that are counted by themselves, and all others together as `other`.
    pub services: Vec<ServiceFeatures>,
    /// Distinct sources (IPv4 addresses, IPv6 /64) of the last whole second; `None` where they were not counted.
    pub sources: Option<f64>,
    /// What the kernel says of its connections; `None` where it was not asked.
    pub connections: Option<Connections>,
    /// Connections that others opened, from request to acknowledgement; `None` where nobody counts.
    pub opened: Option<f64>,
}

/// The TCP connections of this machine, as of the last whole second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Connections {
    /// Those that stand now.
    pub established: f64,
    /// Connections a second that found the queue of their service full.
    pub overflowed: f64,
    /// The most that a single source has; `None` where nobody looked.
    pub of_one: Option<f64>,
}

/// What is learnt of all traffic together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    Packets,
    Bytes,
    Syn,
    /// Answers to SYNs of ours, or what looks like it.
    SynAck,
    /// TCP segments that open nothing.
    Segments,
    Udp,
    Icmp,
    Fragments,
    Other,
    Source,
    DestinationPort,
    Size,
    Ttl,
    /// Distinct ones.
    Sources,
    /// Connections that stand.
    Established,
}

impl Metric {
    pub const ALL: [Self; 15] = [
        Self::Packets,
        Self::Bytes,
        Self::Syn,
        Self::SynAck,
        Self::Segments,
        Self::Udp,
        Self::Icmp,
        Self::Fragments,
        Self::Other,
        Self::Source,
        Self::DestinationPort,
        Self::Size,
        Self::Ttl,
        Self::Sources,
        Self::Established,
    ];

    /// The word that JSON uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Bytes => "bytes",
            Self::Syn => "syn",
            Self::SynAck => "syn-ack",
            Self::Segments => "tcp-segments",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Fragments => "fragments",
            Self::Other => "other",
            Self::Source => "source-evenness",
            Self::DestinationPort => "destination-port-evenness",
            Self::Size => "size-evenness",
            Self::Ttl => "ttl-evenness",
            Self::Sources => "sources",
            Self::Established => "established",
        }
    }
}

impl Features {
    /// Those of the stretch that `traffic` and `windows` are of; `services` are the names of the numbers that telemetry has for
    /// them.
    pub fn of<'a>(
        at_ns: u64,
        traffic: &TrafficWindow,
        windows: impl IntoIterator<Item = &'a Window>,
        services: &[(String, usize)],
    ) -> Self {
        let length_ns = traffic.length_ns;
        let rate = |count: u64| per_second(count, length_ns);
        let mut features = Self {
            at_ns,
            length_ns,
            opened: traffic.opened.map(rate),
            verdicts: vec![0.0; Verdict::COUNT as usize],
            ..Self::default()
        };
        for kinds in &traffic.traffic {
            for (index, _) in Kind::ALL.iter().enumerate() {
                features.kinds[index] += rate(kinds[index].packets);
                features.refused[index] += rate(kinds[index].dropped);
                features.bytes += rate(kinds[index].bytes);
                features.cut += rate(kinds[index].cut);
            }
            features.fragment_bytes += rate(kinds[Kind::Fragment as usize].bytes);
        }
        for window in windows {
            for (judgement, counter) in &window.verdicts {
                features.verdicts[judgement.verdict.number() as usize] += rate(counter.packets);
            }
            for (verdict, packets) in &window.spared {
                let refused = &mut features.verdicts[verdict.number() as usize];
                *refused = (*refused - rate(*packets)).max(0.0);
            }
        }
        [
            features.source,
            features.destination_port,
            features.size,
            features.ttl,
        ] = [
            traffic.source,
            traffic.destination_port,
            traffic.size,
            traffic.ttl,
        ]
        .map(evenness);
        features.services = services
            .iter()
            .filter_map(|(name, number)| {
                Some(ServiceFeatures::of(
                    name,
                    traffic.services.get(*number)?,
                    traffic.ended.get(*number),
                    length_ns,
                ))
            })
            .collect();
        features
    }

    pub fn packets(&self) -> f64 {
        self.kinds.iter().sum()
    }

    /// Packets of these kinds.
    pub fn of_kinds(&self, kinds: &[Kind]) -> f64 {
        kinds.iter().map(|kind| self.kinds[*kind as usize]).sum()
    }

    /// SYNs that got as far as a service, or were answered for it; and those that were dropped.
    pub fn asked_and_dropped(&self) -> [f64; 2] {
        let syn = self.of_kinds(&[Kind::Syn]);
        let refused = self.refused_of(&[Kind::Syn]);
        let dropped = (refused - self.with(&[Verdict::SynCookie])).min(syn).max(0.0);
        [syn - dropped, dropped]
    }

    /// SYNs that were dropped as `malformed`, at least: those that no other verdict can have been for.
    pub fn syn_among(&self, malformed: &[Verdict]) -> f64 {
        let refused = |verdict: &Verdict| verdict.action() != Action::Pass && !malformed.contains(verdict);
        let others: Vec<Verdict> = Verdict::ALL.iter().copied().filter(refused).collect();
        (self.refused_of(&[Kind::Syn]) - self.with(&others)).max(0.0)
    }

    /// The part of the connections that were asked for which came about, 0 to 1; `None` where none was, or nobody counts.
    pub fn come_about(&self) -> Option<f64> {
        let [asked, _] = self.asked_and_dropped();
        // A request is counted a moment before its acknowledgement.
        self.opened
            .filter(|_| asked > 0.0)
            .map(|opened| (opened / asked).min(1.0))
    }

    /// How many packets of these kinds were dropped or answered.
    pub fn refused_of(&self, kinds: &[Kind]) -> f64 {
        kinds.iter().map(|kind| self.refused[*kind as usize]).sum()
    }

    /// Packets with one of these verdicts.
    pub fn with(&self, verdicts: &[Verdict]) -> f64 {
        let rate = |verdict: &Verdict| self.verdicts.get(verdict.number() as usize);
        verdicts.iter().filter_map(rate).sum()
    }

    /// The number of `metric`; `None` where it cannot be told.
    pub fn metric(&self, metric: Metric) -> Option<f64> {
        use Kind::{Ack, Fin, Fragment, Icmp, Other, Rst, Syn, SynAck, TcpOther, Udp};
        match metric {
            Metric::Packets => Some(self.packets()),
            Metric::Bytes => Some(self.bytes),
            Metric::Syn => Some(self.of_kinds(&[Syn])),
            Metric::SynAck => Some(self.of_kinds(&[SynAck])),
            Metric::Segments => Some(self.of_kinds(&[Ack, Fin, Rst, SynAck, TcpOther])),
            Metric::Udp => Some(self.of_kinds(&[Udp])),
            Metric::Icmp => Some(self.of_kinds(&[Icmp])),
            Metric::Fragments => Some(self.of_kinds(&[Fragment])),
            Metric::Other => Some(self.of_kinds(&[Other])),
            Metric::Source => self.source,
            Metric::DestinationPort => self.destination_port,
            Metric::Size => self.size,
            Metric::Ttl => self.ttl,
            Metric::Sources => self.sources,
            Metric::Established => self.connections.map(|connections| connections.established),
        }
    }
}

fn evenness(entropy: Entropy) -> Option<f64> {
    (entropy.most >= TELLING.log2()).then(|| entropy.evenness())
}

fn per_second(count: u64, length_ns: u64) -> f64 {
    if length_ns == 0 {
        return 0.0;
    }
    count as f64 * 1e9 / length_ns as f64
}

#[cfg(test)]
pub(super) mod tests {
    use netguard_common::{
        Judgement,
        layout::Counter,
        shared::Field as _,
        telemetry::{Telemetry, Traffic},
    };

    use super::*;
    use crate::engine::traffic::compare;

    /// A second in which these kinds came, and these verdicts were given.
    pub(in crate::engine) fn second(kinds: &[(Kind, u64)], verdicts: &[(Verdict, u64)]) -> Features {
        let mut after = Telemetry::ZERO;
        for (kind, packets) in kinds {
            after.traffic[0][*kind as usize] = Traffic {
                packets: *packets,
                bytes: 60 * packets,
                ..Traffic::ZERO
            };
        }
        let window = Window {
            verdicts: verdicts
                .iter()
                .map(|&(verdict, packets)| {
                    let shadow = false;
                    (Judgement { verdict, shadow }, Counter { packets, bytes: 0 })
                })
                .collect(),
            ..Window::default()
        };
        let traffic = compare(&Telemetry::ZERO, &after, 1_000_000_000);
        Features::of(1_000_000_000, &traffic, [&window], &[("other".to_owned(), 0)])
    }

    #[test]
    fn counts_become_rates() {
        let mut features = second(&[(Kind::Syn, 100), (Kind::Ack, 50)], &[(Verdict::LimitSyn, 30)]);
        assert_eq!(features.packets(), 150.0);
        assert_eq!(features.metric(Metric::Segments), Some(50.0));
        assert_eq!(features.with(&[Verdict::LimitSyn, Verdict::Land]), 30.0);
        assert_eq!(features.bytes, 9_000.0);
        assert_eq!(features.metric(Metric::Ttl), None, "no histogram was filled");
        features.verdicts.clear();
        assert_eq!(features.with(&[Verdict::LimitSyn]), 0.0);
    }

    #[test]
    fn connections_come_about_where_they_are_asked_for() {
        let mut features = second(&[(Kind::Syn, 100)], &[]);
        assert_eq!(features.come_about(), None, "nobody counts");
        for (opened, share) in [(0.0, 0.0), (80.0, 0.8), (103.0, 1.0)] {
            features.opened = Some(opened);
            assert_eq!(features.come_about(), Some(share));
        }
        features.kinds = Default::default();
        assert_eq!(features.come_about(), None, "none was asked for");
    }

    #[test]
    fn absurd_windows_are_survived() {
        let mut after = Telemetry::ZERO;
        after.traffic[1][0].packets = u64::MAX;
        let traffic = compare(&Telemetry::ZERO, &after, 0);
        let features = Features::of(0, &traffic, [], &[("x".to_owned(), 999)]);
        assert_eq!((features.packets(), features.services.len()), (0.0, 0));
        let traffic = compare(&Telemetry::ZERO, &after, 1);
        assert!(Features::of(0, &traffic, [], &[]).packets().is_finite());
    }
}
