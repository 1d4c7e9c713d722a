//! Detectors of floods that verdicts tell: packets over limits, of no connection, unasked, malformed; and of more packets of a kind than
//! were ever usual.

use netguard_common::{Verdict, telemetry::Kind};

use super::{Class, Evidence, Rush, Suspicion, crowd::Growth, pieces};
use crate::engine::{Baselines, Features, attack::AT_ONCE, feature::Metric};

/// What makes a flood of a class.
struct Flood {
    class: Class,
    /// Packets a second with its verdicts that are suspicious.
    refused: f64,
    /// The number that grows with it, if it is counted, and from where on that is suspicious before anything was learnt, and then
    /// by the rate that is seldom exceeded.
    volume: Option<(Metric, f64, f64)>,
}

/// Those that nothing but their verdicts and their volume tells.
const FLOODS: [Flood; 6] = [
    Flood {
        class: Class::SegmentFlood,
        refused: 300.0,
        volume: None,
    },
    Flood {
        class: Class::Reflection,
        refused: 200.0,
        volume: None,
    },
    Flood {
        class: Class::IcmpFlood,
        refused: 200.0,
        volume: Some((Metric::Icmp, 1_000.0, 10.0)),
    },
    Flood {
        class: Class::FragmentFlood,
        refused: 100.0,
        volume: Some((Metric::Fragments, 5_000.0, 5.0)),
    },
    Flood {
        class: Class::ProtocolFlood,
        refused: 500.0,
        volume: Some((Metric::Other, 100_000.0, 5.0)),
    },
    Flood {
        class: Class::Malformed,
        // A program that sends broken packets sends some in a row.
        refused: 300.0,
        volume: None,
    },
];

/// So many times as much as connections may all that clients send grow with a crowd of them, but to no more than what is suspicious where nothing was
/// learnt: whoever makes a crowd, too, hides nothing behind it.
const WITH_A_CROWD: f64 = 1.5;

/// As strong is a volume at the most while a crowd may be coming, which is known soon.
const NOT_AT_ONCE: f64 = 0.9 * AT_ONCE;

/// A kind of segment of which less is dropped is not worth a word.
const KIND_PART: f64 = 0.1;

const DATAGRAMS: Flood = Flood {
    class: Class::UdpFlood,
    refused: 500.0,
    volume: Some((Metric::Udp, 100_000.0, 5.0)),
};

/// Beside the suspicions that others have of the same `features`: of SYN-ACKs that nobody asked for, and of a crowd.
pub(super) fn floods(
    features: &Features,
    baselines: &Baselines,
    syn_acks: Option<&Suspicion>,
    crowd: Option<&Suspicion>,
    rush: &Rush,
) -> Vec<Suspicion> {
    let growth = Growth::of(crowd, rush, features, baselines);
    // A service over its rate may be one of either protocol.
    let datagrams = features.of_kinds(&[Kind::Udp]);
    let shared = features.with(&[Verdict::LimitService, Verdict::LimitPrefix]);
    // A carpet's may be of either protocol, too.
    let of_others = features.of_kinds(&[Kind::Syn]).max(features.refused_of_carpet);
    let of_datagrams = (shared - of_others).min(datagrams).max(0.0);
    // SYN-ACKs of no connection are told by a detector of their own: those that are dropped, and those that this machine resets.
    let dropped = features.refused_of(&[Kind::SynAck]);
    let syn_acks = syn_acks
        .filter(|suspicion| suspicion.strength >= super::LEAST_STRENGTH)
        .map_or(0.0, |suspicion| suspicion.packets);
    let reset = (features.reset - (syn_acks - dropped).max(0.0)).max(0.0);
    FLOODS
        .iter()
        .map(|flood| (flood, 0.0))
        .chain([(&DATAGRAMS, of_datagrams)])
        .filter_map(|(flood, more)| {
            let beside = match flood.class {
                Class::SegmentFlood => reset - dropped,
                Class::UdpFlood => features.unreachable,
                Class::FragmentFlood => pieces::small(features, pieces::IN_A_TICK),
                Class::Reflection => -pieces::dropped(features, pieces::IN_A_TICK),
                _ => 0.0,
            };
            let refused = (features.with(flood.class.verdicts()) + more + beside).max(0.0);
            let mut suspicion = flood.suspicion(features, refused, baselines, growth)?;
            if flood.class == Class::SegmentFlood {
                suspicion.evidence.extend(kinds(features, flood.refused));
            }
            Some(suspicion)
        })
        .collect()
}

/// Verdicts that hardly any honest packet gets, and so many packets a second with them, for a whole second, that are suspicious.
const SELDOM: [(Class, f64); 2] = [(Class::Reflection, 50.0), (Class::FragmentFlood, 50.0)];

