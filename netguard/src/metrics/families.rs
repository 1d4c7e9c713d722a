//! Figures as families: what was read of the datapath and of the traffic, under names that follow Prometheus' conventions. It reads nothing.

use netguard_common::{
    Judgement,
    layout::{Counter, Rate, Sampler, Service, Settings},
    telemetry::{Kind, Telemetry},
};

use super::{Family, Labels};
use crate::{
    bpf::TlsCount,
    config::ServicePort,
    control::LimitName,
    daemon::{ConnectionsReport, Protected, TrafficReport},
    engine::{
        Campaigns, Tracker,
        campaign::CampaignKind,
        detect::Class,
        response::{MEASURES, Mode, Responder},
    },
    host::Interface,
};

/// Packets and bytes by what became of them.
pub(super) fn verdicts(counters: &[(Judgement, Counter)]) -> [Family; 2] {
    let rows = |of: fn(&Counter) -> u64| -> Vec<(Labels, u64)> {
        let row = |(judgement, counter): &(Judgement, Counter)| {
            let labels = vec![
                ("verdict", judgement.verdict.name().to_owned()),
                ("action", judgement.action().name().to_owned()),
                ("shadow", judgement.shadow.to_string()),
            ];
            (labels, of(counter))
        };
        counters.iter().map(row).collect()
    };
    [
        Family::counter(
            "netguard_packets",
            "Packets by verdict, by what became of them, and by whether the verdict was only counted (shadow)",
            rows(|counter| counter.packets),
        ),
        Family::counter(
            "netguard_bytes",
            "Bytes of frames by verdict, as netguard_packets_total",
            rows(|counter| counter.bytes),
        ),
    ]
}

/// Packets by what they are; those of blocked sources are counted by their verdict only.
pub(super) fn kinds(counted: &Telemetry) -> [Family; 3] {
    let rows = |of: fn(&netguard_common::telemetry::Traffic) -> u64| -> Vec<(Labels, u64)> {
        let families = ["ipv4", "ipv6"].iter().zip(&counted.traffic);
        families
            .flat_map(|(family, kinds)| {
                Kind::ALL.iter().zip(kinds).map(move |(kind, traffic)| {
                    let labels = vec![("family", (*family).to_owned()), ("kind", kind.name().to_owned())];
                    (labels, of(traffic))
                })
            })
            .collect()
    };
    [
        Family::counter(
            "netguard_kind_packets",
            "Packets by IP version and kind, those of blocked sources not among them",
            rows(|traffic| traffic.packets),
        ),
        Family::counter(
            "netguard_kind_bytes",
            "Bytes of frames by IP version and kind",
            rows(|traffic| traffic.bytes),
        ),
        Family::counter(
            "netguard_kind_dropped_packets",
            "Packets by IP version and kind that were dropped or answered",
            rows(|traffic| traffic.dropped),
        ),
    ]
}

/// The connections of others, and what was ended.
pub(super) fn connections(report: &ConnectionsReport) -> [Family; 5] {
    let ended = report
        .ended
        .by_reason()
        .map(|(reason, count)| (vec![("reason", reason.to_owned())], count));
    [
        Family::value(
            "netguard_connections",
            "TCP connections that others hold with what listens here",
            report.held as f64,
        ),
        Family::value(
            "netguard_connection_sources",
            "Sources that hold such connections",
            report.sources as f64,
        ),
        Family::value(
            "netguard_connection_most",
            "The most connections that one source holds",
            f64::from(report.most),
        ),
        Family::value(
            "netguard_services_pressed",
            "Services under pressure by connections",
            report.pressed.len() as f64,
        ),
        Family::counter(
            "netguard_connections_ended",
            "Connections that were ended since the daemon began, by why",
            ended.into(),
        ),
    ]
}

/// What services were sent since this daemon watches them, and what the traffic of the last second was like.
pub(super) fn traffic(report: &TrafficReport) -> Vec<Family> {
    let by_service = |name, help, of: fn(&crate::daemon::ServiceRate) -> u64| {
        let services = report.services.iter();
        let rows = services.map(|service| (vec![("service", service.service.clone())], of(service)));
        Family::counter(name, help, rows.collect())
    };
    let entropy = &report.entropy;
    let varied = [
        ("source", entropy.source),
        ("source-port", entropy.source_port),
        ("destination-port", entropy.destination_port),
        ("size", entropy.size),
        ("ttl", entropy.ttl),
    ];
    let of = |name: &str| vec![("of", name.to_owned())];
    vec![
        by_service(
            "netguard_service_packets",
            "Packets to a service, or to all that are not counted by themselves (other)",
            |service| service.packets,
        ),
        by_service(
            "netguard_service_bytes",
            "Bytes of frames to a service",
            |service| service.bytes,
        ),
        by_service(
            "netguard_service_connection_attempts",
            "Connections that a service was asked for",
            |service| service.opening,
        ),
        by_service(
            "netguard_service_dropped_packets",
            "Packets to a service that were dropped or answered",
            |service| service.dropped,
        ),
        Family::value(
            "netguard_services_unwatched",
            "Services that listen and have no counters of their own, since there are too many",
            report.unwatched_services as f64,
        ),
        Family::value(
            "netguard_sources",
            "Distinct sources (IPv4 addresses, IPv6 /64) of the last second, an estimate within 2.3 %",
            report.sources as f64,
        ),
        Family::gauge(
            "netguard_entropy",
            "How much sources (IPv4 /24, IPv6 /48), ports, sizes and TTLs varied in the last second, in bits",
            varied
                .iter()
                .map(|(name, spread)| (of(name), spread.bits))
                .collect(),
        ),
        Family::gauge(
            "netguard_evenness_ratio",
            "The same from 0 (always the same) to 1 (as different as can be told)",
            varied
                .iter()
                .map(|(name, spread)| (of(name), spread.evenness))
                .collect(),
        ),
    ]
}

/// Samples of dropped packets, and beginnings of packets.
pub(super) fn samples(sampler: &Sampler) -> [Family; 3] {
    [
        Family::count(
            "netguard_samples_sent",
            "Samples of dropped packets that were handed to the daemon",
            sampler.sent,
        ),
        Family::count(
            "netguard_samples_lost",
            "Samples that found the ring buffer full",
            sampler.lost,
        ),
        Family::count(
            "netguard_heads_lost",
            "Beginnings of packets, which signatures are made of, that found the ring buffer full",
            sampler.heads_lost,
        ),
    ]
}

/// Attacks that go on, every class with its number.
pub(super) fn attacks(tracker: &Tracker) -> Family {
    let going = |class: Class| {
        let attacks = tracker.attacks().iter();
        attacks
            .filter(|attack| attack.is_going() && attack.class == class)
            .count() as f64
    };
    let row = |class: Class| (vec![("class", class.name().to_owned())], going(class));
    Family::gauge(
        "netguard_attacks_active",
        "Attacks that go on, and crowds of honest clients (flash-crowd), by class",
        Class::ALL.map(row).into(),
    )
}

/// Campaigns that go on, every kind with its number.
pub(super) fn campaigns(campaigns: &Campaigns) -> Family {
    let going = |kind: CampaignKind| {
        let all = campaigns.all().iter();
        all.filter(|campaign| campaign.is_going() && campaign.kind() == kind)
            .count() as f64
    };
    let row = |kind: CampaignKind| (vec![("kind", kind.name().to_owned())], going(kind));
    Family::gauge(
        "netguard_campaigns_active",
        "Campaigns that go on, by what they are made of: attacks that belong together, sources that ask where nobody is, or both",
        CampaignKind::ALL.map(row).into(),
    )
}

/// What is done about attacks now, by kind of measure.
pub(super) fn measures(responder: &Responder) -> Family {
    let standing = |measure: &str, shadow: bool| {
        let wanted = responder.wanted().filter(|(_, taken)| {
            taken.measure.name() == measure && (taken.mode_now() != Mode::Enforce) == shadow
        });
        let labels = vec![("measure", measure.to_owned()), ("shadow", shadow.to_string())];
        (labels, wanted.count() as f64)
    };
    let rows = MEASURES
        .iter()
        .flat_map(|measure| [false, true].map(|shadow| standing(measure, shadow)));
    Family::gauge(
        "netguard_measures_active",
        "Measures that are taken against attacks now, and whether they are only counted (shadow)",
        rows.collect(),
    )
}

/// Handshakes of TLS by what became of them, and connections that were ended.
pub(super) fn tls(counts: &[TlsCount]) -> Family {
    let rows = counts.iter().flat_map(|count| {
        let row = |shadow: bool, number| {
            let labels = vec![
                ("outcome", count.outcome.name().to_owned()),
                ("shadow", shadow.to_string()),
            ];
            (labels, number)
        };
        [row(false, count.enforced), row(true, count.shadow)]
    });
    Family::counter(
        "netguard_tls_handshakes",
        "Handshakes of TLS at services that have a policy for it, by what became of them, and by whether that was only counted (shadow)",
        rows.collect(),
    )
}