/// Floods that are too slow to be told in a tick.
pub(super) fn slow_floods(second: &Features, baselines: &Baselines) -> Vec<Suspicion> {
    SELDOM
        .iter()
        .filter_map(|(class, refused)| {
            let slow = Flood {
                class: *class,
                refused: *refused,
                volume: None,
            };
            let small = match class {
                Class::FragmentFlood => pieces::small(second, pieces::IN_A_SECOND),
                _ => -pieces::dropped(second, pieces::IN_A_SECOND),
            };
            let refused = (second.with(class.verdicts()) + small).max(0.0);
            slow.suspicion(second, refused, baselines, Growth::NONE)
        })
        .collect()
}

/// What a flood of segments consists of: floods of ACK, of RST and of FIN have the same verdict.
fn kinds(features: &Features, threshold: f64) -> Vec<Evidence> {
    let kinds = [Kind::Ack, Kind::Rst, Kind::Fin, Kind::TcpOther];
    let all = features.refused_of(&kinds);
    kinds
        .into_iter()
        .map(|kind| (kind, features.refused_of(&[kind])))
        .filter(|(_, refused)| *refused > 0.0 && *refused >= KIND_PART * all)
        .map(|(kind, refused)| Evidence {
            what: format!("{} segments/s that were dropped", kind.name()),
            value: refused,
            threshold,
            usual: None,
        })
        .collect()
}

impl Flood {
    /// What speaks for it.
    fn told(&self) -> String {
        let verdicts = format!("packets/s with verdicts of a {}", self.class.name());
        match self.class {
            Class::FragmentFlood => format!("{verdicts}, or small pieces of none"),
            _ => verdicts,
        }
    }

    /// By the packets `refused` as those of the class, and by the volume: the stronger of both counts.
    /// Of clients there is that `growth`.
    fn suspicion(
        &self,
        features: &Features,
        refused: f64,
        baselines: &Baselines,
        growth: Growth,
    ) -> Option<Suspicion> {
        let mut suspicion = Suspicion {
            class: self.class,
            strength: refused / self.refused,
            packets: refused,
            evidence: Vec::new(),
        };
        if refused > 0.0 {
            suspicion.evidence.push(Evidence {
                what: self.told(),
                value: refused,
                threshold: self.refused,
                usual: None,
            });
        }
        if let Some((metric, floor, factor)) = self.volume {
            let value = features.metric(metric)?;
            let usual = baselines.usual(metric, features.wall_s);
            // Learning must not make a quiet machine nervous, nor a crowd.
            let threshold = usual.map_or(floor, |usual| {
                let with_a_crowd = (WITH_A_CROWD * growth.times * usual).min(floor);
                (factor * usual).max(floor / 10.0).max(with_a_crowd)
            });
            let strength = match growth.is_unsure {
                true => (value / threshold).min(NOT_AT_ONCE),
                false => value / threshold,
            };
            if strength >= super::LEAST_STRENGTH {
                suspicion.strength = suspicion.strength.max(strength);
                suspicion.packets = suspicion.packets.max(value);
                suspicion.evidence.push(Evidence {
                    what: format!("{} packets/s", metric.name()),
                    value,
                    threshold,
                    usual,
                });
            }
        }
        (suspicion.strength > 0.0).then_some(suspicion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{baseline::tests::learnt, detect::detect_alone, feature::tests::second};

    /// Classes of at least their threshold.
    fn classes(kinds: &[(Kind, u64)], verdicts: &[(Verdict, u64)], baselines: &Baselines) -> Vec<Class> {
        let suspicions = detect_alone(&second(kinds, verdicts), baselines).into_iter();
        let strong = suspicions.filter(|suspicion| suspicion.strength >= 1.0);
        strong.map(|suspicion| suspicion.class).collect()
    }

    #[test]
    fn each_flood_is_told_from_the_others_by_its_verdicts() {
        let cold = Baselines::default();
        for (kinds, verdicts, class) in [
            (
                &[(Kind::Ack, 5_000)][..],
                &[(Verdict::OutOfState, 4_500)][..],
                Class::SegmentFlood,
            ),
            (
                &[(Kind::Udp, 50_000)],
                &[(Verdict::LimitUdp, 40_000)],
                Class::UdpFlood,
            ),
            (
                &[(Kind::Udp, 9_000)],
                &[(Verdict::ClosedPort, 8_000)],
                Class::UdpFlood,
            ),
            (
                &[(Kind::Udp, 90_000)],
                &[(Verdict::LimitService, 9_000)],
                Class::UdpFlood,
            ),
            (
                &[(Kind::Udp, 9_000)],
                &[(Verdict::Reflection, 8_000)],
                Class::Reflection,
            ),
            (
                &[(Kind::Icmp, 900)],
                &[(Verdict::LimitIcmp, 880)],
                Class::IcmpFlood,
            ),
            (&[(Kind::Icmp, 4_000)], &[], Class::IcmpFlood),
            (&[(Kind::Fragment, 9_000)], &[], Class::FragmentFlood),
            (
                &[(Kind::Other, 9_000)],
                &[(Verdict::LimitOther, 8_000)],
                Class::ProtocolFlood,
            ),
            (&[(Kind::Other, 300)], &[(Verdict::Land, 300)], Class::Malformed),
        ] {
            assert_eq!(classes(kinds, verdicts, &cold), [class], "{kinds:?} {verdicts:?}");
        }
    }

    #[test]
    fn unasked_answers_are_told_though_they_are_few() {
        let baselines = Baselines::default();
        let told = |verdict, packets| {
            let few = second(&[(Kind::Udp, packets)], &[(verdict, packets)]);
            let told = slow_floods(&few, &baselines).into_iter();
            let strong = told.filter(|suspicion| suspicion.strength >= 1.0);
            strong.map(|suspicion| suspicion.class).collect::<Vec<_>>()
        };
        assert_eq!(told(Verdict::Reflection, 60), [Class::Reflection]);
        assert_eq!(told(Verdict::FragmentOverlap, 60), [Class::FragmentFlood]);
        assert_eq!(told(Verdict::Reflection, 20), [], "answers that come late");
        assert_eq!(told(Verdict::LimitUdp, 60), []);
    }

    #[test]
    fn what_this_machine_refused_itself_counts_where_nothing_else_tells() {
        let cold = Baselines::default();
        let refused = |reset: f64, unreachable: f64| Features {
            reset,
            unreachable,
            ..second(&[(Kind::Ack, 9_000), (Kind::Udp, 9_000)], &[])
        };
        let classes = |features: &Features| {
            let told = detect_alone(features, &cold).into_iter();
            let strong = told.filter(|suspicion| suspicion.strength >= 1.0);
            strong.map(|suspicion| suspicion.class).collect::<Vec<_>>()
        };
        assert_eq!(classes(&refused(4_000.0, 0.0)), [Class::SegmentFlood]);
        assert_eq!(classes(&refused(0.0, 900.0)), [Class::UdpFlood]);
        assert_eq!(classes(&refused(50.0, 100.0)), []);
        // What is reset are SYN-ACKs; beside them there may be others, which are dropped or reset.
        let reflected = |reset: f64, dropped: u64| Features {
            reset,
            ..second(&[(Kind::SynAck, 9_000)], &[(Verdict::OutOfState, dropped)])
        };
        assert_eq!(classes(&reflected(9_000.0, 0)), [Class::SynAckReflection]);
        let both = [Class::SynAckReflection, Class::SegmentFlood];
        assert_eq!(classes(&reflected(9_000.0, 4_000)), both);
        assert_eq!(classes(&reflected(13_000.0, 0)), both);
    }

    #[test]
    fn a_flood_of_segments_says_of_which() {
        let mut features = second(
            &[(Kind::Rst, 5_000), (Kind::Ack, 200)],
            &[(Verdict::OutOfState, 4_500)],
        );
        features.refused[Kind::Rst as usize] = 4_450.0;
        features.refused[Kind::Ack as usize] = 50.0;
        let told = detect_alone(&features, &Baselines::default());
        let [flood] = &told[..] else {
            panic!("{told:?}");
        };
        let told: Vec<&str> = flood
            .evidence
            .iter()
            .map(|evidence| evidence.what.as_str())
            .collect();
        assert_eq!(
            told,
            [
                "packets/s with verdicts of a segment-flood",
                "rst segments/s that were dropped"
            ]
        );
    }

    #[test]
    fn a_synflood_over_the_rate_of_a_service_is_no_flood_of_datagrams() {
        let kinds = [(Kind::Syn, 90_000), (Kind::Udp, 2_000)];
        let found = classes(&kinds, &[(Verdict::LimitService, 80_000)], &Baselines::default());
        assert_eq!(found, [Class::SynFlood]);
    }

    #[test]
    fn much_is_no_attack_where_much_is_usual_and_little_can_be() {
        let usual = [(Kind::Udp, 80_000), (Kind::Icmp, 10)];
        let baselines = learnt(&usual);
        assert_eq!(classes(&[(Kind::Udp, 300_000)], &[], &baselines), []);
        assert_eq!(
            classes(&[(Kind::Udp, 900_000)], &[], &baselines),
            [Class::UdpFlood]
        );
        assert_eq!(classes(&[(Kind::Icmp, 300)], &[], &baselines), [Class::IcmpFlood]);
        assert_eq!(classes(&[(Kind::Icmp, 100)], &[], &baselines), []);
    }

    #[test]
    fn what_no_server_minds_is_nothing() {
        let kinds = [
            (Kind::Syn, 100),
            (Kind::Ack, 9_000),
            (Kind::Udp, 20_000),
            (Kind::Icmp, 50),
        ];
        assert_eq!(
            detect_alone(&second(&kinds, &[(Verdict::PortZero, 3)]), &Baselines::default()),
            []
        );
    }
}