/// The limits that hold, those of single services among them; what is unlimited has no row.
pub(super) fn limits(settings: &Settings, services: &[Service]) -> [Family; 2] {
    let common = LimitName::all().map(|name| (name.to_string(), name.rate(settings)));
    let own = services.iter().filter_map(|service| {
        let port = ServicePort::new(service.protocol, service.port)?;
        (service.common == 0).then(|| (port.to_string(), service.rate))
    });
    let limits: Vec<(String, Rate)> = common
        .chain(own)
        .filter(|(_, rate)| *rate != Rate::UNLIMITED)
        .collect();
    let rows = |of: fn(&Rate) -> u64| {
        let row = |(limit, rate): &(String, Rate)| (vec![("limit", limit.clone())], of(rate) as f64);
        limits.iter().map(row).collect()
    };
    [
        Family::gauge(
            "netguard_limit_packets_per_second",
            "Rate of each limit, by the names of `netguard limit list` and `netguard service list`",
            rows(Rate::per_second),
        ),
        Family::gauge(
            "netguard_limit_burst_packets",
            "Packets that may come at once under each limit",
            rows(Rate::burst),
        ),
    ]
}

/// The interfaces that are to be protected; `standing` are all that there are.
pub(super) fn interfaces(protected: &[Protected], standing: &[Interface]) -> [Family; 2] {
    let rows = |of: &dyn Fn(&Protected) -> bool| {
        let row = |interface: &Protected| {
            let labels = vec![
                ("interface", interface.interface.clone()),
                ("mode", interface.mode.clone()),
            ];
            (labels, f64::from(u8::from(of(interface))))
        };
        protected.iter().map(row).collect()
    };
    let up = |interface: &Protected| {
        let mut standing = standing.iter();
        standing.any(|standing| standing.name == interface.name_now() && standing.up)
    };
    [
        Family::gauge(
            "netguard_interface_protected",
            "Whether the filter is on an interface that is to be protected",
            rows(&|interface| interface.fault.is_none()),
        ),
        Family::gauge(
            "netguard_interface_up",
            "Whether an interface that is to be protected is there and up",
            rows(&up),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use netguard_common::{Verdict, shared::Field as _};

    use super::*;
    use crate::metrics::Rows;

    fn gauge(family: &Family, label: &str) -> Option<f64> {
        let Rows::Gauge(rows) = &family.rows else {
            return None;
        };
        let mut rows = rows.iter();
        let found = rows.find(|(labels, _)| labels.iter().any(|(_, value)| value == label));
        found.map(|(_, value)| *value)
    }

    #[test]
    fn a_shadow_drop_is_a_packet_that_passed() {
        let counted = |shadow| {
            let verdict = Verdict::LimitSyn;
            (
                Judgement { verdict, shadow },
                Counter {
                    packets: 5,
                    bytes: 300,
                },
            )
        };
        let [packets, bytes] = verdicts(&[counted(false), counted(true)]);
        let Rows::Counter(rows) = &packets.rows else {
            panic!("{packets:?}");
        };
        let actions: Vec<&str> = rows.iter().map(|(labels, _)| labels[1].1.as_str()).collect();
        assert_eq!(actions, ["drop", "pass"]);
        assert!(matches!(&bytes.rows, Rows::Counter(rows) if rows[0].1 == 300));
    }

    #[test]
    fn limits_have_the_names_of_the_command_line() {
        let mut settings = Settings::ZERO;
        settings.limits[0] = Rate::new(200, 1_000);
        settings.levels.service_udp = Rate::new(5_000, 6_000);
        let service = Service {
            rate: Rate::new(70, 80),
            port: 53,
            protocol: netguard_common::packet::protocol::UDP,
            ..Service::ZERO
        };
        let [rates, bursts] = limits(&settings, &[service]);
        assert_eq!(gauge(&rates, "syn"), Some(200.0));
        assert_eq!(gauge(&rates, "udp.service"), Some(5_000.0));
        assert_eq!(gauge(&bursts, "udp/53"), Some(80.0));
        assert_eq!(gauge(&rates, "icmp"), None, "it is unlimited");
    }

    #[test]
    fn every_class_has_a_row_also_in_peace() {
        let family = attacks(&Tracker::default());
        assert_eq!(gauge(&family, "syn-flood"), Some(0.0));
        assert!(matches!(&family.rows, Rows::Gauge(rows) if rows.len() == Class::ALL.len()));
        let family = campaigns(&Campaigns::default());
        assert_eq!(gauge(&family, "probing"), Some(0.0));
        assert!(matches!(&family.rows, Rows::Gauge(rows) if rows.len() == CampaignKind::ALL.len()));
    }
}
